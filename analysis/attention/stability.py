"""How far a change of the input by 1e-6 travels in a PromptSR, by depth, and what the choice of categories adds to it.

A category is the index of a largest similarity (eq. 7 and 10), so it jumps where two are nearly equal. The same change
with the categories held as they were shows how the network would react without jumps. A fresh network with a bicubic
skip returns bicubic interpolation: its features tell more than its result.

model = load_model("promptsr-x4")
study = finish(stability([model, untrained(model)], image))
study.layers, study.results, study.steps
"""

from collections.abc import Generator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from analysis.ablations.networks import promptsr_of
from analysis.attention.maps import LAYERS, check_anchors
from analysis.common.module_flow import hold_outputs, record_modules
from analysis.common.token_grid import TokenGrid
from promptsr.config import ModelConfig
from promptsr.evaluation.stability import STEP, Change, compare, moved
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import ConfigError
from promptsr.support.files import finite
from promptsr.zoo.sr_model import SRModel, common_scale

STEPS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Sizes of the step for which the change of the result is measured."""


@dataclass(frozen=True)
class Moving:
    """Event: progress of the study."""

    model: str
    done: int
    """Passes finished."""
    total: int


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass of an image through a network."""

    values: dict[str, Tensor]
    """Output of each layer that was asked for, by its name, and of the network as `output`."""
    categories: dict[str, Tensor]
    """Category of each token, B x HW, by the name of its tap."""


@dataclass(frozen=True, eq=False)
class StabilityStudy:
    """Changes of one image in several networks, computed in float64: rounding plays no part."""

    scale: int
    step: float
    """Every value of the input moves by this, up or down at random."""
    draws: int
    layers: pd.DataFrame
    """A row per network and layer, means over the draws: model; layer (`encoder`, `block 1.1`, `group 1`, ...,
    `fusion`, `output`); change, the norm of the difference over the norm of the layer's output, and change_held, the
    same with the categories of the input that was not moved; coarse_flips and fine_flips, the share of the image's
    pixels whose category changes (NaN but for blocks)."""
    results: pd.DataFrame
    """A row per network, categories (`free` or `held`) and draw: model, categories, draw, share (of the 8-bit values
    that differ), levels (largest difference, in 8-bit values) and psnr (dB, between both results)."""
    steps: pd.DataFrame
    """A row per network and step, for the first draw: model, step, change and change_held: root mean square of the
    difference of the results, grey levels (of 255)."""
    photo: Tensor
    """1 x 3 x H x W in [0, 1], the input."""
    difference: np.ndarray
    """sH x sW: the largest change of a colour in the first network's result over the draws, grey levels (of 255)."""

    @property
    def models(self) -> tuple[str, ...]:
        """Return the names of the networks."""
        return tuple(dict.fromkeys(self.layers["model"]))

    def of(self, model: str, layer: str) -> dict[str, float]:
        """Return the numbers of one layer."""
        row = self.layers[(self.layers["model"] == model) & (self.layers["layer"] == layer)].iloc[0]
        return {name: float(row[name]) for name in ("change", "change_held", "coarse_flips", "fine_flips")}

    def result(self, model: str, categories: str) -> dict[str, float]:
        """Return the change of a result: means of share and psnr over the draws, and the largest of levels."""
        rows = self.results[(self.results["model"] == model) & (self.results["categories"] == categories)]
        means = {name: float(rows[name].mean()) for name in ("share", "psnr")}
        return {**means, "levels": int(rows["levels"].max())}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; None for numbers that do not exist."""
        height, width = self.photo.shape[2:]
        values = {"scale": self.scale, "step": self.step, "draws": self.draws, "width": width, "height": height}
        tables = {name: getattr(self, name).to_dict("records") for name in ("layers", "results", "steps")}
        plain: dict[str, Any] = finite({**values, **tables})
        return plain


def layers_of(config: ModelConfig) -> dict[str, str]:
    """Return the layers along the depth of a PromptSR: name -> path of the module."""
    layers = {"encoder": "encoder"}
    for group in range(config.groups):
        for block in range(config.blocks_per_group):
            layers[f"block {group + 1}.{block + 1}"] = f"groups.{group}.blocks.{block}"
        layers[f"group {group + 1}"] = f"groups.{group}"
    return {**layers, "fusion": "fusion"}


@torch.no_grad()
def run(network: nn.Module, image: Tensor, layers: Mapping[str, str], categories: Sequence[str] = ()) -> Pass:
    """Send an image through a network and keep what layers return.

    Args:
        network: any.
        image: B x 3 x H x W.
        layers: name -> path of a module; of a module that returns several values the first one counts.
        categories: names of taps.
    """
    with record(network, categories) as taps, record_modules(network, layers) as seen:
        output = network(image)
    values = {name: flow.output for name, flow in seen.items()}
    values = {name: value if isinstance(value, Tensor) else value[0] for name, value in values.items()}
    return Pass({**values, "output": output}, dict(taps))


def relative_changes(one: Pass, other: Pass) -> dict[str, float]:
    """Return for each layer the norm of the difference of two passes over the norm of the first one's output."""
    return {
        name: float((other.values[name] - value).norm() / value.norm().clamp_min(torch.finfo(value.dtype).tiny))
        for name, value in one.values.items()
    }


def stability(
    models: Sequence[SRModel], image: Tensor, *, step: float = STEP, draws: int = 3
) -> Generator[Moving, None, StabilityStudy]:
    """Move an image by next to nothing, and follow the change through each network.

    Args:
        models: PromptSRs of one scale with anchor prompting; the first one's result is kept as a picture.
        image: 1 x 3 x H x W in [0, 1].
        step: every value moves by this, up or down.
        draws: directions that are drawn, each network gets the same.

    Raises:
        UserError: a model is not a PromptSR with anchor prompting, or a setting is impossible.
    """
    scale = common_scale(models)
    if draws < 1:
        raise ConfigError(f"The number of draws must be 1 or more, not {draws}.")
    if not 0 < step <= 1:
        raise ConfigError(f"The step must lie between 0 and 1, not {step:g}.")
    networks = [promptsr_of(model) for model in models]
    for network in networks:
        check_anchors(network.config)
    total = len(models) * (1 + 2 * draws + 2 * len(STEPS))
    tables: dict[str, list[pd.DataFrame]] = {"layers": [], "results": [], "steps": []}
    pictures: list[np.ndarray] = []
    for number, (model, plain) in enumerate(zip(models, networks, strict=True)):
        work = _Work(deepcopy(plain).double(), image.double().to(model.device))
        begun = number * total // len(models)
        yield Moving(model.name, begun, total)
        work.start()
        layers: list[pd.DataFrame] = []
        for draw in range(draws):
            yield Moving(model.name, begun + 1 + 2 * draw, total)
            found, changes, difference = work.draw(step, draw)
            layers.append(found)
            rows = [{"categories": name, "draw": draw, **change} for name, change in changes.items()]
            tables["results"].append(pd.DataFrame(rows).assign(model=model.name))
            if number == 0:
                pictures.append(difference)
        tables["layers"].append(pd.concat(layers).groupby("layer", sort=False).mean().reset_index())
        tables["layers"][-1].insert(0, "model", model.name)
        for index, size in enumerate(STEPS):
            yield Moving(model.name, begun + 1 + 2 * draws + 2 * index, total)
            tables["steps"].append(pd.DataFrame([{"model": model.name, "step": size, **work.result_change(size)}]))
    layers_table, results, steps = (pd.concat(parts, ignore_index=True) for parts in tables.values())
    return StabilityStudy(
        scale,
        step,
        draws,
        layers_table,
        results[["model", "categories", "draw", "share", "levels", "psnr"]],
        steps,
        image,
        np.max(pictures, axis=0),
    )


class _Work:
    """One network in float64, and its pass over the image that is not moved."""

    def __init__(self, network: PromptSR, image: Tensor) -> None:
        self._network, self._image = network, image
        config = network.config
        self._layers = layers_of(config)
        self._grid = TokenGrid(config, *image.shape[2:])
        self._taps = {
            (f"block {group + 1}.{block + 1}", kind): f"groups.{group}.blocks.{block}.global_prompting.{kind}_category"
            for group, block, kind in product(range(config.groups), range(config.blocks_per_group), LAYERS)
        }

    def start(self) -> None:
        """Send the image itself through the network."""
        self._base = run(self._network, self._image, self._layers, list(self._taps.values()))

    def _passes(self, step: float, seed: int) -> tuple[Pass, Pass]:
        """Send the moved image through the network, with free categories and with those of the image itself."""
        other = moved(self._image, step, seed)
        free = run(self._network, other, self._layers, list(self._taps.values()))
        with hold_outputs(self._network, self._base.categories):
            return free, run(self._network, other, self._layers)

    def draw(self, step: float, seed: int) -> tuple[pd.DataFrame, dict[str, dict[str, float]], np.ndarray]:
        """Return the rows of the layers, the change of the result free and held, and a map of it in grey levels."""
        free, held = self._passes(step, seed)
        flips: dict[tuple[str, str], float] = {}
        for (layer, kind), tap in self._taps.items():
            differs = free.categories[tap][0] != self._base.categories[tap][0]  # HW
            flips[layer, kind] = float(self._grid.cut(differs).mean())
        kept = relative_changes(self._base, held)
        rows = [
            {
                "layer": layer,
                "change": change,
                "change_held": kept[layer],
                **{f"{kind}_flips": flips.get((layer, kind), float("nan")) for kind in LAYERS},
            }
            for layer, change in relative_changes(self._base, free).items()
        ]
        one = self._base.values["output"]
        results = {"free": free.values["output"], "held": held.values["output"]}
        changes = {name: _plain(compare(name, one, other)) for name, other in results.items()}
        difference = 255 * (results["free"] - one).abs().amax(1)[0]  # 1 x 3 x sH x sW -> sH x sW
        return pd.DataFrame(rows), changes, difference.cpu().numpy()

    def result_change(self, step: float) -> dict[str, float]:
        """Return the root mean square change of the result in grey levels, for the first draw."""
        one = self._base.values["output"]
        free, held = (255 * (made.values["output"] - one).square().mean().sqrt() for made in self._passes(step, 0))
        return {"change": float(free), "change_held": float(held)}


def _plain(change: Change) -> dict[str, float]:
    return {name: value for name, value in asdict(change).items() if name != "name"}
