"""Connections to the outside, kept open by thread. Comes with the first call: its libraries are large."""

import ipaddress
import socket
import threading
from typing import Any

from requests import Session
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

_sessions = threading.local()


class LeadsInwards(Exception):
    """An address that somebody else named leads into the shop's own network."""


class _PublicConnection(HTTPSConnection):
    """Looks at whom it has reached before TLS begins."""

    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        if not ipaddress.ip_address(opened.getpeername()[0]).is_global:
            opened.close()
            raise LeadsInwards
        return opened


class _PublicPool(HTTPSConnectionPool):
    ConnectionCls = _PublicConnection


class _PublicAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"https": _PublicPool}


def session(only_public: bool = False) -> Session:
    """A connection pool for this thread; no cookies are kept between calls.

    `only_public`: it speaks https only, and its calls raise LeadsInwards rather than reach inwards.
    """
    name = "public" if only_public else "held"
    if not hasattr(_sessions, name):
        made = Session()
        made.trust_env = False
        if only_public:
            made.adapters.clear()
            made.mount("https://", _PublicAdapter())
        setattr(_sessions, name, made)
    held: Session = getattr(_sessions, name)
    held.cookies.clear()
    return held
