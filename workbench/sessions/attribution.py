"""Attributions as the page keeps them: the patch of a photograph, and maps as files to draw and measure again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparison, compare, score_texts
from analysis.lam.attribution import Attribution
from analysis.lam.figure import contribution_area, overlay
from analysis.lam.patches import Patch, patch_around
from analysis.lam.run import Explanation
from promptsr.imaging import Metadata, encode
from promptsr.imaging.picture import to_array
from promptsr.support.errors import UserError
from promptsr.support.files import write_json
from promptsr.support.progress import finish
from promptsr.zoo.sr_model import SRModel
from workbench.sessions.compare import Question
from workbench.sessions.figure_names import figure_names
from workbench.sessions.pictures import (
    BLUE,
    CLOSEUP,
    enlarge,
    framed,
    from_array,
    new_file,
    new_folder,
    to_picture,
    write_figure,
)

SHIPPED = Path(__file__).parents[1] / "static" / "lam"
"""The maps that come with the page, and what they were made of (`made.json`)."""
_MADE = "made.json"
INPUT = 64
"""Longest side of what goes through the networks, in input pixels: memory and time grow with it, and so does what the
diffusion index can be compared with. LAM's authors took 64 x 64 pixels too."""
_DIMMED = 0.4
_ROOM = 512
"""Pixels that a picture to click on fills if it can."""


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
    """Return how many times larger than the output `view` is: 1 for large pictures, more where clicks need room."""
    return max(1, _ROOM // (scale * max(question.lr.shape[2:])))


@dataclass(frozen=True, eq=False)
class Attributed:
    """Attributions of one window by several models, as a session keeps them: of a patch, so they are small."""

    name: str
    """Name of the photograph."""
    explanation: Explanation
    rows: list[dict[str, Any]]
    """For each model what is to be read in the table, as plain values."""
    files: list[str]
    """To download: the maps, and all numbers as JSON."""
    metadata: Metadata

    def crops(self) -> list[tuple[str, str]]:
        """Write files, and return them with captions: the window of every result, enlarged."""
        comparison, region = self.explanation.comparison, self.explanation.patch.region
        comparison.check(region)
        folder, everywhere, crops = new_folder(), slice(None), []
        scores = ["", *("  {} dB / {}".format(*score_texts(*each)) for each in comparison.scores(region))]
        for index, (name, image) in enumerate(comparison.pictures):
            file = new_file(folder, name, ".png")
            crop = to_picture(region.crop(image), self.metadata)
            encode(enlarge(crop, everywhere, everywhere, max(1, CLOSEUP // region.size)), file)
            crops.append((str(file), name + (scores[index] if comparison.hr is not None else "")))
        return crops

    def draw(self, strength: float, level: float) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Write files, and return them with captions: the maps over the input, and the contribution areas.

        All maps have one scale, up to the largest attribution.

        Args:
            strength: of the colours of the maps, from 0 to 1.
            level: of each map, above which pixels are part of the area.
        """
        image = to_array(self.explanation.patch.lr)  # H x W x 3
        folder, factor = new_folder(), max(1, CLOSEUP // max(image.shape))
        largest = max(attribution.peak for attribution in self.explanation.attributions)
        maps: list[tuple[str, str]] = []
        areas: list[tuple[str, str]] = []
        for attribution, row in zip(self.explanation.attributions, self.rows, strict=True):
            note = f" Preview at {attribution.settings.steps} steps." if row["preview"] else ""
            share = f"{100 * attribution.activated(level):.1f} % of the pixels are above {100 * level:g} % of the map."
            for kind, picture, into, text in (
                (
                    "map",
                    overlay(attribution, image, strength, largest),
                    maps,
                    "square root of the map over the input, the window in blue.",
                ),
                ("area", contribution_area(attribution, image, level), areas, share),
            ):
                file = new_file(folder, f"{attribution.model}-{kind}", ".png")
                drawn = framed(from_array(picture), attribution.region, factor, attribution.scale, BLUE)
                encode(to_picture(drawn, Metadata()), file)
                into.append((str(file), f"{attribution.model}: {text}{note}"))
        return maps, areas

    def figures(self) -> list[str]:
        """Write the figure for a paper, with the visit's names of models: PNG and PDF."""
        figure = self.explanation.figure(self.name, figure_names())
        return write_figure(figure, f"{self.name}-lam", (".png", ".pdf"))


def there(shown: Attributed | None) -> Attributed:
    """Return the session's maps.

    Raises:
        UserError: nothing has been attributed yet.
    """
    if shown is None:
        raise UserError("There is no map yet: choose a photograph, click on a place of it, and press Attribute.")
    return shown


def keep_maps(name: str, explanation: Explanation, metadata: Metadata, preview: bool) -> Attributed:
    """Write the files of maps.

    Args:
        name: of the photograph.
        explanation: of a window of it.
        metadata: of the photograph.
        preview: whether finer ones follow.
    """
    folder = new_folder()
    rows = [{**row, "preview": preview} for row in explanation.rows]
    files = []
    for attribution, row in zip(explanation.attributions, rows, strict=True):
        files.append(new_file(folder, f"{name}-{row['model']}-lam", ".npz"))
        attribution.save(files[-1], row)
    summary = new_file(folder, f"{name}-lam", ".json")
    write_json(summary, {"maps": rows})
    return Attributed(name, explanation, rows, [*map(str, files), str(summary)], metadata)


def ship(shown: Attributed, made: Mapping[str, Any]) -> None:
    """Make these maps those that come with the page; `made` says of what they were made, as plain values."""
    for attribution, row in zip(shown.explanation.attributions, shown.rows, strict=True):
        attribution.save(SHIPPED / f"{attribution.model}.npz", row)
    write_json(SHIPPED / _MADE, made)


def shipped(
    made: Mapping[str, Any], name: str, networks: Sequence[SRModel], question: Question, window: Region
) -> Attributed | None:
    """Return the maps that come with the page if they were made of just this.

    Args:
        made: as for `ship`.
        name: of the photograph.
        networks: whose maps they are.
        question: with that photograph.
        window: in pixels of the result.
    """
    if json.loads((SHIPPED / _MADE).read_text(encoding="utf-8")) != made:
        return None
    patch = cut(question, networks[0].scale, window)
    comparison = finish(compare(networks, patch.lr, patch.hr, tile="whole"))
    attributions = tuple(Attribution.load(SHIPPED / f"{network.name}.npz") for network in networks)
    return keep_maps(name, Explanation(comparison, patch, attributions, at_once=1), question.metadata, preview=False)
