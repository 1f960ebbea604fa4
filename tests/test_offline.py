"""Nothing but this machine is asked for anything: what every test is checked for is noticed, and refused."""

import os
import socket
import subprocess
import sys
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import httpx
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.offline.sitecustomize import RECORD

# Addresses of documentation (RFC 5737, RFC 3849), and a name that nobody has (RFC 6761).
ATTEMPTS = {
    "urllib.request.urlopen('http://192.0.2.1/', timeout=5)": "192.0.2.1",
    "urllib.request.urlopen('http://elsewhere.example/', timeout=5)": "elsewhere.example",
    "requests.get('http://192.0.2.2/', timeout=5)": "192.0.2.2",
    "httpx.get('https://elsewhere.example/', timeout=5)": "elsewhere.example",
    "asyncio.run(httpx.AsyncClient(timeout=5).get('http://192.0.2.3/'))": "192.0.2.3",
    "asyncio.run(asyncio.open_connection('elsewhere.example', 80))": "elsewhere.example",
    "socket.create_connection(('2001:db8::1', 80), 5)": "2001:db8::1",
    "socket.socket(type=socket.SOCK_DGRAM).sendto(b'who?', ('192.0.2.4', 53))": "192.0.2.4",
    "socket.gethostbyname('elsewhere.example')": "elsewhere.example",
    "socket.socket().connect_ex(('192.0.2.5', 80))": "192.0.2.5",
}
PROGRAM = """
import asyncio, socket, sys, urllib.request
import httpx, requests
for attempt in sys.argv[1:]:
    try:
        eval(attempt)
    except Exception:
        pass
    else:
        sys.exit(f"{attempt} came through")
"""


def test_a_program_is_refused_and_told_on(tmp_path: Path) -> None:
    record = tmp_path / "record.txt"
    environment = os.environ | {RECORD: str(record)}
    command = [sys.executable, "-c", PROGRAM, *ATTEMPTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert record.read_text().split() == list(ATTEMPTS.values())


def test_a_program_started_by_a_program_is_too(outside: Path) -> None:
    inner = "import socket; socket.create_connection(('192.0.2.7', 80), 5)"
    outer = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {inner!r}]).returncode)"
    done = subprocess.run([sys.executable, "-c", outer], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "192.0.2.7 is outside of this machine" in done.stderr
    assert outside.read_text() == "192.0.2.7\n"
    outside.write_text("")


def test_a_notebook_is_too(outside: Path, tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("import socket; socket.create_connection(('192.0.2.9', 80), 5)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    with pytest.raises(CellExecutionError, match=r"192\.0\.2\.9 is outside of this machine"):
        NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert outside.read_text() == "192.0.2.9\n"
    outside.write_text("")


def test_the_tests_themselves_are_too(outside: Path) -> None:
    with pytest.raises(httpx.ConnectError, match="outside of this machine"):
        httpx.get("http://192.0.2.8/")
    with pytest.raises(OSError, match="outside of this machine"):
        socket.getaddrinfo("elsewhere.example", 80)
    assert outside.read_text().split() == ["192.0.2.8", "elsewhere.example"]
    outside.write_text("")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_this_machine_answers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").write_text("here")
    with HTTPServer((name, 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert httpx.get(f"http://{name}:{server.server_port}/here.txt").text == "here"
        server.shutdown()
