"""ONNX files: the same as PyTorch at any size; and refusals."""

import math
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import Tensor

from promptsr.imaging import Picture
from promptsr.inference.upscaler import Upscaler
from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.adapters.onnx_models import OnnxNetwork
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


def expected_of(image: Tensor) -> Tensor:
    return F.pixel_shuffle(F.conv2d(image, torch.from_numpy(WEIGHT), torch.from_numpy(BIAS), padding=1), 2)


@pytest.mark.parametrize("shape", [FREE, (1, 3, "H", "W"), (1, "C", "H", "W")])
def test_a_file_is_what_pytorch_makes(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    model = load_model(write(tmp_path / "net.onnx", shape=shape))
    assert (model.name, model.scale, model.architecture) == ("net", 2, "ONNX")
    assert model.parameters == 12 * 3 * 9 + 12  # not the integers of a shape
    assert not model.differentiable and model.device == torch.device("cpu")
    for size in ((1, 3, 1, 1), (2, 3, 5, 8)):
        image = torch.rand(size, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(model(image), expected_of(image), rtol=0, atol=1e-5)
    assert float(model(image).max()) > 1 > 0 > float(model(torch.zeros(1, 3, 1, 1)).min())  # not clamped


def test_files_are_told_apart_by_their_content(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.onnx"), write(tmp_path / "b.onnx"), write(tmp_path / "c.onnx", shape=(1, 3, "H", "W"))]
    first, same, other = (fingerprint(load_model(path).network) for path in paths)
    assert first == same != other


def test_half_precision_in_the_file(tmp_path: Path) -> None:
    model = load_model(write(tmp_path / "half.onnx", kind=TensorProto.FLOAT16))
    image = torch.rand(1, 3, 6, 5)
    assert model(image).dtype == torch.float32
    torch.testing.assert_close(model(image), expected_of(image), rtol=0, atol=2e-2)


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


def blocks(path: Path, multiple: int, shape: tuple[Any, ...] = FREE) -> Path:
    """A network that takes sides in multiples only: it gathers blocks and spreads them again."""
    gather = helper.make_node("SpaceToDepth", ["image"], ["blocks"], blocksize=multiple)
    spread = helper.make_node("DepthToSpace", ["blocks"], ["image again"], blocksize=multiple)
    nodes = [gather, spread, *deepcopy(CONVOLUTION)]
    nodes[2].input[0] = "image again"
    return write(path, nodes, shape)


def run(path: Path, image: np.ndarray) -> np.ndarray:
    """Return the result of onnxruntime itself."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"image": image})[0]
    return result


def picture(height: int, width: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(height).random((count, 3, height, width), np.float32)


@pytest.mark.parametrize(
    ("multiple", "shape"), [(2, FREE), (3, FREE), (7, FREE), (8, FREE), (48, FREE), (4, (1, 3, 64, "W"))]
)
def test_sides_are_padded_to_the_multiples_that_the_file_takes(
    tmp_path: Path, multiple: int, shape: tuple[Any, ...]
) -> None:
    path = blocks(tmp_path / "blocks.onnx", multiple, shape)
    model = load_model(path)
    fixed = shape[2] if isinstance(shape[2], int) else 1
    assert (model.scale, model.size_multiple, model.min_tile) == (2, multiple, max(multiple, fixed))
    for height, width in ((50, 61), (33, 2 * multiple), (5, 3)):
        image = picture(height, width)
        bottom, right = (fixed - height if fixed > 1 else -height % multiple), -width % multiple
        result = model(torch.from_numpy(image)).numpy()
        assert result.shape == (1, 3, 2 * height, 2 * width)
        if bottom < height and right < width:
            padded = np.pad(image, [(0, 0), (0, 0), (0, bottom), (0, right)], mode="reflect")
            np.testing.assert_allclose(result, run(path, padded)[:, :, : 2 * height, : 2 * width], atol=1e-5)


def test_a_result_that_is_cut_to_a_multiple_tells_the_multiple(tmp_path: Path) -> None:
    pool = helper.make_node("AveragePool", ["image"], ["half"], kernel_shape=[2, 2], strides=[2, 2])
    grow = helper.make_node("Resize", ["half", "", "scales"], ["result"], mode="nearest")
    write_onnx(tmp_path / "pool.onnx", [pool, grow], scales=np.array([1, 1, 4, 4], np.float32))
    model = load_model(tmp_path / "pool.onnx")
    assert (model.scale, model.size_multiple) == (2, 2)
    assert model(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 3, 48, 64), ("N", 3, "H", 48), (1, 3, 64, "W")])
def test_a_file_for_one_size_runs_in_tiles_of_that_size(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    path = write(tmp_path / "fixed.onnx", shape=shape)
    model = load_model(path)
    height, width = (side if isinstance(side, int) else None for side in shape[2:])
    assert (model.scale, model.min_tile) == (2, max(height or 1, width or 1))
    for size in ((20, 30), (1, 1)):  # smaller ones are padded
        image = picture(*size)
        pads = [(0, (most or side) - side) for most, side in zip((height, width), size, strict=True)]
        # Where it pads by more than the image's size, np.pad mirrors again; that does not reach the result.
        around = [(0, 0), (0, 0), *pads]
        padded = np.pad(image, around, mode="edge") if size == (1, 1) else np.pad(image, around, mode="reflect")
        expected = run(path, padded)[:, :, : 2 * size[0], : 2 * size[1]]
        np.testing.assert_allclose(model(torch.from_numpy(image)).numpy(), expected, atol=1e-5)
    pixels = np.random.default_rng(1).integers(0, 256, (150, 110, 3), np.uint8)
    lr = Picture(pixels, None, False).to_tensor()
    # A convolution of 3 x 3 does not see where tiles end that overlap by 16 pixels.
    whole = expected_of(lr)
    torch.testing.assert_close(model(lr), whole, rtol=0, atol=1e-5)
    result = Upscaler(model, tile="whole")(Picture(pixels, None, False))
    assert result.tiles == math.prod(
        -(-(side - 16) // (most - 16)) if most else 1 for side, most in zip((150, 110), (height, width), strict=True)
    )
    rounded = (whole[0].permute(1, 2, 0).clamp(0, 1) * 255).round().numpy()
    assert np.abs(result.picture.color - rounded).max() <= 1


def test_a_declared_size_of_the_result_spares_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = onnx.load(write(tmp_path / "fixed.onnx", shape=(1, 3, 64, 48)))
    for dimension, side in zip(graph.graph.output[0].type.tensor_type.shape.dim, (1, 3, 128, 96), strict=False):
        dimension.dim_value = side
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("result", TensorProto.FLOAT, (1, 3, 128, 96)))
    onnx.save(graph, tmp_path / "fixed.onnx")
    monkeypatch.setattr(OnnxNetwork, "_run", None)
    model = load_model(tmp_path / "fixed.onnx")
    assert model.scale == 2
    # Its last step reads and writes 12 channels of 64 x 48 floats; four such steps.
    assert model.working_memory(9, 500) == 4 * 4 * 2 * 12 * 64 * 48


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_a_fixed_batch_is_filled(tmp_path: Path, count: int) -> None:
    model = load_model(write(tmp_path / "batch.onnx", shape=(4, 3, "H", "W")))
    image = torch.from_numpy(picture(6, 5, count))
    torch.testing.assert_close(model(image), expected_of(image), rtol=0, atol=1e-5)


def test_what_takes_no_size_is_refused_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = [helper.make_node("Reshape", ["image", "fixed"], ["cut"]), *deepcopy(CONVOLUTION)]
    hidden[1].input[0] = "cut"
    path = write(tmp_path / "h.onnx", hidden)
    message = refused(path)
    assert "failed on test images of all sizes that were tried (" in message and "Reshape" in message
    assert "export it with dynamic height and width, and without shapes that were fixed by the example" in message

    def exhausted(*_: object) -> Tensor:
        raise RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 8")

    monkeypatch.setattr(OnnxNetwork, "_run", exhausted)
    assert refused(path) == f"There is not enough memory to try {path}: close other programs."


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
