"""A local web server that misbehaves on demand."""

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from promptsr.downloads import RemoteFile, RetryPolicy

HASTY = RetryPolicy(timeout=5, attempts=2, pause=0)


@dataclass
class Server:
    """Content of the server, its faults, and the requests that it got."""

    url: str
    content: bytes = b""
    breaks: list[int] = field(default_factory=list)
    """Bytes of the body after which the next answers break off."""
    ignores_range: bool = False
    is_chunked: bool = False
    extra: bytes = b""
    """Follows the content."""
    stated: int | None = None
    """Wrong Content-Length."""
    statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers, instead of the content."""
    hangs: float = 0.0
    """Seconds before the body."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """The headers of every request."""

    def file(self, name: str = "file.bin", sha256: str | None = None) -> RemoteFile:
        return RemoteFile(f"{self.url}/{name}", len(self.content), sha256 or hashlib.sha256(self.content).hexdigest())


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client may go away at any time."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append(dict(self.headers))
            if server.statuses:
                self.send_response(server.statuses.pop(0))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            whole = server.content + server.extra
            start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if not server.ignores_range else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
            if server.is_chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(server.stated or len(whole) - start))
            self.end_headers()
            self.wfile.flush()
            time.sleep(server.hangs)
            body = whole[start:]
            if server.breaks:
                body = body[: server.breaks.pop(0)]
                self.close_connection = True
            elif server.is_chunked:
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
                return
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    http = _QuietServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    known = Server(f"http://127.0.0.1:{http.server_port}")
    http.RequestHandlerClass = _handler(known)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield known
    http.shutdown()
    thread.join()
    http.server_close()
