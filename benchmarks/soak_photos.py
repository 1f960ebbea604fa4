"""What people send: small photographs of three formats, a larger one, and what must be refused."""

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from analysis.common.samples import write_samples
from promptsr.imaging import decode, encode
from promptsr.inference.upscaler import Upscaler
from promptsr.zoo.load import load_model

_SMALL, _LARGE = 64, 320
"""Longest sides in pixels."""
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tif"}


class Photos:
    """Files in a folder, which is made."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        samples = write_samples(folder / "small", _SMALL)
        self.small = [
            _saved_as(path, suffix) for path, suffix in zip(samples, 2 * [".png", ".jpg", ".tif"], strict=True)
        ]
        self.large = write_samples(folder / "large", _LARGE)[4]
        photo, text, cut = self.small[0], folder / "notes.png", folder / "cut.png"
        text.write_text("No image at all.")
        cut.write_bytes(photo.read_bytes()[:-900])
        tiny = "promptsr-tiny-x4"
        self.refused: list[tuple[str, list[Any], str]] = [
            ("upscale", [text, tiny, "bicubic", "auto", "PNG"], "notes.png is not an image we read"),
            ("upscale", [cut, tiny, "bicubic", "auto", "PNG"], "cut.png is damaged or incomplete"),
            ("upscale", [None, tiny, "bicubic", "auto", "PNG"], "There is no photograph yet"),
            ("upscale", [photo, "../weights/x", "bicubic", "auto", "PNG"], "There is no model ../weights/x"),
            ("upscale", [photo, tiny, "bicubic-x3", "auto", "PNG"], "compare models of one scale"),
            ("upscale", [photo, tiny, "bicubic", "7", "PNG"], "Tiles of 7 pixels are too small"),
            ("upscale", [photo, tiny, "bicubic", "huge", "PNG"], "The tile size must be"),
            ("upscale", [photo, tiny, "bicubic", "auto", "BMP"], "There is no format BMP"),
            (
                "compare",
                [photo, "shrink", None, [tiny, tiny], "auto"],
                "Choose 1 to 4 different models, not promptsr-tiny-x4, promptsr-tiny-x4.",
            ),
            ("compare", [photo, "shrink", None, [], "auto"], "Choose 1 to 4 different models, not none."),
            ("lam", [photo, "enlarge", 4, [], 0, 0, 16, 2], "Choose 1 to 4 different models"),
            ("attention", [photo, "bicubic-x4", 1, 1, 0, 0, False], "bicubic-x4 is no PromptSR network"),
            ("architecture", [photo, tiny, 1, 1, "cellar", 0, 0], "This network has no box cellar"),
            ("architecture", [photo, tiny, 1, 1, "encoder", 9999, 0], "lies outside of the"),
        ]

    def expected(self, photo: Path, model: str, tile: str, name: str) -> bytes:
        """The file that the command line writes."""
        with self._lock:
            return self._expected(photo, model, tile, name)

    @lru_cache  # noqa: B019 (lives as long as the program)
    def _expected(self, photo: Path, model: str, tile: str, name: str) -> bytes:
        side = int(tile) if tile.isdecimal() else tile
        file = self._folder / f"expected{_SUFFIXES[name]}"
        encode(Upscaler(load_model(model), tile=side)(decode(photo)).picture, file)
        return file.read_bytes()


def _saved_as(path: Path, suffix: str) -> Path:
    """The same photograph in another format."""
    target = path.with_suffix(suffix)
    if target != path:
        with Image.open(path) as image:
            image.save(target)
    return target
