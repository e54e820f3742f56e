"""What every way to pay promises, whoever stands behind it.

With a provider's test keys in the environment (CONTRIBUTING.md) the same promises are asked of its
real test mode, as far as they can be kept without a browser.
"""

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shop.clock import utcnow
from shop.payments.gateways import GATEWAYS, gateway
from shop.payments.gateways.base import EventKind, PageEnd, RefundRequest
from shop.providers import BadSignature, ProviderRefused, TryLater
from tests.payments import sides
from tests.payments.sides import Side
from tests.payments.wishes import ref_to

# The gateways read no table; the sandbox's own rows are proven on both engines in tests/sandbox.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

REAL = sides.to_ask()
#: A gateway in another of its settings.
VARIANTS = ["razorpay by script"]
ONLINE = [*(key for key in GATEWAYS if gateway(key).is_online), *VARIANTS]
OFFLINE = [key for key in GATEWAYS if not gateway(key).is_online]
SIGNED = [key for key in ONLINE if sides.of(key).header]
DATED = [key for key in SIGNED if sides.of(key).is_dated]
SEVERAL = [key for key in SIGNED if sides.of(key).has_several]
REMEMBERING = [key for key in [*ONLINE, *REAL] if sides.of(key).remembers_keys]
ENDING = [key for key in [*GATEWAYS, *REAL] if sides.of(key).ends_pages]
DISPUTED = [key for key in ONLINE if sides.of(key).has_disputes]
LISTED = [key for key in ONLINE if sides.of(key).has_lists]
ENDED = {EventKind.CANCELLED, EventKind.EXPIRED}


def _each(names: list[str]) -> Any:
    """A fixture that is one counterpart after the other."""

    @pytest.fixture(params=names)
    def of(request: pytest.FixtureRequest, side_of: Callable[[str], Side]) -> Side:
        return side_of(request.param)

    return of


side = _each([*GATEWAYS, *VARIANTS, *REAL])
online = _each([*ONLINE, *REAL])
#: Every one that a test can pay by itself: a real page needs a person, Swish's simulator does not.
paying = _each([*ONLINE, *(key for key in REAL if key == "real swish")])
payable = _each(ONLINE)
offline = _each(OFFLINE)
signing = _each(SIGNED)
covering = _each([key for key in SIGNED if sides.of(key).signs_body])
dated = _each(DATED)
several = _each(SEVERAL)
remembering = _each(REMEMBERING)
ending = _each(ENDING)
keyed = _each([key for key in [*ONLINE, *REAL] if sides.of(key).wrong])
disputed = _each(DISPUTED)
listed = _each(LISTED)


def refund_of(attempt: Any, amount_minor: int, key: str) -> RefundRequest:
    return RefundRequest(attempt, amount_minor, attempt.currency, key, "asked for")


# --- opening ---------------------------------------------------------------------------------


def test_it_has_words_for_the_shopper(side: Side) -> None:
    assert side.gateway.label
    assert side.gateway.explanation
    assert side.gateway.unavailable(side.currency, side.country, side.amount) is None


def test_an_opening_says_what_comes_next_and_has_brought_no_money(side: Side) -> None:
    made, attempt = side.opened()
    assert made.gateway_id
    assert made.next_step["kind"] == side.next_kind
    if side.next_kind == "redirect":
        assert made.next_step["url"].startswith("http")
    if side.next_kind == "instructions":
        assert any("13,848.00" in value for _, value in made.next_step["rows"])
    if side.gateway.is_online and side.gateway.page_end != PageEnd.NEVER:
        assert made.expires_at
        assert made.expires_at > utcnow()
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.reference) == (EventKind.PENDING, attempt.reference)


def test_one_key_opens_one_payment(side: Side) -> None:
    request = side.wish()
    first, second = side.gateway.open(request), side.gateway.open(request)
    if side.repeats_address:
        assert first == second
    assert first.gateway_id == second.gateway_id


def test_a_key_used_for_another_amount_is_refused(remembering: Side) -> None:
    request = remembering.wish()
    remembering.gateway.open(request)
    with pytest.raises(ProviderRefused):
        remembering.gateway.open(replace(request, amount_minor=remembering.amount - 100))


def test_an_opening_whose_answer_was_lost_is_found_and_can_be_closed(online: Side) -> None:
    request = online.wish()
    made = online.gateway.open(request)
    (event,) = online.gateway.fetch(ref_to(request, None))
    assert (event.kind, event.gateway_id) == (EventKind.PENDING, made.gateway_id)
    if online.ends_pages:
        ended = online.gateway.close(ref_to(request, None))
        assert ended.kind in ENDED
        assert ended.gateway_id == made.gateway_id


def test_nobody_listening_means_try_later(online: Side, configure: Callable[..., None]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    configure(**{online.api_base: nobody})
    with pytest.raises(TryLater):
        online.gateway.open(online.wish())


def test_who_has_the_wrong_keys_is_refused(keyed: Side, configure: Callable[..., None]) -> None:
    configure(**keyed.wrong)
    with pytest.raises(ProviderRefused):
        keyed.gateway.open(keyed.wish())


# --- asking and ending -----------------------------------------------------------------------


def test_a_paid_one_tells_amount_currency_and_our_reference(paying: Side) -> None:
    made, attempt = paying.opened()
    paying.pay(made)
    (event,) = paying.gateway.fetch(attempt)
    assert event.kind == EventKind.CAPTURED
    assert (event.amount_minor, event.currency) == (paying.amount, paying.currency)
    assert (event.reference, event.gateway_id) == (attempt.reference, made.gateway_id)


def test_closing_ends_the_page_and_closing_twice_is_closing_once(ending: Side) -> None:
    _, attempt = ending.opened()
    first = ending.gateway.close(attempt)
    assert first.kind in ENDED
    if ending.gateway.is_online and ending.tells_of_ended_pages:
        assert ending.gateway.fetch(attempt)[0].kind in ENDED
    assert ending.gateway.close(attempt).kind == first.kind


def test_closing_after_the_money_came_says_so(payable: Side) -> None:
    made, attempt = payable.opened()
    payable.pay(made)
    event = payable.gateway.close(attempt)
    assert (event.kind, event.amount_minor) == (EventKind.CAPTURED, payable.amount)


# --- refunds ---------------------------------------------------------------------------------


def test_money_goes_back_in_parts_until_nothing_is_left(payable: Side) -> None:
    attempt = payable.paid()
    for key, amount in (("refund-1", 100_000), ("refund-2", payable.amount - 100_000)):
        event = payable.gateway.refund(refund_of(attempt, amount, key))
        assert event.kind in {EventKind.REFUND_SUCCEEDED, EventKind.REFUND_PENDING}
        assert (event.amount_minor, event.refund_key) == (amount, key)
        assert event.refund_gateway_id
    _, *refunds = payable.gateway.fetch(attempt)
    assert {one.refund_key for one in refunds} == {"refund-1", "refund-2"}
    assert sum(one.amount_minor or 0 for one in refunds) == payable.amount


def test_one_refund_key_gives_the_money_back_once_and_finds_it(payable: Side) -> None:
    attempt = payable.paid()
    wish = refund_of(attempt, 5_000, "refund-1")
    assert payable.gateway.find_refund(wish) is None
    first = payable.gateway.refund(wish)
    found = payable.gateway.find_refund(wish)
    assert found
    second = payable.gateway.refund(wish)
    assert first.refund_gateway_id == found.refund_gateway_id == second.refund_gateway_id
    assert len(payable.gateway.fetch(attempt)) == 2


def test_more_than_was_paid_is_refused(payable: Side) -> None:
    attempt = payable.paid()
    with pytest.raises(ProviderRefused):
        payable.gateway.refund(refund_of(attempt, payable.amount + 1, "refund-1"))
    payable.gateway.refund(refund_of(attempt, payable.amount, "refund-2"))
    with pytest.raises(ProviderRefused):
        payable.gateway.refund(refund_of(attempt, 1, "refund-3"))


def test_what_was_not_paid_cannot_go_back(online: Side) -> None:
    _, attempt = online.opened()
    with pytest.raises(ProviderRefused):
        online.gateway.refund(refund_of(attempt, 100, "refund-1"))


# --- webhooks --------------------------------------------------------------------------------


def test_a_payment_is_told_signed_and_with_our_reference(payable: Side) -> None:
    made, attempt = payable.opened()
    payable.pay(made)
    read = []
    for body, headers in payable.told():
        payable.gateway.verify(body, headers)
        read.append(payable.gateway.parse(body))
    assert len({message.event_id for message in read}) == len(read) > 0
    for message in read:
        for event in message.events:
            assert event.kind in {EventKind.CAPTURED, EventKind.AUTHORIZED}
            assert event.reference == attempt.reference
            assert (event.amount_minor, event.currency) == (payable.amount, payable.currency)
            assert event.occurred_at
    assert read[-1].events[0].kind == EventKind.CAPTURED


def test_a_refund_and_a_dispute_are_told(payable: Side) -> None:
    attempt = payable.paid()
    payable.gateway.refund(refund_of(attempt, 5_000, "refund-1"))
    if payable.has_disputes:
        payable.dispute(attempt)
        payable.lose_dispute(attempt)
    kinds = [
        event.kind for body, _ in payable.told() for event in payable.gateway.parse(body).events
    ]
    wanted = [EventKind.REFUND_SUCCEEDED, EventKind.DISPUTE_OPENED, EventKind.DISPUTE_LOST]
    wanted = wanted if payable.has_disputes else wanted[:1]
    last = wanted[-1]
    if not payable.tells_of_gone_money:
        wanted = []
    on_the_way = {EventKind.AUTHORIZED, EventKind.CAPTURED, EventKind.REFUND_PENDING}
    assert [kind for kind in kinds if kind not in on_the_way] == wanted
    assert payable.gateway.fetch(attempt)[-1].kind == last


def test_a_good_signature_passes_by_each_secret_whatever_the_case_of_the_header(
    signing: Side,
) -> None:
    body = signing.body()
    (name, value), *_ = signing.signed(body).items()
    signing.gateway.verify(body, {name: value})
    signing.gateway.verify(body, {name.lower(): value})
    for secret in signing.secrets():
        signing.gateway.verify(body, signing.signed(body, secret=secret))


def test_a_signature_may_be_five_minutes_off_and_of_no_other_time(dated: Side) -> None:
    for age in (299, -299):
        dated.gateway.verify(dated.body(), dated.signed(dated.body(), age=age))
    for age in (302, -302, 10**9):
        assert not is_believed(dated, dated.signed(dated.body(), age=age)), age


def test_an_altered_byte_is_refused(covering: Side) -> None:
    body = covering.body()
    with pytest.raises(BadSignature):
        covering.gateway.verify(body.replace(b"evt_1", b"evt_2"), covering.signed(body))


def is_believed(side: Side, headers: dict[str, str]) -> bool:
    """True when the body passes with these headers."""
    try:
        side.gateway.verify(side.body(), headers)
    except BadSignature:
        return False
    return True


def test_another_secret_and_a_spoilt_or_missing_header_are_refused(signing: Side) -> None:
    good = signing.signed(signing.body())
    for spoilt in (
        signing.signed(signing.body(), secret="whsec_somebody"),
        signing.signed(signing.body(), secret=""),
        {"Content-Type": "application/json"},
        {name: value[:-1] for name, value in good.items()},
        {name: value + "0" for name, value in good.items()},
        {name: value[:-1] + "é" for name, value in good.items()},
        dict.fromkeys(good, ""),
        dict.fromkeys(good, "nonsense"),
    ):
        assert not is_believed(signing, spoilt), spoilt


def test_a_spoilt_time_or_scheme_is_refused(dated: Side) -> None:
    ((name, good),) = dated.signed(dated.body()).items()
    for spoilt in (
        good.replace("v1=", "v0="),
        good.partition(",")[2],
        good.partition(",")[0],
        good.replace("t=", "t=1,t="),
        good.replace("t=", "t=+"),
        good.replace("t=", "t=٣"),
        good.partition("v1=")[0] + "v1=é",
        "t=,v1=",
    ):
        assert not is_believed(dated, {name: spoilt}), spoilt


def test_one_good_signature_among_several_is_enough(several: Side) -> None:
    good = several.signed(several.body())[several.header]
    moment, _, ours = good.partition(",")
    many = f"{moment},v1={'0' * 64},v0={'1' * 64},{ours}"
    several.gateway.verify(several.body(), {several.header: many})


UNREADABLE = (
    b"", b"{", b"[]", b"{}", b"null", b"7", b'"text"', b"\xff\xfe", b'{"id": "evt_1"}',
    b'{"id": "evt_1", "type": "payment.captured", "data": {}}',
    b'{"id": "evt_1", "type": "payment.captured", "data": null}',
    b'{"id": "evt_1", "object": "event", "type": "refund.created", "data": {"object": {}}}',
)  # fmt: skip


def is_readable(side: Side, body: bytes) -> bool:
    """False where the gateway says that it cannot read it: any ValueError, the inbox asks no more."""
    try:
        side.gateway.parse(body)
    except ValueError:
        return False
    return True


def test_what_cannot_be_read_is_said_to_be_unreadable(side: Side) -> None:
    assert [body for body in UNREADABLE if is_readable(side, body)] == []


def test_an_unknown_kind_changes_nothing(online: Side) -> None:
    message = online.gateway.parse(online.body())
    assert message.event_id.endswith("evt_1")
    assert message.kind == "of no interest"
    assert [event for event in message.events if event.kind != EventKind.IGNORED] == []


# --- the gateway's own lists -----------------------------------------------------------------


def test_the_lists_hold_what_was_paid_refunded_and_disputed(listed: Side) -> None:
    since = utcnow() - timedelta(minutes=1)
    attempt = listed.paid()
    listed.opened()
    listed.gateway.refund(refund_of(attempt, 5_000, "refund-1"))
    listed.dispute(attempt)
    (payment,) = listed.gateway.list_payments(since)
    (refund,) = listed.gateway.list_refunds(since)
    (dispute,) = listed.gateway.list_disputes(since)
    assert (payment.kind, payment.reference) == (EventKind.CAPTURED, attempt.reference)
    assert (refund.kind, refund.refund_key) == (EventKind.REFUND_SUCCEEDED, "refund-1")
    assert dispute.kind == EventKind.DISPUTE_OPENED
    assert dispute.evidence_due_at


def test_what_is_only_open_is_on_no_list(online: Side) -> None:
    _, attempt = online.opened()
    since, way = utcnow() - timedelta(minutes=1), online.gateway
    lists = way.list_payments(since) or [], way.list_refunds(since), way.list_disputes(since)
    assert attempt.reference not in {event.reference for found in lists for event in found}


def test_a_long_list_is_read_to_its_end(listed: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{listed.pages_in}.PAGE_ROWS", 1)
    references = {listed.paid().reference for _ in range(3)}
    since = utcnow() - timedelta(minutes=1)
    assert {event.reference for event in listed.gateway.list_payments(since)} == references


# --- without a provider ----------------------------------------------------------------------


def test_without_a_provider_no_webhook_is_believed_and_nothing_is_listed(offline: Side) -> None:
    with pytest.raises(BadSignature):
        offline.gateway.verify(offline.body(), {})
    since = utcnow() - timedelta(days=3)
    way = offline.gateway
    assert [*way.list_payments(since), *way.list_refunds(since), *way.list_disputes(since)] == []


def test_without_a_provider_a_refund_waits_for_a_person(offline: Side) -> None:
    _, attempt = offline.opened()
    wish = refund_of(attempt, 5_000, "refund-1")
    assert offline.gateway.refund(wish).kind == EventKind.REFUND_PENDING
    assert offline.gateway.find_refund(wish) is None
