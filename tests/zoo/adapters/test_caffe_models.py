"""Caffe's files: IDN written by a writer of our own is read again; damaged and foreign files are refused."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from promptsr.support.errors import CheckpointError
from promptsr.zoo.load import load_model
from promptsr.zoo.peers.idn import IDN
from promptsr.zoo.sr_model import SRModel
from tests.zoo.conftest import refused


def number(value: int) -> bytes:
    """A number in sevens of bits, as Protocol Buffers have it."""
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def field(key: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return number(key << 3) + number(content)
    return number(key << 3 | 2) + number(len(content)) + content


def blob(values: Tensor) -> bytes:
    shape = b"".join(map(number, values.shape))
    return field(5, values.numpy().tobytes()) + field(7, field(1, shape))


def layer(name: str, weight: Tensor, bias: Tensor, stride: int = 1) -> bytes:
    content = field(1, name.encode()) + field(2, b"Convolution") + field(7, blob(weight)) + field(7, blob(bias))
    return field(100, content + field(106, field(6, stride)))


def original_names() -> dict[str, str]:
    """Layers of the original -> modules of ours, in the words of its publication's figures."""
    names = {"conv1": "encoder.0", "conv2": "encoder.2", "upsample": "decoder"}
    for i in range(4):
        names |= {f"conv{i + 3}_{j + 1}": f"units.{i}.{('lower', 'upper')[j // 3]}.{j % 3 * 2}" for j in range(6)}
        names[f"down{i + 1}"] = f"units.{i}.fusion"
    return names


def write(path: Path, scale: int) -> IDN:
    """Writes a network with random weights, and returns it."""
    with torch.random.fork_rng():
        torch.manual_seed(scale)
        network = IDN(scale).eval().requires_grad_(False)
    state = network.state_dict()
    layers = [
        layer(theirs, state[f"{ours}.weight"], state[f"{ours}.bias"], scale if theirs == "upsample" else 1)
        for theirs, ours in original_names().items()
    ]
    path.write_bytes(field(1, b"name") + b"".join(layers))
    return network


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_network_is_read(tmp_path: Path, scale: int) -> None:
    expected = write(tmp_path / "any.caffemodel", scale)
    model = load_model(tmp_path / "any.caffemodel")
    assert (model.name, model.architecture, model.scale, model.parameters) == ("any", "IDN", scale, 552_769)
    image = torch.rand(1, 3, 6, 5)
    torch.testing.assert_close(model(image), expected(image))


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.caffemodel"
    write(path, 5)  # a scale that IDN does not have
    assert "holds none of the Caffe networks known here: choose a checkpoint of IDN" in refused(path)
    path.write_bytes(layer("conv1", torch.zeros(64, 1, 3, 3), torch.zeros(64)))
    assert "holds none of the Caffe networks known here" in refused(path)
    path.write_text("no weights here")
    assert "is truncated or not a Caffe model: download it again" in refused(path)
    assert "There is no weights file" in refused(tmp_path / "missing.caffemodel")
    torch.save({name: torch.zeros(1) for name in original_names()}, tmp_path / "idn.pth")
    assert "holds none of the networks known here" in refused(tmp_path / "idn.pth")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_gives_a_sentence(tmp_path: Path, data: st.DataObject) -> None:
    sound = field(1, b"name") + b"".join(
        layer(name, torch.ones(2, 3), torch.ones(2), stride) for name, stride in (("conv1", 1), ("upsample", 2))
    )
    content = bytearray(sound)
    for place in data.draw(st.lists(st.integers(0, len(sound) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.caffemodel"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found: SRModel | None = load_model(path)
    except CheckpointError as error:
        assert "\n" not in str(error)
        found = None
    assert found is None
