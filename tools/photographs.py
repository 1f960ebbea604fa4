"""Find the photographs from which images for training are made."""

from pathlib import Path

from promptsr.imaging.folders import find_images
from promptsr.support.errors import UserError


def find_photographs(folders: list[Path]) -> list[Path]:
    """Return the photographs of all folders, sorted by path.

    Raises:
        UserError: a folder holds none, or two of them have the same name, as what is made of them would have.
    """
    photos = sorted(path for folder in folders for path in find_images(folder))
    if len({path.stem for path in photos}) < len(photos):
        raise UserError("Two photographs have the same name: rename one.")
    return photos
