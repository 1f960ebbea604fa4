"""`promptsr upscale`: results, naming, and everything it refuses."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr import Upscaler, load_model
from promptsr.imaging import Metadata, Picture, decode, encode
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.zoo.sr_model import SRModel

InProcess = Callable[..., tuple[int, str, str]]
Process = Callable[..., CompletedProcess[str]]


def test_process_writes_what_the_upscaler_makes(promptsr_process: Process, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "big.png"
    done = promptsr_process("upscale", photo, "--output", target, "--model", "bicubic-x3", "--json", "-")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["images"][0]["width"] == 60 and report["images"][0]["height"] == 42
    expected = Upscaler(load_model("bicubic-x3"))(decode(photo)).picture
    np.testing.assert_array_equal(decode(target).color, expected.color)


def test_self_ensemble_is_the_mean_of_eight(promptsr: InProcess, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "big.png"
    code, out, err = promptsr(
        "upscale", photo, "-o", target, "-m", "promptsr-tiny-x2", "--self-ensemble", "--json", "-"
    )
    assert code == 0, err
    assert json.loads(out)["model"] == "promptsr-tiny-x2+"
    model = load_model("promptsr-tiny-x2")
    np.testing.assert_array_equal(decode(target).color, Upscaler(self_ensemble(model))(decode(photo)).picture.color)
    assert (decode(target).color != Upscaler(model)(decode(photo)).picture.color).any()


def test_two_runs_write_the_same_bytes(promptsr_process: Process, photo: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        done = promptsr_process("upscale", photo, "-o", tmp_path / name, "-m", "promptsr-tiny-x4")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_sixteen_bit_alpha_and_profile_come_back(promptsr: InProcess, tmp_path: Path, icc_profile: bytes) -> None:
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


def test_a_folder_of_images(promptsr: InProcess, photo: Path, tmp_path: Path) -> None:
    encode(decode(photo), photo.parent / "second.jpg")
    (photo.parent / "notes.txt").write_text("not an image")
    out = tmp_path / "out"
    code, _, err = promptsr("upscale", photo.parent, "-o", out, "-m", "bicubic-x2", "--format", "webp")
    assert code == 0, err
    assert sorted(path.name for path in out.iterdir()) == ["photo.webp", "second.webp"]
    assert (decode(out / "second.webp").width, decode(out / "second.webp").height) == (40, 28)


def test_one_bad_file_does_not_stop_the_others(promptsr: InProcess, photo: Path, tmp_path: Path) -> None:
    bad = photo.parent / "a-bad.png"
    bad.write_bytes(photo.read_bytes()[:60])
    code, _, err = promptsr("upscale", photo.parent, "-o", tmp_path / "out", "-m", "bicubic-x2")
    assert code == 2
    assert "a-bad.png" in err and "1 of 2 images" in err and "Traceback" not in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.png"]


def test_the_tile_is_reported(promptsr: InProcess, photo: Path, tmp_path: Path) -> None:
    code, out, err = promptsr(
        "upscale", photo, "-o", tmp_path / "o.png", "-m", "bicubic-x2", "--tile", 8, "--overlap", 2, "--json", "-"
    )
    assert code == 0, err
    image = json.loads(out)["images"][0]
    assert image["tile"] == 8 and image["tiles"] > 1


class _Cramped(nn.Module):
    """Nearest-neighbour interpolation, x2, with memory for 1000 pixels."""

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[2] * image.shape[3] > 1000:
            raise MemoryError
        return F.interpolate(image, scale_factor=2)


def test_running_out_of_memory_is_reported(
    promptsr: InProcess, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def _giant_header() -> bytes:
    """A PNG that claims 60000 x 60000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def _bad_inputs(folder: Path, photo: Path) -> dict[str, tuple[list[object], str]]:
    """Case -> arguments, and a part of the sentence that is expected."""
    text, cut, giant, empty = (folder / name for name in ("text.png", "cut.png", "giant.png", "empty"))
    text.write_text("no image at all")
    cut.write_bytes(photo.read_bytes()[:-40])
    giant.write_bytes(_giant_header())
    empty.mkdir()
    out = folder / "o.png"
    bicubic = ["-m", "bicubic-x2"]
    return {
        "missing": ([folder / "nowhere.png", "-o", out, *bicubic], "nowhere.png"),
        "no image": ([text, "-o", out, *bicubic], "not an image"),
        "truncated": ([cut, "-o", out, *bicubic], "cut.png"),
        "giant": ([giant, "-o", out, *bicubic], "60000"),
        "empty folder": ([empty, "-o", folder / "res", *bicubic], "no image"),
        "unknown model": ([photo, "-o", out, "-m", "esrgan-x9"], "bicubic-x4"),
        "small tile": ([photo, "-o", out, "-m", "promptsr-tiny-x4", "--tile", 4], "8 or more"),
        "odd tile": ([photo, "-o", out, *bicubic, "--tile", "big"], "auto, whole or a number"),
        "below a file": ([photo, "-o", photo / "o.png", *bicubic], "is a file, not a folder"),
        "unknown suffix": ([photo, "-o", folder / "o.xyz", *bicubic], ".png"),
        "itself": ([photo, "-o", photo, *bicubic], "overwritten"),
        "twins": ([photo, photo, "-o", folder / "res", *bicubic], "Two inputs"),
        "no such device": ([photo, "-o", out, *bicubic, "--device", "cuda:77"], "cpu"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "missing", "no image", "truncated", "giant", "empty folder", "unknown model", "small tile", "odd tile",
        "below a file", "unknown suffix", "itself", "twins", "no such device",
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(case: str, promptsr: InProcess, photo: Path, tmp_path: Path) -> None:
    arguments, hint = _bad_inputs(tmp_path, photo)[case]
    before = {path: path.stat().st_size for path in tmp_path.rglob("*")}
    code, out, err = promptsr("upscale", *arguments)
    assert code == 2
    assert out == ""
    assert hint in err and "Traceback" not in err
    assert len([line for line in err.splitlines() if "Error:" in line]) == 1
    assert {path: path.stat().st_size for path in tmp_path.rglob("*")} == before  # nothing written


def test_bad_input_in_a_process_of_its_own(promptsr_process: Process, tmp_path: Path) -> None:
    done = promptsr_process("upscale", tmp_path / "nowhere.png", "-o", tmp_path / "o.png", "-m", "bicubic-x2")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1 and "nowhere.png" in done.stderr
