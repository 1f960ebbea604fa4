"""Is a local attribution map true? Pixels are blurred in the order of the map and put back: does the window follow?

Deletion and insertion (Petsiuk et al., "RISE", BMVC 2018) against other orders, and captum's infidelity and
sensitivity (Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019).
"""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor

from analysis.common.image_windows import Region
from analysis.lam.attribution import AT_ONCE, Attribution, PathSettings
from analysis.lam.blur_path import BlurPath
from analysis.lam.method import LocalAttributionMap
from promptsr.imaging.metrics import psnr_y, quantize
from promptsr.inference.upscaler import Progress
from promptsr.zoo.sr_model import SRModel

ORDERS = ("map", "gradient", "distance", "random")
"""Orders of the pixels: by the map, by the gradient of the detector, the nearest to the window first, by chance."""
SHARES = tuple((i / 8) ** 2 for i in range(9))
"""Shares of the pixels at which the window is looked at; closer where few pixels are blurred."""
FEW = SHARES[1]
"""Share at which orders are compared in a sentence."""
PARTS = {"all": 0, "far": 8}
"""Parts of the input, and how far from the window their pixels are at least, in input pixels.

The nearest pixels make most of any window, so that every order which begins with them looks good; where a network
looks beyond them is seen without them.
"""
_RANDOM = 2  # orders by chance, of which the mean is taken
_MOVE = 1e-3  # of the input, largest change of a value, for the sensitivity
_MOVES = 2
_SQUARES = 8  # along a side, for the infidelity


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """Change of a window as pixels of the input are blurred, and put back, in the order of a map and in others."""

    model: str
    curves: pd.DataFrame
    """A row per part of `PARTS`, order of `ORDERS`, way ("deletion", or for all pixels "insertion" too) and share of
    `SHARES`: part, order,
    way, share; change (of the window, RMS against the result of the sharp input, in grey levels), detector, psnr_y (dB,
    of the window; NaN without HR image). Pixels outside the part stay sharp."""

    @cached_property
    def areas(self) -> pd.DataFrame:
        """Area below the curve of each part and order, as a share of the change when the whole part is blurred.

        Columns part, order, way and area: large for deletion and small for insertion if the order begins with the
        pixels that matter. NaN where blurring the part changes nothing.
        """
        wide = self.curves.pivot(index="share", columns=["part", "order", "way"], values="change")
        rows = []
        for part, order, way in wide.columns:
            largest = float(wide[part][order]["deletion"].iloc[-1]) or math.nan
            area = float(np.trapezoid(wide[part][order][way], wide.index)) / largest
            rows.append({"part": part, "order": order, "way": way, "area": area})
        return pd.DataFrame(rows)

    def advantage(self, order: str, part: str = "all") -> float:
        """Return the area between the curves of the map and of another order, the mean over the ways; above 0 if the
        map's order is the better one.
        """
        areas = self.areas[self.areas["part"] == part].set_index(["order", "way"])["area"]
        gained = areas["map"] - areas[order]
        return float((gained * np.where(gained.index == "deletion", 1, -1)).mean())

    def ratio(self, order: str = "distance", part: str = "all") -> float:
        """Return how many times more the window changes by blurring the first few pixels of the map than of this order.

        Infinite where the latter alone changes nothing, NaN where both do.
        """
        few = self.curves[(self.curves["way"] == "deletion") & (self.curves["share"] == FEW)]
        change = few[few["part"] == part].set_index("order")["change"]
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.divide(change["map"], change[order]))

    @property
    def sentence(self) -> str:
        """Say what the map is worth, in a sentence."""
        far = PARTS["far"]
        if not self.curves.loc[self.curves["part"] == "far", "change"].any():
            return f"Pixels that are farther than {far} from the window do not change it."
        by_distance, by_chance = (
            "over 99" if ratio > 99 else f"{ratio:.1f}"
            for ratio in (self.ratio(part="far"), self.ratio("random", "far"))
        )
        return (
            f"Of the pixels farther than {far} from the window, blurring the {100 * FEW:.1f} % that the map calls most "
            f"important changes the window {by_distance} times as much as blurring as many nearest ones, and "
            f"{by_chance} times as much as blurring as many at random."
        )


def mean_changes(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the mean change over windows as a share of that when the whole part is blurred; NaN where that is 0.

    Args:
        curves: of one window or several, as `Faithfulness.curves`, and a column model.

    Returns:
        Columns model, part, order, way, share and change.
    """
    means = curves.groupby(["model", "part", "order", "way", "share"], sort=False, as_index=False)["change"].mean()
    whole = means[(means["way"] == "deletion") & (means["share"] == 1)]
    largest = means.merge(whole, on=["model", "part", "order"], how="left")["change_y"].to_numpy()
    return means.assign(change=means["change"].to_numpy() / np.where(largest > 0, largest, np.nan))


def check_faithfulness(
    model: SRModel,
    lr: Tensor,
    attribution: Attribution,
    hr: Tensor | None = None,
    *,
    seed: int = 0,
) -> Generator[Progress, None, Faithfulness]:
    """Blur and restore the pixels of an input in the order of its map and in others; closing it stops the work.

    Args:
        model: with gradients.
        lr: the input of the map, 1 x 3 x H x W in [0, 1].
        attribution: the map.
        hr: 1 x 3 x sH x sW in [0, 1], for the PSNR of the window.
        seed: of the orders by chance.

    Yields:
        Passes that are done.

    Raises:
        UserError: the model gives no gradients.
    """
    method, region = LocalAttributionMap(model), attribution.region
    blurred = BlurPath(lr, attribution.settings).points([0])
    jobs = [
        (part, order, rank, way, share)
        for part, nearest in PARTS.items()
        for order, rank in _orders(method, lr, attribution, nearest, seed)
        for way in ("deletion", *(("insertion",) if part == "all" else ()))
        for share in SHARES
    ]
    with torch.no_grad():
        sharp = region.crop(model(lr))
    looks: dict[tuple[str, float], dict[str, float]] = {}
    """By part and share of it that is blurred, where that tells all: nothing and everything."""
    rows = []
    for done, (part, order, rank, way, share) in enumerate(jobs, start=1):
        limit = round(share * int(rank.isfinite().sum()))
        taken = rank < limit if way == "deletion" else (rank >= limit) & rank.isfinite()  # H x W
        same = part, share if way == "deletion" else 1 - share
        look = looks.get(same)
        if look is None:
            # One by one: where categories are at stake, a batch's rounding would change the window too.
            with torch.no_grad():
                output = model(torch.where(taken, blurred, lr))
            look = _look(method, output, region, sharp, None if hr is None else region.crop(hr))
            if share in (0, 1):
                looks[same] = look
        rows.append({"part": part, "order": order, "way": way, "share": share, **look})
        yield Progress(done, len(jobs))
    curves = pd.DataFrame(rows).groupby(["part", "order", "way", "share"], sort=False, as_index=False).mean()
    return Faithfulness(attribution.model, curves)


def _orders(
    method: LocalAttributionMap, lr: Tensor, attribution: Attribution, nearest: int, seed: int
) -> Iterator[tuple[str, Tensor]]:
    """Yield orders of the pixels from this distance on, with each rank: H x W, 0 for the first, else infinite."""
    region, scale = attribution.region, attribution.scale
    image = lr.clone().requires_grad_()
    [slope] = torch.autograd.grad(method.detect(image, region), image)
    # How far a pixel's middle is from the window, in input pixels; 0 inside.
    outside = [
        np.maximum(np.abs((np.arange(length) + 0.5) - (start + region.size / 2) / scale) - region.size / 2 / scale, 0)
        for start, length in zip((region.y, region.x), lr.shape[2:], strict=True)
    ]
    distance = np.hypot(outside[0][:, None], outside[1])  # H x W
    far = distance >= nearest
    weights = {"map": attribution.map, "gradient": slope[0].abs().sum(0).cpu().numpy(), "distance": -distance}
    chance = np.random.default_rng(seed)
    for order, weight in [*weights.items(), *(("random", chance.random(far.shape)) for _ in range(_RANDOM))]:
        ranks = np.full(far.shape, np.inf)
        ranks[tuple(np.argwhere(far)[np.argsort(-weight[far], kind="stable")].T)] = np.arange(far.sum())
        yield order, torch.from_numpy(ranks).to(lr.device)


def _look(
    method: LocalAttributionMap, output: Tensor, region: Region, sharp: Tensor, hr: Tensor | None
) -> dict[str, float]:
    """Return what the window of 1 x 3 x sH x sW looks like."""
    window = region.crop(output)
    psnr = math.nan if hr is None else psnr_y(quantize(window), hr, 0)
    change = 255 * float((window - sharp).square().mean().sqrt())
    return {"change": change, "detector": float(method.variation(output, region)), "psnr_y": psnr}


def infidelity_of(model: SRModel, lr: Tensor, attribution: Attribution, *, at_once: int = AT_ONCE) -> float:
    """Return captum's infidelity of a map, for each of 8 x 8 squares of the input blurred once.

    The mean squared error of what the map foretells for the detector, as a share of the mean square of what it does: 0
    for a perfect map, 1 for one of zeros, NaN where the detector stays the same.

    Args:
        model: with gradients.
        lr: the input of the map, 1 x 3 x H x W in [0, 1].
        attribution: the map.
        at_once: images in one pass.
    """
    method, blurred = LocalAttributionMap(model), BlurPath(lr, attribution.settings).points([0])
    height, width = lr.shape[2:]
    rows, columns = (torch.arange(side) * _SQUARES // side for side in (height, width))
    squares = (rows[:, None] * _SQUARES + columns).to(lr.device)  # H x W, the number of the square

    answers: list[Tensor] = []

    def ask(inputs: Tensor, region: Region) -> Tensor:
        answers.append(method.detect(inputs, region))
        return answers[-1]

    def measured(values: Tensor, detect: Callable[..., Tensor]) -> float:
        following = iter(range(_SQUARES**2))

        def blur(inputs: Tensor) -> tuple[Tensor, Tensor]:
            inside = torch.stack([squares == next(following) for _ in inputs])[:, None]  # B x 1 x H x W
            return inside.expand_as(inputs).to(inputs), torch.where(inside, blurred, inputs)

        with torch.no_grad():
            error = infidelity(
                detect,
                blur,
                lr,
                values,
                additional_forward_args=(attribution.region,),
                n_perturb_samples=_SQUARES**2,
                max_examples_per_batch=at_once,
            )
        return float(error)

    values = torch.from_numpy(attribution.values)[None].to(lr)
    nothing = measured(torch.zeros_like(values), ask)
    again = iter(answers)  # captum asks the same questions again
    return measured(values, lambda *_: next(again)) / nothing if nothing else math.nan


def sensitivity_of(model: SRModel, lr: Tensor, region: Region, *, seed: int = 0, at_once: int = AT_ONCE) -> float:
    """Return captum's sensitivity of a window's map: its largest relative change as the input moves by up to 1e-3.

    Args:
        model: with gradients.
        lr: 1 x 3 x H x W in [0, 1].
        region: the window, in output pixels.
        seed: of the two movements.
        at_once: as in `LocalAttributionMap.stream`.
    """
    method = LocalAttributionMap(model)

    def explained(inputs: tuple[Tensor, ...]) -> Tensor:
        found = method.attribute(inputs[0], region, PathSettings.quick(), at_once=at_once)
        assert isinstance(found, Tensor)
        return found

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = sensitivity_max(explained, lr, perturb_radius=_MOVE, n_perturb_samples=_MOVES, max_examples_per_batch=1)
    return float(found)
