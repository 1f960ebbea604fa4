"""A name becomes a file, a folder of files, or an unpacked folder; nothing is downloaded twice."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from promptsr.downloads import Entry, RemoteFile, Unpacking, fetch
from promptsr.support.errors import DownloadError, UserError
from promptsr.support.progress import finish
from tests.downloads.conftest import HASTY, Server


def entry(name: str, *files: RemoteFile, unpack: Unpacking | None = None, by_hand: str | None = None) -> Entry:
    return Entry(name, "title", "licence", "https://example.org/", "evidence", files, unpack, by_hand)


@pytest.fixture
def archive(server: Server) -> RemoteFile:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in ("a/one.png", "b/two.png"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"png"))
    server.content = content.getvalue()
    return server.file("sets.tar")


def test_single_file_keeps_its_name(server: Server, tmp_path: Path) -> None:
    server.content = b"weights"
    known = {"net": entry("net", server.file("Net_x4.pth"))}
    fetched = finish(fetch("net", tmp_path, known, HASTY))
    assert fetched.path == tmp_path / "Net_x4.pth" and fetched.path.read_bytes() == b"weights" and fetched.is_new
    assert not finish(fetch("net", tmp_path, known, HASTY)).is_new and len(server.asked) == 1


def test_several_files_share_a_folder(server: Server, tmp_path: Path) -> None:
    server.content = b"image"
    known = {"set": entry("set", server.file("1.png"), server.file("2.png"))}
    fetched = finish(fetch("set", tmp_path, known, HASTY))
    assert fetched.path == tmp_path / "set" and sorted(os.listdir(fetched.path)) == ["1.png", "2.png"]
    (fetched.path / "2.png").unlink()
    assert finish(fetch("set", tmp_path, known, HASTY)).is_new
    assert len(server.asked) == 3


def test_archive_is_unpacked_and_goes(server: Server, archive: RemoteFile, tmp_path: Path) -> None:
    known = {"set": entry("set", archive, unpack=Unpacking({r"a/(.+)": r"HR/\1"}, 10))}
    fetched = finish(fetch("set", tmp_path, known, HASTY))
    assert (fetched.path / "HR" / "one.png").read_bytes() == b"png" and fetched.kept is None
    assert os.listdir(tmp_path) == ["set"]
    assert not finish(fetch("set", tmp_path, known, HASTY)).is_new and len(server.asked) == 1


def test_archive_of_several_sets_is_brought_once(server: Server, archive: RemoteFile, tmp_path: Path) -> None:
    known = {name: entry(name, archive, unpack=Unpacking({name + r"/(.+)": r"\1"}, 10)) for name in "ab"}
    assert finish(fetch("a", tmp_path, known, HASTY)).kept == tmp_path / "sets.tar"
    finish(fetch("b", tmp_path, known, HASTY))
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "sets.tar"] and len(server.asked) == 1


def test_archive_stays_if_unpacking_fails(server: Server, archive: RemoteFile, tmp_path: Path) -> None:
    known = {"set": entry("set", archive, unpack=Unpacking({"none": "none"}, 10))}
    with pytest.raises(DownloadError, match="does not hold what is expected"):
        finish(fetch("set", tmp_path, known, HASTY))
    assert os.listdir(tmp_path) == ["sets.tar"]


def test_what_cannot_be_downloaded_is_explained(tmp_path: Path) -> None:
    known = {"set": entry("set", by_hand="its owners ask for registration")}
    with pytest.raises(UserError, match=r"ask for registration: get it from https://example\.org/ and put it in"):
        finish(fetch("set", tmp_path, known))
    with pytest.raises(UserError, match="Nothing is known as 'other'"):
        finish(fetch("other", tmp_path, known))
    assert os.listdir(tmp_path) == []
