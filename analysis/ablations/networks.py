"""Ablations of the promptings: networks trained without some, and one network with some switched off.

These are two experiments. The paper's Fig. 10 and Table IV compare networks that were *trained* with different
promptings (`trained_ablations`); each had the chance to make up for what it lacks. Switching a prompting off inside one
trained network (`switched_off_series`) asks how much that network leans on it; such results must be called what they
are, and say little about what training without it would give.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from promptsr.config import ModelConfig, preset
from promptsr.model.cascade import CascadePromptingBlock
from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.formats import read_config
from promptsr.zoo.load import OWN_MODELS, WEIGHTS, load_model
from promptsr.zoo.sr_model import SRModel

TABLE_IV = ("ablation-windows-only", "ablation-anchor", "ablation-anchor-coarse", "ablation-base")
"""The presets of its rows, from the first to the last."""


def trained_ablations(scale: int) -> list[SRModel]:
    """Find trained networks that differ in nothing but their promptings, in the order of Table IV.

    They are found by their configurations among the bundled weights and the `.safetensors` files in the folder that
    `PROMPTSR_MODELS` names, whatever their size; of several sizes the one with the most rows is taken. Their training
    is not compared.

    Returns:
        Two to four models, or none, as a single row is no ablation. No ablations are bundled.

    Raises:
        CheckpointError: one of them has unusable weights.
    """

    def row(config: ModelConfig) -> int | None:
        rows = [row_config(config, name) for name in TABLE_IV]
        return rows.index(config) if config in rows else None

    return _longest_series(scale, lambda config: row_config(config, TABLE_IV[-1]), row)


def alpha_series(scale: int) -> list[SRModel]:
    """Find trained networks that differ in nothing but alpha of eq. 8, the smallest first (Table VI).

    They are found as in `trained_ablations`; of several series the one with the most alphas is taken.

    Returns:
        Two models or more, or none, as a single alpha is no series.

    Raises:
        CheckpointError: one of them has unusable weights.
    """

    def alpha(config: ModelConfig) -> float | None:
        return config.prompt_update if config.anchor_prompting else None

    return _longest_series(scale, lambda config: replace(config, prompt_update=0.0), alpha)


def _longest_series(
    scale: int, base: Callable[[ModelConfig], ModelConfig], place: Callable[[ModelConfig], float | None]
) -> list[SRModel]:
    """Load the longest series of networks of one `base`, two or more, ordered by `place`; None keeps one out of all.

    Of bundled checkpoints and those in the user's own folder, the first of each configuration counts.
    """
    series: dict[ModelConfig, dict[float, Path]] = {}
    for folder in (WEIGHTS, os.environ.get(OWN_MODELS)):
        for path in sorted(Path(folder).rglob("*.safetensors")) if folder else []:
            with suppress(CheckpointError):  # another network's file
                config = read_config(path)
                if config.scale == scale and (at := place(config)) is not None:
                    series.setdefault(base(config), {}).setdefault(at, path)
    best = max(series.values(), key=len, default={})
    return [load_model(best[at]) for at in sorted(best)] if len(best) > 1 else []


def row_config(config: ModelConfig, name: str) -> ModelConfig:
    """Return this configuration with the promptings of a preset, such as one of `TABLE_IV`."""
    row = preset(name)
    promptings = ("anchor_prompting", "coarse_prompting", "fine_prompting")
    return replace(config, **{prompting: getattr(row, prompting) for prompting in promptings})


class Nothing(nn.Module):
    """Zeros in the shape of its input: a branch of a residual layer that adds nothing."""

    def forward(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value)


def switched(network: PromptSR, *, anchor: bool = True, coarse: bool = True, fine: bool = True) -> PromptSR:
    """Return a copy of a trained network with promptings switched off in every block; the original stays as it is.

    Args:
        network: any PromptSR that has the promptings to be switched off.
        anchor: without it the attention branch of every GAPL adds nothing: eq. 11 loses its term of X_p, with the bias
            of the projection, and leaves X as it is; eq. 12, the feed-forward network, is kept. The anchors and their
            similarity maps are still computed, so that the categories of `coarse` and `fine` are there.
        coarse: without it the first LPL of every block keeps its window attention alone (eq. 13 without CSA), as in
            a network that is built with `coarse_prompting=False`.
        fine: the same for the second LPL (eq. 15), as with `fine_prompting="off"`. The third row of Table IV is
            another one: there the second LPL attends within the coarse categories.

    Returns:
        The copy. Its `config` remains that of the trained network.
    """
    copy = deepcopy(network)
    for block in [module for module in copy.modules() if isinstance(module, CascadePromptingBlock)]:
        if not anchor:
            block.set_submodule("global_prompting.projection", Nothing(), strict=True)
        if not coarse:
            block.coarse_prompting.category_attention = None
        if not fine:
            block.fine_prompting.category_attention = None
    return copy


def switched_off_series(model: SRModel) -> list[SRModel]:
    """Return one trained network with its promptings switched on one by one, from none to the whole network.

    Raises:
        UserError: the model is not a PromptSR with all three promptings.
    """
    network = model.network
    if not isinstance(network, PromptSR) or network.config != row_config(network.config, TABLE_IV[-1]):
        raise UserError(f"{model.name} is not a PromptSR with all three promptings: choose one, such as promptsr-x4.")
    parts = {
        "all three switched off": switched(network, anchor=False, coarse=False, fine=False),
        "anchor only": switched(network, coarse=False, fine=False),
        "anchor + coarse": switched(network, fine=False),
    }
    return [*(replace(model, name=f"{model.name}, {label}", network=part) for label, part in parts.items()), model]


def untrained(model: SRModel, seed: int = 0) -> SRModel:
    """Return the same configuration with fresh weights, drawn with `seed`, as a control for what was learned.

    Raises:
        UserError: the model is not a PromptSR.
    """
    network = fresh(promptsr_of(model).config, seed)
    return replace(model, name=f"{model.name}, untrained", network=network.to(model.device))


def fresh(config: ModelConfig, seed: int = 0) -> PromptSR:
    """Build a network as it is before training, on the CPU, its weights drawn with `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PromptSR(config).eval().requires_grad_(False)


def update_off(model: SRModel) -> SRModel:
    """Return the same weights without the anchor prompt update (eq. 8 with alpha = 0 in every GAPL), all else equal.

    Raises:
        UserError: the model is not a PromptSR with anchor prompting.
    """
    trained = promptsr_of(model)
    if not trained.config.anchor_prompting:
        raise UserError(f"{model.name} was built without anchor prompting: there is no update to switch off.")
    network = fresh(replace(trained.config, prompt_update=0.0))
    network.load_state_dict(trained.state_dict())
    return replace(model, name=f"{model.name}, update off", network=network.to(model.device))


def promptsr_of(model: SRModel) -> PromptSR:
    """Return the network of a PromptSR; raise a `UserError` for any other model."""
    if not isinstance(model.network, PromptSR):
        raise UserError(f"{model.name} is not a PromptSR: choose one, such as promptsr-x4.")
    return model.network
