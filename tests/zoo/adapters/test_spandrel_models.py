"""Networks through spandrel: the same as their own code, at any size, with gradients; and what is refused."""

import importlib
import resource
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from promptsr.complexity.counting import count
from promptsr.zoo.adapters.torchvision_operators import import_torchvision
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel
from tests.zoo.conftest import refused

pytestmark = pytest.mark.filterwarnings("ignore:torchvision was built:UserWarning")

SETTINGS: dict[str, dict[str, Any]] = {
    # The lightweight configurations that the authors published, x4.
    "OmniSR": {"num_feat": 64, "res_num": 5, "block_num": 1, "window_size": 8, "bias": True, "pe": True, "up_scale": 4},
    "ATD": {
        **{"embed_dim": 48, "depths": [6] * 4, "num_heads": [4] * 4, "window_size": 16, "category_size": 128},
        **{"num_tokens": 64, "reducted_dim": 8, "convffn_kernel_size": 7, "mlp_ratio": 1},
        **{"upsampler": "pixelshuffledirect", "upscale": 4},
    },
    "SwinIR": {
        **{"img_size": 64, "window_size": 8, "mlp_ratio": 2, "depths": [6] * 4, "embed_dim": 60, "num_heads": [6] * 4},
        **{"upsampler": "pixelshuffledirect", "upscale": 4},
    },
    # Small ones, x2.
    "HAT": {
        **{"window_size": 16, "depths": [2], "embed_dim": 36, "num_heads": [6], "mlp_ratio": 2, "upscale": 2},
        **{"upsampler": "pixelshuffle", "compress_ratio": 24, "squeeze_factor": 24, "overlap_ratio": 0.5},
    },
    "SAFMN": {"dim": 36, "n_blocks": 2, "ffn_scale": 2.0, "upscaling_factor": 2},
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3, "upscale": 2},
    "Compact": {"num_feat": 16, "num_conv": 4, "upscale": 2},
    "RCAN": {"scale": 2, "n_resgroups": 1, "n_resblocks": 1, "n_feats": 16, "reduction": 4},
    "DRCT": {
        **{"img_size": 64, "depths": [6], "embed_dim": 36, "num_heads": [6], "window_size": 8, "gc": 8},
        **{"upsampler": "pixelshuffle", "upscale": 2},
    },
}
MINIMUM = {"OmniSR": 16, "ATD": 8, "SwinIR": 16, "HAT": 16, "SAFMN": 1, "SPAN": 1, "Compact": 1, "RCAN": 1, "DRCT": 1}
MULTIPLE = {"DRCT": 16}
"""Size multiples of those that do not pad by themselves."""


def build(architecture: str, **settings: Any) -> nn.Module:
    """A network of spandrel's with random weights, always the same."""
    import_torchvision()
    module = importlib.import_module(f"spandrel.architectures.{architecture}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = getattr(module, architecture)(**settings)
        for parameter in network.parameters():  # no branch may be silent because it starts at zero
            nn.init.trunc_normal_(parameter, std=0.05) if parameter.ndim > 1 else None
    return network.eval().requires_grad_(False)


def save(network: nn.Module, path: Path) -> Path:
    state = {name: value.clone().contiguous() for name, value in network.state_dict().items()}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def picture(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height))


def check(model: SRModel, network: nn.Module, architecture: str, sizes: list[tuple[int, int]]) -> None:
    """Compare with the architecture itself, on an image that is mirrored where it cannot take the size."""
    assert model.architecture.endswith(architecture) and not model.network.training and model.differentiable
    assert model.parameters == sum(p.numel() for p in network.parameters())
    scale, least, multiple = model.scale, MINIMUM[architecture], MULTIPLE.get(architecture, 1)
    for height, width in sizes:
        image = picture(height, width)
        bottom, right = (-(-max(side, least) // multiple) * multiple - side for side in (height, width))
        padded = np.pad(image.numpy(), [(0, 0), (0, 0), (0, bottom), (0, right)], mode="reflect")
        expected = network(torch.from_numpy(padded))[..., : scale * height, : scale * width]
        assert expected.shape == (1, 3, scale * height, scale * width)
        kept = image.clone()
        torch.testing.assert_close(model(image), expected, rtol=0, atol=1e-5)
        assert torch.equal(image, kept)


@pytest.mark.parametrize("architecture", SETTINGS)
def test_a_network_is_what_its_own_code_makes(tmp_path: Path, architecture: str) -> None:
    scale, suffix = (4, ".safetensors") if architecture in ("OmniSR", "ATD", "SwinIR") else (2, ".pth")
    network = build(architecture, **SETTINGS[architecture])
    model = load_model(save(network, tmp_path / f"mine{suffix}"))
    assert (model.name, model.scale) == ("mine", scale)
    check(model, network, architecture, [(21, 17), (9, 20)] if scale == 4 else [(32, 16), (33, 18)])
    for height, width in ((1, 1), (3, 40)):
        assert model(picture(height, width)).shape == (1, 3, scale * height, scale * width)
    if scale == 4:
        assert model.min_tile == MINIMUM[architecture]
        assert model.tiling == ("discouraged" if architecture == "SwinIR" else "supported")
        assert model.half_precision == (architecture == "OmniSR")


@pytest.fixture
def compact() -> nn.Module:
    return build("Compact", **SETTINGS["Compact"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"params": state},
        lambda state: {"params_ema": state, "params": {"other": torch.zeros(1)}},
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3},
        lambda state: OrderedDict((f"module.{name}", value) for name, value in state.items()),
    ],
)
def test_the_usual_wrappings_are_taken_off(
    compact: nn.Module, tmp_path: Path, wrap: Callable[[dict[str, Tensor]], Any]
) -> None:
    torch.save(wrap(compact.state_dict()), tmp_path / "wrapped.pt")
    check(load_model(tmp_path / "wrapped.pt"), compact, "Compact", [(5, 6)])


def test_outputs_are_not_clamped_and_gradients_flow(compact: nn.Module, tmp_path: Path) -> None:
    compact.body[-1].weight.mul_(30)  # type: ignore[union-attr, index]
    model = load_model(save(compact, tmp_path / "loud.pth"))
    image = picture(6, 7, batch=2).requires_grad_()
    output = model(image)
    assert output.shape == (2, 3, 12, 14) and float(output.detach().max()) > 1.5
    output.square().sum().backward()
    assert image.grad is not None and bool((image.grad != 0).all())


def test_layers_and_memory_are_counted(tmp_path: Path) -> None:
    wide = build("Compact", num_feat=64, num_conv=2, upscale=2)
    model = load_model(save(wide, tmp_path / "wide.pth"))
    # 3x3 convolutions from 3 to 64, 64 to 64 twice, 64 to 3 * 2 * 2, on 10 x 12 pixels.
    assert count(model.network, 10, 12).multiply_adds == 120 * 9 * (3 * 64 + 2 * 64 * 64 + 64 * 12)
    # A convolution reads and writes 64 float32 channels; four such steps.
    assert model.bytes_per_pixel == 4 * 2 * 64 * 4


def test_a_network_that_overwrites_its_activations_says_so_beforehand(tmp_path: Path) -> None:
    network = build("PLKSR", dim=16, n_blocks=1, kernel_size=5, upscaling_factor=2)
    model = load_model(save(network, tmp_path / "plksr.pth"))
    torch.testing.assert_close(model(picture(7, 9)), network(picture(7, 9)))
    assert not model.differentiable


def test_networks_for_other_tasks_are_refused(tmp_path: Path) -> None:
    same_size = build("Compact", num_feat=8, num_conv=1, upscale=1)
    assert "holds RealESRGAN Compact for restoration" in refused(save(same_size, tmp_path / "denoiser.pth"))
    grey = build("Compact", num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=1, upscale=2)
    assert "for 1 channels: choose one for RGB" in refused(save(grey, tmp_path / "grey.pth"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_unknown_and_altered_networks_are_refused(compact: nn.Module, tmp_path: Path, suffix: str) -> None:
    unknown = save(nn.Linear(2, 2), tmp_path / f"unknown{suffix}")
    assert "holds none of the networks known here" in refused(unknown)
    del compact.body[2]  # type: ignore[union-attr, operator]
    assert "but its tensors do not fit" in refused(save(compact, tmp_path / f"altered{suffix}"))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("body.0.weight", torch.zeros(30_000, 3, 3, 3), "its tensors do not fit"),
        ("body.400000.weight", torch.zeros(4), "its tensors do not fit"),
        ("body.0.weight", torch.zeros(1).expand(30_000, 3, 3, 3), "unusual tensors"),
        ("body.0.weight", torch.zeros(8, 3, 3, 3).to_sparse(), "unusual tensors"),
    ],
    ids=["wide", "deep", "repeated", "sparse"],
)
def test_a_small_file_cannot_ask_for_much(tmp_path: Path, name: str, tensor: Tensor, message: str) -> None:
    state = build("Compact", num_feat=8, num_conv=1, upscale=2).state_dict() | {name: tensor}
    if "body.400000" in name:
        state |= {f"body.{n}.{part}": torch.zeros(8) for n in (399_999, 400_000) for part in ("weight", "bias")}
    torch.save(state, tmp_path / "much.pth")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert message in refused(tmp_path / "much.pth")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # KiB


def test_without_spandrel_the_message_says_what_to_install(
    compact: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(compact, tmp_path / "lonely.pth")
    monkeypatch.setitem(sys.modules, "spandrel", None)
    assert "other networks need spandrel: install it with `pip install spandrel`" in refused(path)


class Suppressing(nn.Module):
    """Calls a compiled operator that no processor has for floats."""

    def __init__(self) -> None:
        super().__init__()
        self.calls_operators = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        boxes: Tensor = torch.ops.torchvision.qnms(image[0, 0, :, :4], image[0, 0, :, 0], 0.5)
        return boxes


def test_what_calls_missing_operators_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_torchvision()
    spandrel: Any = importlib.import_module("spandrel")

    class Suppressor(spandrel.Architecture):
        def load(self, state_dict: dict[str, Tensor]) -> Any:
            kinds = {"supports_half": False, "supports_bfloat16": False, "input_channels": 3, "output_channels": 3}
            return spandrel.ImageModelDescriptor(
                Suppressing(), state_dict, architecture=self, purpose="SR", tags=[], scale=2, **kinds
            )

    added = Suppressor(id="Suppressor", detect=lambda state: "calls_operators" in state)
    known = spandrel.MAIN_REGISTRY.architectures("detection")
    monkeypatch.setattr(spandrel.MAIN_REGISTRY, "_ordered", [spandrel.ArchSupport.from_architecture(added), *known])
    message = refused(save(Suppressing(), tmp_path / "calls.pth"))
    assert (
        "holds Suppressor, which calls compiled operators that this torchvision lacks: install torchvision" in message
    )
