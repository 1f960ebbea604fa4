"""Photographs to try things on, from what comes with scikit-image and scikit-learn."""

from importlib.resources import files
from pathlib import Path

from PIL import Image

_SOURCES = {
    "astronaut": ("skimage.data", "astronaut.png"),
    "chelsea": ("skimage.data", "chelsea.png"),
    "coffee": ("skimage.data", "coffee.png"),
    "rocket": ("skimage.data", "rocket.jpg"),
    "china": ("sklearn.datasets.images", "china.jpg"),
    "flower": ("sklearn.datasets.images", "flower.jpg"),
}


def write_samples(folder: Path, longest: int) -> tuple[Path, ...]:
    """Writes the photographs as PNG files of at most `longest` pixels a side; `folder` is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (package, file) in _SOURCES.items():
        path = folder / f"{name}.png"
        with (files(package) / file).open("rb") as stream, Image.open(stream) as image:
            image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            image.save(path)
        paths.append(path)
    return tuple(paths)
