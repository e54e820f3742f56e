"""A stand-in for Swish, written from the provider page and not from the shop's client.

It speaks https, demands the merchant's client certificate and knows the merchant by it. Payment
requests and refunds have state; every end is told to the callback address. There is no hosted page
at Swish: the payer's phone is `phone_url`, a plain page on which a person approves or declines.

The shop stands behind something that ends TLS, as it must: a callback to https://host is brought to
http://host. Addresses without https are refused.
"""

import functools
import json
import re
import secrets
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from html import escape
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from werkzeug import Request, Response
from werkzeug.serving import make_server
from werkzeug.utils import redirect

from tests.simulators import serving
from tests.simulators.base import Hook, Simulator, now
from tests.simulators.certificates import Authority, Pair, server_side

NUMBER = "1234679304"
SWEDEN = timezone(timedelta(hours=1))
ID = re.compile(r"[0-9A-F]{32}")
REFERENCE = re.compile(r"[a-zA-Z0-9\-_.+*/]{1,36}")
MESSAGE = re.compile(r'[a-zA-ZåäöÅÄÖ0-9:;.,?!()" ]{0,50}')
IDENTIFIER = re.compile(r"[0-9a-zA-Z-]{32,36}")
PHONE = re.compile(r"[1-9][0-9]{7,14}")
MAX_AMOUNT, MIN_AMOUNT = Decimal("999999999999.99"), Decimal("1.00")
REFUNDS_FOR = timedelta(days=396)
WORDS = {
    "AM02": "Amount value is too large", "AM03": "Invalid or missing Currency",
    "AM06": "Specified transaction amount is less than agreed minimum.",
    "BE18": "Payer alias is invalid.", "FF08": "PaymentReference is invalid",
    "PA01": "Parameter is not correct.", "PA02": "Amount value is missing or not a valid number",
    "RF02": "Original Payment not found or original payment is more than 13 months old",
    "RF03": "Payer alias in the refund does not match the payee alias in the original payment",
    "RF07": "Transaction declined", "RF08": "Amount value is too large or exceeds what is left",
    "RP01": "Missing Merchant Swish Number", "RP02": "Wrong formatted message",
    "RP03": "Callback URL is missing or does not use HTTPS",
    "RP06": "Another active request already exists for this payerAlias",
    "BANKIDCL": "Payer cancelled BankID signing", "FF10": "Bank system processing error",
    "TM01": "Swish timed out before the payment was started",
    "DS24": "Swish timed out waiting for an answer from the banks after payment was started",
}  # fmt: skip


class Refusal(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, status: int, *codes: str) -> None:
        super().__init__(status, codes)
        self.status, self.codes = status, codes


class Papers:
    """The authorities and certificates of this process; making them takes longer than most calls."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="swish-")
        folder = Path(self.folder.name)
        self.server_authority = Authority(folder, "server-authority")
        self.clients = Authority(folder, "swish-authority")
        self.merchant = self.clients.sign(NUMBER)
        self.server = self.server_authority.sign("server")


@functools.cache
def _papers() -> Papers:
    return Papers()


class Swish(Simulator):
    """Swish on loopback, with an authority and a merchant of its own in this process."""

    KNOWS = ("payments", "refunds", "tokens", "identifiers")
    #: Ten more tries; the first waits are known, and that they grow no further is a guess.
    RETRIES = (5, 10, 20, 40) + (60,) * 6

    def __init__(self, port: int = 0, *, needs_https: bool = True, phone_port: int = 0) -> None:
        papers = _papers()
        self.server_authority, self.clients = papers.server_authority, papers.clients
        self.merchant: Pair = papers.merchant
        self.payments: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        #: The token of each request that was made without a payer, and the callbacks' identifiers.
        self.tokens: dict[str, str] = {}
        self.identifiers: dict[str, str | None] = {}
        #: False: refunds stay CREATED until `debit` and `settle`.
        self.settles_refunds = True
        #: The merchant's number is enrolled.
        self.is_enrolled = True
        self.needs_https = needs_https
        super().__init__(port, server_side(papers.server, self.clients))
        self.api = f"{self.url}/swish-cpcapi"
        self._phone = make_server("127.0.0.1", phone_port, self._answer_phone, threaded=True)
        self.phone_url = f"http://127.0.0.1:{self._phone.server_port}/"
        serving.start(self._phone)

    def stop(self) -> None:
        super().stop()
        serving.end(self._phone)

    # --- the interface ----------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """Answer one call."""
        with self.lock:
            try:
                return self._answered(request)
            except Refusal as refusal:
                if not refusal.codes:
                    return Response(status=refusal.status)
                errors = [
                    {"errorCode": c, "errorMessage": WORDS[c], "additionalInformation": None}
                    for c in refusal.codes
                ]
                return Response(json.dumps(errors), refusal.status, mimetype="application/json")

    def _answered(self, request: Request) -> Response:
        number = _merchant_of(request)
        if not self.is_enrolled:
            raise Refusal(401)
        call = re.fullmatch(
            r"/swish-cpcapi/api/(v[12])/(paymentrequests|refunds)/(\w+)", request.path
        )
        if call is None:
            raise Refusal(404)
        version, kind, name = call.groups()
        stored = self.payments if kind == "paymentrequests" else self.refunds
        if request.method == "PUT" and version == "v2":
            return self._put(kind, name, _json(request, "application/json"), number)
        if version != "v1" or name not in stored:
            raise Refusal(404)
        if request.method == "PATCH" and kind == "paymentrequests":
            return self._cancel(stored[name], _json(request, "application/json-patch+json"))
        if request.method != "GET":
            raise Refusal(405)
        return _shown(stored[name])

    def _put(self, kind: str, name: str, wish: dict[str, Any], number: str) -> Response:
        if not ID.fullmatch(name):
            raise Refusal(400)
        if name in self.payments or name in self.refunds:
            # What a second PUT brings is not confirmed on the provider page: an error, in any case.
            raise Refusal(422, "PA01")
        make = self._make_payment if kind == "paymentrequests" else self._make_refund
        headers = make(name, wish, number)
        headers["Location"] = f"{self.api}/api/v1/{kind}/{name}"
        self.identifiers[name] = wish.get("callbackIdentifier")
        answer = Response(status=201, headers=headers)
        if kind == "refunds" and self.settles_refunds:
            self.debit(name)
            self.settle(name)
        return answer

    def _make_payment(self, name: str, wish: dict[str, Any], number: str) -> dict[str, str]:
        _check(wish, self._faults(wish, "payeeAlias"))
        if wish["payeeAlias"] != number:
            raise Refusal(403)
        payer = wish.get("payerAlias")
        if payer is not None and not PHONE.fullmatch(str(payer)):
            raise Refusal(422, "BE18")
        if payer and any(
            one["payerAlias"] == payer and one["status"] == "CREATED"
            for one in self.payments.values()
        ):
            raise Refusal(422, "RP06")
        self.payments[name] = {
            "id": name, "payeePaymentReference": wish.get("payeePaymentReference"), "paymentReference": None,
            "callbackUrl": wish["callbackUrl"], "payerAlias": payer, "payeeAlias": number,
            "amount": float(wish["amount"]), "currency": "SEK", "message": wish.get("message", ""),
            "status": "CREATED", "dateCreated": _utc(), "datePaid": None, "errorCode": None, "errorMessage": "",
        }  # fmt: skip
        if payer:
            return {}
        self.tokens[name] = secrets.token_hex(16)
        return {"PaymentRequestToken": self.tokens[name]}

    def _make_refund(self, name: str, wish: dict[str, Any], number: str) -> dict[str, str]:
        _check(wish, self._faults(wish, "payerAlias"))
        if wish["payerAlias"] != number:
            raise Refusal(403)
        paid = [
            one
            for one in self.payments.values()
            if one["paymentReference"] == wish.get("originalPaymentReference") is not None
        ]
        if not paid:
            raise Refusal(422, "RF02")
        left = Decimal(str(paid[0]["amount"])) - sum(
            Decimal(one["amount"])
            for one in self.refunds.values()
            if one["originalPaymentReference"] == wish["originalPaymentReference"]
            and one["status"] != "ERROR"
        )
        if Decimal(wish["amount"]) > left:
            raise Refusal(422, "RF08")
        made = datetime.fromisoformat(paid[0]["datePaid"])
        if datetime.fromtimestamp(now(), UTC) - made > REFUNDS_FOR:
            raise Refusal(422, "RF02")
        self.refunds[name] = {
            "id": name, "originalPaymentReference": wish["originalPaymentReference"],
            "payerPaymentReference": wish.get("payerPaymentReference"), "paymentReference": None,
            "callbackUrl": wish["callbackUrl"], "payerAlias": number,
            "payeeAlias": paid[0]["payerAlias"], "amount": wish["amount"], "currency": "SEK",
            "message": wish.get("message", ""), "status": "CREATED", "dateCreated": _swedish(), "datePaid": None,
            "errorCode": None, "errorMessage": None, "additionalInformation": None,
        }  # fmt: skip
        return {}

    def _faults(self, wish: dict[str, Any], merchant: str) -> list[str]:
        """Every fault at once, as the sample of a refusal has two."""
        reference = wish.get("payeePaymentReference", wish.get("payerPaymentReference", "x"))
        address = str(wish.get("callbackUrl", ""))
        identifier = wish.get("callbackIdentifier")
        schemes = ("https://",) if self.needs_https else ("https://", "http://")
        rules = {
            "RP01": not wish.get(merchant),
            "RP03": not address.startswith(schemes),
            "FF08": not REFERENCE.fullmatch(str(reference)),
            "RP02": not MESSAGE.fullmatch(str(wish.get("message", ""))),
            "PA01": identifier is not None and not IDENTIFIER.fullmatch(str(identifier)),
            "AM03": wish.get("currency") != "SEK",
        }
        return [code for code, broken in rules.items() if broken]

    def _cancel(self, payment: dict[str, Any], patch: Any) -> Response:
        if patch != [{"op": "replace", "path": "/status", "value": "cancelled"}]:
            raise Refusal(400)
        if payment["status"] != "CREATED":
            raise Refusal(422, "PA01")
        self._end(payment, "CANCELLED")
        return _shown(payment)

    # --- the other side ---------------------------------------------------------------------

    def pay(self, name: str, amount: str | None = None, payer: str = "46701234768") -> str:
        """The payer approves in the app. Returns the bank's reference."""
        payment = self._open(name)
        payment["payerAlias"] = payer
        payment["paymentReference"] = secrets.token_hex(16).upper()
        payment["datePaid"] = _utc()
        if amount is not None:
            payment["amount"] = float(amount)
        self._end(payment, "PAID")
        return str(payment["paymentReference"])

    def decline(self, name: str) -> None:
        """The payer says no in the app."""
        self._end(self._open(name), "DECLINED")

    def fail(self, name: str, code: str) -> None:
        """The payment ends in an error."""
        self._end(self._open(name), "ERROR", code)

    def learn(self, name: str) -> None:
        """The bank answers at last: what was in doubt was paid."""
        payment = self.payments[name]
        payment.update(errorCode=None, errorMessage="", status="CREATED")
        self.pay(name)

    def debit(self, name: str) -> None:
        """A refund has left the merchant's account."""
        self._end(self.refunds[name], "DEBITED")

    def settle(self, name: str) -> None:
        """A refund has arrived."""
        refund = self.refunds[name]
        refund.update(datePaid=_swedish(), paymentReference=secrets.token_hex(16).upper())
        self._end(refund, "PAID")

    def fail_refund(self, name: str, code: str = "RF07") -> None:
        """A refund did not come about."""
        self._end(self.refunds[name], "ERROR", code)

    def _open(self, name: str) -> dict[str, Any]:
        payment = self.payments[name]
        if payment["status"] != "CREATED":
            raise RuntimeError(f"the request is {payment['status']}")
        return payment

    def _end(self, found: dict[str, Any], status: str, code: str | None = None) -> None:
        found["status"] = status
        if code:
            found.update(errorCode=code, errorMessage=WORDS.get(code, code))
        body = json.dumps(found, ensure_ascii=False).encode()
        given = self.identifiers.get(found["id"])
        headers = {"callbackIdentifier": given} if given else {}
        address = re.sub("^https:", "http:", found["callbackUrl"])
        self.send(Hook(address, body, lambda _body: headers))

    # --- the payer's phone ------------------------------------------------------------------

    @Request.application
    def _answer_phone(self, request: Request) -> Response:
        if request.method == "POST":
            name, choice = request.form["id"], request.form["choice"]
            with self.lock:
                if choice == "approve":
                    self.pay(name)
                elif choice == "decline":
                    self.decline(name)
                else:
                    self.fail(name, choice)
            return redirect("/", 303)
        rows = "".join(
            f'<form method="post"><input type="hidden" name="id" value="{name}"><p>{escape(one["message"])}: '
            f"{one['amount']:.2f} kr</p>"
            + "".join(
                f'<button name="choice" value="{choice}">{choice}</button>'
                for choice in ("approve", "decline", "RF07", "BANKIDCL", "TM01", "DS24")
            )
            + "</form>"
            for name, one in self.payments.items()
            if one["status"] == "CREATED"
        )
        page = f"<h1>Swish, a stand-in</h1>{rows or '<p>Nothing to pay.</p>'}"
        return Response(page, mimetype="text/html")


def _merchant_of(request: Request) -> str:
    """The number in the client's certificate."""
    pem = request.environ["SSL_CLIENT_CERT"].encode()
    names = x509.load_pem_x509_certificate(pem).subject
    return str(names.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _json(request: Request, kind: str) -> Any:
    if request.mimetype != kind:
        raise Refusal(415)
    try:
        return json.loads(request.get_data())
    except ValueError:
        raise Refusal(400) from None


def _check(wish: dict[str, Any], faults: list[str]) -> None:
    """The amount is a string in kronor, with two decimals at the most."""
    written = wish.get("amount")
    try:
        amount = Decimal(written) if isinstance(written, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not re.fullmatch(r"[0-9]+(\.[0-9]{1,2})?", str(written)):
        faults.append("PA02")
    elif amount < MIN_AMOUNT:
        faults.append("AM06")
    elif amount > MAX_AMOUNT:
        faults.append("AM02")
    if faults:
        raise Refusal(422, *faults)


def _shown(found: dict[str, Any]) -> Response:
    return Response(json.dumps(found, ensure_ascii=False), 200, mimetype="application/json")


def _utc() -> str:
    return datetime.fromtimestamp(now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.092Z")


def _swedish() -> str:
    return datetime.fromtimestamp(now(), SWEDEN).strftime("%Y-%m-%dT%H:%M:%S.950%z")
