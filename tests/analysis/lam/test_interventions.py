"""Interventions in PromptSR: what each puts in, and that the network is as before when they end."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.ablations.networks import fresh, promptsr_of, update_off
from analysis.common.image_windows import Region
from analysis.lam.interventions import (
    intervene,
    mean_prompts,
    prompts_of,
    shuffled_categories,
    without_update,
)
from promptsr.config import preset
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.fingerprint import fingerprint
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

REGION = Region(16, 12, 8)
Intervention = Callable[[PromptSR, Tensor], AbstractContextManager[None]]
INTERVENTIONS: dict[str, Intervention] = {
    "mean": lambda network, image: mean_prompts(network),
    "mirrored": lambda network, image: prompts_of(network, network, image.flip(3)),
    "twin": lambda network, image: prompts_of(network, fresh(network.config), image),
    "coarse": lambda network, image: shuffled_categories(network, "coarse"),
    "fine": lambda network, image: shuffled_categories(network, "fine"),
    "update": lambda network, image: without_update(network),
}


@pytest.fixture(scope="module")
def model() -> SRModel:
    return load_model("promptsr-tiny-x2")


@pytest.fixture(scope="module")
def image() -> Tensor:
    """Random, 1 x 3 x 20 x 24: the network pads it."""
    return torch.from_numpy(np.random.default_rng(0).random((1, 3, 20, 24), dtype=np.float32))


@torch.no_grad()
def result(network: PromptSR, image: Tensor) -> Tensor:
    output: Tensor = network(image)
    return output


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_network_is_as_before_afterwards(model: SRModel, image: Tensor, name: str) -> None:
    network = promptsr_of(model)
    before, weights = result(network, image), fingerprint(network)
    with INTERVENTIONS[name](network, image):
        inside = result(network, image)
    assert (inside - before).abs().max() > 1e-3
    assert torch.equal(result(network, image), before)
    with pytest.raises(KeyError), INTERVENTIONS[name](network, image):
        raise KeyError
    assert torch.equal(result(network, image), before) and fingerprint(network) == weights


def test_what_is_put_in(model: SRModel, image: Tensor) -> None:
    network = promptsr_of(model)
    tap = "groups.0.blocks.1.global_prompting"

    def seen(intervention: AbstractContextManager[None] | None, of: str, source: PromptSR = network) -> Tensor:
        with torch.no_grad(), record(source, [f"{tap}.{of}"]) as taps:
            if intervention is None:
                source(image)
            else:
                with intervention, record(source, [f"{tap}.{of}"]) as inner:  # its hook comes last
                    source(image)
                return inner[f"{tap}.{of}"]
        return taps[f"{tap}.{of}"]

    twin = fresh(network.config)
    assert torch.equal(seen(prompts_of(network, twin, image), "anchor_prompts"), seen(None, "anchor_prompts", twin))
    mean = seen(mean_prompts(network), "anchor_prompts")
    assert torch.equal(mean, mean[:, :1].expand_as(mean))
    for kind in ("coarse", "fine"):
        # In the first block nothing else has changed before.
        tap = "groups.0.blocks.0.global_prompting"
        own, other = (
            seen(way, f"{kind}_category")
            for way in (None, shuffled_categories(network, "coarse" if kind == "coarse" else "fine"))
        )
        assert not torch.equal(own, other) and torch.equal(own.sort()[0], other.sort()[0])


def test_nothing_changes_where_nothing_is_replaced(model: SRModel, image: Tensor) -> None:
    network = promptsr_of(model)
    before = result(network, image)
    with prompts_of(network, network, image):  # its own
        assert torch.equal(result(network, image), before)
    with mean_prompts(network):
        once = result(network, image)
        with mean_prompts(network):  # of prompts that are all equal
            assert torch.equal(result(network, image), once)
    with without_update(network):
        off = result(network, image)
        with without_update(network):
            assert torch.equal(result(network, image), off)
    assert torch.equal(off, result(promptsr_of(update_off(model)), image))  # another way to the same


def test_permutations_follow_their_seed(model: SRModel, image: Tensor) -> None:
    network = promptsr_of(model)
    results = []
    for seed in (0, 0, 1):
        with shuffled_categories(network, "fine", seed):
            results.append(result(network, image))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def test_table(model: SRModel, image: Tensor) -> None:
    hr = (result(promptsr_of(model), image) + 4 / 255).clamp(0, 1)
    table = finish(intervene(model, image, REGION, hr, other=image.flip(2)))
    assert len(table) == len(set(table["intervention"])) == 7
    assert (table["change"] > 0.01).all() and np.isfinite(table[["psnr_lost", "detector_lost"]]).all(axis=None)
    with mean_prompts(promptsr_of(model)):
        difference = REGION.crop(result(promptsr_of(model), image)) - REGION.crop(result_of(model, image))
    expected = table.set_index("intervention")["change"]["prompts: their mean"]
    assert expected == pytest.approx(255 * float(difference.square().mean().sqrt()), rel=1e-4)
    assert finish(intervene(model, image, REGION))["psnr_lost"].isna().all()


def result_of(model: SRModel, image: Tensor) -> Tensor:
    """Return the result of a fresh copy of the model, which no intervention reaches."""
    return result(promptsr_of(load_model(model.name)), image)


def test_what_is_refused(model: SRModel, image: Tensor) -> None:
    with pytest.raises(UserError, match="gives 20 x 20 pixels, but the input has 24 x 20"):
        finish(intervene(model, image, REGION, other=image[..., :20]))
    with pytest.raises(UserError, match="not a PromptSR"):
        finish(intervene(load_model("bicubic-x2"), image, REGION))
    config = replace(preset("ablation-windows-only", scale=2), channels=8, groups=1, heads=2)
    with pytest.raises(UserError, match="without anchor prompting"):
        finish(intervene(SRModel("windows", 2, PromptSR(config)), image, REGION))
