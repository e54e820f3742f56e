"""How the shop speaks to the outside: one HTTP call with hard limits, and three kinds of failure.

Every gateway, courier, channel and tracker calls through here and raises nothing else, so that
the job runner can tell what to do next (reliability.md, "Kinds of outcome").
"""

import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from shop.provider_json import read_json

if TYPE_CHECKING:
    import requests

log = structlog.get_logger()

CONNECT_SECONDS = 3
MAX_ANSWER_BYTES = 1024 * 1024
CALLS_AT_ONCE = 4
BREAKER_FAILURES = 5
BREAKER_SECONDS = 30


class ProviderError(Exception):
    """A provider did not do what was asked. `words` are the provider's, for staff."""

    def __init__(self, words: str = "", code: str = "") -> None:
        super().__init__(words or type(self).__doc__)
        self.words = words
        self.code = code


class ProviderRefused(ProviderError):
    """The provider said no, for certain. Trying again would not help."""


class TryLater(ProviderError):
    """Nothing was done; the same call may work later."""

    def __init__(self, words: str = "", code: str = "", retry_after: float | None = None) -> None:
        super().__init__(words, code)
        self.retry_after = retry_after


class PutOff(TryLater):
    """Nothing was done, and trying harder will not help: only time or a person does. Not counted."""


class BreakerOpen(PutOff):
    """The provider failed several times in a row and is left alone for a while. Not counted."""


class OutcomeUnknown(ProviderError):
    """The call may or may not have been carried out. Ask before repeating it."""


class BadSignature(Exception):
    """A webhook is not from whom it says. Answered 400, nothing stored."""


@dataclass(frozen=True)
class Answer:
    """A provider's answer: status, body as JSON where it is JSON, and the headers."""

    status: int
    json: Any
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class ClientCertificate:
    """What the shop shows to a provider that knows it by TLS, as paths of PEM files."""

    #: The certificate with its chain, and its private key.
    files: tuple[str, str] | None
    #: What the provider's own certificate is checked by; empty for the usual authorities.
    ca_file: str = ""


NO_CERTIFICATE = ClientCertificate(None)


class _Line:
    """One provider's line out of this process: at most four calls, and a breaker."""

    def __init__(self) -> None:
        self.slots = threading.BoundedSemaphore(CALLS_AT_ONCE)
        self.failures = 0
        self.closed_until = 0.0


_lines: dict[str, _Line] = {}


def call(
    provider: str,
    method: str,
    url: str,
    *,
    read_seconds: float,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Any = None,
    params: Mapping[str, Any] | None = None,
    certificate: ClientCertificate | None = None,
    only_public: bool = False,
) -> Answer:
    """One HTTP call. Returns any answer below 500 but 408, 409, 425 and 429.

    `only_public`, for an https address that somebody else named: a connection that leads inwards is
    refused (ProviderRefused) before anything is sent, whatever the name was resolved to before (S63).

    No redirect is followed, TLS is verified, an answer over 1 MiB is refused. Raises TryLater
    (could not connect, 408, 409, 425, 429, 503), OutcomeUnknown (time-out after sending, cut
    connection, other 5xx) or BreakerOpen.
    """
    # Large, and a process that has called nobody yet does without them.
    import requests
    import urllib3

    from shop import connections

    ours = certificate or NO_CERTIFICATE
    with line_out(provider):
        started = time.monotonic()
        try:
            with connections.session(only_public).request(
                method, url, headers=dict(headers or {}), json=json, data=data, params=params,
                timeout=(CONNECT_SECONDS, read_seconds), allow_redirects=False, stream=True,
                cert=ours.files, verify=ours.ca_file or True,
            ) as response:  # fmt: skip
                body = _read_limited(response)
        except connections.LeadsInwards as error:
            raise ProviderRefused("the address leads inwards") from error
        except requests.exceptions.ConnectTimeout as error:
            raise TryLater("could not connect") from error
        except requests.exceptions.ConnectionError as error:
            if certificate_refused(error):
                raise TryLater("TLS: a certificate was not accepted") from error
            if never_sent(error):
                raise TryLater("could not connect") from error
            raise OutcomeUnknown("connection cut") from error
        except requests.exceptions.RequestException as error:
            raise OutcomeUnknown("no answer in time") from error
        except urllib3.exceptions.HTTPError as error:  # the body is read past requests
            raise OutcomeUnknown("the answer broke off") from error
        finally:
            log.info(
                "provider.call", provider=provider, method=method,
                duration_ms=round(1000 * (time.monotonic() - started)),
            )  # fmt: skip
        return _judged(response, body)


@contextmanager
def line_out(provider: str) -> Any:
    """Wait for one of four slots; count failures; refuse while the breaker is open."""
    line = _lines.setdefault(provider, _Line())
    if line.closed_until > time.monotonic():
        raise BreakerOpen(f"{provider} is left alone for {BREAKER_SECONDS} s")
    with line.slots:
        try:
            yield
        except (TryLater, OutcomeUnknown):
            line.failures += 1
            if line.failures >= BREAKER_FAILURES:
                line.closed_until = time.monotonic() + BREAKER_SECONDS
                line.failures = 0
                log.warning("provider.breaker_open", provider=provider)
            raise
        line.failures = 0


def reset_lines() -> None:
    """Forget all breakers (tests)."""
    _lines.clear()


def _read_limited(response: "requests.Response") -> bytes:
    body = response.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
    if len(body) > MAX_ANSWER_BYTES:
        raise OutcomeUnknown("the answer is larger than 1 MiB")
    return bytes(body)


def never_sent(error: BaseException | None) -> bool:
    """True when no connection came about: refused, no route, or a name that no one knows."""
    import requests
    from urllib3.exceptions import NewConnectionError

    if not isinstance(error, requests.exceptions.ConnectionError) or not error.args:
        return False
    return isinstance(getattr(error.args[0], "reason", None), NewConnectionError)


def certificate_refused(error: "requests.exceptions.ConnectionError") -> bool:
    """True when either side turned the other's certificate down: then nothing was carried out."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    said = " ".join(str(one) for one in getattr(reason, "args", ())).upper().replace(" ", "_")
    return any(words in said for words in ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE"))


def _judged(response: "requests.Response", body: bytes) -> Answer:
    status = response.status_code
    if status in {408, 409, 425, 429, 503}:
        wait = response.headers.get("Retry-After", "")
        raise TryLater(f"HTTP {status}", str(status), float(wait) if wait.isdigit() else None)
    if status >= 500:
        raise OutcomeUnknown(f"HTTP {status}", str(status))
    return Answer(status, _as_json(body), response.headers, body)


def _as_json(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError:
        return None
