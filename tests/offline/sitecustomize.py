"""Restrict programs that the tests start to this machine, and record requests to others.

Python imports this file as it starts if this folder is on PYTHONPATH. If the variable `RECORD` names a file, lookups
of, connections to and messages to other machines are refused, and their hosts are appended to it: for this program, all
its subprocesses, and kernels of notebooks.
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
    """Restrict this process to this machine, permanently."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS:
            return
        host = arguments[_EVENTS[event]]
        if isinstance(host, tuple):  # an internet address; others are paths of files
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
