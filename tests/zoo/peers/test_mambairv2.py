"""MambaIRv2: against samples of what its authors' code made, and its draw; and files that resemble one of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from promptsr.zoo.load import load_model
from promptsr.zoo.peers.category_scan import CategoryScan
from promptsr.zoo.peers.mambairv2 import MambaIRv2
from promptsr.zoo.sr_model import SRModel
from tests.zoo.conftest import refused
from tests.zoo.peers.sampled import compare, picture, weights

pytestmark = pytest.mark.filterwarnings("ignore:torchvision was built:UserWarning")

REFERENCE = json.loads((Path(__file__).parent / "data" / "mambairv2.json").read_text())
PRINTED = {2: 774, 3: 781, 4: 790}
"""Thousands of parameters that the authors count."""


def checkpoint(scale: int) -> dict[str, Tensor]:
    """A small one as the authors save theirs, with the table of places that is computed here."""
    last = {"upsample.0.weight": [3 * scale**2, 48, 3, 3], "upsample.0.bias": [3 * scale**2]}
    places = torch.zeros(256, 256, dtype=torch.int64)
    return {"relative_position_index_SA": places, **weights({**REFERENCE["shapes"], **last})}


def load(state: dict[str, Tensor], path: Path) -> SRModel:
    torch.save({"params": state}, path)
    return load_model(path)


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: "{scale}-{size}".format(**case))
def test_a_network_makes_what_its_authors_code_makes(case: dict[str, Any], tmp_path: Path) -> None:
    model = load(checkpoint(case["scale"]), tmp_path / "small.pth")
    assert (type(model.network), model.scale, model.min_tile) == (MambaIRv2, case["scale"], 16)
    image = picture(*case["size"])
    compare(model(image.float()), case["result"], 1e-5)
    model.network.double()
    result = model(image.requires_grad_())
    compare(result, case["result"])
    result.square().sum().backward()
    assert image.grad is not None
    compare(image.grad, case["gradient"], 1e-6)  # the noise is of single precision


@pytest.mark.parametrize("scale", PRINTED)
def test_the_light_network_has_the_printed_size(scale: int) -> None:
    with torch.device("meta"):
        network = MambaIRv2(scale)
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1000) == PRINTED[scale]


def test_categories_are_drawn_by_their_probabilities() -> None:
    scan = CategoryScan(6, 4, categories=5)
    scores = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5])
    with torch.no_grad():
        scan.get_parameter("route.2.weight").zero_()
        scan.get_parameter("route.2.bias").copy_(scores)
    choice = scan._choose(torch.zeros(1, 40_000, 6), torch.Generator().manual_seed(3))
    drawn = torch.zeros_like(choice).scatter(2, choice.argmax(2, keepdim=True), 1.0)
    torch.testing.assert_close(choice, drawn)
    torch.testing.assert_close(choice.mean((0, 1)), scores.softmax(0), rtol=0, atol=0.01)  # 4 standard deviations


def test_files_that_resemble_one_are_refused(tmp_path: Path) -> None:
    state = checkpoint(4)
    scan = "layers.0.residual_group.layers.1.assm."
    for changed in (
        {key: value for key, value in state.items() if key != f"{scan}embeddingB.weight"},
        {**state, f"{scan}route.0.bias": torch.zeros(15)},
        {**state, "conv_first.weight": torch.zeros(0)},
        {**state, "layers.0.residual_group.layers.1.convffn1.fc1.weight": torch.zeros(96, 48)},
        {**state, "layers.0.residual_group.layers.0.win_mhsa.relative_position_bias_table": torch.zeros(225, 4)},
        {**state, "upsample.0.weight": torch.zeros(192, 48, 3, 3), "upsample.0.bias": torch.zeros(192)},
        {**state, "conv_before_upsample.0.bias": torch.zeros(64)},  # its large networks have that
        {key: value.flatten() for key, value in state.items()},
        {key: torch.tensor(1.0) for key in state},
    ):
        torch.save({"params": changed}, tmp_path / "resembling.pth")
        assert "holds none of the networks known here" in refused(tmp_path / "resembling.pth")
    torch.save({"params": state}, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-999])
    assert "is truncated or not a PyTorch file" in refused(tmp_path / "cut.pth")
    assert "upscales x4, not x3" in refused(Path(f"{tmp_path / 'whole.pth'}@x3"))
