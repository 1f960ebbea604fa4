"""Checkpoints: a damaged or hostile file of weights is a model that upscales, or a `CheckpointError`."""

import io
import json
import struct
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import save as to_safetensors
from torch import Tensor

from promptsr.config import ModelConfig
from promptsr.imaging import Picture
from promptsr.inference.upscaler import Upscaler
from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.checkpoints import load_checkpoint, read_info
from promptsr.zoo.formats import read_config
from promptsr.zoo.load import load_model
from tests.fuzz.mutations import damaged
from tests.fuzz.target import Target
from tests.zoo.adapters.conftest import write_onnx
from tests.zoo.adapters.test_spandrel_models import build

CONFIG = ModelConfig(
    scale=2, channels=4, groups=1, blocks_per_group=1, anchor_stride=2, window_size=4, category_size=16, heads=2
)
_PICTURE = Picture(np.arange(60, dtype=np.uint8).reshape(4, 5, 3))
_SWIN = {"img_size": 16, "window_size": 4, "mlp_ratio": 1, "depths": [2], "num_heads": [2], "embed_dim": 8}
_DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.uint8, torch.bool]
_DTYPES += [torch.uint16, torch.float8_e4m3fn, torch.complex64]

State = dict[str, Any]
Metadata = dict[str, str] | None

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.integers(0, 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_SETTINGS = st.dictionaries(st.sampled_from(list(CONFIG.to_dict())), st.integers(1, 64) | _JSON, max_size=3)


@cache
def own() -> State:
    """Tensors of a PromptSR network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PromptSR(CONFIG).state_dict()


@cache
def _foreign() -> list[State]:
    """Tensors of networks that spandrel knows: one that is all convolutions, one with attention, nested ones."""
    compact = build("Compact", num_feat=4, num_conv=1, upscale=2).state_dict()
    swin = build("SwinIR", upsampler="pixelshuffledirect", upscale=2, **_SWIN).state_dict()
    safmn = build("SAFMN", dim=8, n_blocks=1, ffn_scale=2.0, upscaling_factor=2).state_dict()
    return [compact, swin, {"params_ema": safmn}, {"state_dict": compact, "epoch": 3, "lr": [0.1]}]


# Replacements of a tensor.
_SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 8, 12, 64]), max_size=4)
_WIDE = st.lists(st.sampled_from([1, 3, 64, 4096, 2**20]), min_size=1, max_size=3)
_NEW = st.one_of(
    st.sampled_from(_DTYPES).map(lambda dtype: lambda old: old.to(dtype)),
    _SHAPES.map(lambda shape: lambda _: torch.zeros(shape)),
    st.sampled_from([float("nan"), float("inf"), 1e30, 0.0]).map(
        lambda value: lambda old: torch.full_like(old.float(), value)
    ),
    st.just(lambda old: old.flatten()),
)
_ODD = st.one_of(
    _WIDE.map(lambda shape: lambda _: torch.zeros(1).expand(shape)),  # a few bytes in the file, whatever the shape
    st.just(lambda old: old.to_sparse()),
    st.just(lambda old: old.to("meta")),
    st.just(lambda old: torch.quantize_per_tensor(old.float(), 0.1, 0, torch.qint8)),
    _JSON.map(lambda value: lambda _: value),
)


def _changed(states: list[State], new: st.SearchStrategy[Any]) -> st.SearchStrategy[State]:
    """Replace, leave out or rename some tensors; a place counts among their names."""

    def change(state: State, replaced: list[Any], dropped: list[int], renamed: list[tuple[int, str]]) -> State:
        for key in ("params_ema", "state_dict"):
            if key in state:
                return {**state, key: change(state[key], replaced, dropped, renamed)}
        names, result = list(state), dict(state)
        for place, to in replaced:
            name = names[place % len(names)]
            result[name] = to(state[name])
        for place in dropped:
            result.pop(names[place % len(names)], None)
        for place, name in renamed:
            result[name] = state[names[place % len(names)]]
        return result

    place = st.integers(0, 200)
    names = st.sampled_from(["extra", "params", "module.x", "weight", ""]) | st.text(max_size=5)
    return st.builds(
        change,
        st.sampled_from(states),
        st.lists(st.tuples(place, new), max_size=3),
        st.lists(place, max_size=1),
        st.lists(st.tuples(place, names), max_size=1),
    )


def _safetensors(state: State, metadata: Metadata) -> bytes:
    # copies: tensors that share memory are refused by the writer
    return to_safetensors({name: value.clone().contiguous() for name, value in state.items()}, metadata)


def _metadata(config: Any, info: Any) -> Metadata:
    whole = {**CONFIG.to_dict(), **config} if isinstance(config, dict) else config
    return {"format": "promptsr", "config": json.dumps(whole), "info": json.dumps(info)}


_NUMBERS = st.sampled_from([0, 1, 4, -1, 2**31, 2**53, 2**63, 2**64 - 1]) | st.integers(0, 500)
_ENTRY = (
    st.integers(0, 200),
    st.sampled_from(["dtype", "shape", "data_offsets", "format", "config"]),
    st.sampled_from(["F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64"])
    | st.lists(_NUMBERS, max_size=4)
    | _JSON,
)


def _reheaded(data: bytes, place: int, key: str, value: Any) -> bytes:
    """Change an entry of a safetensors header, and correct the length of the header."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    list(header.values())[place % len(header)][key] = value
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _own_files() -> st.SearchStrategy[bytes]:
    sound = _safetensors(own(), _metadata({}, {"step": 1}))
    return st.one_of(
        damaged([sound]),
        st.builds(lambda config, info: _safetensors(own(), _metadata(config, info)), _SETTINGS | _JSON, _JSON),
        st.builds(_safetensors, _changed([own()], _NEW), st.just(_metadata({}, {}))),
        st.builds(_reheaded, st.just(sound), *_ENTRY),
    )


def _foreign_safetensors() -> st.SearchStrategy[bytes]:
    flat = [state for state in _foreign() if all(isinstance(value, Tensor) for value in state.values())]
    sound = [_safetensors(state, None) for state in flat]
    return st.one_of(
        damaged(sound),
        st.builds(_safetensors, _changed(flat, _NEW), st.none()),
        st.builds(_reheaded, st.sampled_from(sound), *_ENTRY),
    )


def _saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _rezipped(data: bytes, pickled: bytes) -> bytes:
    """Put another pickle into a file, with correct checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, pickled if entry.filename.endswith("data.pkl") else old.read(entry))
    return buffer.getvalue()


def _pickle_of(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return file.read(next(name for name in file.namelist() if name.endswith("data.pkl")))


def _pth_files() -> st.SearchStrategy[bytes]:
    sound = [_saved(state) for state in _foreign()]
    return st.one_of(
        damaged([*sound, _saved(_foreign()[0], _use_new_zipfile_serialization=False)]),
        _changed(_foreign(), _NEW | _ODD).map(_saved),
        st.builds(_rezipped, st.sampled_from(sound), damaged([_pickle_of(data) for data in sound])),
    )


def _onnx_files() -> st.SearchStrategy[bytes]:
    buffer = io.BytesIO()
    write_onnx(buffer)
    return damaged([buffer.getvalue()])


def check(path: Path, _: Path) -> None:
    """The model in the file enlarges a small picture, or a message says why it cannot."""
    model = load_model(path)
    try:
        result = Upscaler(model)(_PICTURE).picture
    except UserError as error:
        assert str(error)
        return
    assert (result.height, result.width) == (model.scale * _PICTURE.height, model.scale * _PICTURE.width)


def check_own(path: Path, folder: Path) -> None:
    """Readers of the header alone agree with readers of the whole file."""
    try:
        info, config = read_info(path), read_config(path)
    except CheckpointError:
        load_model(path)  # a file of another network, or one that is refused here too
        raise
    assert isinstance(info, dict)
    assert load_checkpoint(path).config == config == read_config(path)
    check(path, folder)


def check_onnx(path: Path, folder: Path) -> None:
    """As others; but onnxruntime allocates what a graph asks for, and is known to fail at it: hide the cause."""
    try:
        check(path, folder)
    except CheckpointError as error:
        raise CheckpointError(str(error)) from None


TARGETS = [
    Target("checkpoint-own", _own_files, check_own, CheckpointError, 60, ".safetensors"),
    Target("checkpoint-safetensors", _foreign_safetensors, check, CheckpointError, 25, ".safetensors"),
    Target("checkpoint-pth", _pth_files, check, CheckpointError, 40, ".pth"),
    Target("checkpoint-onnx", _onnx_files, check_onnx, CheckpointError, 25, ".onnx"),
]
