"""Programs that the tests start reach nothing but this machine, and what else they ask for is written down.

Every Python imports this file as it starts if this folder is on PYTHONPATH. Where the variable `RECORD` names a file,
whatever other machine is looked up, connected to or sent to becomes a line of it, and is refused: by this program, by
all that it starts, and by kernels of notebooks.
"""

import os
import socket
import sys
from typing import Any

RECORD = "PROMPTSR_TEST_RECORD"
_OWN = ("", "localhost", "::", "::1", "0.0.0.0", socket.gethostname())
# Audit events of Python, with the place of the other side among their arguments.
_EVENTS = {
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
}


def guard(record: str) -> None:
    """From now on this process reaches only this machine. There is no way back."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS:
            return
        host = arguments[_EVENTS[event]]
        if isinstance(host, tuple):  # of the internet; other addresses are those of files
            host = host[0]
        elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            return
        host = host.decode() if isinstance(host, bytes) else host
        if isinstance(host, str) and host not in _OWN and not host.startswith("127."):
            with open(record, "a") as file:
                file.write(f"{host}\n")
            raise OSError(f"{host} is outside of this machine")

    sys.addaudithook(watch)


if os.environ.get(RECORD):
    guard(os.environ[RECORD])
