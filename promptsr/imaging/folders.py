"""Find the image files of a folder, by content."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from promptsr.imaging.formats import HEAD, format_of
from promptsr.support.errors import ImageError, UserError


@dataclass(frozen=True)
class Found:
    """Files of a folder."""

    images: list[Path]
    left_out: list[tuple[Path, str]]
    """Other files, each with the reason."""


def search_images(folder: Path, *, recursive: bool = False) -> Found:
    """Find the image files in `folder` by their content, sorted by path; hidden files are left out silently.

    Only the beginning of each file is read: one that is cut short is found when it is decoded.

    Args:
        recursive: look into its sub-folders too, but for hidden ones; links to folders are not followed.

    Raises:
        UserError: the folder does not exist or cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder that holds the images.")
    found = Found([], [])

    def refuse(error: OSError) -> None:
        where = Path(error.filename)
        if where == folder:
            raise UserError(f"{folder} cannot be read ({error.strerror}); check its rights.") from error
        found.left_out.append((where, f"cannot be read ({error.strerror})"))

    for top, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if recursive and name[0] != "."]
        for path in (Path(top, name) for name in names if name[0] != "."):
            reason = _reason_against(path)
            if reason is None:
                found.images.append(path)
            else:
                found.left_out.append((path, reason))
    return Found(sorted(found.images), sorted(found.left_out))


def find_images(folder: Path) -> list[Path]:
    """Return the image files directly in `folder`, sorted by name.

    Raises:
        UserError: the folder does not exist or holds no image.
    """
    images = search_images(folder).images
    if not images:
        raise UserError(f"{folder} holds no image; put PNG, JPEG, WebP or TIFF files there, or give another folder.")
    return images


def _reason_against(path: Path) -> str | None:
    """Return why a file is not an image that can be read; None if it is one."""
    try:
        if not path.is_file():
            return "is no file" if path.exists() else "is a link to nothing"
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not head:
        return "is empty (0 bytes)"
    known = format_of(head) is not None
    if not known and path.suffix.lower() == ".tga":  # which has no signature
        from promptsr.imaging.decode import inspect  # which loads libvips

        with suppress(ImageError):
            known = bool(inspect(path))
    return None if known else "is not an image we read"
