"""Starting and ending the servers of stand-ins."""

import socket
import threading
from contextlib import suppress

from werkzeug.serving import BaseWSGIServer


def start(server: BaseWSGIServer) -> None:
    """Serve in the background until `end(server)`."""
    threading.Thread(target=server.serve_forever, daemon=True).start()


def end(server: BaseWSGIServer) -> None:
    """Serve no more, at once: its loop looks up only twice a second, or when its socket stirs."""
    asked = threading.Thread(target=server.shutdown)
    asked.start()
    with suppress(OSError):
        server.socket.shutdown(socket.SHUT_RDWR)
    asked.join()
    server.server_close()
