"""Load the networks of `promptsr.zoo.peers` that were trained with Caffe: `.caffemodel` files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from promptsr.support.errors import CheckpointError
from promptsr.zoo.formats import check_there
from promptsr.zoo.peers import find_peer
from promptsr.zoo.sr_model import SRModel

# Numbers of the fields in Caffe's description of its files, caffe.proto.
_LAYER, _NAME, _BLOBS, _CONVOLUTION = 100, 1, 7, 106
_STRIDE = 6
_VALUES, _SHAPE, _SIDES = 5, 7, 1
_WIRE_NUMBER, _WIRE_LONG, _WIRE_BYTES, _WIRE_SHORT = 0, 1, 2, 5


def load_caffe(path: Path) -> SRModel:
    """Load the model in a file, named by the file's stem, in evaluation mode.

    Its upsampling layer tells the scale.

    Raises:
        CheckpointError: the file is missing, damaged, or of an unknown network.
    """
    check_there(path)
    try:
        state, strides = _read_layers(path.read_bytes())
    except (IndexError, OverflowError, ValueError) as error:
        raise CheckpointError(f"{path} is truncated or not a Caffe model: download it again.") from error
    model = find_peer(path, state, scales=[stride for stride in strides if stride > 1])
    if model is None:
        raise CheckpointError(f"{path} holds none of the Caffe networks known here: choose a checkpoint of IDN.")
    return model


def _read_layers(content: bytes) -> tuple[dict[str, Tensor], set[int]]:
    """Return weights and biases by layer, and the strides of all layers."""
    state: dict[str, Tensor] = {}
    strides = set[int]()
    for layer in _messages(content, _LAYER):
        [name] = _messages(layer, _NAME)
        blobs = map(_blob, _messages(layer, _BLOBS))
        state |= {f"{name.decode()}.{kind}": blob for kind, blob in zip(("weight", "bias"), blobs, strict=False)}
        for settings in _messages(layer, _CONVOLUTION):
            strides |= {value for number, value in _fields(settings) if number == _STRIDE and isinstance(value, int)}
    return state, strides


def _blob(content: bytes) -> Tensor:
    [values], [shape] = _messages(content, _VALUES), _messages(content, _SHAPE)
    [packed] = _messages(shape, _SIDES)
    sides, place = list[int](), 0
    while place < len(packed):
        side, place = _number(packed, place)
        sides.append(side)
    return torch.from_numpy(np.frombuffer(values, "<f4").reshape(sides).copy())


def _messages(content: bytes, wanted: int) -> list[bytes]:
    """Return what lies in all fields of a number, but for plain numbers."""
    return [value for number, value in _fields(content) if number == wanted and isinstance(value, bytes)]


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield numbers and values of the fields of a message in the format of Protocol Buffers."""
    place = 0
    while place < len(content):
        key, place = _number(content, place)
        number, kind = key >> 3, key & 7
        if kind == _WIRE_NUMBER:
            value: int | bytes
            value, place = _number(content, place)
        else:
            sizes = {_WIRE_LONG: 8, _WIRE_SHORT: 4}
            if kind == _WIRE_BYTES:
                size, place = _number(content, place)
            elif kind in sizes:
                size = sizes[kind]
            else:
                raise ValueError(f"there is no kind {kind} of field")
            if place + size > len(content):
                raise ValueError("a field is longer than the file")
            value, place = content[place : place + size], place + size
        yield number, value


def _number(content: bytes, place: int) -> tuple[int, int]:
    """Return the number of seven bits a byte that begins at a place, and the place behind it."""
    value = 0
    for position in range(10):
        byte = content[place + position]
        value |= (byte & 127) << (7 * position)
        if byte < 128:
            return value, place + position + 1
    raise ValueError("a number is longer than 64 bits")
