"""Peers of the paper's tables, small and with random weights: batches, tiny images, gradients, scales in one file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.common.image_windows import Region
from analysis.lam.attribution import PathSettings
from analysis.lam.method import LocalAttributionMap
from promptsr.support.errors import CheckpointError
from promptsr.zoo.listing import list_models
from promptsr.zoo.load import load_model
from promptsr.zoo.peers.camixersr import CAMixerSR
from promptsr.zoo.peers.carn import CARN
from promptsr.zoo.peers.elan import ELAN
from promptsr.zoo.peers.hitsr import HiTSRF
from promptsr.zoo.peers.idn import IDN
from promptsr.zoo.peers.lapar import LAPAR
from promptsr.zoo.peers.latticenet import LatticeNet
from promptsr.zoo.peers.mambair import MambaIR
from promptsr.zoo.peers.mambairv2 import MambaIRv2
from promptsr.zoo.peers.nlsn import NLSN
from promptsr.zoo.peers.peer import Peer
from promptsr.zoo.peers.san import SAN
from promptsr.zoo.peers.selective_scan import selective_scan
from promptsr.zoo.peers.shufflemixer import ShuffleMixer
from promptsr.zoo.peers.spin import SPIN
from promptsr.zoo.peers.swinirng import SwinIRNG
from promptsr.zoo.sr_model import SRModel

SETTINGS: dict[type[Peer], dict[str, Any]] = {
    CARN: {"width": 8, "groups": 2, "shared": True},
    LatticeNet: {},
    LAPAR: {"width": 4, "blocks": 1, "kernels": 5},
    ELAN: {"width": 12, "blocks": 2},
    IDN: {},
    ShuffleMixer: {"width": 16, "blocks": 1, "kernel": 3, "hidden": 8},
    SwinIRNG: {"width": 12, "depths": [2], "heads": 2, "hidden": 8},
    SPIN: {"width": 8, "blocks": 2, "query": 4, "hidden": 8},
    CAMixerSR: {"width": 12, "depths": [2]},
    MambaIR: {"width": 30, "depths": [1], "inner": 8, "rank": 2, "states": 3, "local": 4},
    MambaIRv2: {"width": 12, "depths": [2], "heads": 2, "inner": 8, "rank": 2, "states": 3, "categories": 4},
    HiTSRF: {"width": 16, "depths": [2], "heads": 2, "hidden": 8, "context": True},  # with all that any of them has
    SAN: {"width": 16, "groups": 1, "blocks": 1, "squeezed": 2},
    NLSN: {"width": 8, "blocks": 1},
}
every_network = pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)


def build(kind: type[Peer], scale: int = 2) -> SRModel:
    """A small network whose weights are random, and all of some importance."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = kind(scale, **SETTINGS[kind]).eval()
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor += 0.03 * torch.randn_like(tensor)
    network.requires_grad_(False)
    return SRModel(kind.TITLE, scale, network, kind.MIN_TILE, kind.BYTES_PER_PIXEL, size_multiple=kind.SIZE_MULTIPLE)


def picture(batch: int, height: int, width: int) -> Tensor:
    return torch.rand((batch, 3, height, width), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@every_network
@pytest.mark.parametrize("size", [(1, 1), (2, 13), (29, 27)])
def test_a_batch_gives_what_each_image_alone_gives(kind: type[Peer], size: tuple[int, int]) -> None:
    network, images = build(kind, 3).network.double(), picture(2, *size)
    together = network(images)
    assert together.shape == (2, 3, 3 * size[0], 3 * size[1]) and bool(together.isfinite().all())
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-7, atol=1e-7 * float(alone.abs().max()))
    torch.testing.assert_close(network(images), together, rtol=0, atol=0)  # nothing is drawn at random


@every_network
def test_a_network_has_a_local_attribution_map(kind: type[Peer]) -> None:
    settings, window = PathSettings(steps=3), Region(x=12, y=20, size=4)
    attribution = LocalAttributionMap(build(kind)).explain(picture(1, 24, 20).float(), window, settings)
    assert attribution.map.shape == (24, 20) and bool(np.isfinite(attribution.values).all())
    assert attribution.peak > 0 and attribution.di is not None and 0 < attribution.di < 100


@every_network
@pytest.mark.parametrize("side", [1, 14])
def test_gradients_reach_even_a_black_image(kind: type[Peer], side: int) -> None:
    image = torch.zeros(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    build(kind).network.double()(image).sum().backward()
    assert image.grad is not None and bool(image.grad.isfinite().all()) and float(image.grad.abs().sum()) > 0


@pytest.mark.parametrize("kind", [kind for kind in SETTINGS if kind is not IDN], ids=lambda kind: kind.__name__)
def test_a_network_that_was_saved_here_is_known_again(kind: type[Peer], tmp_path: Path) -> None:
    model, image = build(kind, 3), picture(1, 7, 9).float()
    torch.save(model.network.state_dict(), tmp_path / "mine.pth")
    again = load_model(tmp_path / "mine.pth")
    assert (type(again.network), again.scale, again.parameters) == (kind, 3, model.parameters)
    torch.testing.assert_close(again(image), model(image))


@pytest.mark.parametrize("kind", [SwinIRNG, MambaIRv2, HiTSRF], ids=lambda kind: kind.__name__)
def test_heads_that_cannot_share_the_channels_are_refused(kind: type[Peer], tmp_path: Path) -> None:
    state, heads = build(kind).network.state_dict(), {}
    for name, value in state.items():
        if name.endswith("relative_position_bias_table"):
            heads[name] = value.repeat(1, 3)[:, :5]
        if "correlation.bias.9." in name:
            heads[name] = value.repeat(3, *[1] * (value.ndim - 1))[:5]
    assert heads
    torch.save({**state, **heads}, tmp_path / "forged.pth")
    with pytest.raises(CheckpointError, match=r"forged\.pth holds"):
        load_model(tmp_path / "forged.pth")


@pytest.mark.parametrize("length", [1, 2, 9, 30])
def test_the_scan_is_the_recurrence(length: int) -> None:
    draw = torch.Generator().manual_seed(length)
    inputs, steps = (torch.rand((2, 4, length, 3), generator=draw, dtype=torch.float64) for _ in range(2))
    rates = -torch.rand((4, 3, 5), generator=draw, dtype=torch.float64)
    writes, reads = (torch.rand((2, 4, length, 5), generator=draw, dtype=torch.float64) for _ in range(2))
    expected = torch.zeros_like(inputs)
    for image, way, channel in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(3)).tolist():
        state = torch.zeros(5, dtype=torch.float64)
        for t in range(length):
            step = steps[image, way, t, channel]
            state = torch.exp(step * rates[way, channel]) * state
            state = state + step * writes[image, way, t] * inputs[image, way, t, channel]
            expected[image, way, t, channel] = reads[image, way, t] @ state
    torch.testing.assert_close(selective_scan(inputs, steps, rates, writes, reads), expected)


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of CARN for x2 and x4, by the names that its authors use, in the user's own folder."""
    network = CARN(2, ["2", "4"], width=8)
    state: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        for ours, theirs in (
            *((f"blocks.{i}.parts.{j}.", f"b{i + 1}.b{j + 1}.body.") for i in range(3) for j in range(3)),
            *((f"blocks.{i}.fusions.{j}.", f"b{i + 1}.c{j + 1}.body.0.") for i in range(3) for j in range(3)),
            *((f"cascade.fusions.{j}.", f"c{j + 1}.body.0.") for j in range(3)),
            *((f"enlarging.{s}.", f"upsample.up{s}.body.") for s in (2, 4)),
            *(("encoder.", "entry."), ("decoder.", "exit."), ("mean.", "mean.shifter.")),
        ):
            name = name.replace(ours, theirs)
        state[name] = value
    torch.save(state, tmp_path / "both.pth")
    monkeypatch.setenv("PROMPTSR_MODELS", str(tmp_path))
    return tmp_path / "both.pth"


def test_a_file_of_several_scales_is_one_model_for_each(several: Path) -> None:
    named = {model.name: (model.scale, model.architecture) for model in list_models() if "both" in model.name}
    assert named == {"both.pth@x2": (2, "CARN"), "both.pth@x4": (4, "CARN")}
    image = torch.rand(1, 3, 5, 4)
    for name in ("both.pth@x2", "both.pth@x4", f"{several}@x4", several.parent / "both.pth@x2", "both@x2"):
        model = load_model(name)
        assert model.name == f"both.pth@x{model.scale}" and str(name).endswith(f"@x{model.scale}")
        assert model(image).shape == (1, 3, 5 * model.scale, 4 * model.scale)
    for name in ("both", several):
        with pytest.raises(CheckpointError, match=r"upscales x2 and x4: choose one of them, such as .*both\.pth@x4"):
            load_model(name)
    for name in ("both.pth@x3", f"{several}@x3"):
        with pytest.raises(CheckpointError, match="upscales x2 and x4, not x3: choose weights for x3"):
            load_model(name)
