"""One file from the web, in as many pieces as the connection takes, and only ever whole under its name."""

import errno
import hashlib
import os
import re
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
_GOOD_PIECE = 1 << 20  # an attempt that brings so many bytes starts the count of attempts anew


@dataclass(frozen=True)
class Step:
    """How far the work is."""

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
    """In a row that bring next to nothing."""
    pause: float = 2.0
    """Seconds after the first of them; twice as many after each further one."""


class _Broken(Exception):
    """A failed attempt that another may mend."""


def download(file: RemoteFile, target: Path, patience: RetryPolicy) -> Generator[Step, None, bool]:
    """Brings a file to `target`; what has come so far lies in `target` + .part, and the next call goes on from there.

    Returns:
        Whether anything was done: False if `target` was there.

    Raises:
        DownloadError: the server has something else or nothing, the connection breaks again and again, or the
            checksum is wrong (what came is removed then).
        UserError: the disk is full, or `target` cannot be written or is another file.
    """
    if target.exists():
        if target.is_dir() or not (yield from _is_right(file, target)):
            raise UserError(f"{target} is not the {file.name} that is known: move it away, then fetch again.")
        return False
    check_writable(target)
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if _size(part) > file.size:
            part.unlink()
        check_space(target.parent, file.size - _size(part))
        if _size(part) < file.size:
            with httpx.Client(timeout=patience.timeout, follow_redirects=True, headers=_HEADERS) as client:
                yield from _Transfer(client, file, part).persist(patience)
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
                f"The disk is full: make room; {_kept(file, part)}, and the same command goes on."
            ) from error
        raise UserError(f"Cannot write {target} ({error.strerror}): choose another folder.") from error
    return True


def check_space(folder: Path, size: int) -> None:
    """Refuses early what would fill the disk.

    Raises:
        UserError: fewer than `size` bytes are free where `folder` lies.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{folder} has {free:,} bytes free and {size:,} are needed: make room, or choose another folder."
        )


class _Transfer:
    """Requests for what a part still lacks."""

    def __init__(self, client: httpx.Client, file: RemoteFile, part: Path) -> None:
        self.client, self.file, self.part = client, file, part
        self.tag = ""  # of the version of the file that the part is of, if the server names it

    def persist(self, patience: RetryPolicy) -> Generator[Step, None, None]:
        """Attempts until the part has all bytes."""
        best, failures = _size(self.part), 0
        while True:
            try:
                yield from self._attempt()
                return
            except (_Broken, httpx.RequestError, httpx.InvalidURL) as error:
                size = _size(self.part)
                failures = 1 if size >= best + _GOOD_PIECE else failures + 1
                best = max(best, size)
                if failures >= patience.attempts:
                    raise DownloadError(
                        f"{self.file.url} failed {failures} times in a row ({_reason(error)}); "
                        f"{_kept(self.file, self.part)}, and the same command goes on from there."
                    ) from error
            pause = patience.pause * 2 ** (failures - 1)
            yield Step(f"{self.file.name}: trying again in {pause:g} s", size, self.file.size)
            time.sleep(pause)

    def _attempt(self) -> Generator[Step, None, None]:
        have = _size(self.part)
        headers = {"Range": f"bytes={have}-"} if have else {}
        if have and self.tag:
            headers["If-Range"] = self.tag
        with self.client.stream("GET", self.file.url, headers=headers) as response:
            done = self._start(response, have)
            etag = response.headers.get("ETag", "")
            self.tag = "" if etag.startswith("W/") else etag  # weak ones promise no equal bytes
            with self.part.open("ab") as out:
                out.truncate(done)
                for chunk in response.iter_raw():
                    if done + len(chunk) > self.file.size:
                        raise self._other("more")
                    out.write(chunk)
                    done += len(chunk)
                    yield Step(self.file.name, done, self.file.size)
        if done < self.file.size:
            raise _Broken("the answer ended early")

    def _start(self, response: httpx.Response, have: int) -> int:
        """At which byte the body of an answer goes on."""
        status = response.status_code
        if status == 416 or (status == 206 and not have):
            self.part.unlink(missing_ok=True)
            raise _Broken(f"status {status}")
        if status in (408, 429) or status >= 500:
            raise _Broken(f"status {status}")
        if status not in (200, 206):
            raise DownloadError(
                f"{self.file.url} answers {status} {response.reason_phrase}: the file may have moved, so look for it "
                "where `promptsr fetch --list` points."
            )
        start = 0
        if status == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != have:
                self.part.unlink(missing_ok=True)
                raise _Broken("the answer is another piece than was asked for")
            if found[2] not in ("*", str(self.file.size)):
                raise self._other(f"{int(found[2]):,}")
            start = have
        length = response.headers.get("Content-Length")
        if length is not None and int(length) != self.file.size - start:
            raise self._other(f"{start + int(length):,}")
        return start

    def _other(self, size: str) -> DownloadError:
        return DownloadError(
            f"{self.file.url} offers {size} bytes instead of the {self.file.size:,} that are known: the file there has "
            "changed, or something answers in its place; try another network, or get it by hand."
        )


def _is_right(file: RemoteFile, path: Path) -> Generator[Step, None, bool]:
    """Compares size and checksum."""
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


def _reason(error: Exception) -> str:
    return first_line(str(error)) or type(error).__name__
