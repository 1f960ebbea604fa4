"""Ablations of the promptings: networks trained without some, and one network with some switched off.

These are two experiments. The paper's Fig. 10 and Table IV compare networks that were *trained* with different
promptings (`trained_ablations`); each had the chance to make up for what it lacks. Switching a prompting off inside one
trained network (`switched_off_series`) asks how much that network leans on it; such results must be called what they
are, and say little about what training without it would give.
"""

import os
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
from promptsr.zoo.checkpoints import read_config
from promptsr.zoo.load import OWN_MODELS, WEIGHTS, load_model
from promptsr.zoo.sr_model import SRModel

TABLE_IV = ("ablation-windows-only", "ablation-anchor", "ablation-anchor-coarse", "ablation-base")
"""The presets of its rows, from the first to the last."""


def trained_ablations(scale: int) -> list[SRModel]:
    """Trained networks that differ in nothing but their promptings, in the order of Table IV.

    They are found by their configurations among the bundled weights and the `.safetensors` files in the folder that
    `PROMPTSR_MODELS` names, whatever their size; of several sizes the one with the most rows is taken. How they were
    trained is not looked at.

    Returns:
        Two to four models, or none: a single row is no ablation. No ablations are bundled.

    Raises:
        CheckpointError: one of them has unusable weights.
    """
    sizes: dict[ModelConfig, dict[ModelConfig, Path]] = {}
    for config, path in _trained().items():
        sizes.setdefault(row_config(config, TABLE_IV[-1]), {})[config] = path
    best: list[Path] = []
    for size, paths in sizes.items():
        rows = [paths[row] for name in TABLE_IV if (row := row_config(size, name)) in paths]
        if size.scale == scale and len(rows) > max(1, len(best)):
            best = rows
    return [load_model(path) for path in best]


def alpha_series(scale: int) -> list[SRModel]:
    """Trained networks that differ in nothing but alpha of eq. 8, the smallest first (Table VI).

    They are found as `trained_ablations` finds its own; of several series the one with the most alphas is taken.

    Returns:
        Two models or more, or none: a single alpha is no series.

    Raises:
        CheckpointError: one of them has unusable weights.
    """
    sizes: dict[ModelConfig, dict[float, Path]] = {}
    for config, path in _trained().items():
        if config.anchor_prompting and config.scale == scale:
            sizes.setdefault(replace(config, prompt_update=0.0), {})[config.prompt_update] = path
    best = max(sizes.values(), key=len, default={})
    return [load_model(best[alpha]) for alpha in sorted(best)] if len(best) > 1 else []


def _trained() -> dict[ModelConfig, Path]:
    """The PromptSR checkpoints that are bundled and in the user's own folder, the first of each configuration."""
    own = os.environ.get(OWN_MODELS)
    found: dict[ModelConfig, Path] = {}
    for folder in [WEIGHTS, *([Path(own)] if own else [])]:
        for path in sorted(folder.glob("*.safetensors")):
            with suppress(CheckpointError):  # another network's file
                found.setdefault(read_config(path), path)
    return found


def row_config(config: ModelConfig, name: str) -> ModelConfig:
    """This configuration with the promptings of a preset, such as one of `TABLE_IV`."""
    row = preset(name)
    return replace(
        config,
        anchor_prompting=row.anchor_prompting,
        coarse_prompting=row.coarse_prompting,
        fine_prompting=row.fine_prompting,
    )


class Nothing(nn.Module):
    """Zeros in the shape of its input: a branch of a residual layer that adds nothing."""

    def forward(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value)


def switched(network: PromptSR, *, anchor: bool = True, coarse: bool = True, fine: bool = True) -> PromptSR:
    """A copy of a trained network with promptings switched off in every block; the original stays as it is.

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

    Raises:
        UserError: the network was built without the prompting that is to be switched off.
    """
    config = network.config
    for name, kept, built in (
        ("anchor", anchor, config.anchor_prompting),
        ("coarse", coarse, config.coarse_prompting),
        ("fine", fine, config.fine_prompting != "off"),
    ):
        if not (kept or built):
            raise UserError(f"The network was built without {name} prompting: there is nothing to switch off.")
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
    """One trained network with its promptings switched on one after the other, from none to the whole network.

    Raises:
        UserError: the model is no PromptSR with all three promptings.
    """
    network = model.network
    if not isinstance(network, PromptSR) or network.config != row_config(network.config, TABLE_IV[-1]):
        raise UserError(f"{model.name} is no PromptSR with all three promptings: choose one, such as promptsr-tiny-x4.")
    parts = {
        "all three switched off": switched(network, anchor=False, coarse=False, fine=False),
        "anchor only": switched(network, coarse=False, fine=False),
        "anchor + coarse": switched(network, fine=False),
    }
    return [*(replace(model, name=f"{model.name}, {label}", network=part) for label, part in parts.items()), model]


def untrained(model: SRModel, seed: int = 0) -> SRModel:
    """The same configuration with fresh weights, drawn with `seed`: what it shows too was not learned.

    Raises:
        UserError: the model is no PromptSR.
    """
    network = fresh(_promptsr(model).config, seed)
    return replace(model, name=f"{model.name}, untrained", network=network.to(model.device))


def fresh(config: ModelConfig, seed: int = 0) -> PromptSR:
    """A network as it is before training, on the CPU, its weights drawn with `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PromptSR(config).eval().requires_grad_(False)


def update_off(model: SRModel) -> SRModel:
    """The same weights without the anchor prompt update (eq. 8 with alpha = 0 in every GAPL), and nothing else changed.

    Raises:
        UserError: the model is no PromptSR with anchor prompting.
    """
    trained = _promptsr(model)
    if not trained.config.anchor_prompting:
        raise UserError(f"{model.name} was built without anchor prompting: there is no update to switch off.")
    network = PromptSR(replace(trained.config, prompt_update=0.0)).eval().requires_grad_(False)
    network.load_state_dict(trained.state_dict())
    return replace(model, name=f"{model.name}, update off", network=network.to(model.device))


def _promptsr(model: SRModel) -> PromptSR:
    if not isinstance(model.network, PromptSR):
        raise UserError(f"{model.name} is no PromptSR: choose one, such as promptsr-tiny-x4.")
    return model.network
