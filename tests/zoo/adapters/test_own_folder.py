"""The folder that PROMPTSR_MODELS names: models of every kind by their stems, each file read once."""

import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper, save
from safetensors.torch import save_file
from torch import Tensor, nn

from promptsr.config import PRESETS
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.zoo.adapters import load_file
from promptsr.zoo.checkpoints import save_checkpoint
from promptsr.zoo.load import ModelInfo, list_models, load_model
from workbench.sessions import models as page

pytestmark = pytest.mark.filterwarnings("ignore:torchvision was built:UserWarning")


class Compact(nn.Module):
    """The network of Real-ESRGAN's small models, x2."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(8), nn.Conv2d(8, 8, 3, padding=1), nn.PReLU(8)]
        self.body = nn.Sequential(*layers, nn.Conv2d(8, 12, 3, padding=1)).requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        return F.pixel_shuffle(self.body(image), 2) + F.interpolate(image, scale_factor=2)


PARAMETERS = (27 * 8 + 8) + 8 + (72 * 8 + 8) + 8 + (72 * 12 + 12)


def write_onnx(path: Path | IO[bytes]) -> None:
    scales = numpy_helper.from_array(torch.tensor([1.0, 1.0, 3.0, 3.0]).numpy(), "scales")
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Resize", ["image", "", "scales"], ["result"])],
        "network",
        [helper.make_tensor_value_info("image", kind, (1, 3, "H", "W"))],
        [helper.make_tensor_value_info("result", kind, None)],
        [scales],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_promptsr(path: Path) -> None:
    config = replace(PRESETS["promptsr-tiny"], scale=4)
    save_checkpoint(path, config, PromptSR(config).state_dict(), {})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One of each kind, two with the same stem, and files that are no models."""
    state = Compact().state_dict()
    torch.save({"params_ema": state}, tmp_path / "real.PTH")
    save_file(state, tmp_path / "foreign.safetensors")
    torch.save(state, tmp_path / "promptsr-x3.pt")  # a name of the list that has no weights of its own
    torch.save(state, tmp_path / "promptsr-tiny-x4.pth")  # one that has
    torch.save(state, tmp_path / "twice.pt")
    write_promptsr(tmp_path / "twice.safetensors")
    write_onnx(tmp_path / "resize.onnx")
    (tmp_path / "unsafe.pth").write_bytes(pickle.dumps(print))
    (tmp_path / "damaged.onnx").write_bytes(b"damaged")
    (tmp_path / "notes.txt").write_text("no model")
    monkeypatch.setenv("PROMPTSR_MODELS", str(tmp_path))
    page.known.cache_clear()
    yield tmp_path
    page.known.cache_clear()


def test_every_usable_file_is_listed_and_loaded_by_its_stem(folder: Path) -> None:
    models = {info.name: info for info in list_models()}
    bundled = {f"{name}-x{s}" for name in ("bicubic", "promptsr", "promptsr-star", "promptsr-tiny") for s in (2, 3, 4)}
    assert models.keys() - bundled == {"real", "foreign", "twice", "resize"}
    for name in ("real", "foreign", "promptsr-x3"):
        assert models[name] == ModelInfo(name, 2, PARAMETERS, True, {}, "RealESRGAN Compact")
        model = load_model(name)
        assert (model.name, model.scale, model.parameters) == (name, 2, PARAMETERS)
    assert models["resize"] == ModelInfo("resize", 3, 4, True, {}, "ONNX") and load_model("resize").scale == 3
    assert models["twice"].architecture == "PromptSR" == load_model("twice").architecture
    assert models["promptsr-tiny-x4"].architecture == "PromptSR" == load_model("promptsr-tiny-x4").architecture
    assert models["bicubic-x2"].architecture == "Bicubic" == load_model("bicubic-x2").architecture


def test_a_model_from_the_folder_is_what_it_should_be(folder: Path) -> None:
    network = Compact()
    network.load_state_dict(torch.load(folder / "real.PTH", weights_only=True)["params_ema"])
    image = torch.rand(1, 3, 9, 6)
    torch.testing.assert_close(load_model("real")(image), network(image))


def test_a_file_is_read_once_and_again_when_it_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: Path) -> Any:
        read.append(path.name)
        return load_file(path)

    monkeypatch.setattr("promptsr.zoo.load.load_file", counted)
    first = list_models()
    assert sorted(read) == [
        "damaged.onnx", "foreign.safetensors", "promptsr-x3.pt", "real.PTH", "resize.onnx", "unsafe.pth",
    ]  # fmt: skip
    assert list_models() == first and len(read) == 6
    os.utime(folder / "real.PTH", ns=(1, 1))
    assert list_models() == first and read[6:] == ["real.PTH"]


def test_the_page_offers_them_but_looks_inside_promptsr_only(folder: Path) -> None:
    assert {"real", "foreign", "resize", "twice", "promptsr-x3"} <= set(page.usable())
    assert "real" in page.rivals("foreign")
    assert {"twice", "promptsr-tiny-x4"} <= set(page.networks())
    assert not {"real", "foreign", "resize", "promptsr-x3"} & set(page.networks())
    with pytest.raises(UserError, match="real is no PromptSR network"):
        page.network("real")
