"""Requests to other machines are noticed and refused, in every process that the tests start."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import httpx
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.offline.sitecustomize import RECORD

# Addresses of documentation (RFC 5737, RFC 3849), and a reserved name (RFC 6761).
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


def in_a_program_of_a_program(code: str, _: Path) -> None:
    outer = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {code!r}]).returncode)"
    done = subprocess.run([sys.executable, "-c", outer], capture_output=True, text=True, timeout=60)
    raise OSError(done.stderr)


def in_a_notebook(code: str, folder: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()


def in_the_tests(code: str, _: Path) -> None:
    exec(code)


@pytest.mark.parametrize("run", [in_a_program_of_a_program, in_a_notebook, in_the_tests])
def test_other_processes_are_too(run: Callable[[str, Path], None], outside: Path, tmp_path: Path) -> None:
    with pytest.raises((OSError, CellExecutionError), match=r"192\.0\.2\.7 is outside of this machine"):
        run("import socket; socket.create_connection(('192.0.2.7', 80), 5)", tmp_path)
    assert outside.read_text() == "192.0.2.7\n"
    outside.write_text("")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_this_machine_answers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").write_text("here")
    with HTTPServer((name, 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert httpx.get(f"http://{name}:{server.server_port}/here.txt").text == "here"
        server.shutdown()
