"""ONNX files, built by hand: the same as PyTorch at any size; and what is refused."""

import re
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from promptsr.imaging import Picture
from promptsr.inference.upscaler import Upscaler
from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.fingerprint import fingerprint
from promptsr.zoo.load import load_model

WEIGHT = np.random.default_rng(0).normal(size=(12, 3, 3, 3)).astype(np.float32)
BIAS = np.linspace(-1, 1, 12, dtype=np.float32)
CONVOLUTION = [
    helper.make_node("Conv", ["image", "weight", "bias"], ["features"], pads=[1, 1, 1, 1]),
    helper.make_node("DepthToSpace", ["features"], ["result"], blocksize=2, mode="CRD"),
]
FREE = ("N", 3, "H", "W")


def write(
    path: Path, nodes: list[Any] = CONVOLUTION, shape: tuple[Any, ...] = FREE, kind: int = TensorProto.FLOAT
) -> Path:
    """A network in a file: two layers on an input of this shape and type."""
    numbers = [("weight", WEIGHT), ("bias", BIAS)]
    half = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    weights = [numpy_helper.from_array(values.astype(half), name) for name, values in numbers]
    weights.append(numpy_helper.from_array(np.array([-1, 3, 16, 16], np.int64), "fixed"))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("result", kind, None)],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def expected(image: Tensor) -> Tensor:
    return F.pixel_shuffle(F.conv2d(image, torch.from_numpy(WEIGHT), torch.from_numpy(BIAS), padding=1), 2)


@pytest.mark.parametrize("shape", [FREE, (1, 3, "H", "W"), (1, "C", "H", "W")])
def test_a_file_is_what_pytorch_makes(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    model = load_model(write(tmp_path / "net.onnx", shape=shape))
    assert (model.name, model.scale, model.architecture) == ("net", 2, "ONNX")
    assert model.parameters == 12 * 3 * 9 + 12  # not the integers of a shape
    assert not model.differentiable and model.device == torch.device("cpu")
    for size in ((2, 3, 5, 8), (1, 3, 1, 1)):
        image = torch.rand(size)
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
    resize = [
        helper.make_node("Constant", [], ["none"], value=numpy_helper.from_array(np.zeros(0, np.float32))),
        helper.make_node("Constant", [], ["scales"], value_floats=[1.0, 1.0, 3.0, 3.0]),
        helper.make_node(
            "Resize",
            ["image", "none", "scales"],
            ["result"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
    ]
    model = load_model(write(tmp_path / "nearest.ONNX", resize))
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


def refused(path: Path) -> str:
    with pytest.raises(UserError, match=re.escape(path.stem)) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_fixed_sizes_are_refused(tmp_path: Path) -> None:
    for shape, size in (((1, 3, 64, 48), "48 x 64"), (("N", 3, "H", 48), "48 x H")):
        message = refused(write(tmp_path / "fixed.onnx", shape=shape))
        assert f"takes images of one size only ({size}): export it with dynamic axes" in message
        assert 'dynamic_axes={"input": {2: "height", 3: "width"}}' in message
    hidden = [helper.make_node("Reshape", ["image", "fixed"], ["cut"]), *deepcopy(CONVOLUTION)]
    hidden[1].input[0] = "cut"
    assert "failed on an image of 47 x 33 pixels: export it with dynamic" in refused(write(tmp_path / "h.onnx", hidden))


def test_other_inputs_and_other_tasks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    relu = [helper.make_node("Relu", ["image"], ["result"])]
    assert "takes images of 1 channels" in refused(write(path, shape=("N", 1, "H", "W")))
    assert "takes tensor(float) of N x H x W: it must take one float" in refused(
        write(path, relu, shape=("N", "H", "W"))
    )
    same = [helper.make_node("Identity", ["image"], ["result"])]
    assert "takes tensor(uint8) of N x 3 x H x W" in refused(write(path, same, kind=TensorProto.UINT8))
    assert "does not enlarge" in refused(write(path, relu))
    flat = [helper.make_node("Flatten", ["image"], ["result"])]
    assert "made 1 x 4653 of a test image" in refused(write(path, flat))


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
