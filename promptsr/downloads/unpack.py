"""Extract archives: only wanted regular files, never outside the folder, never more bytes than allowed."""

import lzma
import os
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from stat import S_IFMT, S_ISREG
from typing import IO

from promptsr.downloads.catalogue import Unpacking
from promptsr.downloads.transfer import Step, check_space
from promptsr.support.errors import DownloadError, UserError
from promptsr.support.files import make_ordinary

DAMAGES = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, LookupError, NotImplementedError, OverflowError, RuntimeError, ValueError),
)
"""Exceptions that Python's readers of archives raise for damaged ones, besides OSError."""
_CHUNK = 1 << 18


def open_plain(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    """Open a member that is stored or deflated; a few bytes make the other methods ask for much memory.

    Raises:
        zipfile.BadZipFile: it is compressed by another method; and the others of `DAMAGES`.
    """
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile("it is compressed by an unusual method")
    return file.open(entry)


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    """Bytes, as the archive says."""
    is_regular: bool
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, unpacking: Unpacking, target: Path) -> Generator[Step, None, None]:
    """Extract the wanted members of a .zip or (compressed) .tar to the folder `target`, which appears when complete.

    Raises:
        DownloadError: the archive is damaged or lacks the wanted members, or these are links, devices, paths that lead
            out of the folder, or more bytes than the limit.
        UserError: the disk is full or cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with _members(archive) as members:
            wanted = [(member, name) for member in members if (name := unpacking.target(member.name)) is not None]
            total = _check(archive, unpacking, wanted)
            check_space(folder, total)
            done = 0
            for member, name in wanted:
                for size in _write(member, folder / name):
                    done += size
                    yield Step(f"unpacking {archive.name}", done, total)
        make_ordinary(folder, 0o777)  # mkdtemp makes it private
        os.rename(folder, target)
    except DAMAGES as error:
        raise DownloadError(f"{archive} cannot be unpacked ({error}): delete it and fetch it again.") from error
    except OSError as error:
        raise UserError(
            f"Cannot unpack to {target} ({error.strerror or error}): make room, or fetch elsewhere."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """Yield the members of an archive, folders left out."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            yield (_from_zip(file, info) for info in file.infolist() if not info.is_dir())
    else:
        with tarfile.open(archive) as file:
            yield (_from_tar(file, info) for info in file.getmembers() if not info.isdir())


def _from_zip(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = info.external_attr >> 16  # 0 where the archive was not made on Unix
    return _Member(info.filename, info.file_size, not S_IFMT(mode) or S_ISREG(mode), lambda: open_plain(file, info))


def _from_tar(file: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    return _Member(info.name, info.size, info.isreg(), lambda: file.extractfile(info))


def _check(archive: Path, unpacking: Unpacking, wanted: list[tuple[_Member, str]]) -> int:
    """Check the wanted members before anything is written, and return their total size in bytes."""
    for member, name in wanted:
        if not (member.is_regular and _stays_inside(member.name) and _stays_inside(name)):
            raise DownloadError(f"{archive} holds {member.name!r}, a link or a path that leads elsewhere: delete it.")
    if not wanted or len({name for _, name in wanted}) < len(wanted):
        raise DownloadError(f"{archive} does not hold what is expected of it: delete it and fetch it again.")
    total = sum(member.size for member, _ in wanted)
    if total > unpacking.limit:
        raise DownloadError(f"{archive} would become {total:,} bytes, more than {unpacking.limit:,}: delete it.")
    return total


def _stays_inside(name: str) -> bool:
    """Return whether a path is relative and never goes up, by the rules of every system."""
    path = PureWindowsPath(name)  # takes both kinds of slash
    return bool(path.parts) and not path.anchor and ".." not in path.parts


def _write(member: _Member, path: Path) -> Iterator[int]:
    """Copy the content of one member, and yield the bytes of every piece.

    zipfile and tarfile return no more than the size that was checked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    source = member.open()
    assert source is not None  # only links and folders have no content
    with source, path.open("xb") as out:
        while chunk := source.read(_CHUNK):
            out.write(chunk)
            yield len(chunk)
