"""The anchor prompt update, off in one network or trained with several alphas; and untrained networks."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from analysis.ablations.networks import alpha_series, untrained, update_off
from analysis.anchors.collect import anchor_prompts
from promptsr.config import ModelConfig, preset
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

IMAGE = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def with_alpha(model: SRModel, alpha: float) -> SRModel:
    """The same weights with another alpha."""
    assert isinstance(model.network, PromptSR)
    network = PromptSR(replace(model.network.config, prompt_update=alpha)).eval()
    network.load_state_dict(model.network.state_dict())
    return replace(model, network=network)


def test_without_the_update_every_block_has_its_own_prompts(small_model: SRModel) -> None:
    strong = with_alpha(small_model, 0.9)
    off = update_off(strong)
    assert isinstance(strong.network, PromptSR) and isinstance(off.network, PromptSR)
    assert strong.network.config.prompt_update == 0.9 and off.name == "small, update off"
    with torch.no_grad(), record(strong.network, ["*.0.blocks.1.*.anchor_prompts", "*.0.blocks.0.*"]) as on:
        strong(IMAGE)
    with torch.no_grad(), record(off.network, ["*.0.blocks.*.anchor_prompts", "*.0.blocks.0.*"]) as seen:
        off(IMAGE)
    first, second = (f"groups.0.blocks.{block}.global_prompting.anchor_prompts" for block in (0, 1))
    assert torch.equal(on[first], seen[first])  # the first block of the first group has nothing to blend in
    torch.testing.assert_close(on[second], 0.9 * seen[first] + 0.1 * seen[second], rtol=0, atol=1e-6)
    assert (on[second] - seen[second]).abs().max() > 1e-3


def test_with_alpha_zero_there_is_nothing_to_switch_off(small_model: SRModel) -> None:
    none = with_alpha(small_model, 0.0)
    with torch.no_grad():
        assert torch.equal(update_off(none)(IMAGE), none(IMAGE))
        assert not torch.equal(update_off(small_model)(IMAGE), small_model(IMAGE))


def test_untrained_weights_are_fresh_and_reproducible(small_model: SRModel) -> None:
    state = torch.get_rng_state()
    first, again, other = (untrained(small_model, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    networks = [model.network for model in (small_model, first, again, other)]
    assert all(isinstance(network, PromptSR) and not network.training for network in networks)
    p, q, r, s = (anchor_prompts(network, IMAGE, None) for network in networks if isinstance(network, PromptSR))
    assert (q == r).all() and not (q == s).any() and not (p == q).any()
    torch.manual_seed(1)
    expected = PromptSR(getattr(small_model.network, "config")).state_dict()  # noqa: B009
    assert all(torch.equal(value, expected[name]) for name, value in first.network.state_dict().items())


def test_other_models_are_refused(small_model: SRModel) -> None:
    for ablate in (untrained, update_off):
        with pytest.raises(UserError, match="bicubic-x4 is not a PromptSR"):
            ablate(load_model("bicubic-x4"))
    plain = PromptSR(preset("ablation-windows-only", channels=8, groups=1, heads=2))
    with pytest.raises(UserError, match="without anchor prompting"):
        update_off(replace(small_model, network=plain))


def test_alphas_are_found_by_what_they_are(save_own: Callable[[str, ModelConfig], None]) -> None:
    save_own("a", preset("ablation-alpha-0.1"))
    save_own("another-size", preset("ablation-base", anchor_stride=4))
    save_own("another-scale", preset("ablation-alpha-0", scale=2))
    save_own("windows", preset("ablation-windows-only"))
    save_own("windows-0", preset("ablation-windows-only", prompt_update=0.0))
    assert alpha_series(4) == []  # one alpha is no series, and without anchor prompting alpha means nothing
    save_own("c", preset("ablation-alpha-0"))
    save_own("z", preset("ablation-base"))
    assert [model.name for model in alpha_series(4)] == ["c", "z", "a"]
    assert alpha_series(2) == []
