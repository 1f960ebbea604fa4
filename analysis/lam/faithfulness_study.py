"""Are local attribution maps true on average? Deletion, insertion and sanity over many windows of a folder of images.

models = [load_model("promptsr-x4"), load_model("IMDN_x4.pth")]
finish(study(models, find_pairs(Path("Set14/HR"), None))).means
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from analysis.common.bootstrap import bootstrap_interval
from analysis.common.each_image import ImageLog, ImageStep, Record, Tell, plan_of
from analysis.lam.attribution import AT_ONCE, WINDOW, PathSettings
from analysis.lam.faithfulness import ORDERS, PARTS, check_faithfulness, infidelity_of, sensitivity_of
from analysis.lam.method import LocalAttributionMap
from analysis.lam.patches import find_regions, patch_around
from analysis.lam.sanity import check_sanity
from analysis.lam.study import PATCH, check_plan, seed_of, study_regions
from promptsr.data import load_pair
from promptsr.data.pairs import PairPaths
from promptsr.inference.upscaler import Progress
from promptsr.support.files import finite
from promptsr.support.progress import map_progress
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.sr_model import SRModel

RATIOS = tuple(f"{part} / {order}" for part in PARTS for order in ORDERS[1:])
"""Measures: change of the window by the map's first pixels, as a multiple of that by another order's first."""
AREAS = tuple(f"{part} - {order}" for part in PARTS for order in ORDERS[1:])
"""Measures: area between the curves of the map and of another order."""
MEASURES = (*RATIOS, *AREAS, "infidelity", "sensitivity", "sanity")
"""`sanity` is the rank correlation with the map of the network with shuffled weights."""


@dataclass(frozen=True, eq=False)
class FaithfulnessStudy:
    """Faithfulness of the maps of several models on the same windows."""

    models: tuple[str, ...]
    scale: int
    window: int
    """Side, output pixels."""
    patch: int
    """Side, input pixels."""
    seed: int
    regions: pd.DataFrame
    """A row per region and model: image, x, y (output pixels), model, completeness_gap, and `MEASURES`."""
    curves: pd.DataFrame
    """Rows of all regions, as `Faithfulness.curves`, and the model."""
    skipped: dict[str, str]
    """Images that could not be used, and why."""
    flat: tuple[str, ...] = ()
    """Those of `skipped` that can be read, but have no textured window."""

    @cached_property
    def means(self) -> pd.DataFrame:
        """A row per model and measure: model, measure, value (mean over images, of ratios the geometric one), low and
        high (95 %, see `bootstrap_interval`), images. Windows without a value do not count."""
        rows = []
        for model in self.models:
            own = self.regions[self.regions["model"] == model]
            for measure in MEASURES:
                values = own[measure].astype(float)
                values = np.log(values.where((values > 0) & (values < np.inf))) if measure in RATIOS else values
                images = values.groupby(own["image"]).mean().dropna().to_numpy()
                found = np.array([images.mean() if len(images) else np.nan, *bootstrap_interval(images, self.seed)])
                value, low, high = np.exp(found) if measure in RATIOS else found
                rows.append((model, measure, float(value), float(low), float(high), len(images)))
        return pd.DataFrame(rows, columns=["model", "measure", "value", "low", "high", "images"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the single regions; None for numbers that are not finite."""
        names = ("models", "scale", "window", "patch", "seed", "skipped")
        values = {
            **{name: getattr(self, name) for name in names},
            "regions": len(self.regions) // len(self.models),
            "means": self.means.to_dict("records"),
        }
        plain: dict[str, Any] = finite(values)
        return plain


def study(
    models: Sequence[SRModel],
    pairs: Sequence[PairPaths],
    *,
    per_image: int = 2,
    window: int = WINDOW,
    patch: int = PATCH,
    seed: int = 0,
    at_once: int = AT_ONCE,
    left_out: Mapping[str, str] = MappingProxyType({}),
    log: ImageLog | None = None,
    ranks: Ranks = ALONE,
) -> Generator[ImageStep, None, FaithfulnessStudy]:
    """Check the maps of several models on the same random regions of images; closing the generator stops the work.

    Arguments and errors as in `analysis.lam.study.study`; maps are made by the adaptive rule.
    """
    settings = PathSettings()
    scale = check_plan(models, per_image, window, patch, settings, at_once)

    def work(hr_path: Path, lr_path: Path | None, at: Tell) -> Generator[ImageStep, None, Record]:
        hr, lr = load_pair(hr_path, scale, lr_path)
        own_seed = seed_of(hr_path, seed)
        rows, curves = [], []
        for region in find_regions(lr, scale, count=per_image, window=window, seed=own_seed):
            place = patch_around(region, patch, scale, lr, hr)
            for model in models:

                def tell(progress: Progress, model: SRModel = model) -> ImageStep:
                    return at(model.name, progress)

                method = LocalAttributionMap(model)
                made = yield from map_progress(method.stream(place.lr, place.region, settings, at_once=at_once), tell)
                checked = yield from map_progress(
                    check_faithfulness(model, place.lr, made, place.hr, seed=own_seed), tell
                )
                sane = yield from map_progress(
                    check_sanity(model, place.lr, place.region, stages=[1.0], seed=own_seed), tell
                )
                row = {"image": hr_path.name, "x": region.x, "y": region.y, "model": model.name}
                row |= {"completeness_gap": made.completeness_gap, "sanity": sane.correlations[-1]}
                row["infidelity"] = infidelity_of(model, place.lr, made, at_once=at_once)
                row["sensitivity"] = sensitivity_of(model, place.lr, place.region, seed=own_seed, at_once=at_once)
                for part in PARTS:
                    for order in ORDERS[1:]:
                        row[f"{part} / {order}"] = checked.ratio(order, part)
                        row[f"{part} - {order}"] = checked.advantage(order, part)
                rows.append(row)
                curves += [{"model": model.name, **curve} for curve in checked.curves.to_dict("records")]
        return {"rows": rows, "curves": curves}

    sizes = {"scale": scale, "window": window, "patch": patch}
    plan = plan_of(models, kind="faithfulness", per_image=per_image, window=window, patch=patch, seed=seed)
    found = yield from study_regions(pairs, work, plan=plan, left_out=left_out, log=log, ranks=ranks, **sizes)
    rows = [row for record in found.records for row in record["rows"]]
    curves = pd.DataFrame([curve for record in found.records for curve in record["curves"]])
    names = tuple(model.name for model in models)
    return FaithfulnessStudy(names, scale, window, patch, seed, pd.DataFrame(rows), curves, found.skipped, found.flat)
