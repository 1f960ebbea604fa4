"""Download one file: resume after a break, check size and SHA-256, and only then give it its name."""

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx

from promptsr.downloads.catalogue import RemoteFile
from promptsr.support.errors import DownloadError, UserError, first_line
from promptsr.support.files import check_writable

_HEADERS = {"User-Agent": "promptsr", "Accept-Encoding": "identity"}
_CHUNK = 1 << 18
_GOOD_PIECE = 1 << 20  # an attempt that brings so many bytes resets the count of failed attempts


@dataclass(frozen=True)
class Step:
    """Progress of the work."""

    what: str
    done: int
    """Bytes."""
    total: int
    """Bytes."""


@dataclass(frozen=True)
class RetryPolicy:
    """When to give up a download."""

    timeout: float = 30.0
    """Seconds without a byte."""
    attempts: int = 5
    """Failed attempts in a row."""
    pause: float = 2.0
    """Seconds after the first of them; twice as many after each further one."""


class _Broken(Exception):
    """A failed attempt that is worth repeating."""


def download(file: RemoteFile, target: Path, policy: RetryPolicy) -> Generator[Step, None, bool]:
    """Download a file to `target`; an unfinished download lies in `target` + .part, and the next call resumes it.

    Returns:
        Whether anything was done: False if `target` was there.

    Raises:
        DownloadError: the server offers another file or none, the connection breaks again and again, or the checksum
            is wrong (the downloaded bytes are then removed).
        UserError: the disk is full, or `target` cannot be written or is another file.
    """
    if target.exists():
        if not target.is_file() or not (yield from _is_right(file, target)):
            raise UserError(f"{target} is not the {file.name} that is known: move it away, then fetch again.")
        return False
    check_writable(target)
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if _size(part) > file.size:
            part.unlink()
        check_space(target.parent, file.size - _size(part))
        yield from _complete(file, part, policy)
        if not (yield from _is_right(file, part)):
            part.unlink()
            raise DownloadError(
                f"{file.url} brought {file.size:,} bytes with a wrong checksum, which were removed: fetch again, and "
                "if that does not help, the file there has changed and cannot be trusted."
            )
        os.replace(part, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk is full: make room; {_kept(file, part)}, and the same command resumes."
            ) from error
        raise UserError(f"Cannot write {target} ({error.strerror}): choose another folder.") from error
    return True


def check_space(folder: Path, size: int) -> None:
    """Check that the disk has room.

    Raises:
        UserError: fewer than `size` bytes are free where `folder` lies.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{folder} has {free:,} bytes free and {size:,} are needed: make room, or choose another folder."
        )


def _complete(file: RemoteFile, part: Path, policy: RetryPolicy) -> Generator[Step, None, None]:
    """Request the missing bytes of a part until it has all of them."""
    best, failures = _size(part), 0
    with httpx.Client(timeout=policy.timeout, follow_redirects=True, headers=_HEADERS) as client:
        while _size(part) < file.size:
            try:
                yield from _attempt(client, file, part)
            except (_Broken, httpx.RequestError, httpx.InvalidURL) as error:
                size = _size(part)
                failures = 1 if size >= best + _GOOD_PIECE else failures + 1
                best = max(best, size)
                if failures >= policy.attempts:
                    raise DownloadError(
                        f"{file.url} failed {failures} times in a row "
                        f"({first_line(str(error)) or type(error).__name__}); {_kept(file, part)}, "
                        "and the same command resumes there."
                    ) from error
                pause = policy.pause * 2 ** (failures - 1)
                yield Step(f"{file.name}: trying again in {pause:g} s", size, file.size)
                time.sleep(pause)


def _attempt(client: httpx.Client, file: RemoteFile, part: Path) -> Generator[Step, None, None]:
    """Request what a part lacks, once. A mixture of two versions of the file fails the checksum."""
    have = _size(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", file.url, headers=headers) as response:
        done = _start(file, part, response)
        with part.open("ab") as out:
            out.truncate(done)
            for chunk in response.iter_raw():
                if done + len(chunk) > file.size:
                    raise _other(file, "more")
                out.write(chunk)
                done += len(chunk)
                yield Step(file.name, done, file.size)
    if done < file.size:
        raise _Broken("the answer ended early")


def _start(file: RemoteFile, part: Path, response: httpx.Response) -> int:
    """Return the position in the file at which the body of an answer begins."""
    status, have = response.status_code, _size(part)
    is_range = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    if status == 416 or (status == 206 and not is_range):
        part.unlink(missing_ok=True)
        raise _Broken("the answer is another piece than was asked for")
    if status in (408, 429) or status >= 500:
        raise _Broken(f"status {status}")
    if status not in (200, 206):
        raise DownloadError(
            f"{file.url} answers {status} {response.reason_phrase}: the file may have moved, so look for it where "
            "`promptsr fetch --list` points."
        )
    start = have if status == 206 else 0
    length = response.headers.get("Content-Length")
    if length is not None and int(length) != file.size - start:
        raise _other(file, f"{start + int(length):,}")
    return start


def _other(file: RemoteFile, size: str) -> DownloadError:
    return DownloadError(
        f"{file.url} offers {size} bytes instead of the {file.size:,} that are known: the file there has changed, or "
        "something answers in its place; try another network, or get it by hand."
    )


def _is_right(file: RemoteFile, path: Path) -> Generator[Step, None, bool]:
    """Compare size and checksum."""
    if _size(path) != file.size:
        return False
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            yield Step(f"checking {file.name}", done, file.size)
    return digest.hexdigest() == file.sha256


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _kept(file: RemoteFile, part: Path) -> str:
    size = _size(part)
    return f"{size:,} of {file.size:,} bytes are kept in {part}" if size else f"none of {file.size:,} bytes has come"
