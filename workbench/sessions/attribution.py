"""Attributions as the page keeps them: the patch of a photograph, and maps as files to draw and measure again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.common.figure_style import publish
from analysis.comparison.compare import Comparison, Region
from analysis.lam.attribution import Attribution
from analysis.lam.figure import contribution_area, draw_lam, overlay
from analysis.lam.patches import Patch, patch_around
from promptsr.imaging import Metadata, encode
from promptsr.imaging.metrics import quantize
from promptsr.support.errors import UserError
from promptsr.support.files import write_json
from workbench.sessions.compare import RED, Compared, Question, boxed, from_array, to_picture
from workbench.sessions.upscale import CLOSEUP, new_folder

INPUT = 64
"""Longest side of what goes through the networks, in input pixels: memory and time grow with it, and so does what the
diffusion index can be compared with. LAM's authors took 64 x 64 pixels too."""
_DIMMED = 0.4
_ROOM = 512
"""Pixels that a picture to click on fills if it can."""
_FIGURES = (".png", ".pdf")
BLUE = (0.1, 0.35, 1.0)


def cut(question: Question, scale: int, window: Region) -> Patch:
    """Cut from a photograph what goes through the networks: at most `INPUT` pixels a side around the window.

    Raises:
        UserError: the window leaves the photograph, comes too near to its far borders, or is too large.
    """
    if window.size > scale * INPUT // 2:
        raise UserError(f"A window of {window.size} pixels is too large: use one of up to {scale * INPUT // 2}.")
    return patch_around(window, INPUT, scale, question.lr, question.hr)


def view(question: Question, scale: int, window: Region) -> str:
    """File with the whole picture at the size of the output, `magnification` times larger: a box around the window,
    and dimmed what lies outside of the patch.

    Raises:
        UserError: as `cut`.
    """
    patch = cut(question, scale, window)
    whole = Comparison(scale, question.lr, question.hr, ()).pictures[0][1]
    rows, columns = (
        slice(scale * start, scale * (start + length))
        for start, length in zip((patch.y, patch.x), patch.lr.shape[2:], strict=True)
    )
    seen = torch.full_like(whole, _DIMMED)
    seen[..., rows, columns] = 1
    file = new_folder() / "whole.png"
    boxed_whole = framed(whole * seen, window, magnification(question, scale))
    encode(to_picture(boxed_whole, question.metadata), file)
    return str(file)


def magnification(question: Question, scale: int) -> int:
    """How many times larger than the output `view` is, so that there is room for a click: 1 for large pictures."""
    return max(1, _ROOM // (scale * max(question.lr.shape[2:])))


@dataclass(frozen=True, eq=False)
class Attributed:
    """Attributions of one window by several models as files: a session holds on to names and numbers alone."""

    compared: Compared
    """The same models on the same patch."""
    rows: tuple[dict[str, Any], ...]
    """For each model what is to be read in the table, as plain values."""
    maps: tuple[Path, ...]
    """For each model a `.npz` file."""
    others: tuple[dict[str, Any], ...]
    """For each model what `Attribution` holds, except for the values."""

    @property
    def files(self) -> list[str]:
        """To download: the maps, and all numbers as JSON."""
        summary = self.maps[0].with_name(f"{self.compared.name}-lam.json")
        return [*map(str, self.maps), str(summary)]

    def load(self) -> list[Attribution]:
        """The attributions as they were."""
        found = []
        for path, other in zip(self.maps, self.others, strict=True):
            with np.load(path) as stored:
                found.append(Attribution(values=stored["attribution"], **other))
        return found

    def draw(self, strength: float, level: float) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Files with captions: the maps over the input, and the contribution areas."""
        image = self.compared.load().lr[0].permute(1, 2, 0).numpy()  # 1 x 3 x H x W -> H x W x 3
        folder, factor = new_folder(), max(1, CLOSEUP // max(image.shape))
        maps: list[tuple[str, str]] = []
        areas: list[tuple[str, str]] = []
        for attribution, row in zip(self.load(), self.rows, strict=True):
            note = f" Preview at {attribution.settings.steps} steps." if row["preview"] else ""
            share = f"{100 * attribution.activated(level):.1f} % of the pixels are above {100 * level:g} % of the map."
            for kind, picture, into, text in (
                (
                    "map",
                    overlay(attribution, image, strength),
                    maps,
                    "square root of the map over the input, the window in blue.",
                ),
                ("area", contribution_area(attribution, image, level), areas, share),
            ):
                file = folder / f"{attribution.model}-{kind}.png"
                drawn = framed(from_array(picture), attribution.region, factor, attribution.scale, BLUE)
                encode(to_picture(drawn, Metadata()), file)
                into.append((str(file), f"{attribution.model}: {text}{note}"))
        return maps, areas

    def figures(self) -> list[str]:
        """Files with the figure for a paper: PNG and PDF."""
        figure = draw_lam(self.compared.load(), self.load(), self.compared.name)
        folder = new_folder()
        files = [folder / f"{self.compared.name}-lam{suffix}" for suffix in _FIGURES]
        for file in files:
            publish(figure, file)
        return list(map(str, files))


def keep_maps(compared: Compared, found: Sequence[Attribution], patch: Patch, preview: bool) -> Attributed:
    """Writes attributions to files.

    Args:
        compared: the same models on the patch.
        found: in the order of the models.
        patch: what went through them.
        preview: whether finer ones follow.
    """
    scale = compared.scale
    place = {"x": scale * patch.x + patch.region.x, "y": scale * patch.y + patch.region.y}  # in the photograph
    looked_at = {"x": patch.x, "y": patch.y, "width": patch.lr.shape[3], "height": patch.lr.shape[2]}
    scores = compared.load().scores(patch.region) or [(math.nan, math.nan)] * len(found)
    rows, maps, folder = [], [], new_folder()
    for attribution, score in zip(found, scores, strict=True):
        psnr, ssim = (value if math.isfinite(value) else None for value in score)  # JSON has no others
        row = {**attribution.to_dict(), "psnr_y": psnr, "ssim_y": ssim, "preview": preview}
        row["settings"] |= {**place, "patch": looked_at}
        rows.append(row)
        maps.append(folder / f"{compared.name}-{attribution.model}-lam.npz")
        attribution.save(maps[-1], row)
    others = tuple({key: value for key, value in vars(each).items() if key != "values"} for each in found)
    attributed = Attributed(compared, tuple(rows), tuple(maps), others)
    write_json(Path(attributed.files[-1]), {"maps": rows})
    return attributed


def framed(
    image: Tensor, region: Region, factor: int, scale: int = 1, color: tuple[float, float, float] = RED
) -> Tensor:
    """1 x 3 x H x W with every pixel repeated and a frame around a region, at 8-bit levels: 1 x 3 x fH x fW.

    The region counts in pixels that are `scale` times smaller than those of the image.
    """
    large = image.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    x, y, size = (factor * value // scale for value in (region.x, region.y, region.size))
    return quantize(boxed(large, Region(x, y, size), color))
