"""Similarity of features between layers and between networks: linear CKA (Kornblith et al., ICML 2019).

models = [load_model("promptsr-x4"), load_model("IMDN_x4.pth")]
study = finish(similarity_study(models, find_pairs(Path("Set14/HR"), None)))
study.table
"""

import os
import zlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from analysis.common.bootstrap import bootstrap_interval
from analysis.common.each_image import ImageLog, ImageStep, Record, Tell, check_input_size, for_each_image, plan_of
from analysis.common.image_windows import middle
from analysis.common.module_flow import Flow, record_modules
from promptsr.data import load_pair
from promptsr.data.pairs import PairPaths
from promptsr.support.errors import ConfigError
from promptsr.support.files import finite
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.sr_model import SRModel, check_names, common_scale

MOST_LAYERS = 60
"""Layers of all models together: more are no picture."""
_PROBE = 64
"""Side of the image on which layers are found, input pixels."""
_SMALLEST = 32
"""Shorter side of the smallest usable input, pixels."""


def linear_cka(one: np.ndarray, other: np.ndarray) -> float:
    """Return the linear centred kernel alignment of two sets of features at the same places, in [0, 1].

    HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) of the Gram matrices K and L, which turning or scaling the features leaves
    as it is. Computed from p x q products instead of n x n ones. It is biased: independent features of p and q
    channels have about sqrt(p q) / n.

    Args:
        one: n x p, a row for each place.
        other: n x q.

    Returns:
        NaN where features are the same at every place.
    """
    x, y = (values.astype(np.float64) - values.mean(0, dtype=np.float64) for values in (one, other))
    norm = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / norm) if norm > 0 else float("nan")


def find_layers(model: SRModel, patterns: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the paths of modules whose output is a feature map of the input's size, in the order of the network.

    Without patterns these are the outermost ones: of a PromptSR the encoder, the residual groups, the fusion and the
    convolution before the pixel shuffle. A feature map is B x C x h x w, where h and w are those of the input, or those
    to which the network pads it.

    Args:
        model: any PyTorch model.
        patterns: shell-style patterns of the paths, to choose from the modules at any depth.

    Raises:
        ConfigError: the model has no such module.
    """
    names = {name: name for name, _ in model.network.named_modules() if name}
    image = torch.rand(1, 3, _PROBE, _PROBE, generator=torch.Generator().manual_seed(0)).to(model.device)
    with record_modules(model.network, names) as seen, torch.no_grad():
        model(image)
    maps = {name for name, flow in seen.items() if _is_map(flow)}
    if patterns:
        found = [name for name in names if name in maps and any(fnmatchcase(name, each) for each in patterns)]
    else:
        found = list(_outermost(model.network, "", maps))
    if not found:
        which = f"no module like {', '.join(patterns)}" if patterns else "no module"
        raise ConfigError(f"{model.name} has {which} that returns features of the input's size: choose others.")
    return tuple(found)


def _outermost(module: nn.Module, path: str, maps: set[str]) -> Generator[str, None, None]:
    for name, child in module.named_children():
        below = f"{path}.{name}" if path else name
        if below in maps:
            yield below
        else:
            yield from _outermost(child, below, maps)


def _is_map(flow: Flow) -> bool:
    """Return True for B x C x h x w with sides like those of the probe, but less than twice as long."""
    output = flow.output
    if not isinstance(output, Tensor) or output.ndim != 4:
        return False
    return all(_PROBE <= side < 2 * _PROBE for side in output.shape[2:])


@torch.no_grad()
def features(model: SRModel, image: Tensor, layers: Sequence[str], rows: Tensor, columns: Tensor) -> list[np.ndarray]:
    """Return the features of each layer at n pixels of an image, n x C.

    Args:
        model: any PyTorch model.
        image: 1 x 3 x H x W in [0, 1].
        layers: of `find_layers`.
        rows: n, of the pixels.
        columns: n.
    """
    with record_modules(model.network, {name: name for name in layers}) as seen:
        model(image.to(model.device))
    # 1 x C x h x w -> C x n -> n x C
    return [seen[name].output[0][:, rows, columns].T.float().cpu().numpy() for name in layers]


@dataclass(frozen=True, eq=False)
class SimilarityStudy:
    """Linear CKA between all layers, over the pixels of an image, mean over images."""

    layers: tuple[tuple[str, str], ...]
    """Model and layer."""
    values: np.ndarray
    """Images x layers x layers, NaN where features are constant."""
    chance: np.ndarray
    """Images x layers x layers, with the pixels of one of both layers shuffled."""
    points: int
    """Pixels of an image."""
    skipped: dict[str, str]
    """Images that could not be used, and why."""

    @cached_property
    def mean(self) -> np.ndarray:
        """Return the mean over the images, layers x layers."""
        mean: np.ndarray = self.values.mean(0)
        return mean

    @cached_property
    def table(self) -> pd.DataFrame:
        """Return a row per pair: model, layer, against, against_layer, cka, low and high (95 % interval, bootstrap over
        the images), and chance."""
        rows = []
        for (i, one), (j, other) in product(enumerate(self.layers), repeat=2):
            if i < j:
                values = self.values[:, i, j]
                low, high = bootstrap_interval(values, 0) if np.isfinite(values).all() else (np.nan, np.nan)
                numbers = float(self.mean[i, j]), low, high, float(self.chance[:, i, j].mean())
                rows.append((*one, *other, *numbers))
        names = ["model", "layer", "against", "against_layer", "cka", "low", "high", "chance"]
        return pd.DataFrame(rows, columns=names)

    def closest(self, index: int, model: str) -> tuple[str, float]:
        """Return the layer of another model that is most like a layer, and their CKA; NaN for constant features."""
        own = {layer: self.mean[index, i] for i, (name, layer) in enumerate(self.layers) if name == model}
        best = max(own, key=lambda layer: np.nan_to_num(own[layer], nan=-1.0))
        return best, float(own[best])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; None for numbers that do not exist."""
        plain: dict[str, Any] = finite(
            {
                "images": len(self.values),
                "points": self.points,
                "layers": [{"model": model, "layer": layer} for model, layer in self.layers],
                "cka": self.mean.tolist(),
                "chance": float(np.nanmean(self.chance)),
                "skipped": self.skipped,
            }
        )
        return plain


def similarity_study(
    models: Sequence[SRModel],
    pairs: Sequence[PairPaths],
    *,
    layers: Sequence[str] = (),
    points: int = 2048,
    patch: int = 128,
    left_out: Mapping[str, str] = MappingProxyType({}),
    log: ImageLog | None = None,
    ranks: Ranks = ALONE,
) -> Generator[ImageStep, None, SimilarityStudy]:
    """Compare the features of all layers at the same random pixels; closing the generator stops the work.

    Args:
        models: of one scale and different names.
        pairs: HR images and their LR images (None: bicubic), see `promptsr.data.pairs.find_pairs`.
        layers: patterns as for `find_layers`, of all models.
        points: pixels of an image; with fewer, chance is higher.
        patch: side of the middle of an image that the models see, at most, input pixels.
        left_out: images that are no pairs, by name, with the reasons.
        log: keeps the numbers of every image at once; a stopped study goes on from it.
        ranks: the processes that share the images; each returns the whole.

    Raises:
        UserError: impossible settings or models, no image could be used, or the log cannot be written.
    """
    scale = common_scale(models)
    check_names(models)
    if points < 2:
        raise ConfigError(f"The number of points must be 2 or more, not {points}.")
    if patch < _SMALLEST:
        raise ConfigError(f"The patch must be {_SMALLEST} pixels or more, not {patch}.")
    chosen = [find_layers(model, layers) for model in models]
    everything = tuple((model.name, layer) for model, own in zip(models, chosen, strict=True) for layer in own)
    if len(everything) > MOST_LAYERS:
        raise ConfigError(f"There are {len(everything)} layers, more than {MOST_LAYERS}: choose some with patterns.")

    def work(hr_path: Path, lr_path: Path | None, at: Tell) -> Generator[ImageStep, None, Record]:
        image = middle(load_pair(hr_path, scale, lr_path)[1], patch)
        rng = np.random.default_rng(zlib.crc32(os.fsencode(hr_path.name)))  # other images of the folder have no say
        rows, columns = (torch.from_numpy(rng.integers(side, size=points)) for side in image.shape[2:])
        found: list[np.ndarray] = []
        for model, own in zip(models, chosen, strict=True):
            yield at(model.name)
            found += features(model, image, own, rows, columns)
        shuffled = rng.permutation(points)
        return {
            "cka": [[linear_cka(one, other) for other in found] for one in found],
            "chance": [[linear_cka(one, other[shuffled]) for other in found] for one in found],
        }

    records, skipped = yield from for_each_image(
        pairs,
        partial(check_input_size, scale=scale, least=_SMALLEST),
        work,
        plan=plan_of(models, kind="similarity", layers=everything, points=points, patch=patch),
        left_out=left_out,
        log=log,
        ranks=ranks,
    )
    values, chance = (np.array([record[name] for record in records.values()]) for name in ("cka", "chance"))
    return SimilarityStudy(everything, values, chance, points, skipped)
