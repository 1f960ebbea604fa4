"""Archives give the wanted files, or one sentence and no trace."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from promptsr.downloads.catalogue import Unpacking
from promptsr.downloads.transfer import Step
from promptsr.downloads.unpack import unpack
from promptsr.support.errors import DownloadError, UserError
from promptsr.support.progress import finish

ALL = Unpacking({"(.+)": r"\1"}, limit=1000)
Members = dict[str, bytes]


def make_zip(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: Members) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


MAKERS = {"a.zip": make_zip, "a.tar": make_tar}
each_kind = pytest.mark.parametrize("kind", MAKERS)


def refused(archive: Path, match: str, unpacking: Unpacking = ALL) -> None:
    """Nothing is left but the archive."""
    with pytest.raises(DownloadError, match=match):
        finish(unpack(archive, unpacking, archive.parent / "set"))
    assert os.listdir(archive.parent) == [archive.name]


@each_kind
def test_wanted_members_are_renamed_and_others_left(tmp_path: Path, kind: str) -> None:
    members = {"b/HR/one.png": b"high", "b/X2/onex2.png": b"low", "b/readme.txt": b"", "../evil": b"not wanted"}
    archive = MAKERS[kind](tmp_path / kind, members)
    unpacking = Unpacking({r"b/HR/(\w+\.png)": r"HR/\1", r"b/X([234])/(\w+)x\1\.png": r"LR/x\1/\2.png"}, limit=7)
    steps: list[Step] = []
    finish(unpack(archive, unpacking, tmp_path / "set"), steps.append)
    found = {path.relative_to(tmp_path / "set").as_posix(): path for path in (tmp_path / "set").rglob("*.*")}
    assert {name: path.read_bytes() for name, path in found.items()} == {"HR/one.png": b"high", "LR/x2/one.png": b"low"}
    assert steps[-1] == Step(f"unpacking {kind}", 7, 7)
    (tmp_path / "ordinary").mkdir()
    assert (tmp_path / "set").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == [kind, "ordinary", "set"]


@each_kind
@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:\\evil", "C:evil"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    refused(MAKERS[kind](inner / kind, {"good": b"1", name: b"2"}), "leads elsewhere")
    assert os.listdir(tmp_path) == ["inner"]


def test_replacement_that_leads_out_is_refused(tmp_path: Path) -> None:
    refused(make_zip(tmp_path / "a.zip", {"x": b"1"}), "leads elsewhere", Unpacking({"x": "../x"}, limit=9))


@pytest.mark.parametrize("kind", [None, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes | None) -> None:
    if kind is None:
        path, link = tmp_path / "a.zip", zipfile.ZipInfo("thing")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(path, "w") as zipped:
            zipped.writestr(link, "/etc/passwd")
    else:
        path, member = tmp_path / "a.tar", tarfile.TarInfo("thing")
        member.type, member.linkname = kind, "/etc/passwd"
        with tarfile.open(path, "w") as tar:
            tar.addfile(member)
    refused(path, "'thing', a link or")


@each_kind
def test_bomb_is_refused_before_it_is_written(tmp_path: Path, kind: str) -> None:
    archive = MAKERS[kind](tmp_path / kind, {"a": bytes(600), "b": bytes(600)})
    refused(archive, "would become 1,200 bytes, more than 1,000")


def test_bomb_that_lies_about_its_size_is_cut_short(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a": bytes(100_000)})
    content = archive.read_bytes()
    archive.write_bytes(content.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    refused(archive, "cannot be unpacked")


@each_kind
def test_damaged_archive_is_refused(tmp_path: Path, kind: str) -> None:
    archive = MAKERS[kind](tmp_path / kind, {"a": os.urandom(900)})
    archive.write_bytes(archive.read_bytes()[:700])
    refused(archive, "cannot be unpacked")


@each_kind
@pytest.mark.parametrize("members", [{"b": "b"}, {".": "same"}], ids=["none", "two for one place"])
def test_archive_without_what_is_wanted_is_refused(tmp_path: Path, kind: str, members: dict[str, str]) -> None:
    archive = MAKERS[kind](tmp_path / kind, {"a": b"1", "c": b"2"})
    refused(archive, "does not hold what is expected", Unpacking(members, limit=9))


def test_full_disk_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a": bytes(100)})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=99))
    with pytest.raises(UserError, match="99 bytes free and 100 are needed"):
        finish(unpack(archive, ALL, tmp_path / "set"))
    assert os.listdir(tmp_path) == ["a.zip"]


def test_work_that_is_given_up_leaves_no_trace(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a": b"1", "b": b"2"})
    work = unpack(archive, ALL, tmp_path / "set")
    next(work)
    work.close()
    assert os.listdir(tmp_path) == ["a.zip"]
