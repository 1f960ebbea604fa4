"""Make more images for training out of photographs: turned, shrunk and recoloured copies, and collages of parts.

    python -m tools.varied_images train/a train/b --out varied
    promptsr train CONFIG 'data=[train/a, train/b, varied]'

Photographs alone leave a network without an idea of what is drawn: at stripes of strong colours, its features grew from
block to block until the result was noise. Collages hold many edges, stripes and colours; shapes of all sizes that hide
one another have the statistics of photographs (Lee, Mumford and Huang, "Occlusion models for natural images", IJCV
2001). Cloths are stripes and checks in folds and in perspective, as fine as LR images show them only in part: their
direction has to be taken from where they are wider.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.random import Generator
from PIL import Image, ImageDraw

from promptsr.cli.console import run
from promptsr.imaging import Picture, decode, encode
from promptsr.imaging.picture import to_color
from promptsr.support.errors import ImageError, UserError
from tools.photographs import find_photographs

_SIDE = 768
"""Of a collage or a cloth, in pixels."""
_FINER = 2
"""Collages are drawn so many times larger, for soft edges."""
_REDUCED = (0.35, 0.6)
"""Sizes of the photographs of which parts come into collages."""
_ORDERS = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
"""Of channels."""
_COLLAGE_SEED, _CLOTH_SEED, _NEXT_SEED = 1_000, 2_000, 10_000
"""Seeds of the first collage and the first cloth, and between sets; copies of a photograph have its place as seed."""


def varied_images(
    folders: Annotated[list[Path], typer.Argument(help="Folders of photographs.")],
    out: Annotated[Path, typer.Option(help="Folder for the images; those that are there stay.")],
    collages: Annotated[int, typer.Option(min=0, help="Number of collages.")] = 100,
    cloths: Annotated[int, typer.Option(min=0, help="Number of photographs with cloth.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Another number gives other images.")] = 0,
) -> None:
    """Write four copies of each photograph, collages and cloths; the same photographs and seed give the same images.

    Raises:
        UserError: there are no photographs, or two of the same name.
    """
    paths = find_photographs(folders)
    out.mkdir(parents=True, exist_ok=True)
    reduced, first = [], seed * _NEXT_SEED
    for place, path in enumerate(paths):
        try:
            photo = Image.fromarray(to_color(decode(path).to_tensor()))
        except ImageError as error:
            print(f"left out: {error}")
            continue
        reduced.append([_resized(photo, factor, factor) for factor in _REDUCED])
        targets = [out / f"{path.stem}-{number}.png" for number in range(4)]
        if all(target.exists() for target in targets):
            continue
        rng = np.random.default_rng(place + first)
        for number, target in enumerate(targets):
            copy = _copy(rng, photo, number)
            if not target.exists():
                encode(Picture(copy), target)
        print(path.name, flush=True)
    if not reduced:
        raise UserError(f"None of the images in {', '.join(map(str, folders))} can be read.")
    for name, draw, seeds, wanted in (
        ("collage", _collage, _COLLAGE_SEED, collages),
        ("cloth", _cloth, _CLOTH_SEED, cloths),
    ):
        for number in range(wanted):
            target = out / f"{name}-{number:03d}.png"
            if not target.exists():
                encode(Picture(draw(np.random.default_rng(first + seeds + number), reduced)), target)


def _copy(rng: Generator, photo: Image.Image, number: int) -> np.ndarray:
    """Turn and shrink a photograph; all but the first are recoloured, the last two stretched, the last a negative."""
    width = height = rng.uniform(0.45, 0.95)
    if number > 1:
        if rng.random() < 0.5:
            height *= rng.uniform(0.6, 0.9)
        else:
            width *= rng.uniform(0.6, 0.9)
    pixels = np.asarray(_resized(_turned(photo, rng.uniform(8, 82)), width, height))
    return pixels if number == 0 else _recoloured(rng, pixels, negative=number == 3)


def _turned(photo: Image.Image, degrees: float) -> Image.Image:
    """Turn a photograph, and cut out a rectangle of its shape that lies within."""
    width, height = photo.size
    turned = photo.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    share = 0.98 * min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))
    size, middle = share * np.array([width, height]), np.array(turned.size) / 2
    return turned.crop(tuple(np.concatenate([middle - size / 2, middle + size / 2]).astype(int)))


def _resized(photo: Image.Image, width: float, height: float) -> Image.Image:
    """Resize to these shares of the size."""
    size = max(1, int(photo.width * width)), max(1, int(photo.height * height))
    return photo.resize(size, Image.Resampling.BICUBIC)


def _recoloured(rng: Generator, pixels: np.ndarray, *, negative: bool) -> np.ndarray:
    """Exchange channels, and change brightness and contrast: H x W x 3, 8 bits."""
    values = pixels[..., _ORDERS[rng.integers(len(_ORDERS))]].astype(np.float32) / 255
    if negative:
        values = 1 - values
    values **= rng.uniform(0.65, 1.5)
    mean = values.mean()
    return (255 * (mean + (values - mean) * rng.uniform(0.9, 1.35)).clip(0, 1)).round().astype(np.uint8)


def _collage(rng: Generator, photos: list[list[Image.Image]]) -> np.ndarray:
    """Cover a square, _SIDE x _SIDE x 3, with shapes: parts of photographs, which come in sizes, stripes, gradients."""
    canvas = _filling(_part(rng, photos, _SIDE), _FINER * _SIDE)
    for _ in range(rng.integers(60, 220)):
        radius = _FINER * int(min(320, 14 / max(rng.random(), 0.03) ** 0.9))
        left, top = (int(rng.integers(-radius, _FINER * _SIDE)) for _ in range(2))
        side = max(8, 2 * radius // _FINER)
        kind = rng.integers(4)
        pixels = _part(rng, photos, side) if kind < 2 else _stripes(rng, side) if kind == 2 else _gradient(rng, side)
        canvas.paste(_filling(pixels, 2 * radius), (left, top), _shape(rng, radius))
    return np.asarray(canvas.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS))


def _cloth(rng: Generator, photos: list[list[Image.Image]]) -> np.ndarray:
    """Cover parts of a photograph, _SIDE x _SIDE x 3, with cloth."""
    canvas = _filling(_part(rng, photos, _SIDE), _FINER * _SIDE)
    for _ in range(rng.integers(6, 16)):
        radius = _FINER * int(rng.uniform(80, 320))
        left, top = (int(rng.integers(-radius, _FINER * _SIDE - radius)) for _ in range(2))
        canvas.paste(_filling(_woven(rng, 2 * radius // _FINER), 2 * radius), (left, top), _shape(rng, radius))
    return np.asarray(canvas.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS))


def _filling(pixels: np.ndarray, side: int) -> Image.Image:
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)


def _part(rng: Generator, photos: list[list[Image.Image]], side: int) -> np.ndarray:
    """Cut a square, side x side x 3, out of a photograph, black where that ends, and recolour it."""
    photo = photos[rng.integers(len(photos))][rng.integers(len(_REDUCED))]
    left, top = (int(rng.integers(0, max(1, length - side))) for length in photo.size)
    part = np.asarray(photo.crop((left, top, left + side, top + side)))
    return _recoloured(rng, part, negative=rng.random() < 0.3)


def _stripes(rng: Generator, side: int) -> np.ndarray:
    """Draw hard or soft stripes, or a chequered pattern, side x side x 3."""
    along, across = _axes(side, rng.uniform(0, np.pi))
    period = np.exp(rng.uniform(np.log(5), np.log(60)))
    phase = along / period
    if rng.random() < 0.4:
        share = (np.floor(phase) + np.floor(across / (period * rng.uniform(0.7, 2)))) % 2
    elif rng.random() < 0.5:
        share = (phase % 1 < rng.uniform(0.25, 0.75)).astype(float)
    else:
        share = 0.5 + 0.5 * np.sin(2 * np.pi * phase)
    return _between(rng, share)


def _woven(rng: Generator, side: int) -> np.ndarray:
    """Draw fine stripes or checks of two similar colours, side x side x 3: in folds, in perspective, with shadows."""
    angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(3), np.log(20)))
    away, _ = _axes(side, angle)
    distance = 1 + rng.uniform(0, 2) * away.clip(0) / (1.5 * side)
    angle += rng.uniform(0, np.pi)
    depth = rng.uniform(0, 3) * period
    along, across = ((axis + depth * _smooth(rng, side)) * distance / period for axis in _axes(side, angle))
    waves = [0.5 + 0.5 * np.sin(2 * np.pi * along), 0.5 + 0.5 * np.sin(2 * np.pi * across * rng.uniform(0.6, 1.5))]
    steepness = np.exp(rng.uniform(0, np.log(8)))
    one, other = ((0.5 + steepness * (wave - 0.5)).clip(0, 1) for wave in waves)
    share = one if rng.random() < 0.6 else (one + other) / 2
    first = rng.uniform(20, 235, 3)
    second = first + rng.uniform(-90, 90) + rng.uniform(-25, 25, 3)
    shadow = 1 + rng.uniform(0, 0.25) * _smooth(rng, side)
    return ((first + (second - first) * share[..., None]) * shadow[..., None]).clip(0, 255).astype(np.uint8)


def _smooth(rng: Generator, side: int) -> np.ndarray:
    """Draw a surface of a few hills, side x side, about -1 to 1."""
    hills = Image.fromarray(rng.uniform(-1, 1, (rng.integers(3, 8), rng.integers(3, 8))).astype(np.float32))
    return np.asarray(hills.resize((side, side), Image.Resampling.BICUBIC))


def _gradient(rng: Generator, side: int) -> np.ndarray:
    """Draw a change from one colour to another, side x side x 3."""
    along, _ = _axes(side, rng.uniform(0, 2 * np.pi))
    return _between(rng, 0.5 + 0.5 * along / side)


def _axes(side: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each pixel lies along a direction and across it, each side x side, from the upper left."""
    rows, columns = np.mgrid[:side, :side]
    return columns * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - columns * np.sin(angle)


def _between(rng: Generator, share: np.ndarray) -> np.ndarray:
    """Mix two colours: H x W -> H x W x 3."""
    first, second = rng.integers(0, 256, (2, 3))
    return (first + (second - first) * share[..., None]).clip(0, 255).astype(np.uint8)


def _shape(rng: Generator, radius: int) -> Image.Image:
    """Draw the mask of an ellipse, a polygon, a bar or a broken line, of twice the radius."""
    side = 2 * radius
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    kind = rng.integers(4)
    if kind == 0:
        draw.ellipse((0, 0, side - 1, side - 1), fill=255)
    elif kind == 1:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        draw.polygon([(radius + radius * np.cos(angle), radius + radius * np.sin(angle)) for angle in angles], fill=255)
    elif kind == 2:
        draw.rectangle((0, int(radius * rng.uniform(0, 0.9)), side, int(radius * rng.uniform(1, 1.9))), fill=255)
        mask = mask.rotate(rng.uniform(0, 180), Image.Resampling.BICUBIC)
    else:
        corners = [tuple(rng.uniform(0, side, 2)) for _ in range(4)]
        draw.line(corners, fill=255, width=int(rng.integers(2, max(3, radius // 3))), joint="curve")
    return mask


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(varied_images)

if __name__ == "__main__":
    run(app)
