"""`promptsr upscale`: results, naming, and everything it refuses."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch.nn.functional as F
from PIL import ImageCms
from torch import Tensor, nn

from promptsr import Upscaler, load_model
from promptsr.imaging import Metadata, Picture, decode, encode
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.zoo.sr_model import SRModel
from tests.support.commands import Run

Process = Callable[..., CompletedProcess[str]]
Result = Callable[..., dict[str, Any]]


def test_process_writes_what_the_upscaler_makes(promptsr_process: Process, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "big.png"
    done = promptsr_process("upscale", photo, "--output", target, "--model", "bicubic-x3", "--json", "-")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["images"][0]["width"] == 60 and report["images"][0]["height"] == 42
    expected = Upscaler(load_model("bicubic-x3"))(decode(photo)).picture
    np.testing.assert_array_equal(decode(target).color, expected.color)


def test_self_ensemble_is_the_mean_of_eight(result: Result, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "big.png"
    found = result("upscale", photo, "-o", target, "-m", "promptsr-tiny-x2", "--self-ensemble")
    assert found["model"] == "promptsr-tiny-x2+"
    model = load_model("promptsr-tiny-x2")
    np.testing.assert_array_equal(decode(target).color, Upscaler(self_ensemble(model))(decode(photo)).picture.color)
    assert (decode(target).color != Upscaler(model)(decode(photo)).picture.color).any()


def test_two_runs_write_the_same_bytes(promptsr_process: Process, photo: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        done = promptsr_process("upscale", photo, "-o", tmp_path / name, "-m", "promptsr-tiny-x4")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_sixteen_bit_alpha_and_profile_come_back(promptsr: Run, tmp_path: Path) -> None:
    icc_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rng = np.random.default_rng(0)
    color = rng.integers(0, 65536, (9, 11, 3), dtype=np.uint16)
    alpha = rng.integers(0, 65536, (9, 11), dtype=np.uint16)
    source, target = tmp_path / "deep.png", tmp_path / "deep-x2.png"
    encode(Picture(color, alpha, metadata=Metadata(icc=icc_profile)), source)
    code, _, err = promptsr("upscale", source, "-o", target, "-m", "bicubic-x2")
    assert code == 0, err
    header = target.read_bytes()
    assert struct.unpack(">IIBB", header[16:26]) == (22, 18, 16, 6)  # width, height, 16 bit, RGBA
    result = decode(target)
    assert result.alpha is not None and result.color.dtype == np.uint16
    assert result.metadata.icc == icc_profile


def test_a_folder_of_images(promptsr: Run, photo: Path, tmp_path: Path) -> None:
    encode(decode(photo), photo.parent / "second.jpg")
    (photo.parent / "notes.txt").write_text("not an image")
    out = tmp_path / "out"
    code, _, err = promptsr("upscale", photo.parent, "-o", out, "-m", "bicubic-x2", "--format", "webp")
    assert code == 0, err
    assert sorted(path.name for path in out.iterdir()) == ["photo.webp", "second.webp"]
    assert (decode(out / "second.webp").width, decode(out / "second.webp").height) == (40, 28)


def test_one_bad_file_does_not_stop_the_others(promptsr: Run, photo: Path, tmp_path: Path) -> None:
    bad = photo.parent / "a-bad.png"
    bad.write_bytes(photo.read_bytes()[:60])
    code, _, err = promptsr("upscale", photo.parent, "-o", tmp_path / "out", "-m", "bicubic-x2")
    assert code == 2
    assert "a-bad.png" in err and "1 of 2 images" in err and "Traceback" not in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.png"]


def test_the_tile_is_reported(result: Result, photo: Path, tmp_path: Path) -> None:
    tiles = ("--tile", 8, "--overlap", 2)
    [image] = result("upscale", photo, "-o", tmp_path / "o.png", "-m", "bicubic-x2", *tiles)["images"]
    assert image["tile"] == 8 and image["tiles"] > 1


class _Cramped(nn.Module):
    """Nearest-neighbour interpolation, x2, with memory for 1000 pixels."""

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[2] * image.shape[3] > 1000:
            raise MemoryError
        return F.interpolate(image, scale_factor=2)


def test_running_out_of_memory_is_reported(
    promptsr: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptsr.cli.upscale.load_model", lambda name: SRModel(name, 2, _Cramped()))
    source = np.tile(decode(photo).color, (2, 2, 1))
    encode(Picture(source), photo)
    code, out, err = promptsr("upscale", photo, "-o", tmp_path / "o.png", "--json", "-")
    assert code == 0, err
    image = json.loads(out)["images"][0]
    # 40 x 28 pixels are too many; 20 is no tile any more, so it is 32, at 0 and 8.
    assert (image["tile"], image["tiles"]) == (32, 2)
    assert image["note"].startswith("Memory ran out at a side of 40 pixels, so the rest went through in tiles of 32;")
    assert f"{photo}: {image['note']}" in err.replace("\n", "")
    np.testing.assert_array_equal(decode(tmp_path / "o.png").color, source.repeat(2, axis=0).repeat(2, axis=1))


BICUBIC = ["-m", "bicubic-x2"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["nowhere.png", "-o", "o.png", *BICUBIC], "nowhere.png"),
        (["text.png", "-o", "o.png", *BICUBIC], "not an image"),
        (["cut.png", "-o", "o.png", *BICUBIC], "cut.png"),
        (["empty", "-o", "res", *BICUBIC], "no image"),
        (["in/photo.png", "-o", "o.png", "-m", "esrgan-x9"], "bicubic-x4"),
        (["in/photo.png", "-o", "o.png", "-m", "promptsr-tiny-x4", "--tile", "4"], "8 or more"),
        (["in/photo.png", "-o", "o.png", *BICUBIC, "--tile", "big"], "auto, whole or a number"),
        (["in/photo.png", "-o", "in/photo.png/o.png", *BICUBIC], "is a file, not a folder"),
        (["in/photo.png", "-o", "o.xyz", *BICUBIC], ".png"),
        (["in/photo.png", "-o", "in/photo.png", *BICUBIC], "overwritten"),
        (["in/photo.png", "in/photo.png", "-o", "res", *BICUBIC], "Two inputs"),
        (["in/photo.png", "-o", "o.png", *BICUBIC, "--device", "cuda:77"], "cpu"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], hint: str, refused: Callable[..., str], photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no image at all")
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:-40])
    (tmp_path / "empty").mkdir()
    assert hint in refused("upscale", *arguments)


def test_bad_input_in_a_process_of_its_own(promptsr_process: Process, tmp_path: Path) -> None:
    done = promptsr_process("upscale", tmp_path / "nowhere.png", "-o", tmp_path / "o.png", "-m", "bicubic-x2")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1 and "nowhere.png" in done.stderr
