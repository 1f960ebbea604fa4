"""How far models look on average: the diffusion index (DI) of local attribution maps over many regions of many images.

models = [load_model("bicubic-x4"), load_model("promptsr-x4")]
result = finish(study(models, find_pairs(Path("Set14/HR"), None)))
result.means, result.differences
"""

import os
import zlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch

from analysis.common.bootstrap import bootstrap_interval
from analysis.common.each_image import (
    SMALLER,
    ImageLog,
    ImageStep,
    Record,
    Tell,
    Work,
    check_input_size,
    for_each_image,
    plan_of,
)
from analysis.comparison.compare import Comparing
from analysis.lam.attribution import AT_ONCE, LARGEST_GAP, WINDOW, PathSettings
from analysis.lam.backward_memory import check_memory
from analysis.lam.blur_path import BlurPath
from analysis.lam.method import LocalAttributionMap
from analysis.lam.patches import check_side, find_regions
from analysis.lam.run import Attributing, Explanation, explain_window
from promptsr.data import load_pair
from promptsr.data.pairs import PairPaths
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.files import finite
from promptsr.support.progress import map_progress
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.sr_model import SRModel, check_names, common_scale

PATCH = 64
"""Side of the LR patch around each window."""


@dataclass(frozen=True, eq=False)
class LamStudy:
    """Diffusion indices of several models on the same regions.

    A DI depends on the size of the input: all maps here are of patches of `patch` x `patch` LR pixels.
    """

    models: tuple[str, ...]
    scale: int
    window: int
    """Side, output pixels."""
    patch: int
    seed: int
    settings: PathSettings
    regions: pd.DataFrame
    """A row per region and model: image, x, y (output pixels), model, di (NaN: no map), completeness_gap, psnr_y (dB,
    of the window), seconds."""
    skipped: dict[str, str]
    """Images that could not be used, and why."""
    flat: tuple[str, ...] = ()
    """Those of `skipped` that can be read, but have no textured window."""

    @property
    def windows(self) -> int:
        """Number of regions, each of which every model was asked about."""
        return len(self.regions) // len(self.models)

    @cached_property
    def di(self) -> pd.DataFrame:
        """Mean DI of each image, a column per model; only regions count that have a map with every model."""
        wide = self.regions.pivot(index=["image", "x", "y"], columns="model", values="di")[list(self.models)]
        return wide.dropna().groupby(level="image").mean()

    @cached_property
    def means(self) -> pd.DataFrame:
        """A row per model: model, di (mean over images), low and high, see `bootstrap_interval`."""
        rows = [(model, *self._mean(self.di[model])) for model in self.models]
        return pd.DataFrame(rows, columns=["model", "di", "low", "high"])

    @cached_property
    def differences(self) -> pd.DataFrame:
        """A row per pair of models: model, against, difference (mean over images of the first DI minus the second),
        low and high. An interval without 0 in it says which looks farther."""
        rows = [(a, b, *self._mean(self.di[a] - self.di[b])) for a, b in combinations(self.models, 2)]
        return pd.DataFrame(rows, columns=["model", "against", "difference", "low", "high"])

    @cached_property
    def inexact(self) -> dict[str, int]:
        """Number of each model's maps with a completeness gap, either way, above `LARGEST_GAP`."""
        large = self.regions["completeness_gap"].abs() > LARGEST_GAP
        return {model: int(large[self.regions["model"] == model].sum()) for model in self.models}

    def _mean(self, values: pd.Series) -> tuple[float, float, float]:
        return float(values.mean()), *bootstrap_interval(values.to_numpy(), self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the single regions; None for numbers that are not finite."""
        names = ("models", "scale", "window", "patch", "seed", "skipped")
        values = {
            **{name: getattr(self, name) for name in names},
            "settings": asdict(self.settings),
            "images": len(self.di),
            "regions": self.windows,
            "inexact": self.inexact,
            "means": self.means.to_dict("records"),
            "differences": self.differences.to_dict("records"),
        }
        plain: dict[str, Any] = finite(values)
        return plain


def study(
    models: Sequence[SRModel],
    pairs: Sequence[PairPaths],
    *,
    per_image: int = 4,
    window: int = WINDOW,
    patch: int = PATCH,
    settings: PathSettings | None = None,
    seed: int = 0,
    at_once: int = AT_ONCE,
    left_out: Mapping[str, str] = MappingProxyType({}),
    log: ImageLog | None = None,
    ranks: Ranks = ALONE,
) -> Generator[ImageStep, None, LamStudy]:
    """Make the maps of several models on the same random regions of images; closing the generator stops the work.

    One image is held at a time. An image that cannot be used, is smaller than a patch or is flat is left out.

    Args:
        models: of one scale and different names.
        pairs: HR images and their LR images (None: bicubic), see `promptsr.data.pairs.find_pairs`.
        per_image: regions of an image at most, see `find_regions`.
        window: side in output pixels.
        patch: side in LR pixels of what the models see around a window.
        settings: of the path; 10 steps of the trapezoid rule if None. With IMDN and PromptSR their DI was 2 % below to
            16 % above that of 50 steps of the rule "right" (two images of Set14); that of 10 steps of "right" was 11
            to 39 % above (four images).
        seed: of the regions, together with the name of the image, and of the bootstrap.
        at_once: as in `LocalAttributionMap.stream`.
        left_out: images that are no pairs, by name, with the reasons: they are listed with the `skipped` ones.
        log: keeps the maps' numbers of every image at once; a stopped study goes on from it.
        ranks: the processes that share the images; each returns the whole.

    Raises:
        UserError: impossible settings or models, no image could be used, or the log cannot be written.
    """
    path = settings or PathSettings.quick()
    scale = check_plan(models, per_image, window, patch, path, at_once)
    names = tuple(model.name for model in models)

    def work(hr_path: Path, lr_path: Path | None, at: Tell) -> Generator[ImageStep, None, Record]:
        hr, lr = load_pair(hr_path, scale, lr_path)
        rows: list[dict[str, Any]] = []
        for region in find_regions(lr, scale, count=per_image, window=window, seed=seed_of(hr_path, seed)):
            steps = explain_window(models, lr, region, hr=hr, side=patch, settings=path, at_once=at_once)
            explanation = yield from map_progress(steps, partial(_tell, at))
            for row in explanation.rows:
                found = {name: row[name] for name in ("model", "di", "completeness_gap", "psnr_y", "seconds")}
                rows.append({"image": hr_path.name, "x": region.x, "y": region.y, **found})
        return {"rows": rows}

    given = {"per_image": per_image, "window": window, "patch": patch, "path": asdict(path), "seed": seed}
    plan = plan_of(models, kind="lam", at_once=at_once, **given)
    sizes = {"scale": scale, "window": window, "patch": patch}
    found = yield from study_regions(pairs, work, plan=plan, left_out=left_out, log=log, ranks=ranks, **sizes)
    rows = [row for record in found.records for row in record["rows"]]
    return LamStudy(names, scale, window, patch, seed, path, pd.DataFrame(rows), found.skipped, found.flat)


def _tell(at: Tell, step: Comparing | Attributing | Explanation) -> ImageStep:
    return at(step.model, step.progress) if isinstance(step, Attributing) else at()


def check_plan(
    models: Sequence[SRModel], per_image: int, window: int, patch: int, path: PathSettings, at_once: int
) -> int:
    """Refuse impossible settings and models of a study before any image is read; return the scale of the models.

    Raises:
        UserError: models of one name, of several scales or without gradients, or impossible settings.
    """
    scale = common_scale(models)
    check_names(models)
    for what, value in (("number of regions of an image", per_image), ("window", window), ("patch", patch)):
        if value < 1:
            raise ConfigError(f"The {what} must be 1 or more, not {value}.")
    check_side(patch, window, scale)
    for model in models:
        LocalAttributionMap(model)  # refuses models without gradients
        check_memory(model, patch, patch, at_once)
    BlurPath(torch.zeros(1, 3, patch, patch), path)  # refuses settings
    return scale


@dataclass(frozen=True)
class Regions:
    """Records of the images of a study, each with the `rows` of its regions."""

    records: list[Record]
    skipped: dict[str, str]
    """Images that could not be used, and why."""
    flat: tuple[str, ...]
    """Those of `skipped` that can be read, but have no textured window."""


def study_regions(
    pairs: Sequence[PairPaths],
    work: Work,
    *,
    scale: int,
    window: int,
    patch: int,
    plan: str,
    left_out: Mapping[str, str],
    log: ImageLog | None,
    ranks: Ranks,
) -> Generator[ImageStep, None, Regions]:
    """Study the regions of every image that is large enough, as `for_each_image` does.

    Raises:
        UserError: no image has a region, or as `for_each_image`.
    """
    check = partial(check_input_size, scale=scale, least=patch, hint=SMALLER)
    records, skipped = yield from for_each_image(pairs, check, work, plan=plan, left_out=left_out, log=log, ranks=ranks)
    flat = tuple(pairs[i][0].name for i, record in records.items() if not record["rows"])
    skipped |= {name: f"{name} has no textured window of {window} pixels: leave it out." for name in flat}
    if len(flat) == len(records):
        raise UserError(f"No image could be studied: {next(iter(skipped.values()))}")
    return Regions(list(records.values()), dict(sorted(skipped.items())), flat)


def seed_of(image: Path, seed: int) -> int:
    """Return the seed of an image's regions, in which the others of its folder have no say."""
    return zlib.crc32(os.fsencode(f"{seed} {image.name}"))
