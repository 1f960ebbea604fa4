"""ONNX files: the same as PyTorch at any size; and refusals."""

import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import Tensor

from promptsr.imaging import Picture
from promptsr.inference.upscaler import Upscaler
from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.fingerprint import fingerprint
from promptsr.zoo.load import load_model
from tests.zoo.adapters.conftest import FREE, write_onnx
from tests.zoo.conftest import refused

WEIGHT = np.random.default_rng(0).normal(size=(12, 3, 3, 3)).astype(np.float32)
BIAS = np.linspace(-1, 1, 12, dtype=np.float32)
CONVOLUTION = [
    helper.make_node("Conv", ["image", "weight", "bias"], ["features"], pads=[1, 1, 1, 1]),
    helper.make_node("DepthToSpace", ["features"], ["result"], blocksize=2, mode="CRD"),
]


def write(
    path: Path, nodes: Sequence[Any] = CONVOLUTION, shape: tuple[Any, ...] = FREE, kind: int = TensorProto.FLOAT
) -> Path:
    """A convolution in a file, or other nodes."""
    half = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    fixed = np.array([-1, 3, 16, 16], np.int64)
    write_onnx(path, nodes, shape, kind, weight=WEIGHT.astype(half), bias=BIAS.astype(half), fixed=fixed)
    return path


def expected(image: Tensor) -> Tensor:
    return F.pixel_shuffle(F.conv2d(image, torch.from_numpy(WEIGHT), torch.from_numpy(BIAS), padding=1), 2)


@pytest.mark.parametrize("shape", [FREE, (1, 3, "H", "W"), (1, "C", "H", "W")])
def test_a_file_is_what_pytorch_makes(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    model = load_model(write(tmp_path / "net.onnx", shape=shape))
    assert (model.name, model.scale, model.architecture) == ("net", 2, "ONNX")
    assert model.parameters == 12 * 3 * 9 + 12  # not the integers of a shape
    assert not model.differentiable and model.device == torch.device("cpu")
    for size in ((1, 3, 1, 1), (2, 3, 5, 8)):
        image = torch.rand(size, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(model(image), expected(image), rtol=0, atol=1e-5)
    assert float(model(image).max()) > 1 > 0 > float(model(torch.zeros(1, 3, 1, 1)).min())  # not clamped


def test_files_are_told_apart_by_their_content(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.onnx"), write(tmp_path / "b.onnx"), write(tmp_path / "c.onnx", shape=(1, 3, "H", "W"))]
    first, same, other = (fingerprint(load_model(path).network) for path in paths)
    assert first == same != other


def test_half_precision_in_the_file(tmp_path: Path) -> None:
    model = load_model(write(tmp_path / "half.onnx", kind=TensorProto.FLOAT16))
    image = torch.rand(1, 3, 6, 5)
    assert model(image).dtype == torch.float32
    torch.testing.assert_close(model(image), expected(image), rtol=0, atol=2e-2)


def test_pictures_go_through_in_tiles(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    write_onnx(tmp_path / "nearest.ONNX")
    model = load_model(tmp_path / "nearest.ONNX")
    result = Upscaler(model, tile=8, overlap=4)(Picture(pixels, None, False))
    assert result.tiles > 4
    assert np.array_equal(result.picture.color, pixels.repeat(3, 0).repeat(3, 1))


def test_there_are_no_gradients_and_no_layers(tmp_path: Path) -> None:
    model = load_model(write(tmp_path / "net.onnx"))
    image = torch.rand(1, 3, 4, 4, requires_grad=True)
    with pytest.raises(UserError, match="net is an ONNX file, which has no gradients: choose a PyTorch checkpoint"):
        model(image)
    with torch.no_grad():
        assert model(image).shape == (1, 3, 8, 8)
    with pytest.raises(UserError, match="net is an ONNX file, which has no layers to count"):
        deepcopy(model.network).to("meta")(torch.empty(1, 3, 4, 4, device="meta"))


def test_fixed_sizes_are_refused(tmp_path: Path) -> None:
    for shape, size in (((1, 3, 64, 48), "48 x 64"), (("N", 3, "H", 48), "48 x H")):
        message = refused(write(tmp_path / "fixed.onnx", shape=shape))
        assert f"takes images of one size only ({size}): export it with dynamic axes" in message
        assert 'dynamic_axes={"input": {2: "height", 3: "width"}}' in message
    hidden = [helper.make_node("Reshape", ["image", "fixed"], ["cut"]), *deepcopy(CONVOLUTION)]
    hidden[1].input[0] = "cut"
    assert "failed on an image of 47 x 33 pixels: export it with dynamic" in refused(write(tmp_path / "h.onnx", hidden))


@pytest.mark.parametrize(
    ("node", "shape", "kind", "message"),
    [
        ("Relu", ("N", 1, "H", "W"), TensorProto.FLOAT, "takes images of 1 channels"),
        ("Relu", ("N", "H", "W"), TensorProto.FLOAT, "takes tensor(float) of N x H x W: it must take one float"),
        ("Identity", FREE, TensorProto.UINT8, "takes tensor(uint8) of N x 3 x H x W"),
        ("Relu", FREE, TensorProto.FLOAT, "of 1 x 3 x 33 x 47 into 1 x 3 x 33 x 47 of torch.float32"),
        ("Flatten", FREE, TensorProto.FLOAT, "into 1 x 4653 of torch.float32: it must return"),
    ],
)
def test_other_inputs_and_other_tasks_are_refused(
    tmp_path: Path, node: str, shape: tuple[Any, ...], kind: int, message: str
) -> None:
    nodes = [helper.make_node(node, ["image"], ["result"])]
    assert message in refused(write(tmp_path / "odd.onnx", nodes, shape, kind))


def test_damaged_and_missing_files_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "net.onnx")
    content = path.read_bytes()
    for damaged in (b"", b"hello world", content[: len(content) // 2], content[:-1]):
        path.write_bytes(damaged)
        assert "is damaged, or made for another version of onnxruntime" in refused(path)
    unknown = write(tmp_path / "unknown.onnx", [helper.make_node("Sharpen", ["image"], ["result"])])
    assert "is damaged, or made for another version of onnxruntime" in refused(unknown)
    assert "There is no weights file" in refused(tmp_path / "nothing.onnx")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_package_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    path = write(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CheckpointError, match="needs onnxruntime: install it with `pip install onnxruntime onnx`"):
        load_model(path)
