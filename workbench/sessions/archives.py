"""A visitor's ZIP file of category folders, unpacked under names of our own."""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from promptsr.downloads.unpack import DAMAGES, open_plain
from promptsr.imaging import inspect
from promptsr.support.errors import ImageError, UserError
from workbench.server.limits import in_force


def unpack(archive: Path, folder: Path) -> Path:
    """Write the images of an archive to `folder`, below the name of the folder that each lies in.

    Nothing but images in folders is taken, and nothing is written elsewhere, whatever the archive says.

    Returns:
        `folder`.

    Raises:
        UserError: no ZIP file, a damaged or encrypted one, too much in it, or no folders of images.
    """
    limits = in_force()
    with _readable(archive), zipfile.ZipFile(archive) as zipped:
        entries = [entry for entry in zipped.infolist() if _in_folder(entry)]
        if len(entries) > limits.archive_images:
            raise UserError(
                f"{archive.name} holds {len(entries)} images, and the page takes {limits.archive_images} at most: "
                "use `python -m analysis anchors`, which takes any number."
            )
        left = limits.archive_bytes
        for number, entry in enumerate(entries):
            path = PurePosixPath(entry.filename)
            target = folder / _plain(path.parts[-2]) / f"{number:05}-{_plain(path.stem)}{path.suffix.lower()}"
            with open_plain(zipped, entry) as stream:
                data = stream.read(left + 1)  # what the archive says of sizes may be untrue
            left -= len(data)
            if left < 0:
                raise UserError(
                    f"The images in {archive.name} take more than {limits.archive_bytes / 2**20:g} MiB: send "
                    "smaller ones."
                )
            try:
                inspect(data)
            except ImageError:
                continue
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            except OSError as error:
                raise UserError(f"Cannot write to {folder} ({error.strerror}): make room there.") from error
    if not folder.exists():
        raise UserError(f"{archive.name} holds no folders of images: put a folder for each category into it.")
    return folder


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Raises UserError: the archive is damaged or encrypted."""
    try:
        yield
    except (OSError, *DAMAGES) as error:
        raise UserError(f"{archive.name} cannot be unpacked ({error}): send a plain ZIP file.") from error


def _in_folder(entry: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(entry.filename)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not entry.is_dir() and not hidden and len(path.parts) > 1


def _plain(name: str) -> str:
    """Return a file name of letters, digits, dots, blanks, underscores and hyphens, of 80 bytes at most."""
    return re.sub(r"[^\w. -]+", "_", name).strip(". ").encode()[:80].decode(errors="ignore") or "unnamed"
