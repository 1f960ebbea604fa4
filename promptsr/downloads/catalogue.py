"""Catalogue of downloads: the entries of sources.toml, or of the file that PROMPTSR_SOURCES names (for a mirror)."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from promptsr.support.errors import ConfigError
from promptsr.support.settings import explain

SOURCES = "PROMPTSR_SOURCES"
_BUILT_IN = Path(__file__).with_name("sources.toml")
_EXACT = ConfigDict(extra="forbid")

Count = Annotated[int, Field(strict=True, gt=0)]
Text = Annotated[str, Field(pattern=r"\S")]


@dataclass(frozen=True)
class RemoteFile:
    """One file on the web; a download is accepted only if its size and checksum are these."""

    __pydantic_config__ = _EXACT

    url: Annotated[str, Field(pattern="^https?://[^/]+/.*[^/]$")]
    size: Count
    """Bytes."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    def __post_init__(self) -> None:
        if not self.name.isprintable() or self.name in ("", ".", "..") or "/" in self.name:
            raise ValueError(f"{self.url!r} is not the address of a file")

    @property
    def name(self) -> str:
        """Last part of the address."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])


@dataclass(frozen=True)
class Unpacking:
    """Members of an archive to extract, and where they go."""

    __pydantic_config__ = _EXACT

    members: Annotated[Mapping[str, str], Field(min_length=1)]
    """A regular expression for the whole path of a member -> its path in the folder, which may refer to groups."""
    limit: Count
    """Largest number of bytes that may come out."""

    def __post_init__(self) -> None:
        for pattern, replacement in self.members.items():
            re.sub(pattern, replacement, "")  # raises if the pattern is invalid, or the replacement does not fit it

    def target(self, member: str) -> str | None:
        """Return the path of a member relative to the folder; None if it is not wanted."""
        for pattern, replacement in self.members.items():
            if match := re.fullmatch(pattern, member):
                return match.expand(replacement)
        return None


@dataclass(frozen=True)
class Entry:
    """One name that `promptsr fetch` knows."""

    __pydantic_config__ = _EXACT

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]*$")]
    title: Text
    licence: Text
    page: Text
    """Web page that describes it."""
    evidence: Text
    """Source of the sizes and checksums."""
    files: tuple[RemoteFile, ...] = ()
    unpack: Unpacking | None = None
    by_hand: str | None = None
    """Why it cannot be downloaded; None if it can."""

    def __post_init__(self) -> None:
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
        """True if it ends as a folder with its name, rather than as one file."""
        return self.unpack is not None or len(self.files) > 1

    def path(self, folder: Path) -> Path:
        """Return where it ends if fetched to a folder."""
        return folder / (self.name if self.is_folder or not self.files else self.files[0].name)


def load_catalogue(path: Path | None = None) -> dict[str, Entry]:
    """Return the entries by name, in the order of the file.

    Args:
        path: the file to read; default: the one that PROMPTSR_SOURCES names, else the one of the package.

    Raises:
        ConfigError: the file is missing or no TOML, or an entry has a wrong or unknown key.
    """
    path = path or Path(os.environ.get(SOURCES) or _BUILT_IN)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        named = {name: {**table, "name": name} for name, table in tables.items()}
        return TypeAdapter(dict[str, Entry]).validate_python(named)
    except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError, re.error) as error:
        reason = explain(error).rstrip(".") if isinstance(error, ValidationError) else str(error)
        raise ConfigError(
            f"{path} is not a valid list of sources ({reason}): correct it, or unset {SOURCES}."
        ) from error
