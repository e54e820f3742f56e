"""Calling Swish: with the shop's client certificate, and its errors as the shop's own."""

from pathlib import Path
from typing import Any

from shop.config import settings
from shop.payments.gateways.swish_reading import staff_words
from shop.provider_json import exact, read_json
from shop.providers import (
    Answer,
    ClientCertificate,
    OutcomeUnknown,
    ProviderRefused,
    TryLater,
    call,
)

#: Host and certificate belong together: a test certificate at the live host breaks the handshake.
HOSTS = {
    "production": "https://cpc.getswish.net/swish-cpcapi",
    "test": "https://mss.cpc.getswish.net/swish-cpcapi",
}
STATUS_WORDS = {
    401: "the certificate is not accepted, or the number not enrolled",
    403: "SWISH_PAYEE_ALIAS is not the certificate's number",
    404: "Swish knows no such request",
}


def answered(
    environment: str, method: str, path: str, read_seconds: float, wish: Any = None
) -> Answer:
    """One call with our certificate: 201 for a PUT, 200 for the rest (section 2).

    Raises ProviderRefused for 4xx, TryLater for a bank's fault.
    """
    headers = {"Content-Type": "application/json-patch+json"} if method == "PATCH" else {}
    answer = call(
        "swish", method, (settings().swish_api_base or HOSTS[environment]) + path,
        read_seconds=read_seconds, headers=headers, json=wish, certificate=_certificate(),
    )  # fmt: skip
    if answer.status == (201 if method == "PUT" else 200):
        return answer
    if answer.status < 400:
        raise OutcomeUnknown(f"HTTP {answer.status}")
    raise _refusal(answer)


def _refusal(answer: Answer) -> ProviderRefused | TryLater:
    """422 is a list of errors (section 4); 401 and 403 are about certificate and number (section 2.1)."""
    errors = answer.json if isinstance(answer.json, list) else []
    said = [
        (str(one.get("errorCode")), one.get("errorMessage"))
        for one in errors
        if isinstance(one, dict)
    ]
    if not said or answer.status == 404:
        return ProviderRefused(STATUS_WORDS.get(answer.status, "refused"), f"HTTP {answer.status}")
    words = "; ".join(staff_words(code, message) for code, message in said)
    if "FF10" in dict(said):
        return TryLater(words, "FF10")
    return ProviderRefused(words, said[0][0])


def object_at(environment: str, path: str, read_seconds: float) -> dict[str, Any] | None:
    """The object at this address, or None where Swish has none."""
    try:
        return object_of(answered(environment, "GET", path, read_seconds))
    except ProviderRefused as error:
        if error.code == "HTTP 404":
            return None
        raise


def object_of(answer: Answer) -> dict[str, Any]:
    """The object in an answer, amounts exact. Raises OutcomeUnknown where there is none."""
    try:
        found = read_json(answer.body, exact)
    except ValueError as error:
        raise OutcomeUnknown("an answer of Swish that is no JSON") from error
    if not isinstance(found, dict):
        raise OutcomeUnknown("an answer of Swish that is no object")
    return found


def _certificate() -> ClientCertificate:
    """Looked for before each call: without it nothing is sent."""
    files = (settings().swish_cert_file, settings().swish_key_file)
    for name, path in zip(("SWISH_CERT_FILE", "SWISH_KEY_FILE"), files, strict=True):
        if not Path(path).is_file():
            raise TryLater(
                f"{name} is no file: without its certificate the shop cannot speak to Swish"
            )
    return ClientCertificate(files, settings().swish_ca_file)
