"""Learning rates at the paper's steps, averaged weights by hand, and who trains which weights."""

import math
from pathlib import Path
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, optim

from promptsr.model.network import build_model
from promptsr.training import load_recipe
from promptsr.training.averaging import ExponentialMovingAverage
from promptsr.training.optimizers import BatchedMuon, build_optimizers, orthogonalised, rate

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def cosine(step: int, steps: int, warmup: int) -> float:
    return rate(step, steps, warmup, ())


@pytest.mark.parametrize("halve_at", [(), (50, 80)])
def test_warm_up_is_linear_from_the_first_step(halve_at: tuple[int, ...]) -> None:
    assert [rate(step, 100, 4, halve_at) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rate(0, 100, 0, halve_at) == 1.0


def test_halving_is_the_papers() -> None:
    """x2: 500K iterations from 5e-4, halved at 250K, 400K, 450K, 475K and 490K."""
    recipe = load_recipe(CONFIGS / "x2.yaml")
    assert (recipe.lr, recipe.steps, recipe.warmup) == (5e-4, 500_000, 0)
    begins = [0, 250_000, 400_000, 450_000, 475_000, 490_000]
    for begin, end, lr in zip(
        begins, [*begins[1:], 500_000], (5e-4, 2.5e-4, 1.25e-4, 6.25e-5, 3.125e-5, 1.5625e-5), strict=True
    ):
        for step in (begin, end - 1):
            assert recipe.lr * rate(step, recipe.steps, recipe.warmup, recipe.halve_at) == lr


def test_cosine_goes_from_one_to_nothing() -> None:
    assert cosine(10, 110, 10) == 1.0
    assert cosine(60, 110, 10) == pytest.approx(0.5)
    assert cosine(35, 110, 10) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert cosine(110, 110, 10) == pytest.approx(0, abs=1e-15)
    assert 0 < cosine(109, 110, 10) < 1e-3


@given(halve_at=st.lists(st.integers(0, 300)), steps=st.integers(1, 300), warmup=st.integers(0, 400))
def test_rates_rise_to_the_peak_and_then_fall(halve_at: list[int], steps: int, warmup: int) -> None:
    rates = [rate(step, steps, warmup, halve_at) for step in range(steps)]
    assert all(0 < r <= 1 for r in rates)
    peak = min(warmup, steps)
    assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    if warmup < steps and not any(point <= warmup for point in halve_at):
        assert rates[warmup] == 1.0


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build_model(channels=8, groups=1, blocks_per_group=1, window_size=4, heads=2)


def owners(optimizers: list[optim.Optimizer], network: nn.Module) -> dict[str, list[str]]:
    """Names of the parameters that each optimiser trains; no parameter has two."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {
        type(optimizer).__name__: [names.pop(id(p)) for group in optimizer.param_groups for p in group["params"]]
        for optimizer in optimizers
    }
    assert names == {}, "not trained"
    return found


def test_muon_gets_the_matrices_and_adam_the_rest(network: nn.Module) -> None:
    optimizers = build_optimizers(network, "muon", 6e-4, 6e-3)
    found = owners(optimizers, network)
    expected = {
        name
        for name, parameter in network.named_parameters()
        if parameter.ndim == 2 and not name.endswith("position_bias")
    }
    assert set(found["BatchedMuon"]) == expected and set(found) == {"BatchedMuon", "Adam"}
    # By name: every linear layer's weight and nothing else. Position biases are tables, not maps.
    linear = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    assert expected == linear
    tables = [name for name in found["Adam"] if name.endswith("position_bias")]
    assert len(tables) == 2 and any(name.endswith("logit_scale") for name in found["Adam"])
    muon, adam = optimizers
    assert {group["lr"] for group in muon.param_groups} == {6e-3}
    assert {group["weight_decay"] for group in muon.param_groups} == {0.0}
    assert {group["lr"] for group in adam.param_groups} == {6e-4}


def test_adam_is_the_papers(network: nn.Module) -> None:
    optimizers = build_optimizers(network, "adam", 5e-4, 1.0)
    assert set(owners(optimizers, network)) == {"Adam"}
    (group,) = optimizers[0].param_groups
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (5e-4, (0.9, 0.999), 1e-8, 0)


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_a_step_changes_every_weight(kind: Literal["adam", "muon"]) -> None:
    torch.manual_seed(0)
    network = build_model(channels=8, groups=1, blocks_per_group=1, window_size=4, anchor_stride=2, heads=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(torch.rand(1, 3, 8, 8)).square().mean().backward()
    for optimizer in build_optimizers(network, kind, 1e-2, 1e-2):
        optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    # Of a key's bias the softmax sees nothing, but rounding gives even that a gradient most of the time.
    assert before.keys() - changed <= {name for name in before if name.endswith("key.bias")}


class Constant(nn.Module):
    """One weight that tests set."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value], dtype=torch.float64))

    def set(self, value: float) -> None:
        self.weight.data.fill_(value)


@pytest.mark.parametrize("decay", [0.0, 0.15, 0.9])
def test_average_by_hand(decay: float) -> None:
    network = Constant(8.0)
    average = ExponentialMovingAverage(network, decay)
    values = [1.0, 2.0, 4.0, -3.0]
    expected = 8.0
    for step, value in enumerate(values):
        network.set(value)
        average.update(network, step)
        # The decay grows as 1/10, 2/11, 3/12, 4/13, ... up to its final value.
        used = min(decay, (1 / 10, 2 / 11, 3 / 12, 4 / 13)[step])
        expected = used * expected + (1 - used) * value
        assert float(average.weights["weight"]) == pytest.approx(expected, rel=1e-12)


def test_average_decays_by_its_final_value_in_the_end() -> None:
    network = Constant(1.0)
    average = ExponentialMovingAverage(network, 0.999)
    network.set(0.0)
    average.update(network, 10**6)
    assert float(average.weights["weight"]) == pytest.approx(0.999, rel=1e-12)


def test_average_is_apart_from_the_network(network: nn.Module) -> None:
    average = ExponentialMovingAverage(network, 0.9)
    own = network.state_dict()
    assert average.weights.keys() == own.keys()
    assert not any(value.requires_grad for value in average.weights.values())
    assert {v.data_ptr() for v in own.values()}.isdisjoint(v.data_ptr() for v in average.weights.values())


def test_matrices_are_orthogonalised_as_by_the_iteration_in_float64() -> None:
    """One matrix after another, by Keller Jordan's quintic; wide, square and tall ones, and one of zeros."""
    coefficients = (3.4445, -4.7750, 2.0315)
    generator = torch.Generator().manual_seed(0)
    for shape in ((5, 48, 48), (3, 144, 48), (2, 20, 90), (1, 1, 7)):
        matrices = torch.randn(shape, generator=generator)
        matrices[0] = 0
        found = orthogonalised(matrices, coefficients, 5, 1e-7)
        for matrix, mine in zip(matrices.double(), found, strict=True):
            x = matrix / matrix.norm().clamp(min=1e-7)
            for _ in range(5):
                gram = x @ x.T
                x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
            torch.testing.assert_close(mine.double(), x, atol=2e-5, rtol=0)


def test_batched_steps_are_those_of_torch() -> None:
    """Torch orthogonalises in bfloat16: so far from each other, and no farther, three steps may lead."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(48, 48), (144, 48), (48, 48), (8, 30)]
    mine, theirs = ([nn.Parameter(torch.zeros(shape)) for shape in shapes] for _ in range(2))
    optimizers = [BatchedMuon(mine, lr=0.01, weight_decay=0.1), torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1)]
    for _ in range(3):
        for pair in zip(mine, theirs, strict=True):
            gradient = torch.randn(pair[0].shape, generator=generator)
            pair[0].grad, pair[1].grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    for ours, other in zip(mine, theirs, strict=True):
        assert float((ours - other).detach().norm() / other.detach().norm()) < 0.02
    momenta = [[state["momentum_buffer"] for state in optimizer.state.values()] for optimizer in optimizers]
    assert all(map(torch.equal, *momenta))
