"""Failure cases: where in a folder of images a model loses most to others, by blur or by artefacts (Fig. 9).

model, peer = load_model("promptsr-x4"), load_model("HPINet-M-x4.pth")
study = finish(find_failures(model, [peer], find_pairs(Path("Set14/HR"), None)))
study.cases[0].image, study.cases[0].kind, study.cases[0].loss_db
"""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import scipy
import torch
from torch import Tensor

from analysis.common.each_image import ImageLog, ImageStep, Record, Tell, for_each_image, plan_of
from analysis.common.image_windows import Region, pick, starts, window_means
from analysis.comparison.compare import Comparison, compare, luma_error, region_scores
from analysis.failures.record import from_case, to_case
from analysis.failures.study import LEAST_LOSS, Case, FailureStudy, loss_db
from analysis.failures.texture import detail, gradient, kind_of_loss, texture
from promptsr.data import load_pair
from promptsr.data.pairs import PairPaths
from promptsr.imaging import Header
from promptsr.imaging.metrics import SSIM_WINDOW, luma
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.progress import map_progress
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.sr_model import SRModel, check_names, common_scale

OVERLAP = 0.25
"""Share of its area that a case may have in common with another of the same image."""
_SURROUNDINGS = 4
"""Side of the surroundings kept with a case, in windows."""


def find_failures(
    model: SRModel,
    against: Sequence[SRModel],
    pairs: Sequence[PairPaths],
    *,
    window: int = 64,
    stride: int | None = None,
    count: int = 12,
    per_image: int | None = None,
    left_out: Mapping[str, str] = MappingProxyType({}),
    log: ImageLog | None = None,
    ranks: Ranks = ALONE,
) -> Generator[ImageStep, None, FailureStudy]:
    """Search images for the windows where a model loses most to the best of others; closing the generator stops it.

    Windows are where the excess error peaks, ranked by the loss in dB, see `Case.loss_db`. One image is held at a time,
    and of it no more than the cases need. An image that cannot be used is left out.

    Args:
        model: the model whose failures are searched.
        against: one or more models of the same scale.
        pairs: HR images and their LR images (None: bicubic), see `promptsr.data.pairs.find_pairs`.
        window: side in HR pixels.
        stride: HR pixels between windows; a quarter of the window by default.
        count: cases at most.
        per_image: cases of one image at most; None for no limit.
        left_out: images that are no pairs, by name, with the reasons: they are listed with the `skipped` ones.
        log: keeps what was found in every image at once; a stopped search goes on from it.
        ranks: the processes that share the images; each returns the whole.

    Raises:
        ConfigError: impossible settings, or models of several scales or of one name.
        UserError: no image could be used, or the log cannot be written.
    """
    models, stride = [model, *against], max(1, window // 4) if stride is None else stride
    scale = _check(models, window, stride, count, per_image)
    limit = min(count, per_image or count)

    def work(hr_path: Path, lr_path: Path | None, at: Tell) -> Generator[ImageStep, None, Record]:
        hr, lr = load_pair(hr_path, scale, lr_path)
        comparison = yield from map_progress(compare(models, lr, hr), lambda step: at(step.model, step.progress))
        return _searched(hr_path.name, comparison, hr, window, stride, limit)

    found, skipped = yield from for_each_image(
        pairs,
        partial(_check_size, scale=scale, window=window),
        work,
        plan=plan_of(models, kind="failures", window=window, stride=stride, count=count, per_image=per_image),
        left_out=left_out,
        log=log,
        ranks=ranks,
        trim=partial(_trim, count=count),
    )
    records = [(pairs[i][0].name, record) for i, record in found.items()]
    cases = [to_case(name, case) for name, record in records for case in record["cases"]]
    return FailureStudy(
        model.name,
        tuple(other.name for other in against),
        scale,
        window,
        stride,
        tuple(sorted(cases, key=lambda case: -case.loss_db)),
        pd.DataFrame([{"image": name, **record["scores"]} for name, record in records]),
        pd.concat([_windows(name, record["windows"]) for name, record in records]),
        skipped,
    )


def _check(models: Sequence[SRModel], window: int, stride: int, count: int, per_image: int | None) -> int:
    """Refuse impossible settings and models; return the scale."""
    if len(models) < 2:
        raise ConfigError("There is no model to compare against: name at least one.")
    scale = common_scale(models)
    check_names(models)
    if window < SSIM_WINDOW:
        raise ConfigError(f"A window of {window} pixels is too small to measure SSIM: use {SSIM_WINDOW} or more.")
    for what, value in (("stride", stride), ("number of cases", count), ("number of cases of an image", per_image)):
        if value is not None and value < 1:
            raise ConfigError(f"The {what} must be 1 or more, not {value}.")
    return scale


def _check_size(path: Path, header: Header, scale: int, window: int) -> None:
    width, height = (side - side % scale for side in (header.width, header.height))
    if min(width, height) < window:
        raise UserError(
            f"{path.name} ({width} x {height}) is smaller than a window of {window} pixels: "
            "choose a smaller window, or larger images."
        )


def _searched(name: str, comparison: Comparison, hr: Tensor, window: int, stride: int, count: int) -> Record:
    """Return the scores of an image, the windows of its grid, and its worst cases, at most `count`."""
    # M x sH x sW, squared grey levels
    errors = np.stack([luma_error(result.sr, hr).square().numpy() for result in comparison.results])
    metrics = [(metric, result) for result in comparison.results for metric in ("psnr_y", "ssim_y")]
    return {
        "scores": {f"{metric} {each.model}": getattr(each, metric) for metric, each in metrics},
        "windows": _grid(comparison, hr, errors, window),
        "cases": [from_case(case) for case in _cases(name, comparison, hr, errors, window, stride, count)],
    }


def _trim(found: Mapping[int, Record], count: int) -> None:
    """Keep the worst `count` cases alone; of equal losses those of the first images."""
    ranked = sorted((-case["loss_db"], i, n) for i, record in found.items() for n, case in enumerate(record["cases"]))
    kept = Counter(i for _, i, _ in ranked[:count])
    for i, record in found.items():
        del record["cases"][kept[i] :]  # the worst of an image come first


def _cases(
    name: str,
    comparison: Comparison,
    hr: Tensor,
    errors: np.ndarray,
    window: int,
    stride: int,
    count: int,
) -> list[Case]:
    """Return the windows of one image that are lost by most, at most `count` and each by more than `LEAST_LOSS` dB.

    Only windows where the excess error peaks, for half a window around: by its loss alone a flat window that just
    touches a failure would outrank the window that holds it.
    """
    rows, columns = (starts(length, window, stride) for length in errors.shape[1:])
    mse = window_means(errors, window, rows, columns)  # M x R x C
    best = mse[1:].argmin(axis=0)
    rival = mse[1:].min(axis=0)
    excess = mse[0] - rival
    peaks = excess == scipy.ndimage.maximum_filter(excess, size=window // 2 // stride * 2 + 1)
    loss = np.where(peaks, loss_db(mse[0], rival), -np.inf)
    places = pick(loss, window, rows, columns, count=count, above=LEAST_LOSS, overlap=OVERLAP)
    regions = [Region(int(columns[j]), int(rows[i]), window) for i, j in places]
    return [
        _case(name, comparison, hr, region, 1 + int(best[place]), float(loss[place]))
        for region, place in zip(regions, places, strict=True)
    ]


def _case(name: str, comparison: Comparison, hr: Tensor, region: Region, best: int, loss: float) -> Case:
    """Describe one case; `best` is the index of the model it is lost to."""
    true = luma(region.crop(hr))[0, 0].numpy()
    own, other = (detail(luma(region.crop(comparison.results[index].sr))[0, 0].numpy(), true) for index in (0, best))
    scores = {result.model: region_scores(result.sr, hr, region) for result in comparison.results}
    surroundings, inset = _cut(comparison, hr, region)
    return Case(
        image=name,
        x=region.x,
        y=region.y,
        window=region.size,
        kind=kind_of_loss(own, other),
        loss_db=loss,
        against=comparison.results[best].model,
        psnr_y={model: psnr for model, (psnr, _) in scores.items()},
        ssim_y={model: ssim for model, (_, ssim) in scores.items()},
        missing=own.missing - other.missing,
        invented=own.invented - other.invented,
        high_frequency_db=own.high_frequency_db,
        texture=texture(true),
        surroundings=surroundings,
        inset=inset,
    )


def _cut(comparison: Comparison, hr: Tensor, region: Region) -> tuple[Comparison, Region]:
    """Return the neighbourhood of a window, in whole LR pixels, and the window within it."""
    scale = comparison.scale
    side = -(-_SURROUNDINGS * region.size // scale)  # in LR pixels, as far as the image goes
    y, x = (
        min(max((start + region.size // 2) // scale - side // 2, 0), max(length - side, 0))
        for start, length in zip((region.y, region.x), comparison.lr.shape[2:], strict=True)
    )

    def cut(image: Tensor, factor: int) -> Tensor:  # a copy: a view would keep the whole image in memory
        return image[..., factor * y : factor * (y + side), factor * x : factor * (x + side)].clone()

    near = replace(
        comparison,
        lr=cut(comparison.lr, 1),
        hr=cut(hr, scale),
        results=tuple(replace(result, sr=cut(result.sr, scale)) for result in comparison.results),
    )
    return near, Region(region.x - scale * x, region.y - scale * y, region.size)


def _grid(comparison: Comparison, hr: Tensor, errors: np.ndarray, window: int) -> dict[str, Tensor]:
    """Return the columns of `FailureStudy.windows`, but for the image."""
    rows, columns = (np.arange(0, length - window + 1, window) for length in errors.shape[1:])
    y, x = np.meshgrid(rows, columns, indexing="ij")
    slope, *mse = window_means(np.stack([gradient(luma(hr)[0, 0].numpy()), *errors]), window, rows, columns)
    names = (f"mse {result.model}" for result in comparison.results)
    values = {"x": x, "y": y, "texture": slope, **dict(zip(names, mse, strict=True))}
    return {name: torch.from_numpy(each.ravel()) for name, each in values.items()}


def _windows(name: str, columns: Mapping[str, Tensor]) -> pd.DataFrame:
    return pd.DataFrame({"image": name, **{key: values.numpy() for key, values in columns.items()}})
