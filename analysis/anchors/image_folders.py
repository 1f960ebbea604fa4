"""Image sets for classification studies: a folder that holds a folder of images for each category."""

import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from promptsr.imaging.decode import find_images
from promptsr.support.errors import UserError

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF")
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)


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
            found[folder.name] = find_images(folder)
    if len(found) < 2:
        raise UserError(
            f"{root} has images in {len(found)} of its folders; put each of two or more categories into one."
        )
    for name, paths in found.items():
        if per_category is not None and per_category < len(paths):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
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
        with Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            # Pillow has turned the size of a TIFF already.
            turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # an unknown format is an OSError
        return 0, 0
    return (width, height) if turned else (height, width)
