"""Sample photographs, which come with scikit-image and scikit-learn."""

import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

_SOURCES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}


def write_samples(folder: Path, longest: int) -> tuple[Path, ...]:
    """Write the photographs as PNG files of at most `longest` pixels a side; `folder` is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, image in _photographs():
        path = folder / f"{name}.png"
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        image.save(path, compress_level=1)
        paths.append(path)
    return tuple(paths)


def write_crops(folder: Path, per_photograph: int, side: int = 128, seed: int = 0) -> tuple[Path, ...]:
    """Write random crops of the photographs as PNG files: a category folder for each photograph, made if missing.

    Crops of one photograph overlap, so they are more alike than photographs of one category are.

    Args:
        folder: of the category folders.
        per_photograph: crops of each; fewer are the first of more.
        side: of a crop, pixels; 300 at most, the height of the smallest photograph.
        seed: of the places.
    """
    paths = []
    for name, image in _photographs():
        room = np.array(image.size) - side
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_photograph):
            left, top = (int(value) for value in rng.integers(room + 1))
            paths.append(folder / name / f"{number:03}.png")
            image.crop((left, top, left + side, top + side)).save(paths[-1])
    return tuple(paths)


def _photographs() -> Iterator[tuple[str, Image.Image]]:
    """Yield name and image of each photograph."""
    for name, (package, file) in _SOURCES.items():
        found = find_spec(package)  # does not import it, which would take a second
        if found is None or found.origin is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        with Image.open(Path(found.origin).parent / file) as image:
            yield name, image
