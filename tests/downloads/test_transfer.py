"""Downloads: whatever the server does, the file ends whole or not at all, and the message says what to do."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptsr.downloads import RemoteFile
from promptsr.downloads.transfer import RetryPolicy, Step, download
from promptsr.support.errors import DownloadError, UserError
from promptsr.support.progress import finish
from tests.downloads.conftest import HASTY, Server

CONTENT = bytes(range(256)) * 4000  # about a megabyte

Get = Callable[..., list[Step]]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.bin"


@pytest.fixture
def part(target: Path) -> Path:
    return target.with_name("file.bin.part")


@pytest.fixture
def get(server: Server, target: Path) -> Get:
    """Downloads the server's file to `target`; returns the progress, or nothing if the file was there."""
    server.content = CONTENT

    def get(file: RemoteFile | None = None, policy: RetryPolicy = HASTY) -> list[Step]:
        steps: list[Step] = []
        is_new = finish(download(file or server.file(), target, policy), steps.append)
        return steps if is_new else []

    return get


def test_whole_file_in_one_request(server: Server, target: Path, get: Get) -> None:
    steps = get()
    assert target.read_bytes() == CONTENT and os.listdir(target.parent) == ["file.bin"]
    done = [step.done for step in steps if step.what == "file.bin"]
    assert done == sorted(done) and done[-1] == steps[0].total == len(CONTENT)
    assert steps[-1].what == "checking file.bin"
    assert get() == [] and len(server.asked) == 1 and "Range" not in server.asked[0]


def test_another_file_of_that_name_is_left_alone(server: Server, target: Path, get: Get) -> None:
    target.parent.mkdir()
    target.write_text("mine")
    with pytest.raises(UserError, match="move it away"):
        get()
    assert target.read_text() == "mine" and not server.asked


@pytest.mark.parametrize("ignores_range", [False, True])
def test_a_break_is_mended_within_one_call(server: Server, target: Path, get: Get, ignores_range: bool) -> None:
    server.breaks, server.ignores_range = [300_000], ignores_range
    assert Step("file.bin: trying again in 0 s", 300_000, len(CONTENT)) in get()
    assert target.read_bytes() == CONTENT
    assert [headers.get("Range") for headers in server.asked] == [None, "bytes=300000-"]


def test_next_call_resumes_where_the_last_ended(server: Server, target: Path, part: Path, get: Get) -> None:
    server.breaks = [300_000, 100_000]
    with pytest.raises(DownloadError, match=r"2 times in a row .*400,000 of 1,024,000 bytes are kept in .*resumes"):
        get()
    assert not target.exists() and part.read_bytes() == CONTENT[:400_000]
    get()
    assert server.asked[-1]["Range"] == "bytes=400000-"
    assert target.read_bytes() == CONTENT and not part.exists()


@pytest.mark.parametrize(
    ("kept", "statuses", "ranges"),
    [
        (CONTENT, [], []),  # complete: needs no request
        (CONTENT + b"more", [], [None]),
        (CONTENT[:10], [416], ["bytes=10-", None]),
    ],
    ids=["complete", "too long", "refused range"],
)
def test_kept_parts_are_completed_or_thrown_away(
    server: Server, target: Path, part: Path, get: Get, kept: bytes, statuses: list[int], ranges: list[str | None]
) -> None:
    part.parent.mkdir()
    part.write_bytes(kept)
    server.statuses = statuses
    get()
    assert target.read_bytes() == CONTENT and [headers.get("Range") for headers in server.asked] == ranges


@pytest.mark.parametrize(
    ("faults", "kept", "message"),
    [
        ({"stated": 10}, b"", "offers 10 bytes instead of the 1,024,000"),
        ({"stated": 1_024_010}, b"", "offers 1,024,010 bytes"),
        ({"extra": b"more"}, CONTENT[:10], "offers 1,024,004 bytes"),
        ({"extra": bytes(200_000), "is_chunked": True}, b"", "offers more bytes instead"),
        ({"content": CONTENT[:-100], "is_chunked": True}, b"", "answer ended early"),
    ],
)
def test_files_of_another_size_are_refused(
    server: Server, target: Path, part: Path, get: Get, faults: dict[str, Any], kept: bytes, message: str
) -> None:
    file = server.file()
    vars(server).update(faults)
    part.parent.mkdir()
    part.write_bytes(kept)
    with pytest.raises(DownloadError, match=message):
        get(file)
    assert not target.exists() and part.stat().st_size <= len(CONTENT)


def test_wrong_checksum_is_removed(server: Server, target: Path, get: Get) -> None:
    with pytest.raises(DownloadError, match="wrong checksum, which were removed"):
        get(server.file(sha256="0" * 64))
    assert os.listdir(target.parent) == []


@pytest.mark.parametrize(
    ("statuses", "message"), [([404], "answers 404 Not Found: the file may have moved"), ([503, 503], "status 503")]
)
def test_only_server_errors_are_asked_again(server: Server, get: Get, statuses: list[int], message: str) -> None:
    server.statuses = list(statuses)
    with pytest.raises(DownloadError, match=message):
        get()
    assert len(server.asked) == len(statuses)
    server.statuses = [500]
    assert get()


@pytest.mark.parametrize(("url", "hangs"), [(None, 1.0), ("http://127.0.0.1:9", 0)])
def test_a_server_that_hangs_or_is_absent_is_given_up(server: Server, get: Get, url: str | None, hangs: float) -> None:
    server.hangs, server.url = hangs, url or server.url
    with pytest.raises(DownloadError, match=r"2 times in a row .*none of 1,024,000 bytes has come"):
        get(policy=RetryPolicy(timeout=0.1, attempts=2, pause=0))


def test_too_small_disk_is_refused_before_any_request(
    server: Server, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="1,000 bytes free and 1,024,000 are needed"):
        get()
    assert not server.asked


def test_disk_that_fills_up_keeps_what_came(
    server: Server, target: Path, part: Path, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        """A file that takes one chunk."""

        def write(self, chunk: Any) -> int:
            if self.tell():
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(chunk)

    real = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode: Full(path, mode) if mode == "ab" else real(path, mode))
        with pytest.raises(UserError, match=r"The disk is full: make room; [\d,]+ of 1,024,000 bytes are kept"):
            get()
    kept = part.stat().st_size
    assert 0 < kept < len(CONTENT) and not target.exists()
    get()
    assert target.read_bytes() == CONTENT and server.asked[-1]["Range"] == f"bytes={kept}-"


def test_folder_that_is_a_file_is_refused(target: Path, get: Get) -> None:
    target.parent.write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        get()
