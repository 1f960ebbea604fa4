"""The folder that PROMPTSR_MODELS names: models of every kind by their stems, each file read once."""

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from promptsr.support.errors import UserError
from promptsr.zoo.adapters import load_file
from promptsr.zoo.load import ModelInfo, list_models, load_model
from tests.zoo.adapters.conftest import write_onnx
from tests.zoo.adapters.test_spandrel_models import build
from tests.zoo.conftest import CONFIG, write_promptsr
from workbench.sessions import models as page

pytestmark = pytest.mark.filterwarnings("ignore:torchvision was built:UserWarning")


PARAMETERS = (27 * 8 + 8) + 8 + (72 * 8 + 8) + 8 + (72 * 12 + 12)


@pytest.fixture
def compact() -> nn.Module:
    """The network of Real-ESRGAN's small models, x2."""
    return build("Compact", num_feat=8, num_conv=1, upscale=2)


@pytest.fixture
def folder(compact: nn.Module, own_models: Path) -> Path:
    """One of each kind, two with the same stem, and files that are no models."""
    state = compact.state_dict()
    torch.save({"params_ema": state}, own_models / "real.PTH")
    save_file(state, own_models / "foreign.safetensors")
    torch.save(state, own_models / "promptsr-star-x3.pt")  # a name of the list that has no weights of its own
    torch.save(state, own_models / "promptsr-tiny-x4.pth")  # one that has
    torch.save(state, own_models / "twice.pt")
    write_promptsr(own_models / "twice.safetensors", replace(CONFIG, scale=4))
    write_onnx(own_models / "resize.onnx")
    (own_models / "unsafe.pth").write_bytes(pickle.dumps(print))
    (own_models / "damaged.onnx").write_bytes(b"damaged")
    (own_models / "notes.txt").write_text("no model")
    return own_models


def test_every_usable_file_is_listed_and_loaded_by_its_stem(folder: Path, compact: nn.Module) -> None:
    models = {info.name: info for info in list_models()}
    bundled = {f"{name}-x{s}" for name in ("bicubic", "promptsr", "promptsr-star", "promptsr-tiny") for s in (2, 3, 4)}
    assert models.keys() - bundled == {"real", "foreign", "twice", "resize"}
    for name in ("real", "foreign", "promptsr-star-x3"):
        weights = "params_ema" if name == "real" else None
        assert models[name] == ModelInfo(name, 2, PARAMETERS, True, {}, "RealESRGAN Compact", weights)
        model = load_model(name)
        assert (model.name, model.scale, model.parameters) == (name, 2, PARAMETERS)
        image = torch.rand(1, 3, 9, 6)
        torch.testing.assert_close(model(image), compact(image))
    assert models["resize"] == ModelInfo("resize", 3, 4, True, {}, "ONNX") and load_model("resize").scale == 3
    assert models["twice"].architecture == "PromptSR" == load_model("twice").architecture
    assert models["promptsr-tiny-x4"].architecture == "PromptSR" == load_model("promptsr-tiny-x4").architecture
    assert models["bicubic-x2"].architecture == "Bicubic" == load_model("bicubic-x2").architecture


def test_a_file_is_read_once_and_again_when_it_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: Path) -> Any:
        read.append(path.name)
        return load_file(path)

    monkeypatch.setattr("promptsr.zoo.adapters.load_file", counted)
    first = list_models()
    assert sorted(read) == [
        "damaged.onnx", "foreign.safetensors", "promptsr-star-x3.pt", "real.PTH", "resize.onnx", "unsafe.pth",
    ]  # fmt: skip
    assert list_models() == first and len(read) == 6
    os.utime(folder / "real.PTH", ns=(1, 1))
    assert list_models() == first and read[6:] == ["real.PTH"]


def test_the_page_offers_them_but_looks_inside_promptsr_only(folder: Path) -> None:
    assert {"real", "foreign", "resize", "twice", "promptsr-star-x3"} <= set(page.usable())
    assert "real" in page.rivals("foreign")
    assert {"twice", "promptsr-tiny-x4"} <= set(page.networks())
    assert not {"real", "foreign", "resize", "promptsr-star-x3"} & set(page.networks())
    with pytest.raises(UserError, match="real is no PromptSR network"):
        page.network("real")
