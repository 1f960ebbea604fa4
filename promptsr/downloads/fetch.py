"""Download and unpack one name of the catalogue."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from promptsr.downloads.catalogue import Entry
from promptsr.downloads.transfer import RetryPolicy, Step, download
from promptsr.downloads.unpack import unpack
from promptsr.support.errors import UserError
from promptsr.support.files import check_writable

_USUAL = RetryPolicy()


@dataclass(frozen=True)
class Fetched:
    """Outcome of a fetch."""

    path: Path
    """A folder, or a single file."""
    is_new: bool
    """False if all of it was there."""
    kept: Path | None = None
    """An archive that was kept because other names need it too."""


def fetch(
    name: str, folder: Path, catalogue: Mapping[str, Entry], policy: RetryPolicy = _USUAL
) -> Generator[Step, None, Fetched]:
    """Download, check and unpack one entry; existing files are not downloaded again.

    Args:
        name: a key of the catalogue.
        folder: where its file goes, or its folder; made when missing.
        catalogue: see `load_catalogue`.
        policy: when to give up.

    Raises:
        UserError: the name is unknown or cannot be downloaded, or anything that `download` and `unpack` raise.
    """
    if name not in catalogue:
        raise UserError(f"Nothing is known as {name!r}: `promptsr fetch` lists the names.")
    entry = catalogue[name]
    path = entry.path(folder)
    if entry.by_hand:
        raise UserError(f"{name} cannot be fetched, {entry.by_hand}: get it from {entry.page} and put it in {path}.")
    if entry.unpack is None:
        is_new = False
        for file in entry.files:
            is_new |= yield from download(file, path / file.name if entry.is_folder else path, policy)
        return Fetched(path, is_new)
    # An unpacked folder appears as a whole, so an existing one is complete.
    if path.is_dir() and any(path.iterdir()):
        return Fetched(path, is_new=False)
    check_writable(path / "any")
    archive = folder / entry.files[0].name
    yield from download(entry.files[0], archive, policy)
    yield from unpack(archive, entry.unpack, path)
    if any(other.files == entry.files for other in catalogue.values() if other is not entry):
        return Fetched(path, is_new=True, kept=archive)
    archive.unlink()
    return Fetched(path, is_new=True)
