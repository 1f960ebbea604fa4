"""The paper's equations, recomputed in float64 with numpy from the weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf
from torch import Tensor, nn
from torch.nn import functional as F

from promptsr.imaging.resize import upscale
from promptsr.model.local_prompting import LocalPromptingLayer
from promptsr.model.network import PromptSR, ResidualGroup, build_model, pad_to_multiple
from promptsr.model.taps import record
from promptsr.support.errors import UserError

Lively = Callable[..., PromptSR]
Weights = dict[str, np.ndarray]

GAPL = "groups.{}.blocks.{}.global_prompting"


def close(value: Tensor, expected: np.ndarray | Tensor) -> None:
    torch.testing.assert_close(value, torch.as_tensor(expected), atol=1e-10, rtol=1e-10)


def image(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def weights_of(module: nn.Module) -> Weights:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def linear(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def depthwise(x: np.ndarray, w: Weights, name: str, stride: int) -> np.ndarray:
    """x: H x W x C."""
    kernel, bias = w[f"{name}.weight"][:, 0], w[f"{name}.bias"]  # C x k x k
    k = kernel.shape[1]
    padded = np.pad(x, ((k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    out = np.zeros((x.shape[0] // stride, x.shape[1] // stride, x.shape[2]))
    for i, j, c in np.ndindex(out.shape):
        out[i, j, c] = (padded[i * stride : i * stride + k, j * stride : j * stride + k, c] * kernel[c]).sum() + bias[c]
    return out


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def feed_forward(x: np.ndarray, w: Weights) -> np.ndarray:
    """FFN(LN(x))."""
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    hidden = linear(x * w["norm.weight"] + w["norm.bias"], w, "feed_forward.0")
    return linear(0.5 * hidden * (1 + erf(hidden / np.sqrt(2))), w, "feed_forward.2")


def global_prompting(
    x: np.ndarray, w: Weights, stride: int, alpha: float, previous: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Eq. 6 to 12 for one image, x: H x W x C; every value by the name of its tap."""
    height, width, c = x.shape
    tokens = x.reshape(-1, c)
    q, k, v = (linear(tokens, w, name) for name in ("query", "key", "value"))
    a = linear(depthwise(x, w, "downscale", stride).reshape(-1, c), w, "anchor")
    coarse = a @ k.T / np.sqrt(c)
    p = softmax(coarse) @ v
    if previous is not None:
        p = alpha * previous + (1 - alpha) * p
    prompts = p.reshape(height // stride, width // stride, c)
    if w["prompt_key.weight"].shape[1] == c:  # full matrices
        k_p, v_p = (
            (prompts @ w[f"{name}.weight"][:, :, 0, 0].T + w[f"{name}.bias"]).reshape(-1, c)
            for name in ("prompt_key", "prompt_value")
        )
    else:
        k_p, v_p = (depthwise(prompts, w, name, 1).reshape(-1, c) for name in ("prompt_key", "prompt_value"))
    fine = q @ (k_p + a).T / np.sqrt(c)
    x_p = linear(softmax(fine) @ v_p, w, "projection") + tokens
    x_p = feed_forward(x_p, w) + x_p
    return {
        "anchors": a,
        "coarse_map": coarse,
        "anchor_prompts": p,
        "fine_map": fine,
        "coarse_category": coarse.argmax(0),
        "fine_category": fine.argmax(1),
        "features": x_p.reshape(x.shape),
    }


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"prompt_update": 0.0},
        {"prompt_update": 0.01},
        {"prompt_update": 0.5, "prompt_projection": "linear"},
        {"prompt_update": 0.1, "anchor_stride": 4, "mlp_ratio": 2.5},
    ],
)
def test_global_prompting_is_equations_6_to_12(lively: Lively, settings: dict[str, Any], explicit: bool) -> None:
    network = lively(**settings).double().requires_grad_(False)
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Any] = {}
    for group, block in np.ndindex(2, 2):
        name = GAPL.format(group, block)
        layer = network.get_submodule(name)
        layer.register_forward_pre_hook(lambda _module, args, name=name: inputs.update({name: args[0]}))
        layer.register_forward_hook(lambda _module, _args, out, name=name: outputs.update({name: out}))
    kinds = ["anchors", "anchor_prompts", "*_category"] + (["*_map"] if explicit else [])
    with record(network, [f"*global_prompting.{kind}" for kind in kinds]) as seen:
        network(image(11, 9, batch=2))

    for group, sample in np.ndindex(2, 2):
        previous = None  # prompts do not cross groups
        for block in range(2):
            name = GAPL.format(group, block)
            expected = global_prompting(
                inputs[name][sample].numpy(),
                weights_of(network.get_submodule(name)),
                network.config.anchor_stride,
                network.config.prompt_update,
                previous,
            )
            close(outputs[name].features[sample], expected.pop("features"))
            for tap, value in expected.items():
                if explicit or not tap.endswith("_map"):
                    close(seen[f"{name}.{tap}"][sample], value)
            previous = expected["anchor_prompts"]


def test_prompt_update_reaches_the_second_block_only(lively: Lively) -> None:
    """The update is nothing but eq. 8: alpha 0 forgets the first block's prompts, alpha 1 keeps nothing else."""
    prompts = {}
    for alpha in (0.0, 0.01, 1.0):
        network = lively(prompt_update=alpha).double().requires_grad_(False)
        with record(network, ["groups.0.*.anchor_prompts"]) as seen:
            network(image(8, 8))
        prompts[alpha] = [seen[f"{GAPL.format(0, block)}.anchor_prompts"] for block in range(2)]
    first, own = prompts[0.0]
    assert torch.equal(prompts[0.01][0], first) and torch.equal(prompts[1.0][0], first)
    assert not torch.allclose(first, own)
    close(prompts[1.0][1], first)
    close(prompts[0.01][1], 0.01 * first + 0.99 * own)


@pytest.mark.parametrize("prompting", [True, False])
def test_local_prompting_is_equations_13_to_16(lively: Lively, prompting: bool) -> None:
    network = lively(coarse_prompting=prompting).double().requires_grad_(False)
    layer = network.get_submodule("groups.0.blocks.0.coarse_prompting")
    assert isinstance(layer, LocalPromptingLayer)
    x = torch.randn(2, 8, 12, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    category = torch.randint(0, 5, (2, 96), generator=torch.Generator().manual_seed(0))
    w = weights_of(layer)

    normed = F.layer_norm(x, (8,), layer.norm_attention.weight, layer.norm_attention.bias)
    qkv = torch.as_tensor(normed.numpy() @ w["qkv.weight"].T)
    attended = layer.window_attention(qkv)
    if prompting:
        assert layer.category_attention is not None
        attended = attended + layer.category_attention(qkv, category)
    else:
        assert layer.category_attention is None
    x_l = (attended + x).numpy()
    close(layer(x, category), feed_forward(x_l, w) + x_l)


@given(height=st.integers(1, 30), width=st.integers(1, 30), multiple=st.integers(1, 16))
def test_padding_reflects_or_replicates(height: int, width: int, multiple: int) -> None:
    x = image(height, width)
    expected = x.numpy()
    for axis in (2, 3):
        length = expected.shape[axis]
        missing = -length % multiple
        pads = [(0, 0)] * 4
        pads[axis] = (0, missing)
        expected = np.pad(expected, pads, mode="reflect" if missing < length else "edge")
    padded = pad_to_multiple(x, multiple)
    assert padded.shape[2] % multiple == padded.shape[3] % multiple == 0
    assert torch.equal(padded, torch.as_tensor(expected))


def convolution(x: Tensor, layer: nn.Conv2d) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, padding=1)


def shuffled(x: np.ndarray, scale: int) -> np.ndarray:
    """B x 3s^2 x H x W -> B x 3 x sH x sW: channel c s^2 + i s + j is row i, column j of colour c."""
    batch, _, height, width = x.shape
    out = np.zeros((batch, 3, height * scale, width * scale))
    for c, i, j in np.ndindex(3, scale, scale):
        out[:, c, i::scale, j::scale] = x[:, c * scale**2 + i * scale + j]
    return out


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("skip", [False, True])
def test_whole_network_is_equations_1_to_4(lively: Lively, scale: int, skip: bool) -> None:
    network = lively(scale=scale, bicubic_skip=skip, window_size=6, anchor_stride=4).double().requires_grad_(False)
    x = image(7, 13, batch=2)
    shallow = convolution(F.pad(x, (0, 11, 0, 5), mode="reflect"), network.encoder)
    deep = shallow
    for group in network.groups:
        assert isinstance(group, ResidualGroup)
        inner, prompts = deep.permute(0, 2, 3, 1), None
        for block in group.blocks:
            inner, prompts = block(inner, prompts)
        deep = convolution(inner.permute(0, 3, 1, 2), group.convolution) + deep
    decoder = network.decoder[0]
    assert isinstance(decoder, nn.Conv2d)
    out = shuffled(convolution(convolution(deep, network.fusion) + shallow, decoder).numpy(), scale)
    expected = torch.as_tensor(out)[:, :, : 7 * scale, : 13 * scale]
    close(network(x), expected + upscale(x, scale) if skip else expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_skip_starts_as_bicubic(scale: int) -> None:
    network = build_model("promptsr-tiny", scale=scale, groups=1, blocks_per_group=1)
    x = image(9, 14).float()
    assert torch.equal(network(x), upscale(x, scale))
    plain = build_model("promptsr-tiny", scale=scale, groups=1, blocks_per_group=1, bicubic_skip=False)
    assert not torch.allclose(plain(x), upscale(x, scale), atol=0.05)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8), (0, 3, 8, 8), (1, 3, 0, 8), (1, 3, 8, 0)])
def test_other_shapes_are_refused(lively: Lively, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="B x 3 x H x W"):
        lively()(torch.zeros(shape))
