"""Pictures, regions of them and figures as files for the browser."""

import math
import re
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path
from secrets import token_hex

import gradio as gr
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from analysis.common.figure_style import publish
from analysis.common.image_windows import Region
from promptsr.imaging import Metadata, Picture, encode
from promptsr.imaging.metrics import quantize
from promptsr.imaging.picture import to_color, to_pixels, to_unit
from promptsr.inference import lanczos

FRESH = 12 * 60 * 60
"""Seconds for which a result can be shown to others or again; its files live for a day, also on pages just opened."""
CLOSEUP = 384
"""Side of a close-up in screen pixels."""
VIEW_PIXELS = 2**24
"""Pixels of the largest picture that browsers show at their ease."""
RED = (1.0, 0.2, 0.2)
BLUE = (0.1, 0.35, 1.0)


def new_folder() -> Path:
    """Make a folder in Gradio's cache, from where files are served to those who know its name, which cannot be
    guessed; deleted after a day."""
    cache = Path(gr.utils.get_upload_folder())
    cache.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=cache, prefix=token_hex(16)))


def new_file(folder: Path, name: str, suffix: str) -> Path:
    """Return a path in a folder that is not taken, with a readable name that every system and browser takes."""
    plain = (
        re.sub(r'[<>:"/\\|?*#%\x00-\x1f]', "_", name).encode()[:200].decode(errors="ignore").strip(". ") or "unnamed"
    )
    names = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
    return next(path for name in names if not (path := folder / (name + suffix)).exists())


def write_figure(figure: Figure, name: str, suffixes: Sequence[str]) -> list[str]:
    """Write a figure for a paper as a file of each format: `.png`, `.pdf`, `.svg`."""
    folder = new_folder()
    files = [new_file(folder, name, suffix) for suffix in suffixes]
    for file in files:
        publish(figure, file)
    return list(map(str, files))


def reduction(picture: Picture) -> int:
    """Return how many times smaller a picture is shown: 1 for all but large ones."""
    return math.ceil(math.sqrt(picture.width * picture.height / VIEW_PIXELS))


def save_view(picture: Picture, path: Path) -> Path:
    """Write what a screen can show of a picture: 8 bits, alpha, and the colour profile; smaller by `reduction`."""
    factor = reduction(picture)
    if factor > 1:
        height, width = (max(1, side // factor) for side in (picture.height, picture.width))
        color = np.empty((height, width, 3), picture.color.dtype)
        alpha = None if picture.alpha is None else np.empty((height, width), picture.color.dtype)
        whole, picture = picture, replace(picture, color=color, alpha=alpha)
        for _ in lanczos.resize(whole, picture):
            pass
    alpha = None if picture.alpha is None else to_pixels(to_unit(picture.alpha), 8)
    color = to_pixels(to_unit(picture.color), 8)
    encode(replace(picture, color=color, alpha=alpha, metadata=Metadata(icc=picture.metadata.icc)), path)
    return path


def thumbnail(picture: Picture, width: int, height: int) -> str:
    """Return an address that holds a small picture of a picture, within these sides."""
    arrays = [picture.color] if picture.alpha is None else [picture.color, picture.alpha[..., None]]
    pixels = np.concatenate([each if each.dtype == np.uint8 else (each >> 8).astype(np.uint8) for each in arrays], 2)
    image, buffer = Image.fromarray(pixels), BytesIO()
    image.thumbnail((width, height))
    image.save(buffer, "WebP", quality=80)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"


def enlarge(picture: Picture, rows: slice, columns: slice, factor: int) -> Picture:
    """Return a part of a picture with every pixel repeated `factor` times both ways."""

    def cut(values: np.ndarray) -> np.ndarray:
        return values[rows, columns].repeat(factor, axis=0).repeat(factor, axis=1)

    return replace(picture, color=cut(picture.color), alpha=None if picture.alpha is None else cut(picture.alpha))


def to_picture(image: Tensor, metadata: Metadata) -> Picture:
    """1 x 3 x H x W in [0, 1] as a picture of 8 bits or, where that is not exact, of 16."""
    depth = 8 if torch.equal(quantize(image), image) else 16
    return Picture(to_color(image, depth), metadata=metadata)


def from_array(pixels: np.ndarray) -> Tensor:
    """H x W x 3 in [0, 1] -> 1 x 3 x H x W, float32."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float()


def boxed(image: Tensor, region: Region, color: tuple[float, float, float] = RED) -> Tensor:
    """1 x 3 x H x W with a frame around the region."""
    thick = max(2, max(image.shape[2:]) // 150)
    rows, columns = (slice(max(start - thick, 0), start + region.size + thick) for start in (region.y, region.x))
    framed = image.clone()
    framed[..., rows, columns] = torch.tensor(color)[:, None, None]
    region.crop(framed)[:] = region.crop(image)
    return framed


def framed(
    image: Tensor, region: Region, factor: int, scale: int = 1, color: tuple[float, float, float] = RED
) -> Tensor:
    """1 x 3 x H x W with every pixel repeated and a frame around a region, at 8-bit levels: 1 x 3 x fH x fW.

    The region counts in pixels that are `scale` times smaller than those of the image.
    """
    large = image.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    x, y, size = (factor * value // scale for value in (region.x, region.y, region.size))
    return quantize(boxed(large, Region(x, y, size), color))
