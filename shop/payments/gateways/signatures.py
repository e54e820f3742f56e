"""Signatures over raw bytes, compared in constant time: with a time in them, or over the body alone.

`t=<unix time>,v1=<hex>` is HMAC-SHA256 over "<unix time>.<raw body>": the time is inside, so that an
old message cannot be sent again. Other gateways sign the body alone, in plain hex.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from shop.clock import utcnow
from shop.providers import BadSignature

TOLERANCE_SECONDS = 300


def check_signature(body: bytes, header: str | None, secrets: Sequence[str]) -> None:
    """Raise BadSignature unless one `v1` of the header was made with one of the secrets.

    Several `v1` and several secrets occur while a secret is being replaced. The time may be
    300 s off, either way. Schemes other than v1 are ignored: they are no proof.
    """
    if not header:
        raise BadSignature("the signature header is missing")
    moment, given = _parts(header)
    if not re.fullmatch(r"[0-9]{1,12}", moment, re.ASCII):
        raise BadSignature("the signature has no time")
    if abs(utcnow().timestamp() - int(moment)) > TOLERANCE_SECONDS:
        raise BadSignature("the signature is too old or lies in the future")
    signed = moment.encode() + b"." + body
    wanted = [hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in secrets if key]
    # Every pair is compared, so that the time taken does not tell which one was near.
    matches = [hmac.compare_digest(w.encode(), g.encode()) for w in wanted for g in given]
    if not any(matches):
        raise BadSignature("no signature fits")


def check_body_signature(
    body: bytes, header: str | None, secrets: Sequence[str], digest: str
) -> None:
    """Raise BadSignature unless the header is the body's HMAC, in lower-case hex, by one of the secrets.

    `digest` is hashlib's name of the hash: "sha256", "sha512". Empty secrets prove nothing.
    """
    if not header:
        raise BadSignature("the signature header is missing")
    wanted = [hmac.new(key.encode(), body, digest).hexdigest() for key in secrets if key]
    matches = [hmac.compare_digest(one.encode(), header.encode()) for one in wanted]
    if not any(matches):
        raise BadSignature("no signature fits")


def header_value(headers: Mapping[str, str], name: str) -> str | None:
    """A header, whatever the case of its name."""
    return next((value for key, value in headers.items() if key.lower() == name.lower()), None)


def _parts(header: str) -> tuple[str, list[str]]:
    """The time and every v1 of a header."""
    pairs = [item.strip().partition("=") for item in header.split(",")]
    moments = [value for key, _, value in pairs if key == "t"]
    given = [value for key, _, value in pairs if key == "v1"]
    return (moments[0] if len(moments) == 1 else "", given)
