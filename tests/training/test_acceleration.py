"""Precision and compilation where they can be had, and a note and the same training where they cannot."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from promptsr import kernels
from promptsr.model.network import build_model
from promptsr.training.acceleration import Acceleration

FABRIC = Fabric(accelerator="cpu", devices=1)
SETTINGS: dict[str, Any] = {"channels": 8, "groups": 1, "blocks_per_group": 1, "window_size": 4, "scale": 2}


def loss_of(network: Callable[[Tensor], Tensor]) -> Tensor:
    image = torch.rand(1, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    return (network(image) - 0.5).abs().mean()


def gradients(network: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_model("promptsr", **SETTINGS)


class Broken:
    """A compiled block that fails, at once or on the way back."""

    def __init__(self, block: Callable[..., tuple[Tensor, Tensor]], where: str) -> None:
        self.block, self.where = block, where

    def __call__(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        if self.where == "forward":
            raise RuntimeError("\nno C++ compiler found\nand more of it")
        features, prompts = self.block(*inputs)

        def fail(_gradient: Tensor) -> None:
            raise RuntimeError("no C++ compiler found")

        if self.where == "backward":
            features.register_hook(fail)
        return features, prompts


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_compiler_that_fails_is_told_and_done_without(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    plain = Acceleration(FABRIC, network, False)
    expected = plain.backward(loss_of)
    wanted = gradients(network)
    network.zero_grad()
    monkeypatch.setattr(torch, "compile", lambda block, dynamic: Broken(block, where))
    acceleration = Acceleration(FABRIC, network, True)
    assert torch.equal(acceleration.backward(loss_of), expected)
    assert all(map(torch.equal, gradients(network), wanted))  # once, not twice
    told = [note for note in acceleration.take_notes() if "compile" in note]
    assert told == ["The network is trained uncompiled, since torch.compile failed: no C++ compiler found"]
    assert acceleration.take_notes() == ()
    network.zero_grad()
    assert torch.equal(acceleration.backward(loss_of), expected)


def test_a_failure_of_the_training_itself_is_not_blamed_on_the_compiler(network: nn.Module) -> None:
    def fail(_network: Callable[[Tensor], Tensor]) -> Tensor:
        raise ValueError("mine")

    for compiled in (False, True):
        with pytest.raises(ValueError, match="mine"):
            Acceleration(FABRIC, network, compiled).backward(fail)


def test_a_later_failure_of_compiled_code_passes_through(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Broken] = []

    def compiled(block: Callable[..., tuple[Tensor, Tensor]], dynamic: bool) -> Broken:
        assert not dynamic
        made.append(Broken(block, "nowhere"))
        return made[-1]

    monkeypatch.setattr(torch, "compile", compiled)
    acceleration = Acceleration(FABRIC, network, True)
    acceleration.backward(loss_of)
    [broken] = made
    broken.where = "forward"
    with pytest.raises(RuntimeError, match="no C"):
        acceleration.backward(loss_of)


def test_compiled_for_real() -> None:
    """Dynamo sees a block as one graph, kernels included, and compiles two for all; a compiler is used if there is one.

    Two groups of three blocks: those with anchor prompts of a block before, and those without.
    """
    torch.manual_seed(0)
    network = build_model("promptsr", **SETTINGS | {"groups": 2, "blocks_per_group": 3})
    plain = Acceleration(FABRIC, network, False).backward(loss_of)
    wanted = gradients(network)
    network.zero_grad()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = Acceleration(FABRIC, network, True)
    torch.testing.assert_close(compiled.backward(loss_of), plain)
    torch.testing.assert_close(gradients(network), wanted, atol=1e-5, rtol=1e-3)
    if compiled.take_notes():  # without a C++ compiler Dynamo alone can be seen
        network.get_submodule("groups.0.blocks.1").compile(dynamic=False, backend="eager", fullgraph=True)
        loss_of(network)
        return
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    assert not torch._dynamo.utils.counters["graph_break"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_recorded_on_a_gpu() -> None:
    """Gradients of images of two sizes, replayed with others, and added up."""
    torch.manual_seed(0)
    network = build_model("promptsr", **SETTINGS)
    fabric = Fabric(accelerator="cuda", devices=1)
    images = [torch.rand(1, 3, side, 8, device="cuda") for side in (8, 12, 8, 12)]
    plain, recorded = (Acceleration(fabric, network.cuda(), compiled) for compiled in (False, True))

    def run(acceleration: Acceleration, image: Tensor) -> float:
        return float(acceleration.backward(lambda module, lr: (module(lr) - 0.5).abs().mean(), image))

    losses = [run(plain, image) for image in images]
    wanted = gradients(network)
    plain.forget()
    for _ in range(2):  # forgotten in between
        assert [run(recorded, image) for image in images] == pytest.approx(losses, rel=1e-4)
        torch.testing.assert_close(gradients(network), wanted, atol=1e-5, rtol=1e-2)
        recorded.forget()
    assert recorded.take_notes() == ()


def test_without_kernels_a_note_says_why(network: nn.Module) -> None:
    with kernels.disabled():
        [note] = Acceleration(FABRIC, network, False).take_notes()
    assert note == "Steps take longer than they need to. The kernels are switched off for now."
