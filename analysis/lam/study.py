"""How far models look on average: the diffusion index (DI) of local attribution maps over many regions of many images.

models = [load_model("bicubic-x4"), load_model("promptsr-tiny-x4")]
result = finish(study(models, find_pairs(Path("Set14/HR"), None)))
result.means, result.differences
"""

import zlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from analysis.common.bootstrap import bootstrap_interval
from analysis.comparison.compare import Comparing, Region
from analysis.lam.attribution import PathSettings
from analysis.lam.backward_memory import check_memory
from analysis.lam.blur_path import BlurPath
from analysis.lam.method import AT_ONCE, WINDOW, LocalAttributionMap
from analysis.lam.patches import find_regions
from analysis.lam.run import Attributing, Explanation, explain_window
from promptsr.data import load_pair
from promptsr.inference.upscaler import Progress
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.progress import map_progress
from promptsr.zoo.sr_model import SRModel, common_scale

PATCH = 64
"""Side of the LR patch around each window."""


@dataclass(frozen=True)
class Studying:
    """Progress of a study."""

    image: str
    done: int
    """Images finished."""
    total: int
    model: str = ""
    """Whose map is being made."""
    progress: Progress | None = None
    """Steps of this map; None before the first."""


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

    def _mean(self, values: pd.Series) -> tuple[float, float, float]:
        return float(values.mean()), *bootstrap_interval(values.to_numpy(), self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the single regions."""
        names = ("models", "scale", "window", "patch", "seed", "skipped")
        return {
            **{name: getattr(self, name) for name in names},
            "settings": asdict(self.settings),
            "images": len(self.di),
            "regions": len(self.regions) // len(self.models),
            "means": self.means.to_dict("records"),
            "differences": self.differences.to_dict("records"),
        }


def study(
    models: Sequence[SRModel],
    pairs: Sequence[tuple[Path, Path | None]],
    *,
    per_image: int = 4,
    window: int = WINDOW,
    patch: int = PATCH,
    settings: PathSettings | None = None,
    seed: int = 0,
    at_once: int = AT_ONCE,
) -> Generator[Studying, None, LamStudy]:
    """Make the maps of several models on the same random regions of images; closing the generator stops the work.

    One image is held at a time. An image that cannot be used, is smaller than a patch or is flat is skipped.

    Args:
        models: of one scale and different names.
        pairs: HR images and their LR images (None: bicubic), see `promptsr.evaluation.evaluate.find_pairs`.
        per_image: regions of an image at most, see `find_regions`.
        window: side in output pixels.
        patch: side in LR pixels of what the models see around a window.
        settings: of the path; 10 steps of the trapezoid rule if None. With IMDN and PromptSR their DI was 2 % below to
            16 % above that of 50 steps of the rule "right" (two images of Set14); that of 10 steps of "right" was 11
            to 39 % above (four images).
        seed: of the regions, together with the name of the image, and of the bootstrap.
        at_once: as in `LocalAttributionMap.stream`.

    Raises:
        UserError: impossible settings or models, or no image could be used.
    """
    scale = common_scale(models)
    names = tuple(model.name for model in models)
    if len(set(names)) < len(names):
        raise ConfigError("Two models have one name: compare different models, or rename one's file.")
    for what, value in (("number of regions of an image", per_image), ("window", window), ("patch", patch)):
        if value < 1:
            raise ConfigError(f"The {what} must be 1 or more, not {value}.")
    settings = settings or PathSettings(steps=10, rule="trapezoid")
    for model in models:
        LocalAttributionMap(model)  # refuses models without gradients
        check_memory(model, patch, patch, at_once)
    BlurPath(torch.zeros(1, 3, patch, patch), settings)  # refuses settings before any image is read
    rows: list[dict[str, object]] = []
    skipped: dict[str, str] = {}
    for done, (hr_path, lr_path) in enumerate(pairs):
        at = partial(Studying, hr_path.name, done, len(pairs))
        yield at()
        try:
            hr, lr, regions = _regions(hr_path, lr_path, scale, per_image, window, patch, seed)
        except ConfigError:
            raise
        except UserError as error:
            skipped[hr_path.name] = str(error)
            continue
        for region in regions:
            work = explain_window(models, lr, region, hr=hr, side=patch, settings=settings, at_once=at_once)
            explanation = yield from map_progress(work, partial(_tell, at))
            for row in explanation.rows:
                found = {name: row[name] for name in ("model", "di", "completeness_gap", "psnr_y", "seconds")}
                rows.append({"image": hr_path.name, "x": region.x, "y": region.y, **found})
    if not rows:
        raise UserError(f"No image could be studied: {next(iter(skipped.values()), 'there is none.')}")
    return LamStudy(names, scale, window, patch, seed, settings, pd.DataFrame(rows), skipped)


def _tell(at: Callable[..., Studying], step: Comparing | Attributing | Explanation) -> Studying:
    return at(step.model, step.progress) if isinstance(step, Attributing) else at()


def _regions(
    hr_path: Path, lr_path: Path | None, scale: int, per_image: int, window: int, side: int, seed: int
) -> tuple[Tensor, Tensor, list[Region]]:
    """Return an HR image, its LR image, and the windows to look at, in output pixels."""
    hr, lr = load_pair(hr_path, scale, lr_path)
    if hr.shape[2:] != (scale * lr.shape[2], scale * lr.shape[3]):
        raise UserError(f"The LR image of {hr_path.name} is not {hr_path.name} shrunk by {scale}.")
    if min(lr.shape[2:]) < side:
        raise UserError(
            f"{hr_path.name} makes an input of {lr.shape[3]} x {lr.shape[2]}, less than a patch of {side} pixels: "
            "choose a smaller patch, or larger images."
        )
    own_seed = zlib.crc32(f"{seed} {hr_path.name}".encode())  # other images of the folder have no say
    regions = find_regions(lr, scale, count=per_image, window=window, seed=own_seed)
    if not regions:
        raise UserError(f"{hr_path.name} has no textured window of {window} pixels: leave it out.")
    return hr, lr, regions
