"""Catalogue of downloads: the entries of sources.toml, or of the file that PROMPTSR_SOURCES names (for a mirror)."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from promptsr.support.errors import ConfigError

SOURCES = "PROMPTSR_SOURCES"
_BUILT_IN = Path(__file__).with_name("sources.toml")


@dataclass(frozen=True)
class RemoteFile:
    """One file on the web. What comes from there is taken for it only if size and checksum say so."""

    url: str
    size: int
    """Bytes."""
    sha256: str
    """64 hexadecimal digits, lower case."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[^/]+/.*[^/]", self.url) or not _is_plain(self.name):
            raise ValueError(f"{self.url!r} is no http address of a file")
        if type(self.size) is not int or self.size < 1:
            raise ValueError(f"size = {self.size!r} is not a number of bytes")
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 = {self.sha256!r} is not 64 hexadecimal digits")

    @property
    def name(self) -> str:
        """The last part of the address."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])


@dataclass(frozen=True)
class Unpacking:
    """Members of an archive that are wanted, and where they go."""

    members: Mapping[str, str]
    """A regular expression for the whole path of a member -> its path in the folder, which may refer to groups."""
    limit: int
    """The most bytes that may come out."""

    def __post_init__(self) -> None:
        if not isinstance(self.members, Mapping):
            raise TypeError("members is no table")
        for pattern, replacement in self.members.items():
            re.sub(pattern, replacement, "")  # raises if one is not a pattern, or they do not fit
        if not self.members or type(self.limit) is not int or self.limit < 1:
            raise ValueError("unpack takes members and a limit of at least 1 byte")

    def target(self, member: str) -> str | None:
        """Return the path of a member relative to the folder; None if it is not wanted."""
        for pattern, replacement in self.members.items():
            if match := re.fullmatch(pattern, member):
                return match.expand(replacement)
        return None


@dataclass(frozen=True)
class Entry:
    """One name that `promptsr fetch` knows."""

    name: str
    title: str
    licence: str
    page: str
    """Where people read about it."""
    evidence: str
    """Where sizes and checksums come from."""
    files: tuple[RemoteFile, ...] = ()
    unpack: Unpacking | None = None
    by_hand: str | None = None
    """Why there is nothing to download; None if there is."""

    def __post_init__(self) -> None:
        for key in ("title", "licence", "page", "evidence"):
            if not isinstance(getattr(self, key), str) or not getattr(self, key).strip():
                raise ValueError(f"{key} is empty")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", self.name):
            raise ValueError("a name has small letters, digits and hyphens only")
        if bool(self.files) == bool(self.by_hand):
            raise ValueError("one of files and by_hand is needed")
        if self.unpack is not None and len(self.files) != 1:
            raise ValueError("unpack needs exactly one file")

    @property
    def size(self) -> int:
        """Bytes of the download; 0 if it is fetched by hand."""
        return sum(file.size for file in self.files)

    @property
    def is_folder(self) -> bool:
        """Whether it ends as a folder with its name, rather than as one file."""
        return self.unpack is not None or len(self.files) > 1

    def path(self, folder: Path) -> Path:
        """Return where it ends if fetched to a folder."""
        return folder / (self.name if self.is_folder or not self.files else self.files[0].name)


def _is_plain(name: str) -> bool:
    """Whether this is the name of a file, and no path."""
    return name.isprintable() and name not in ("", ".", "..") and "/" not in name


def load_catalogue(path: Path | None = None) -> dict[str, Entry]:
    """The entries by name, in the order of the file.

    Args:
        path: of the file; default: the one that the environment names, else the one of the package.

    Raises:
        ConfigError: the file is missing, or an entry has a wrong or unknown key.
    """
    path = path or Path(os.environ.get(SOURCES) or _BUILT_IN)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(
            f"{path} cannot be read as a list of sources ({error}): mend it or unset {SOURCES}."
        ) from error
    catalogue = {}
    for name, table in tables.items():
        try:
            catalogue[name] = _entry(name, table)
        except (TypeError, ValueError, LookupError, OverflowError, RecursionError, re.error) as error:
            raise ConfigError(f"{path} has a wrong entry {name} ({error}): mend it or unset {SOURCES}.") from error
    return catalogue


def _entry(name: str, table: dict[str, Any]) -> Entry:
    if not isinstance(table, dict):
        raise TypeError("it is no table")
    # A key that a class does not have is a TypeError.
    files = tuple(RemoteFile(**file) for file in table.pop("files", []))
    unpack = table.pop("unpack", None)
    return Entry(name=name, files=files, unpack=Unpacking(**unpack) if unpack is not None else None, **table)
