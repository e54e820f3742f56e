"""The table of proofs, and running them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from shop.books import cards, deeds, flow, money, returns, standing, stock, timeline
from shop.books.reading import snapshot


@dataclass(frozen=True)
class Proof:
    """One line of reliability.md and the function that finds the rows that break it."""

    line: str
    promise: str
    find: Callable[[Connection], Iterator[str]]
    #: Cheap enough for every hour.
    is_light: bool = False


PROOFS = (
    Proof("I1", "An order's lines and parts sum to its figures", money.figures),
    Proof("I2", "What counts as paid is what was asked", money.asked_is_paid),
    Proof("I3", "One capture is counted once", money.captures),
    Proof("I4", "Refunds never exceed what came in", money.refunds),
    Proof("I7", "A gift card's balance is the sum of its entries", cards.balances, is_light=True),
    Proof("I8", "Payment status and sellers' counters add up", money.sums, is_light=True),
    Proof("I9", "0 ≤ reserved ≤ on hand", stock.levels, is_light=True),
    Proof("I10", "Counts are the sums of reservations and movements", stock.sums, is_light=True),
    Proof("I11", "A sold line has one sale, and no more restocks than units", stock.sales),
    Proof("I14", "States changed only as the table says", timeline.states),
    Proof("I17", "One message had its effect once", flow.webhooks),
    Proof("I24", "Every failed job has an incident", flow.jobs, is_light=True),
    Proof("I28", "One parcel for one order and sequence", flow.parcels),
    Proof("I29", "Nothing left that was not bought", flow.shipped),
    Proof("I39", "What goes back was delivered, and is counted once", returns.counted),
    Proof("I33", "What people did is in the audit", deeds.audited),
    Proof("I33", "Settings, roles and prices stand as the audit tells", standing.as_told),
)


def faults(*, light: bool = False) -> list[str]:
    """Every breach as "I9 stock_levels:12 reserved 3 of 2 on hand"; empty when the books are right.

    Reads only, on one snapshot of what is committed; the caller's session is not touched.
    """
    with snapshot() as connection:
        return [
            f"{proof.line} {fault}"
            for proof in PROOFS
            if proof.is_light or not light
            for fault in proof.find(connection)
        ]
