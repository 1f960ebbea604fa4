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


class Broken(nn.Module):
    """A compiled network that fails, at once or on the way back."""

    def __init__(self, network: nn.Module, where: str) -> None:
        super().__init__()
        self.network, self.where = network, where

    def forward(self, image: Tensor) -> Tensor:
        if self.where == "forward":
            raise RuntimeError("\nno C++ compiler found\nand more of it")
        result: Tensor = self.network(image)

        def fail(_gradient: Tensor) -> None:
            raise RuntimeError("no C++ compiler found")

        if self.where == "backward":
            result.register_hook(fail)
        return result


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_compiler_that_fails_is_told_and_done_without(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    plain = Acceleration(FABRIC, network, False)
    expected = plain.backward(loss_of)
    wanted = gradients(network)
    network.zero_grad()
    monkeypatch.setattr(torch, "compile", lambda network: Broken(network, where))
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
    broken = Broken(network, "nowhere")
    monkeypatch.setattr(torch, "compile", lambda _network: broken)
    acceleration = Acceleration(FABRIC, network, True)
    acceleration.backward(loss_of)
    broken.where = "forward"
    with pytest.raises(RuntimeError, match="no C"):
        acceleration.backward(loss_of)


def test_compiled_for_real(network: nn.Module) -> None:
    """Dynamo sees the whole network as one graph, kernels included; where there is a compiler, it is used."""
    plain = Acceleration(FABRIC, network, False).backward(loss_of)
    wanted = gradients(network)
    network.zero_grad()
    compiled = Acceleration(FABRIC, network, True)
    torch.testing.assert_close(compiled.backward(loss_of), plain)
    torch.testing.assert_close(gradients(network), wanted, atol=1e-5, rtol=1e-3)
    assert torch._dynamo.explain(network)(torch.rand(1, 3, 9, 8)).graph_break_count == 0


def test_without_kernels_a_note_says_why(network: nn.Module) -> None:
    with kernels.disabled():
        [note] = Acceleration(FABRIC, network, False).take_notes()
    assert note == "Steps take longer than they need to. The kernels are switched off for now."
