"""Image sets for classification studies: a folder that holds a folder of images for each category."""

import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from promptsr.data.pairs import search_pairs
from promptsr.imaging import inspect
from promptsr.support.errors import ImageError, UserError


@dataclass(frozen=True)
class ImageSet:
    """Images by category; categories and the images of each are in the order of their names."""

    root: Path
    files: tuple[str, ...]
    """Relative to `root`, such as `church/1.jpg`."""
    categories: tuple[int, ...]
    """For each file an index into `names`."""
    names: tuple[str, ...]
    """Names of the category folders."""

    def path(self, image: int) -> Path:
        """Return the path of the image with this index."""
        return self.root / self.files[image]


def find_image_set(root: Path, per_category: int | None = None, seed: int = 0) -> ImageSet:
    """Find the images in the category folders of `root`; hidden folders and folders without images are left out.

    Args:
        root: the folder of category folders.
        per_category: images of a category at most, drawn at random without looking at the other categories.
        seed: of the draw.

    Raises:
        UserError: `root` is not a folder, or has fewer than two category folders with images.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give the folder that holds a folder for each category.")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    found: dict[str, list[Path]] = {}
    for folder in folders:
        with suppress(UserError):  # it holds no image
            files = search_pairs(folder, None, 1)
            # Files that cannot be read are left out later, by name.
            found[folder.name] = sorted([*(hr for hr, _ in files.pairs), *(path for path, _ in files.left_out)])
    if len(found) < 2:
        raise UserError(
            f"{root} has images in {len(found)} of its folders; put each of two or more categories into one."
        )
    for name, paths in found.items():
        if per_category is not None and per_category < len(paths):
            rng = np.random.default_rng([seed, zlib.crc32(os.fsencode(name))])
            found[name] = [paths[i] for i in sorted(rng.choice(len(paths), per_category, replace=False))]
    return ImageSet(
        root,
        tuple(f"{name}/{path.name}" for name, paths in found.items() for path in paths),
        tuple(category for category, paths in enumerate(found.values()) for _ in paths),
        tuple(found),
    )


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of an upright image in pixels by its header alone; (0, 0) if that cannot be read."""
    try:
        header = inspect(path)
    except ImageError:
        return 0, 0
    return header.height, header.width
