"""`promptsr fetch`, from a list of sources of its own."""

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from zipfile import ZipFile

import numpy as np
import pytest

from promptsr.downloads.catalogue import SOURCES
from promptsr.imaging import Picture, encode
from tests.support.commands import Run

SOURCE = """
[tiny]
title = "A tiny set"
licence = "CC0"
page = "https://example.org/"
evidence = "measured"
files = [{{ url = "{url}/tiny.zip", size = {size}, sha256 = "{sha256}" }}]
unpack = {{ members = {{ '(.+)' = '\\1' }}, limit = {limit} }}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """A folder on the web, with tiny.zip; its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=tmp_path / "site")  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield lambda: f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A PNG of 32 x 32 pixels: large enough for a score."""
    encode(Picture(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)), tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def archive(tmp_path: Path, photo: Path, site: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A set of one photograph, which `promptsr fetch tiny` knows."""
    (tmp_path / "site").mkdir()
    with ZipFile(tmp_path / "site" / "tiny.zip", "w") as file:
        file.write(photo, "HR/photo.png")
    content = (tmp_path / "site" / "tiny.zip").read_bytes()
    text = SOURCE.format(url=site(), size=len(content), sha256=hashlib.sha256(content).hexdigest(), limit=10_000)
    (tmp_path / "sources.toml").write_text(text)
    monkeypatch.setenv(SOURCES, str(tmp_path / "sources.toml"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return content


def test_fetched_set_can_be_evaluated(
    archive: bytes, tmp_path: Path, promptsr_process: Callable[..., CompletedProcess[str]], photo: Path, promptsr: Run
) -> None:
    data = tmp_path / "data"
    done = promptsr_process("fetch", "tiny", "--to", data, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "name": "tiny",
        "path": str(data / "tiny"),
        "is_new": True,
        "licence": "CC0",
    }
    assert (data / "tiny" / "HR" / "photo.png").read_bytes() == photo.read_bytes()
    assert [path.name for path in data.iterdir()] == ["tiny"]
    code, out, _ = promptsr("evaluate", "--model", "bicubic-x2", "--hr", data / "tiny" / "HR", "--json", "-")
    assert code == 0 and len(json.loads(out)["images"]) == 1


def test_what_is_there_is_said_to_be(archive: bytes, tmp_path: Path, promptsr: Run) -> None:
    assert promptsr("fetch", "tiny", "--to", tmp_path)[0] == 0
    (tmp_path / "site" / "tiny.zip").unlink()
    code, out, _ = promptsr("fetch", "tiny", "--to", tmp_path)
    assert code == 0 and "was there" in out


def test_part_of_a_broken_download_is_used(archive: bytes, tmp_path: Path, promptsr: Run) -> None:
    # This server knows no ranges: it starts anew, and what lay there does no harm.
    (tmp_path / "tiny.zip.part").write_bytes(archive[:50])
    assert promptsr("fetch", "tiny", "--to", tmp_path)[0] == 0
    assert (tmp_path / "tiny" / "HR" / "photo.png").exists() and not (tmp_path / "tiny.zip.part").exists()


def test_changed_file_ends_with_one_sentence(
    archive: bytes, tmp_path: Path, promptsr_process: Callable[..., CompletedProcess[str]]
) -> None:
    (tmp_path / "site" / "tiny.zip").write_bytes(bytes(len(archive)))
    done = promptsr_process("fetch", "tiny", "--to", tmp_path / "data")
    assert done.returncode == 2 and not done.stdout
    assert "wrong checksum" in done.stderr and "Traceback" not in done.stderr
    assert list((tmp_path / "data").iterdir()) == []


def test_names_are_listed(promptsr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SOURCES, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = promptsr("fetch")
    assert code == 0 and promptsr("fetch", "--list") == (0, out, "")
    for word in ("div2k", "3.5 GB", "academic research only", "benchmark.tar", "imdn-x4", "Apache-2.0", "by hand"):
        assert word in out
    code, out, _ = promptsr("fetch", "--json", "-")
    names = json.loads(out)["names"]
    assert code == 0 and {"name": "set5", "size": 250112000}.items() <= names[2].items()


def test_manga109_tells_where_to_ask(promptsr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SOURCES, raising=False)
    code, out, err = promptsr("fetch", "manga109", "--to", tmp_path)
    assert (code, out) == (2, "")
    assert "manga109 cannot be fetched, its owners ask for registration: get it from http://www.manga109.org" in err


def test_unknown_name_is_refused(promptsr: Run, tmp_path: Path) -> None:
    code, _, err = promptsr("fetch", "set6", "--to", tmp_path)
    assert code == 2 and "`promptsr fetch` lists the names" in err
