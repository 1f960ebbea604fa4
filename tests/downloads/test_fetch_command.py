"""`promptsr fetch` from a list of sources of its own."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from promptsr.downloads.catalogue import SOURCES
from tests.downloads.conftest import Server
from tests.support.commands import Run

SOURCE = """
[tiny]
title = "A tiny set"
licence = "CC0"
page = "https://example.org/"
evidence = "measured"
files = [{{ url = "{file.url}", size = {file.size}, sha256 = "{file.sha256}" }}]
unpack = {{ members = {{ '(.+)' = '\\1' }}, limit = 10_000 }}
"""


@pytest.fixture
def photo(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A PNG of 32 x 32 pixels, large enough for a score, in the set that `promptsr fetch tiny` knows."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    png, archive = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    with ZipFile(archive, "w") as file:
        file.writestr("HR/photo.png", png.getvalue())
    server.content = archive.getvalue()
    (tmp_path / "sources.toml").write_text(SOURCE.format(file=server.file("tiny.zip")))
    monkeypatch.setenv(SOURCES, str(tmp_path / "sources.toml"))
    return png.getvalue()


def test_fetched_set_can_be_evaluated(
    photo: bytes, tmp_path: Path, promptsr_process: Callable[..., CompletedProcess[str]], promptsr: Run
) -> None:
    data = tmp_path / "data"
    done = promptsr_process("fetch", "tiny", "--to", data, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"name": "tiny", "path": str(data / "tiny"), "is_new": True, "licence": "CC0"}
    assert (data / "tiny" / "HR" / "photo.png").read_bytes() == photo
    assert [path.name for path in data.iterdir()] == ["tiny"]
    code, out, _ = promptsr("evaluate", "--model", "bicubic-x2", "--hr", data / "tiny" / "HR", "--json", "-")
    assert code == 0 and len(json.loads(out)["images"]) == 1
    code, out, _ = promptsr("fetch", "tiny", "--to", data)
    assert code == 0 and "was there" in out


def test_changed_file_ends_with_one_sentence(photo: bytes, server: Server, tmp_path: Path, promptsr: Run) -> None:
    server.content = bytes(len(server.content))
    code, out, err = promptsr("fetch", "tiny", "--to", tmp_path / "data")
    assert (code, out) == (2, "") and "wrong checksum" in err and "Traceback" not in err
    assert list((tmp_path / "data").iterdir()) == []
