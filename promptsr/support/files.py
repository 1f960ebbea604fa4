"""Files that are written all or nothing, and folders for caches."""

import atexit
import functools
import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from promptsr.support.errors import UserError

CACHE = "PROMPTSR_CACHE"
"""Environment variable that names another folder for caches."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`, on failure it vanishes.

    Raises:
        UserError: the folder cannot be made or written (for example because a parent is a regular file).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept: encoders choose the format by it.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"Cannot write to {path.parent} ({error.strerror}): choose another output folder.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        make_ordinary(temporary, 0o666)  # mkstemp makes it private
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"Cannot write {path} ({error.strerror}): choose another output path.") from error
    finally:
        temporary.unlink(missing_ok=True)


def make_ordinary(path: Path, mode: int) -> None:
    """Give a path the rights that a new file (mode 0o666) or folder (0o777) of this process would have."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)


def check_writable(path: Path) -> None:
    """Check early that `replacing` will be able to write a path.

    Raises:
        UserError: `path` is a folder, or something on the way to it is a regular file or may not be written.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a file name in it.")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise UserError(f"Cannot write to {path}: {folder} is a file, not a folder; choose another output path.")
    if not os.access(folder, os.W_OK):
        raise UserError(f"Cannot write to {path}: {folder} is read-only; choose another output path.")


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, all or nothing; names of files that are not Unicode with backslashes.

    Raises:
        UserError: the path cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: Any) -> None:
    """Write plain values as a JSON file, all or nothing.

    Raises:
        ValueError: a number is infinite or NaN, which JSON does not have.
        UserError: the path cannot be written.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """Return plain values with None for infinity (the PSNR of equal images) and NaN, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value


def digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        UserError: it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be opened ({error.strerror}); check its rights.") from error


def cache_folder() -> Path:
    """Return the folder for caches: `PROMPTSR_CACHE`, else `XDG_CACHE_HOME/promptsr`, else `~/.cache/promptsr`.

    If it cannot be made, return a private folder that ends with the process.
    """
    if chosen := os.environ.get(CACHE):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "promptsr"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return private_folder()
    return folder


@functools.cache
def private_folder() -> Path:
    """Return a folder of this process that only this user can read or write; it is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="promptsr-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def is_private(path: Path) -> bool:
    """Return True if only this user (or root) can change `path`, by its rights and those of all folders above.

    Folders above may be open to others if these can only remove their own files, as in /tmp. False where rights are
    not those of POSIX.
    """
    if os.name != "posix":
        return False
    mine, real = os.geteuid(), path.resolve()
    try:
        status = real.stat()
        if status.st_uid != mine or status.st_mode & 0o022:
            return False
        above = [parent.stat() for parent in real.parents]
    except OSError:
        return False
    return all(
        folder.st_uid in (0, mine) and (not folder.st_mode & 0o002 or bool(folder.st_mode & stat.S_ISVTX))
        for folder in above
    )
