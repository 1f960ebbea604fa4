"""Whatever the server does, the file ends whole or not at all, and the sentence says what to do."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from promptsr.downloads.transfer import RetryPolicy, Step, download
from promptsr.support.errors import DownloadError, UserError
from promptsr.support.progress import finish
from tests.downloads.conftest import Server

CONTENT = bytes(range(256)) * 4000  # about a megabyte


@pytest.fixture(autouse=True)
def content(server: Server) -> None:
    server.content = CONTENT


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.bin"


def part_of(target: Path) -> Path:
    return target.with_name("file.bin.part")


def test_whole_file_in_one_go(server: Server, target: Path, hasty: RetryPolicy) -> None:
    steps: list[Step] = []
    assert finish(download(server.file(), target, hasty), steps.append)
    assert target.read_bytes() == CONTENT and os.listdir(target.parent) == ["file.bin"]
    done = [step.done for step in steps if step.what == "file.bin"]
    assert done == sorted(done) and done[-1] == steps[0].total == len(CONTENT)
    assert steps[-1].what == "checking file.bin"
    assert "Range" not in server.asked[0]


def test_what_is_there_is_not_asked_for_again(server: Server, target: Path, hasty: RetryPolicy) -> None:
    finish(download(server.file(), target, hasty))
    assert finish(download(server.file(), target, hasty)) is False
    assert len(server.asked) == 1


def test_another_file_of_that_name_is_left_alone(server: Server, target: Path, hasty: RetryPolicy) -> None:
    target.parent.mkdir()
    target.write_text("mine")
    with pytest.raises(UserError, match="move it away"):
        finish(download(server.file(), target, hasty))
    assert target.read_text() == "mine" and not server.asked


def test_break_is_mended_within_one_call(server: Server, target: Path, hasty: RetryPolicy) -> None:
    server.breaks = [300_000]
    steps: list[Step] = []
    finish(download(server.file(), target, hasty), steps.append)
    assert target.read_bytes() == CONTENT and Step("file.bin: trying again in 0 s", 300_000, len(CONTENT)) in steps
    first, second = server.asked
    assert "Range" not in first and second["Range"] == "bytes=300000-" and second["If-Range"] == '"one"'


def test_next_call_goes_on_where_the_last_ended(server: Server, target: Path, hasty: RetryPolicy) -> None:
    server.breaks = [300_000, 100_000]
    with pytest.raises(DownloadError, match=r"2 times in a row .*400,000 of 1,024,000 bytes are kept in .*goes on"):
        finish(download(server.file(), target, hasty))
    assert not target.exists() and part_of(target).read_bytes() == CONTENT[:400_000]
    finish(download(server.file(), target, hasty))
    assert server.asked[-1]["Range"] == "bytes=400000-"
    assert target.read_bytes() == CONTENT and not part_of(target).exists()


def test_changed_version_is_taken_from_its_start(server: Server, target: Path, hasty: RetryPolicy) -> None:
    server.breaks = [300_000]
    work = download(server.file(), target, hasty)
    next(work)
    server.etag = '"two"'
    finish(work)
    assert server.asked[1]["If-Range"] == '"one"' and target.read_bytes() == CONTENT


def test_server_without_range_starts_anew(server: Server, target: Path, hasty: RetryPolicy) -> None:
    server.breaks, server.ignores_range = [300_000], True
    finish(download(server.file(), target, hasty))
    assert server.asked[1]["Range"] == "bytes=300000-" and target.read_bytes() == CONTENT


def test_complete_part_needs_no_request(server: Server, target: Path, hasty: RetryPolicy) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT)
    finish(download(server.file(), target, hasty))
    assert target.read_bytes() == CONTENT and not server.asked


def test_part_that_is_too_long_is_thrown_away(server: Server, target: Path, hasty: RetryPolicy) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT + b"more")
    finish(download(server.file(), target, hasty))
    assert target.read_bytes() == CONTENT and "Range" not in server.asked[0]


def test_range_that_is_refused_starts_anew(server: Server, target: Path, hasty: RetryPolicy) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT[:10])
    server.statuses = [416]
    finish(download(server.file(), target, hasty))
    assert target.read_bytes() == CONTENT and "Range" not in server.asked[1]


@pytest.mark.parametrize("stated", [10, len(CONTENT) + 10])
def test_length_that_is_not_the_known_one_is_refused(
    server: Server, target: Path, hasty: RetryPolicy, stated: int
) -> None:
    server.stated = stated
    with pytest.raises(DownloadError, match=rf"offers {stated:,} bytes instead of the 1,024,000"):
        finish(download(server.file(), target, hasty))
    assert not target.exists() and len(server.asked) == 1


def test_resumed_file_of_another_size_is_refused(server: Server, target: Path, hasty: RetryPolicy) -> None:
    file = server.file()
    server.breaks, server.extra = [], b"more"
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT[:10])
    with pytest.raises(DownloadError, match="offers 1,024,004 bytes"):
        finish(download(file, target, hasty))


def test_no_more_than_the_known_size_is_ever_written(server: Server, target: Path, hasty: RetryPolicy) -> None:
    server.is_chunked, server.extra = True, bytes(200_000)
    with pytest.raises(DownloadError, match="offers more bytes instead"):
        finish(download(server.file(), target, hasty))
    assert not target.exists() and part_of(target).stat().st_size <= len(CONTENT)


def test_short_file_of_unstated_length_is_no_success(server: Server, target: Path, hasty: RetryPolicy) -> None:
    file = server.file()
    server.is_chunked, server.content = True, CONTENT[:-100]
    with pytest.raises(DownloadError, match="offers 1,023,900 bytes instead"):
        finish(download(file, target, hasty))
    assert not target.exists()


def test_wrong_checksum_is_removed(server: Server, target: Path, hasty: RetryPolicy) -> None:
    with pytest.raises(DownloadError, match="wrong checksum, which were removed"):
        finish(download(server.file(sha256="0" * 64), target, hasty))
    assert os.listdir(target.parent) == []


def test_missing_file_is_not_asked_for_twice(server: Server, target: Path, hasty: RetryPolicy) -> None:
    server.statuses = [404]
    with pytest.raises(DownloadError, match="answers 404 Not Found: the file may have moved"):
        finish(download(server.file(), target, hasty))
    assert len(server.asked) == 1


def test_server_error_is_given_a_second_chance(server: Server, target: Path, hasty: RetryPolicy) -> None:
    server.statuses = [500]
    finish(download(server.file(), target, hasty))
    assert target.read_bytes() == CONTENT
    target.unlink()
    server.statuses = [503, 503]
    with pytest.raises(DownloadError, match="status 503"):
        finish(download(server.file(), target, hasty))


def test_server_that_hangs_is_left(server: Server, target: Path) -> None:
    server.hangs = 1.0
    with pytest.raises(DownloadError, match=r"2 times in a row .*none of 1,024,000 bytes has come"):
        finish(download(server.file(), target, RetryPolicy(timeout=0.1, attempts=2, pause=0)))


def test_nobody_there(server: Server, target: Path, hasty: RetryPolicy) -> None:
    server.url = "http://127.0.0.1:9"
    with pytest.raises(DownloadError, match="in a row"):
        finish(download(server.file(), target, hasty))


def test_too_small_disk_is_refused_before_anything_is_asked(
    server: Server, target: Path, hasty: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage)
    with pytest.raises(UserError, match="1,000 bytes free and 1,024,000 are needed"):
        finish(download(server.file(), target, hasty))
    assert not server.asked


def test_disk_that_fills_up_keeps_what_came(
    server: Server, target: Path, hasty: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """A file that takes one chunk."""

        def __init__(self, file: Any) -> None:
            self.file, self.writes = file, 0

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *exception: object) -> None:
            self.file.close()

        def truncate(self, size: int) -> None:
            self.file.truncate(size)

        def write(self, chunk: bytes) -> None:
            if self.writes:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.writes += 1
            self.file.write(chunk)

    real = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode="r": Full(real(path, mode)) if mode == "ab" else real(path, mode))
        with pytest.raises(UserError, match=r"The disk is full: make room; [\d,]+ of 1,024,000 bytes are kept"):
            finish(download(server.file(), target, hasty))
    kept = part_of(target).stat().st_size
    assert 0 < kept < len(CONTENT) and not target.exists()
    finish(download(server.file(), target, hasty))
    assert target.read_bytes() == CONTENT and server.asked[-1]["Range"] == f"bytes={kept}-"


def test_folder_that_is_a_file_is_refused(server: Server, target: Path, hasty: RetryPolicy) -> None:
    target.parent.write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        finish(download(server.file(), target, hasty))
