"""Runs the workbench as a program of its own that can reach nothing but this machine, and says what it tried.

    python guarded.py PORT RECORD

Every address outside of this machine that the server connects to or looks up becomes a line of the file RECORD, and
is refused.
"""

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_OWN = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "", None)


def guard(record: Path) -> None:
    """From now on this process reaches only itself."""

    def refuse(what: str) -> None:
        with record.open("a") as file:
            file.write(f"{what}\n")
        raise OSError(f"{what} is outside of this machine")

    def connecting(original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            if isinstance(address, tuple) and address[0] not in _OWN:
                refuse(str(address[0]))
            return original(self, address)

        return connect

    def looking_up(original: Callable[..., Any]) -> Callable[..., Any]:
        def look_up(host: Any, *args: Any, **options: Any) -> Any:
            if (host.decode() if isinstance(host, bytes) else host) not in _OWN:
                refuse(str(host))
            return original(host, *args, **options)

        return look_up

    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, connecting(getattr(socket.socket, name)))
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        setattr(socket, name, looking_up(getattr(socket, name)))


if __name__ == "__main__":
    guard(Path(sys.argv[2]))
    from workbench.page import launch

    launch(port=int(sys.argv[1]), open_browser=False, mcp=True)
