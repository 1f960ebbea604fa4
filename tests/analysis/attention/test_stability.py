"""How far a small change travels, against Jacobians, planted jumps, and categories counted another way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.ablations.networks import untrained
from analysis.attention.categories import categories
from analysis.attention.stability import STEPS, StabilityStudy, layers_of, relative_changes, run, stability
from analysis.common.module_flow import hold_outputs
from promptsr.evaluation.stability import moved
from promptsr.model.taps import record
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel
from tests.analysis.attention.conftest import WINDOWS_ONLY, hooks, noise, uneven

STEP = 1e-6


@pytest.fixture(scope="module")
def model() -> SRModel:
    return SRModel("small", 2, uneven())


@pytest.fixture(scope="module")
def study(model: SRModel) -> StabilityStudy:
    return finish(stability([model, untrained(model)], noise(20, 27), step=1e-4, draws=2))


class Threshold(nn.Module):
    """The hard choice of a network whose features are about 0.5."""

    def forward(self, values: Tensor) -> Tensor:
        return (values > 0.5).to(values)


def stack(middle: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), middle, nn.Conv2d(8, 3, 3, padding=1)).double().eval()


def test_smooth_layers_change_by_their_jacobian() -> None:
    network, image = stack(nn.Tanh()), noise(9, 12).double()
    other = moved(image, STEP, seed=3)
    layers = {"first": "0", "middle": "1"}
    changes = relative_changes(*(run(network, each, layers) for each in (image, other)))
    for name, part in (("first", network[:1]), ("middle", network[:2]), ("output", network)):
        function: Callable[..., Any] = part
        value, slope = torch.autograd.functional.jvp(function, image, other - image)
        assert changes[name] == pytest.approx(float(slope.norm() / value.norm()), rel=1e-4)
    assert list(changes) == ["first", "middle", "output"]


@pytest.mark.parametrize("step", [1e-3, 1e-6, 1e-9])
def test_a_planted_choice_jumps_however_small_the_step(step: float) -> None:
    network, image = nn.Sequential(nn.Identity(), Threshold()), torch.full((1, 3, 30, 30), 0.5).double()
    other = moved(image, step)
    changes = relative_changes(*(run(network, 1 - each + 0.5 * step, {"first": "0"}) for each in (image, other)))
    assert changes["first"] == pytest.approx(2 * step, rel=1e-2 + step)
    share = float((other > image).double().mean())  # 1 - x + step/2 is above 0.5 until x goes up by a step
    assert changes["output"] == pytest.approx(share**0.5)


def test_held_categories_leave_a_smooth_network(model: SRModel) -> None:
    """The change is that of a central difference with a step 100 times as large."""
    network, image = uneven().double(), noise(20, 27).double()
    layers = layers_of(network.config)
    base = run(network, image, layers, ["*_category"])
    direction = moved(image, STEP, 1) - image
    with hold_outputs(network, base.categories):
        ahead, behind = (run(network, image + sign * 100 * direction, layers) for sign in (1, -1))
    found = finish(stability([model], noise(20, 27), step=STEP, draws=2))
    with hold_outputs(network, base.categories):
        near = relative_changes(base, run(network, image + direction, layers))
    for name, value in base.values.items():
        slope = (ahead.values[name] - behind.values[name]).norm() / 200 / value.norm()
        assert near[name] == pytest.approx(float(slope), rel=1e-3)
    first = relative_changes(base, _held(network, base.categories, moved(image, STEP, 0), layers))
    mean = {name: (first[name] + near[name]) / 2 for name in near}
    assert {name: found.of("small", name)["change_held"] for name in mean} == pytest.approx(mean)


def _held(network: nn.Module, values: dict[str, Tensor], image: Tensor, layers: dict[str, str]) -> Any:
    with hold_outputs(network, values):
        return run(network, image, layers)


def test_flips_are_those_of_the_category_maps(study: StabilityStudy) -> None:
    network, image = uneven().double(), noise(20, 27).double()
    base, others = categories(network, image), [categories(network, moved(image, 1e-4, seed)) for seed in (0, 1)]
    counts = []
    for place, labels in enumerate(base.maps):
        shares = [float((other.maps[place].labels != labels.labels).mean()) for other in others]
        found = study.of("small", f"block {labels.group}.{labels.block}")[f"{labels.kind}_flips"]
        assert found == pytest.approx(np.mean(shares))
        counts.append(found)
    assert max(counts) > 0
    assert np.isnan(study.of("small", "group 1")["coarse_flips"])


def test_ties_flip_and_only_free_categories_carry_them_on(model: SRModel) -> None:
    """On a flat image most similarities are equal: a step of any size decides the categories anew."""
    found = finish(stability([model], torch.full((1, 3, 48, 48), 0.5), draws=1))
    first, last = found.of("small", "block 1.1"), found.of("small", "output")
    assert first["fine_flips"] + first["coarse_flips"] > 0.3
    assert last["change"] > 100 * last["change_held"]
    steps = found.steps.set_index("step")
    assert steps["change"][1e-8] > 1000 * steps["change_held"][1e-8]
    held = steps["change_held"].to_numpy()
    np.testing.assert_allclose(held[1:6] / held[:5], 10, rtol=0.02)


def test_tables_and_picture(model: SRModel, study: StabilityStudy) -> None:
    assert study.models == ("small", "small, untrained") and (study.scale, study.draws) == (2, 2)
    names = ["encoder", *(f"{kind} {place}" for group in "12" for kind, place in
             (("block", f"{group}.1"), ("block", f"{group}.2"), ("group", group))), "fusion", "output"]  # fmt: skip
    assert study.layers["layer"].tolist() == 2 * names
    assert study.steps["step"].tolist() == 2 * list(STEPS)
    assert len(study.results) == 8 and study.results["categories"].tolist() == 4 * ["free", "held"]
    network, image = uneven().double(), noise(20, 27).double()
    with torch.no_grad():
        one, other, another = (network(each) for each in (image, moved(image, 1e-4), moved(image, 1e-4, seed=1)))
    changes = torch.maximum((other - one).abs(), (another - one).abs())
    np.testing.assert_allclose(study.difference, 255 * changes.amax(1)[0].numpy())
    row = study.steps[(study.steps["model"] == "small") & (study.steps["step"] == 1e-4)].iloc[0]
    assert row["change"] == pytest.approx(255 * float((one - other).square().mean().sqrt()))
    free = study.results[(study.results["model"] == "small") & (study.results["categories"] == "free")]
    assert free["psnr"].iloc[0] == pytest.approx(-10 * np.log10(float((one - other).square().mean())))
    assert study.result("small", "free")["levels"] == free["levels"].max()
    assert study.to_dict()["layers"][0]["coarse_flips"] is None  # of the encoder


def test_nothing_is_left_behind(model: SRModel, study: StabilityStudy) -> None:
    assert hooks(model.network) == []
    assert all(parameter.dtype == torch.float32 for parameter in model.network.parameters())
    network = uneven()
    held = torch.zeros(1, 24 * 32, dtype=torch.int64)
    tap = "groups.0.blocks.0.global_prompting.fine_category"
    with hold_outputs(network, {tap: held}), record(network, [tap]) as seen, torch.no_grad():
        network(noise())
    assert seen[tap].unique().tolist() == [0] and hooks(network) == []


@pytest.mark.parametrize(
    ("hint", "name", "settings"),
    [
        ("is not a PromptSR", "bicubic", {}),
        ("without anchor prompting", "plain", {}),
        ("draws must be 1 or more", "small", {"draws": 0}),
        ("must lie between 0 and 1", "small", {"step": 0.0}),
    ],
)
def test_refusals(hint: str, name: str, settings: dict[str, Any], model: SRModel) -> None:
    models = {"small": model, "plain": SRModel("plain", 2, uneven(**WINDOWS_ONLY)), "bicubic": load_model("bicubic-x2")}
    with pytest.raises(UserError, match=hint):
        finish(stability([models[name]], noise(), **settings))
