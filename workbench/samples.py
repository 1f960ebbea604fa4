"""Small photographs to try things on, made from what comes with scikit-image and scikit-learn."""

import tempfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import gradio as gr
from PIL import Image

_SOURCES = {
    "astronaut": ("skimage.data", "astronaut.png"),
    "chelsea": ("skimage.data", "chelsea.png"),
    "coffee": ("skimage.data", "coffee.png"),
    "rocket": ("skimage.data", "rocket.jpg"),
    "china": ("sklearn.datasets.images", "china.jpg"),
    "flower": ("sklearn.datasets.images", "flower.jpg"),
}


@lru_cache
def sample_paths(longest: int) -> tuple[Path, ...]:
    """PNG files of at most `longest` pixels a side, which live as long as the program and which the page may show."""
    folder = Path(_folder().name, str(longest))
    folder.mkdir()
    paths = []
    for name, (package, file) in _SOURCES.items():
        path = folder / f"{name}.png"
        with (files(package) / file).open("rb") as stream, Image.open(stream) as image:
            image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            image.save(path)
        paths.append(path)
    gr.set_static_paths([folder])
    return tuple(paths)


@lru_cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="promptsr-samples-")
