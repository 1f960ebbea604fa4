"""HiT-SR: against samples of what its authors' code made of the same weights, its sizes, gradients and refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from promptsr.zoo.load import load_model
from promptsr.zoo.peers.hitsr import HiTSRF
from tests.zoo.conftest import refused
from tests.zoo.peers.sampled import compare, picture, weights

pytestmark = pytest.mark.filterwarnings("ignore:torchvision was built:UserWarning")

SAMPLES: dict[str, list[float]] = json.loads((Path(__file__).parent / "data" / "hitsr.json").read_text())
"""Name and size -> `samples` of the authors' result, computed in double precision."""
SIZES = ((24, 40), (33, 29))
WINDOWS = (4, 8, 16, 32, 48, 64)
NETWORKS = {"SRF": (4, (6, 1)), "SIR": (3, (4, 1)), "SNG": (2, (4, 1))}
"""Last letters of the name -> scale and depths; the authors' HiT-SIR and HiT-SNG take larger images for all windows."""
SETTINGS: dict[str, dict[str, Any]] = {"SRF": {}, "SIR": {"local": False}, "SNG": {"local": False, "context": True}}
every_network = pytest.mark.parametrize("letters", NETWORKS)


def shapes(letters: str, scale: int, depths: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The tensors of a checkpoint, by the names that the authors use."""
    weight: dict[str, tuple[int, ...]] = {"conv_first": (60, 3, 3, 3), "patch_embed.norm": (60,)}
    tables: dict[str, tuple[int, ...]] = {}
    for group, depth in enumerate(depths):
        for i, window in enumerate(WINDOWS[:depth]):
            block = f"layers.{group}.residual_group.blocks.{i}"
            correlation, context = f"{block}.correlation", f"{block}.correlation.ngram_window_partition.ngram_context"
            weight |= {f"{block}.norm1": (60,), f"{block}.norm2": (60,), f"{correlation}.proj": (60, 60)}
            weight |= {f"{correlation}.qv.conv.0": (12, 60, 1, 1), f"{correlation}.qv.conv.2": (12, 12, 3, 3)}
            weight |= {f"{correlation}.qv.conv.4": (60, 12, 1, 1), f"{correlation}.qv.linear": (60, 60, 1, 1)}
            weight |= {f"{correlation}.spatial_linear": (1, max(1, window // 8) ** 2)}
            weight |= {f"{correlation}.pos.pos_proj": (3, 2)}
            for j in (1, 2, 3):
                weight |= {f"{correlation}.pos.pos{j}.0": (3,), f"{correlation}.pos.pos{j}.2": (6 if j == 3 else 3, 3)}
            if letters == "SNG":
                weight |= {f"{context}.unigram_embed": (1, 2, window, window), f"{context}.merge": (60, 60, 1, 1)}
                weight |= {f"{context}.ngram_attn.qkv": (90, 30), f"{context}.ngram_attn.proj": (30, 30)}
                tables[f"{context}.ngram_attn.relative_position_bias_table"] = (9, 6)
            if letters == "SRF":
                weight |= {f"{block}.mlp.dwconv.depthwise_conv.0": (120, 1, 5, 5)}
            weight |= {f"{block}.mlp.fc1": (120, 60), f"{block}.mlp.fc2": (60, 120)}
        weight |= {f"layers.{group}.conv": (60, 60, 3, 3)}
    weight |= {"norm": (60,), "conv_after_body": (60, 60, 3, 3), "upsample.0": (3 * scale**2, 60, 3, 3)}
    named = {f"{name}.weight": shape for name, shape in weight.items()}
    return {**named, **{f"{name}.bias": shape[:1] for name, shape in weight.items()}, **tables}


def publish(letters: str, path: Path) -> Path:
    """Saves weights the way the authors did."""
    state = weights(shapes(letters, *NETWORKS[letters]))
    places = {name.replace("bias_table", "index"): torch.zeros(4, 4, dtype=torch.long) for name in state}
    torch.save({"params": {**state, **{name: table for name, table in places.items() if name not in state}}}, path)
    return path


@every_network
def test_a_network_makes_what_its_authors_code_makes(tmp_path: Path, letters: str) -> None:
    model, (scale, depths) = load_model(publish(letters, tmp_path / "some.pth")), NETWORKS[letters]
    assert (type(model.network), model.architecture, model.scale) == (HiTSRF, f"HiT{letters}", scale)
    assert model.parameters == sum(torch.Size(shape).numel() for shape in shapes(letters, scale, depths).values())
    for size in SIZES:
        expected = SAMPLES[f"{letters} {size[0]} x {size[1]}"]
        compare(model.network.float()(picture(*size).float()), expected, 1e-5)
        compare(model.network.double()(picture(*size)), expected)


@pytest.mark.parametrize(
    ("letters", "parameters"),
    [
        ("SRF", (846_944, 855_059, 866_420)),
        ("SIR", (772_064, 780_179, 791_540)),
        ("SNG", (1_012_584, 1_020_699, 1_032_060)),
    ],
)
def test_networks_have_the_sizes_that_their_authors_state(letters: str, parameters: tuple[int, ...]) -> None:
    """For x4 they state 866, 792 and 1032 thousand; their code gives the rest."""
    for scale, expected in zip((2, 3, 4), parameters, strict=True):
        with torch.device("meta"):
            network = HiTSRF(scale, **SETTINGS[letters])
        assert network._get_name() == f"HiT{letters}"
        assert sum(parameter.numel() for parameter in network.parameters()) == expected


@every_network
def test_the_image_and_each_tensor_matter(tmp_path: Path, letters: str) -> None:
    network = load_model(publish(letters, tmp_path / "some.pth")).network.double().requires_grad_(True)
    image = picture(18, 21).requires_grad_()
    network(image).square().sum().backward()
    for tensor in (image, *network.parameters()):
        assert tensor.grad is not None and bool(tensor.grad.isfinite().all()) and float(tensor.grad.abs().max()) > 1e-6


@every_network
def test_files_that_resemble_a_network_are_refused(tmp_path: Path, letters: str) -> None:
    state = torch.load(publish(letters, tmp_path / "some.pth"))["params"]
    block, last = "layers.0.residual_group.blocks", NETWORKS[letters][1][0] - 1
    again = {name.replace(f"s.{last}.", f"s.{last + 1}."): v for name, v in state.items() if f"{block}.{last}." in name}
    for changed in (
        {name: value for name, value in state.items() if name != "norm.bias"},
        {**state, "more.bias": torch.zeros(1)},
        {**state, f"{block}.2.correlation.spatial_linear.weight": torch.zeros(1, 16)},  # another window
        {**state, "upsample.0.weight": torch.zeros(192, 60, 3, 3), "upsample.0.bias": torch.zeros(192)},  # x8
        {**state, **again},  # a seventh block, or a fifth with the windows of the fourth
        {name: value.flatten() for name, value in state.items()},
    ):
        torch.save(changed, tmp_path / "resembling.pth")
        assert "holds none of the networks known here" in refused(tmp_path / "resembling.pth")
    content = (tmp_path / "some.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[:-999])
    assert "is truncated or not a PyTorch file" in refused(tmp_path / "cut.pth")
