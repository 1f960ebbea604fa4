"""Checkpoints: exact when they are sound, one plain sentence when they are not, and never half of one."""

import json
import pickle
import re
import resource
import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save as serialize
from safetensors.torch import load_file, save_file
from torch import Tensor

from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo import checkpoints
from promptsr.zoo.checkpoints import load_checkpoint, read_info, save_checkpoint
from promptsr.zoo.formats import read_config
from tests.zoo.conftest import CONFIG

INFO = {"step": 7, "note": "größer", "psnr": 31.25, "folders": ["a", "b"]}
FIRST = "decoder.0.bias"  # of all tensors, by name

Edit = Callable[[dict[str, Tensor], dict[str, str]], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound checkpoint of a small network with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PromptSR(CONFIG)
    path = tmp_path_factory.mktemp("weights") / "sound.safetensors"
    save_checkpoint(path, CONFIG, network.state_dict(), INFO)
    return path


def edited(sound: Path, path: Path, edit: Edit) -> Path:
    """A copy of `sound` whose tensors and metadata went through `edit`."""
    tensors = load_file(sound)
    metadata = {"format": "promptsr", "config": json.dumps(CONFIG.to_dict()), "info": json.dumps(INFO)}
    edit(tensors, metadata)
    save_file(tensors, path, metadata)
    return path


def refused(path: Path, scale: int | None = None) -> str:
    """The message with which a file is refused: one sentence that names the file."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, scale)
    message = str(caught.value)
    assert str(path) in message and message.endswith(".") and "\n" not in message
    return message


def test_round_trip_is_exact(sound: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        original = PromptSR(CONFIG).requires_grad_(False)
    loaded = load_checkpoint(sound, scale=3)
    assert loaded.config == CONFIG == read_config(sound)
    assert read_info(sound) == INFO
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    expected = original.state_dict()
    assert loaded.state_dict().keys() == expected.keys() == load_file(sound).keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    image = torch.rand(1, 3, 9, 7)
    assert torch.equal(loaded(image), original(image))
    assert "upscales x3, not x4" in refused(sound, scale=4)


def with_dtype(dtype: torch.dtype) -> Edit:
    return lambda tensors, _: tensors.update({FIRST: tensors[FIRST].to(dtype)})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tensors, _: tensors.pop(FIRST), f"lacks tensor {FIRST}:"),
        (lambda tensors, _: [tensors.pop(k) for k in list(tensors)[:3]], "and 2 more:"),
        (lambda tensors, _: tensors.update(extra=torch.zeros(2)), "has the unknown tensor extra:"),
        (lambda tensors, _: tensors.update({FIRST: torch.zeros(5)}), f"has the wrong shape in tensor {FIRST}:"),
        (lambda tensors, _: tensors.update({FIRST: torch.zeros(27, 1)}), f"has the wrong shape in tensor {FIRST}:"),
        (lambda tensors, _: tensors.clear(), "lacks tensor"),
        (lambda _, metadata: metadata.update(config=json.dumps({**CONFIG.to_dict(), "scale": 2})), "wrong shape"),
        (lambda _, metadata: metadata.update(config=json.dumps({**CONFIG.to_dict(), "groups": 2})), "lacks tensor"),
        (lambda _, metadata: metadata.update(format="other"), "holds no PromptSR network"),
        (lambda _, metadata: metadata.pop("format"), "holds no PromptSR network"),
        (lambda _, metadata: metadata.clear(), "holds no PromptSR network"),
        (lambda _, metadata: metadata.pop("config"), "unusable configuration"),
        *((with_dtype(kind), f"wrong type in tensor {FIRST}") for kind in (torch.int64, torch.complex64, torch.bool)),
    ],
)
def test_weights_of_another_network_are_refused(sound: Path, tmp_path: Path, edit: Edit, message: str) -> None:
    assert message in refused(edited(sound, tmp_path / "w.safetensors", edit))


BAD_CONFIGS = [
    *("", "{", "null", "5", "[]", '"text"', "[1]", "[[1]]", "[{}]", '{"scale": 4,}'),
    *('{"scale": "4"}', '{"scale": null}', '{"scales": 4}', '{"channels": 1e2}', '{"channels": 100000000000}'),
    *('{"groups": 1000000000}', '{"window_size": 1000000}', '{"heads": 7}', '{"mlp_ratio": NaN}'),
    *('{"mlp_ratio": Infinity}', '{"mlp_ratio": 1e999}', '{"prompt_update": NaN}', '{"fine_prompting": {}}'),
    *('{"anchor_prompting": false}', "[" * 100_000, '{"a":' * 100_000, "1" * 10_000),
]


@pytest.mark.parametrize("text", BAD_CONFIGS, ids=lambda text: text[:30])
def test_a_bad_configuration_is_refused(sound: Path, tmp_path: Path, text: str) -> None:
    path = edited(sound, tmp_path / "w.safetensors", lambda _, metadata: metadata.update(config=text))
    assert "unusable configuration" in refused(path)
    with pytest.raises(CheckpointError):
        read_config(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 1024, "groups": 8, "blocks_per_group": 4}, "lacks tensor"),  # 7 GiB
        ({"window_size": 32, "mlp_ratio": 16}, "lacks tensor|wrong shape"),
        ({"window_size": 63, "anchor_stride": 64}, "must have a common multiple of at most 512"),
    ],
)
def test_a_configuration_cannot_ask_for_much(
    sound: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    text = json.dumps({**CONFIG.to_dict(), **settings})
    path = edited(sound, tmp_path / "w.safetensors", lambda _, metadata: metadata.update(config=text))
    import_module("torch._dynamo")  # which the meta device loads: 70 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert re.search(message, refused(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB


@pytest.mark.parametrize(
    "damaged",
    [
        *((lambda whole, kept=kept: whole[: int(kept * len(whole))]) for kept in (0, 0.001, 0.05, 0.5, 0.9999)),
        lambda whole: whole + bytes(8),
        lambda _: b"hello, world",
        lambda _: pickle.dumps({"encoder.weight": [1.0, 2.0]}),
        lambda _: b"\x89PNG\r\n\x1a\n" + bytes(100),
        lambda _: b"PK\x03\x04" + bytes(100),
        lambda _: b"\xff" * 4096,
        lambda _: struct.pack("<Q", 2) + b"{}",
        lambda _: struct.pack("<Q", 2**40) + b"{}",
        lambda _: serialize({"weight": np.zeros((3, 3), np.float32)}),
        lambda _: serialize({"weight": np.zeros((3, 3), np.float32)}, {"format": "pt"}),
    ],
)
def test_damaged_and_foreign_files_are_refused(sound: Path, tmp_path: Path, damaged: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(damaged(sound.read_bytes()))
    assert re.search("truncated or not a safetensors file|holds no PromptSR network", refused(path))
    with pytest.raises(CheckpointError):
        read_config(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.safetensors", tmp_path, tmp_path / ("x" * 300)):
        assert "no weights file" in refused(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", "[" * 100_000])
def test_bad_notes_are_refused(sound: Path, tmp_path: Path, text: str) -> None:
    path = edited(sound, tmp_path / "w.safetensors", lambda _, metadata: metadata.update(info=text))
    with pytest.raises(CheckpointError, match=r"w\.safetensors"):
        read_info(path)


def test_no_notes_are_no_error(sound: Path, tmp_path: Path) -> None:
    path = edited(sound, tmp_path / "w.safetensors", lambda _, metadata: metadata.pop("info"))
    assert read_info(path) == {}


@pytest.mark.parametrize(
    ("error", "expected"), [(OSError(28, "No space left on device"), UserError), (RuntimeError("x"), RuntimeError)]
)
def test_nothing_is_half_written(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception]
) -> None:
    def fails(_tensors: object, path: Path, _metadata: object) -> None:
        Path(path).write_bytes(b"half")
        raise error

    existing, new = tmp_path / "existing" / "w.safetensors", tmp_path / "new" / "w.safetensors"
    existing.parent.mkdir()
    existing.write_bytes(sound.read_bytes())
    with pytest.raises(TypeError):  # information that is no JSON
        save_checkpoint(existing, CONFIG, load_file(sound), {"path": tmp_path})
    monkeypatch.setattr(checkpoints, "save_file", fails)
    for target in (existing, new):
        with pytest.raises(expected):
            save_checkpoint(target, CONFIG, load_file(sound), {})
    assert existing.read_bytes() == sound.read_bytes()
    assert list(existing.parent.iterdir()) == [existing] and list(new.parent.iterdir()) == []


def test_views_and_strides_are_saved_as_they_read(sound: Path, tmp_path: Path) -> None:
    state = load_file(sound)
    weight = state["fusion.weight"]
    state["fusion.weight"] = weight.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    save_checkpoint(tmp_path / "w.safetensors", CONFIG, state, {})
    assert torch.equal(load_checkpoint(tmp_path / "w.safetensors").state_dict()["fusion.weight"], weight)
