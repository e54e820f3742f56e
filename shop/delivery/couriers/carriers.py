"""Carriers whose parcels staff book themselves: known by the shape of their numbers, with a link.

Shapes and check digits are those that the carriers and their customers publish; a shape alone can
fit several carriers, and then a person chooses. Sources: UPU standard S10 (postal items), GS1
(serial shipping container codes), and the carriers' tracking pages.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Carrier:
    """A carrier: what its numbers look like, how they are checked, and its page about a parcel."""

    key: str
    name: str
    shape: str
    #: With {} for the number; without it the page asks for the number itself.
    page: str = ""
    check: Callable[[str], bool] | None = None

    def fits(self, number: str) -> bool:
        """True of a number (in its plain form) that may be this carrier's."""
        return bool(re.fullmatch(self.shape, number, re.ASCII)) and (
            self.check is None or self.check(number)
        )

    def link(self, number: str) -> str:
        """The carrier's page about that parcel; empty where none is known."""
        return self.page.replace("{}", quote(number, safe=""))


def plain(number: str) -> str:
    """A number as it is kept: capitals, without blanks and hyphens."""
    return re.sub(r"[\s-]+", "", number).upper()


def is_s10(number: str) -> bool:
    """UPU S10: two letters, eight digits and their check digit, the country's two letters."""
    digits = [int(digit) for digit in number[2:11]]
    total = sum(
        digit * weight
        for digit, weight in zip(digits[:8], (8, 6, 4, 2, 3, 5, 9, 7), strict=True)
    )  # fmt: skip
    return {10: 0, 11: 5}.get(11 - total % 11, 11 - total % 11) == digits[8]


def is_ups(number: str) -> bool:
    """UPS: 1Z, fifteen characters, and a check digit over them (letters count as 2, 3, 4 …)."""
    values = [
        int(sign) if sign.isdigit() else (ord(sign) - 63) % 10 for sign in number[2:]
    ]  # fmt: skip
    total = sum(values[:15:2]) + 2 * sum(values[1:15:2])
    return -total % 10 == values[15]


def is_fedex(number: str) -> bool:
    """FedEx: of 12 digits by weights 3, 1, 7 (mod 11, mod 10); of 15 as GS1 does it."""
    if len(number) == 15:
        return is_gs1(number)
    total = sum(int(digit) * (3, 1, 7)[place % 3] for place, digit in enumerate(number[:11]))
    return total % 11 % 10 == int(number[11])


def is_gs1(number: str) -> bool:
    """GS1: weights 3 and 1 from the right."""
    total = sum(
        int(digit) * (3, 1)[place % 2] for place, digit in enumerate(reversed(number[:-1]))
    )  # fmt: skip
    return -total % 10 == int(number[-1])


def is_dhl(number: str) -> bool:
    """DHL Express: the tenth digit is the first nine modulo 7."""
    return not number.isdigit() or int(number[:9]) % 7 == int(number[9])


S10 = r"[A-Z]{2}\d{9}"

CARRIERS = (
    Carrier("delhivery", "Delhivery", r"\d{12,14}", "https://www.delhivery.com/track/package/{}"),
    Carrier("bluedart", "Blue Dart", r"\d{11}", "https://www.bluedart.com/web/guest/trackdartresultthirdparty?trackFor=0&trackNo={}"),
    Carrier("dtdc", "DTDC", r"[A-Z]\d{8}|[A-Z]\d{11}|7[A-Z]\d{9}", "https://www.dtdc.in/tracking/tracking_results.asp?Ttype=consignment&strCnno={}"),
    Carrier("xpressbees", "Xpressbees", r"1[34]\d{12,13}", "https://www.xpressbees.com/shipment/tracking?awbNo={}"),
    Carrier("ekart", "Ekart", r"(FMP[CP]|MYE[CP]|SRT[CP])\d{10}", "https://ekartlogistics.com/shipmenttrack/{}"),
    Carrier("india_post", "India Post", S10 + "IN", "https://www.indiapost.gov.in/_layouts/15/dop.portal.tracking/trackconsignment.aspx", is_s10),
    Carrier("dhl", "DHL", r"\d{10}|JJ?D\d{16,18}", "https://www.dhl.com/en/express/tracking.html?AWB={}", is_dhl),
    Carrier("fedex", "FedEx", r"\d{12}|\d{15}", "https://www.fedex.com/fedextrack/?trknbr={}", is_fedex),
    Carrier("ups", "UPS", r"1Z[A-Z0-9]{15}\d", "https://www.ups.com/track?tracknum={}", is_ups),
    Carrier("postnord", "PostNord", S10 + r"(SE|DK)", "https://tracking.postnord.com/?id={}", is_s10),
    Carrier("postnord", "PostNord", r"(00)?3(73|57)\d{15}", "https://tracking.postnord.com/?id={}", is_gs1),
    Carrier("bring", "Bring", S10 + "NO", "https://tracking.bring.com/tracking/{}", is_s10),
    Carrier("bring", "Bring", r"(00)?370\d{15}|70\d{15}", "https://tracking.bring.com/tracking/{}", is_gs1),
    Carrier("gig", "GIG Logistics", r"GIG[A-Z0-9]{6,20}|\d{10}", "https://giglogistics.com/track/{}"),
    Carrier("royal_mail", "Royal Mail", S10 + "GB", "https://www.royalmail.com/track-your-item#/tracking-results/{}", is_s10),
    Carrier("usps", "USPS", S10 + "US", "https://tools.usps.com/go/TrackConfirmAction?tLabels={}", is_s10),
    Carrier("post", "Post", S10 + r"(?!(IN|SE|DK|NO|GB|US))[A-Z]{2}", "", is_s10),
)  # fmt: skip
"""A carrier with two kinds of numbers stands twice."""

NAMES = {one.key: one.name for one in CARRIERS}
"""Key → name, for a choice."""


def recognise(number: str) -> Sequence[Carrier]:
    """The carriers whose number this may be: none, the one, or several to choose from."""
    written = plain(number)
    return [one for one in CARRIERS if one.fits(written)]


def of_name(name: str) -> Carrier | None:
    """The carrier that a person named, by key or name."""
    wanted = re.sub(r"[^a-z0-9]", "", name.lower())
    return next(
        (
            one
            for one in CARRIERS
            if wanted in {one.key.replace("_", ""), re.sub(r"[^a-z0-9]", "", one.name.lower())}
        ),
        None,
    )
