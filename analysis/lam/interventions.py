"""Interventions inside a PromptSR: one part is replaced while everything else stays, and the window is compared.

Each intervention is a context manager that replaces what flows through taps; afterwards the network is as it was.

with mean_prompts(network):
    network(image)
table = finish(intervene(model, image, region, hr))
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from typing import Literal

import pandas as pd
import torch
from torch import Tensor

from analysis.ablations.networks import fresh, promptsr_of
from analysis.common.image_windows import Region
from analysis.common.module_flow import hold_outputs
from analysis.lam.window_effect import WindowProbe
from promptsr.inference.upscaler import Progress
from promptsr.model.global_prompting import GlobalAnchorPromptingLayer
from promptsr.model.network import PromptSR
from promptsr.model.taps import record, tap_names
from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import SRModel

_PROMPTS = "anchor_prompts"
"""Tap on P of each block, after the update of eq. 8, before eq. 9 and the next block read it."""


def can_intervene(model: SRModel) -> bool:
    """Return whether a model is a PromptSR with anchor prompting."""
    return isinstance(model.network, PromptSR) and model.network.config.anchor_prompting


def check_other(other: Tensor | None, lr: Tensor) -> None:
    """Raise a UserError if another image, 1 x 3 x H x W, has not the size of the input: their anchors would differ."""
    if other is not None and other.shape != lr.shape:
        raise UserError(
            f"The other image gives {other.shape[3]} x {other.shape[2]} pixels, but the input has {lr.shape[3]} x "
            f"{lr.shape[2]}: choose a larger one."
        )


@contextmanager
def replaced_taps(network: PromptSR, kind: str, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the context every tap of a kind, such as "anchor_prompts", returns a function of what enters it."""
    with ExitStack() as stack:
        for name in tap_names(network):
            if name.rsplit(".", 1)[-1] == kind:
                handle = network.get_submodule(name).register_forward_hook(lambda _tap, _inputs, value: function(value))
                stack.callback(handle.remove)
        yield


def mean_prompts(network: PromptSR) -> AbstractContextManager[None]:
    """Replace the anchor prompts of every block by their mean over the anchors, those of the padding included."""

    def mean(prompts: Tensor) -> Tensor:  # B x n x C; in float64, so that equal ones stay as they are
        return prompts.double().mean(dim=1, keepdim=True).to(prompts.dtype).expand_as(prompts)

    return replaced_taps(network, _PROMPTS, mean)


@contextmanager
def prompts_of(network: PromptSR, source: PromptSR, image: Tensor) -> Iterator[None]:
    """Replace the anchor prompts of every block by those that a network of the same configuration makes of an image.

    Args:
        network: where they are replaced.
        source: the network itself for another image, or another network.
        image: 1 x 3 x H x W in [0, 1], of the size that the network will get.
    """
    with torch.no_grad(), record(source, [f"*.{_PROMPTS}"]) as seen:
        source(image)
    with hold_outputs(network, dict(seen)):
        yield


def shuffled_categories(
    network: PromptSR, kind: Literal["coarse", "fine"], seed: int = 0
) -> AbstractContextManager[None]:
    """Replace a category map of every block by a random permutation of its tokens: the categories keep their sizes."""
    chance = torch.Generator().manual_seed(seed)

    def shuffled(category: Tensor) -> Tensor:  # B x HW
        return category[:, torch.randperm(category.shape[1], generator=chance).to(category.device)]

    return replaced_taps(network, f"{kind}_category", shuffled)


@contextmanager
def without_update(network: PromptSR) -> Iterator[None]:
    """Leave out the update of the anchor prompts: eq. 8 with alpha = 0 in every block."""
    with ExitStack() as stack:
        for layer in network.modules():
            if isinstance(layer, GlobalAnchorPromptingLayer):
                stack.callback(setattr, layer, "alpha", layer.alpha)
                layer.alpha = 0.0
        yield


def intervene(
    model: SRModel, lr: Tensor, region: Region, hr: Tensor | None = None, *, other: Tensor | None = None, seed: int = 0
) -> Generator[Progress, None, pd.DataFrame]:
    """Measure what each intervention does to a window; closing the generator stops the work.

    Args:
        model: a PromptSR with anchor prompting; between passes it is as it was before.
        lr: 1 x 3 x H x W in [0, 1].
        region: the window, in output pixels.
        hr: 1 x 3 x sH x sW in [0, 1], for the PSNR of the window.
        other: another image of the same shape as `lr`, whose anchor prompts are put in too.
        seed: of the permutations and of the untrained twin.

    Yields:
        Interventions that are done.

    Returns:
        A row per intervention: intervention; change, psnr_lost and detector_lost as in `Effect`.

    Raises:
        UserError: the model is not a PromptSR with anchor prompting, `other` has another size, or the window leaves the
            result.
    """
    network = promptsr_of(model)
    if not can_intervene(model):
        raise UserError(f"{model.name} was built without anchor prompting: there is nothing to replace.")
    check_other(other, lr)
    twin = fresh(network.config, seed).to(lr)
    interventions: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "prompts: their mean": partial(mean_prompts, network),
        "prompts: of the mirrored image": partial(prompts_of, network, network, lr.flip(3)),
        **({} if other is None else {"prompts: of another image": partial(prompts_of, network, network, other)}),
        "prompts: of the untrained twin": partial(prompts_of, network, twin, lr),
        "prompts: without update": partial(without_update, network),
        "coarse categories: shuffled": partial(shuffled_categories, network, "coarse", seed),
        "fine categories: shuffled": partial(shuffled_categories, network, "fine", seed),
    }
    probe = WindowProbe(model, lr, region, hr)
    rows = []
    for done, (name, intervention) in enumerate(interventions.items(), start=1):
        with torch.no_grad(), intervention():
            output = model(lr)
        rows.append({"intervention": name, **asdict(probe.effect(output))})
        yield Progress(done, len(interventions))
    return pd.DataFrame(rows)
