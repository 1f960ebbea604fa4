"""The fused path and the explicit one compute the same network, and the fused one never stores a map."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from promptsr import kernels
from promptsr.config import preset
from promptsr.model import attention
from promptsr.model.network import PromptSR, build_model
from promptsr.model.taps import explicit_attention, record
from tests.support.kernels import given_categories

ROOT = Path(__file__).resolve().parents[2]
Lively = Callable[..., PromptSR]

# Settings, batch, height and width
CASES: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "odd sizes": ({}, (1, 17, 23)),
    "batch": ({}, (3, 11, 9)),
    "one window": ({"window_size": 8}, (1, 8, 8)),
    "one window high": ({"window_size": 8}, (1, 5, 19)),
    "one pixel": ({}, (1, 1, 1)),
    "few anchors": ({"anchor_stride": 8, "window_size": 8, "channels": 16, "heads": 4}, (2, 21, 13)),
    "odd window": ({"window_size": 5, "scale": 3}, (1, 13, 7)),
    "window of one": ({"window_size": 1}, (1, 5, 6)),
    "one head": ({"heads": 1, "scale": 4}, (1, 9, 15)),
    "groups that do not divide": ({"category_size": 7}, (1, 9, 11)),
    "one group of all": ({"category_size": 500}, (1, 9, 11)),
    "linear prompt projection": ({"prompt_projection": "linear"}, (1, 15, 13)),
    "no prompt update": ({"prompt_update": 0.0}, (1, 13, 15)),
    "strong prompt update": ({"prompt_update": 0.5}, (1, 13, 15)),
    "bicubic skip": ({"bicubic_skip": True, "scale": 3}, (1, 7, 13)),
    "windows only": (
        {"anchor_prompting": False, "coarse_prompting": False, "fine_prompting": "off"},
        (1, 11, 13),
    ),
    "anchors only": ({"coarse_prompting": False, "fine_prompting": "off"}, (1, 11, 13)),
    "coarse twice": ({"fine_prompting": "coarse"}, (1, 11, 13)),
    "fine only": ({"coarse_prompting": False}, (1, 11, 13)),
}
case = pytest.mark.parametrize(("settings", "shape"), CASES.values(), ids=CASES.keys())


def random_image(shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    batch, height, width = shape
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def recorded_categories(network: PromptSR, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Output of the fused path, and its categories."""
    patterns = ["*_category"] if network.config.anchor_prompting else []
    with record(network, patterns) as seen:
        return network(image), seen


def both_paths(network: PromptSR, image: Tensor) -> tuple[Tensor, Tensor]:
    """Output of the fused path, and of the explicit one with the categories of the fused one."""
    fused, categories = recorded_categories(network, image)
    with given_categories(network, categories), explicit_attention(network):
        return fused, network(image)


def gradients(output: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Gradients of a random projection of the output; every input must have one."""
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=output.dtype)
    return list(torch.autograd.grad((output * weights).sum(), inputs))


def largest_difference(a: list[Tensor], b: list[Tensor]) -> float:
    """Relative to the largest entry of all: some gradients, such as that of a key's bias, are zero by analysis."""
    scale = max(x.detach().abs().max() for x in b)
    assert scale > 0
    return float(max((x - y).detach().abs().max() for x, y in zip(a, b, strict=True)) / scale)


def compare(network: PromptSR, image: Tensor, inputs: list[Tensor], tolerance: float = 1e-4) -> Tensor:
    """Compare output and gradients of both paths; return the output."""
    fused, explicit = both_paths(network, image)
    assert largest_difference([fused], [explicit]) < tolerance
    assert largest_difference(gradients(fused, inputs), gradients(explicit, inputs)) < tolerance
    return fused


@case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_and_gradients_agree(
    lively: Lively, settings: dict[str, Any], shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    network = lively(**settings).to(dtype)
    image = random_image(shape).to(dtype).requires_grad_()
    compare(network, image, [image, *network.parameters()], 1e-4 if dtype == torch.float32 else 1e-10)


@case
def test_paths_agree_in_a_frozen_network(lively: Lively, settings: dict[str, Any], shape: tuple[int, int, int]) -> None:
    network = lively(**settings).requires_grad_(False)
    image = random_image(shape).requires_grad_()
    fused = compare(network, image, [image])
    with torch.no_grad():
        assert largest_difference([network(image)], [fused]) < 1e-6


@given(
    batch=st.integers(1, 2),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    window=st.integers(2, 6),
    stride=st.sampled_from([2, 4]),
    size=st.integers(1, 40),
    projection=st.sampled_from(["depthwise", "linear"]),
)
def test_paths_agree_at_every_size(
    lively: Lively, batch: int, height: int, width: int, window: int, stride: int, size: int, projection: str
) -> None:
    network = lively(
        window_size=window,
        anchor_stride=stride,
        category_size=size,
        prompt_projection=projection,
        groups=1,
    ).requires_grad_(False)
    image = random_image((batch, height, width)).requires_grad_()
    assert compare(network, image, [image]).shape == (batch, 3, 2 * height, 2 * width)


@pytest.mark.parametrize("trained", [True, False])
def test_a_batch_gives_what_each_image_alone_gives(lively: Lively, trained: bool) -> None:
    network = lively().requires_grad_(trained)
    images = random_image((3, 13, 10))
    together, categories = recorded_categories(network, images)
    for i in range(3):
        mine = {name: value[i : i + 1] for name, value in categories.items()}
        with given_categories(network, mine):
            assert largest_difference([network(images[i : i + 1])], [together[i : i + 1]]) < 1e-5


@torch.no_grad()
def test_a_block_gives_the_same_bits_alone_and_in_a_batch() -> None:
    """Check every layer at the paper's width: no sum depends on the number of images."""
    if kernels.why_not():
        pytest.skip(f"torch's products may depend on the batch. {kernels.why_not()}")
    torch.manual_seed(0)
    network = build_model("promptsr", groups=1, blocks_per_group=2)
    x = torch.randn(3, 32, 48, network.config.channels, generator=torch.Generator().manual_seed(0))

    def run(features: Tensor) -> Tensor:
        previous = None
        for block in network.groups[0].blocks:  # type: ignore[union-attr]
            features, previous = block(features, previous)
        return features

    together = run(x)
    for i in range(3):
        assert torch.equal(run(x[i : i + 1].contiguous()), together[i : i + 1])


@pytest.mark.parametrize("kind", ["noise", "flat", "pattern"])
def test_free_categories_differ_only_where_the_best_two_are_alike(lively: Lively, kind: str) -> None:
    """Layer by layer on equal inputs: after each layer the explicit run goes on with the fused run's categories."""
    image = {
        "noise": random_image((1, 40, 40)),
        "flat": 0.5 + 1e-6 * random_image((1, 40, 40)),
        "pattern": random_image((1, 8, 8)).repeat(1, 1, 5, 5),  # most anchors have equals: rounding decides
    }[kind]
    compared = 0
    for seed in range(3):
        network = lively(seed=seed).requires_grad_(False)
        _, fused = recorded_categories(network, image)
        # Hooks run in order: what is recorded is the explicit path's own choice, what flows on is the fused one's.
        with record(network, ["*_category", "*_map"]) as explicit, given_categories(network, fused):
            network(image)
        for name, choice in fused.items():
            similarities = explicit[name.replace("category", "map")]
            if name.endswith("coarse_category"):
                similarities = similarities.transpose(1, 2)  # B x n x HW -> B x HW x n
            own = explicit[name]
            assert torch.equal(own, similarities.argmax(2))
            gap = (similarities.gather(2, own[..., None]) - similarities.gather(2, choice[..., None]))[..., 0]
            extent = float(similarities.max() - similarities.min())
            assert bool((gap <= 1e-5 * extent).all())
            compared += own.numel()
    assert compared == 3 * 4 * 2 * 1600  # networks, blocks, maps, tokens


def digest(network: PromptSR) -> str:
    with torch.no_grad():
        return hashlib.sha256(network(random_image((2, 37, 45))).numpy().tobytes()).hexdigest()


def test_two_runs_are_bit_equal(lively: Lively) -> None:
    network = lively()
    assert digest(network) == digest(network) == digest(lively())
    with explicit_attention(network):
        assert digest(network) == digest(network)


def test_two_processes_are_bit_equal() -> None:
    program = (
        "import torch, hashlib; from promptsr import build_model; torch.manual_seed(0); torch.set_num_threads(1);"
        "network = build_model('promptsr', scale=2, channels=16, groups=1, blocks_per_group=2, window_size=8);"
        "output = network.requires_grad_(False)(torch.rand(1, 3, 45, 37));"
        "print(hashlib.sha256(output.numpy().tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", program]
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (run.communicate(timeout=120)[0].strip() for run in runs)
    assert len(first) == 64 and first == second


class LargestTensor(TorchDispatchMode):
    """Notes the size of the largest storage that an operation returns."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, list | tuple) else [out]:
            if isinstance(value, Tensor):
                self.elements = max(self.elements, value.untyped_storage().nbytes() // value.element_size())
        return out


def largest_tensor(network: PromptSR, height: int, width: int, *, explicit: bool = False, grad: bool = False) -> int:
    image = random_image((1, height, width)).requires_grad_(grad)
    with LargestTensor() as meter, explicit_attention(network) if explicit else nullcontext():
        output = network(image)
        if grad:
            output.sum().backward()
    return meter.elements


def test_fused_path_never_stores_a_map() -> None:
    network = PromptSR(preset("promptsr-tiny", groups=1, blocks_per_group=1)).requires_grad_(False)
    tokens, anchors = 96 * 160, 96 * 160 // 64
    largest = largest_tensor(network, 96, 160)
    assert largest < tokens * anchors / 2
    assert largest < tokens * 8 * 8 * 2  # nor the weights of all windows: ws^2 for each of two heads
    assert largest_tensor(network, 192, 160) <= 2 * largest  # twice the pixels, twice the memory
    # The meter does see what is stored
    assert largest_tensor(network, 48, 80, explicit=True) >= tokens / 4 * anchors / 4


def test_gradient_of_the_image_needs_no_map_either(lively: Lively, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_CHUNK_ELEMENTS", 1 << 12)
    network = lively(groups=1, window_size=8, scale=1).requires_grad_(False)
    tokens, anchors = 32 * 24, 16 * 12
    largest = largest_tensor(network, 32, 24, grad=True)
    assert largest < tokens * anchors / 4
    assert largest < tokens * 8 * 8 * 2
    assert largest_tensor(network, 64, 24, grad=True) <= 2 * largest
    assert largest_tensor(network, 32, 24, grad=True, explicit=True) >= tokens * anchors
