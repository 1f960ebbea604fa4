"""`promptsr upscale`: results, naming, and everything it refuses."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch.nn.functional as F
from PIL import Image, ImageCms, ImageSequence
from torch import Tensor, nn

from promptsr import Upscaler, load_model
from promptsr.imaging import Metadata, Picture, decode, encode
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.support.errors import ImageError
from promptsr.zoo.sr_model import SRModel
from tests.imaging.conftest import heic_of
from tests.support.commands import Run
from tests.support.ranks import run_ranks

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
    assert found["images"][0]["model"] == "promptsr-tiny-x2+"
    model = load_model("promptsr-tiny-x2")
    np.testing.assert_array_equal(decode(target).color, Upscaler(self_ensemble(model))(decode(photo)).picture.color)
    assert (decode(target).color != Upscaler(model)(decode(photo)).picture.color).any()


def test_the_best_network_unless_an_image_is_large(
    promptsr: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = decode(photo)
    encode(replace(small, color=np.concatenate([small.color, small.color[:1]])), photo.parent / "taller.png")
    frames = [Image.fromarray(small.color), Image.fromarray(255 - small.color)]
    frames[0].save(photo.parent / "moving.png", save_all=True, append_images=frames[1:], duration=40)
    monkeypatch.setattr("promptsr.zoo.default.LARGEST", small.height * small.width)
    out = tmp_path / "out"
    code, report, err = promptsr("upscale", photo.parent, "-o", out, "--json", "-")
    assert code == 0, err
    taken = {Path(each["input"]).name: each["model"] for each in json.loads(report)["images"]}
    small_one, best = "promptsr-tiny-x4", "promptsr-x4"
    assert taken == {"moving.png": small_one, photo.name: best, "taller.png": small_one}
    assert err.count("`-m promptsr-x4` is better, and slower") == 1
    for name in (photo.name, "taller.png"):
        expected = Upscaler(load_model(taken[name]))(decode(photo.parent / name)).picture
        np.testing.assert_array_equal(decode(out / name).color, expected.color)
    code, report, err = promptsr("upscale", photo.parent, "-o", tmp_path / "all", "-m", best, "--json", "-")
    assert {each["model"] for each in json.loads(report)["images"]} == {best} and "slower" not in err


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


def _animation(path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "lime", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[50, 100, 150], loop=2)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_are_chosen_by_content_and_sub_folders_are_kept(result: Result, photo: Path, tmp_path: Path) -> None:
    source, out = photo.parent, tmp_path / "out"
    image = Image.open(photo)
    for name, kind in (("noext", "PNG"), ("b.jfif", "JPEG"), ("c.bmp", "BMP"), ("d.PPM", "PPM"), ("e.v2", "WEBP")):
        image.save(source / name, kind)
    (source / "DSC01.HIF").write_bytes(heic_of(np.asarray(image.convert("RGB"))))
    (source / "wrong.jpg").write_bytes(photo.read_bytes())
    (source / "page.jpg").write_text("<html>")
    (source / ".hidden.png").write_bytes(photo.read_bytes())
    (source / "sub" / "deep").mkdir(parents=True)
    image.save(source / "sub" / "deep" / "f.png")
    found = result("upscale", source, "-o", out, "-m", "bicubic-x2", "--recursive")
    expected = ["DSC01.png", "b.jpg", "c.png", "d.png", "e.v2.webp", "noext.png", "photo.png", "sub/deep/f.png"]
    expected += ["wrong.jpg"]
    assert _names(out) == expected and len(found["images"]) == len(expected)
    assert [entry["input"] for entry in found["left_out"]] == [str(source / "page.jpg")]
    assert {Image.open(path).size for path in out.rglob("*.*") if path.is_file()} == {(40, 28)}


def test_existing_results_are_refused_skipped_or_replaced(promptsr: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Image.open(photo).save(photo.parent / "b.png")
    out.mkdir()
    (out / "photo.png").write_text("mine")
    command = ("upscale", photo.parent, "-o", f"{out}/", "-m", "bicubic-x2")
    code, _, err = promptsr(*command)
    assert code == 2 and "1 of 2 results exist" in err and _names(out) == ["photo.png"]
    code, _, err = promptsr(*command, "--skip-existing")
    assert code == 0 and (out / "photo.png").read_text() == "mine" and _names(out) == ["b.png", "photo.png"], err
    code, _, err = promptsr(*command, "--overwrite")
    assert code == 0 and Image.open(out / "photo.png").size == (40, 28), err


def test_results_of_one_name_are_told_apart(result: Result, photo: Path, tmp_path: Path) -> None:
    for name in ("photo.jpg", "PHOTO.bmp"):
        Image.open(photo).save(photo.parent / name)
    found = result("upscale", photo.parent, photo, "-o", tmp_path / "out", "-m", "bicubic-x2", "--format", "webp")
    expected = ["PHOTO-bmp.webp", "photo-jpg.webp", "photo-png-2.webp", "photo-png.webp"]
    assert _names(tmp_path / "out") == expected
    assert all("The result is" in image["note"] for image in found["images"])


def test_formats_that_cannot_hold_a_result_give_way_in_a_batch(result: Result, photo: Path, tmp_path: Path) -> None:
    Image.new("L", (1, 8192)).save(photo.parent / "long.png")
    _animation(photo.parent / "anim.gif")
    found = result("upscale", photo.parent, "-o", tmp_path / "out", "-m", "bicubic-x2", "--format", "webp")
    assert _names(tmp_path / "out") == ["anim.webp", "long.png", "photo.webp"]
    [note] = [image["note"] for image in found["images"] if image["note"]]
    assert "16383" in note and "long.png" in note


@pytest.mark.parametrize("target", ["a.png", "a.webp"])
def test_animations_keep_frames_durations_and_loop(target: str, result: Result, tmp_path: Path) -> None:
    _animation(tmp_path / "in.gif")
    found = result("upscale", tmp_path / "in.gif", "-o", tmp_path / target, "-m", "bicubic-x2")
    assert found["images"][0]["frames"] == 3
    with Image.open(tmp_path / target) as image:
        assert (len(ImageSequence.all_frames(image)), image.size) == (3, (12, 8))
        for index, (duration, channel) in enumerate(((50, 0), (100, 1), (150, 2))):
            image.seek(index)
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
            assert image.info["duration"] == duration
            assert (pixels[:, channel] > 240).all() and (np.delete(pixels, channel, 1) < 15).all()


def test_frames_as_a_folder_or_only_one(result: Result, tmp_path: Path) -> None:
    _animation(tmp_path / "in.gif")
    found = result("upscale", tmp_path / "in.gif", "-o", tmp_path / "out", "-m", "bicubic-x2", "--format", "frames")
    assert _names(tmp_path / "out") == ["in/0001.png", "in/0002.png", "in/0003.png"]
    assert found["images"][0]["not_kept"] == ["durations and loop of the animation"]
    result("upscale", tmp_path / "in.gif", "-o", tmp_path / "two.jpg", "-m", "bicubic-x2", "--frame", 2)
    np.testing.assert_array_less(100, np.asarray(Image.open(tmp_path / "two.jpg"))[..., 1])


def test_metadata_that_the_format_lacks_is_named(result: Result, promptsr: Run, photo: Path, tmp_path: Path) -> None:
    encode(replace(decode(photo), metadata=Metadata(texts=(("Title", "Schloß"),))), photo)
    [kept] = result("upscale", photo, "-o", tmp_path / "o.png", "-m", "bicubic-x2")["images"]
    assert kept["not_kept"] == [] and Image.open(tmp_path / "o.png").info["Title"] == "Schloß"
    [lost] = result("upscale", photo, "-o", tmp_path / "o.webp", "-m", "bicubic-x2")["images"]
    assert any("Title" in phrase for phrase in lost["not_kept"])


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (("--scale", 2.5), (50, 35)),
        (("--width", 30), (30, 21)),
        (("--height", 28, "--width", 100), (40, 28)),
        (("--max-side", 30), (30, 21)),
    ],
)
def test_sizes(options: tuple[object, ...], size: tuple[int, int], result: Result, photo: Path, tmp_path: Path) -> None:
    [image] = result("upscale", photo, "-o", tmp_path / "o.png", "-m", "bicubic-x2", *options)["images"]
    assert (image["width"], image["height"]) == Image.open(tmp_path / "o.png").size == size


@pytest.mark.parametrize("name", ["[anime] pic [v2].png", "in [/b].png", "[red]:smile:.png"])
def test_names_are_no_markup(
    name: str, promptsr: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    source, target = tmp_path / name, tmp_path / "o" / name
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(photo.read_bytes())
    code, out, err = promptsr("upscale", source, "-o", target, "-m", "bicubic-x2")
    assert code == 0 and str(source) in out and str(target) in out and source.name in err


def test_a_finished_result_is_never_thrown_away(
    result: Result, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "o.jpg"

    def failing(picture: Picture, path: Path, **options: object) -> list[str]:
        if path.suffix == ".jpg":
            raise ImageError("The encoder failed.")
        return encode(picture, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("promptsr.imaging.encode", failing)
    [image] = result("upscale", photo, "-o", target, "-m", "bicubic-x2")["images"]
    assert not target.exists() and Path(image["output"]).parent == tmp_path
    assert image["output"] in image["note"] and Image.open(image["output"]).size == (40, 28)


def test_a_full_disk_is_known_before_the_work(
    refused: Callable[..., str], photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "free" in refused("upscale", photo, "-o", "o.png", *BICUBIC)


def test_ranks_share_the_files(photo: Path, tmp_path: Path) -> None:
    for index in range(3):
        (photo.parent / f"{index}.png").write_bytes(photo.read_bytes())
    (photo.parent / "cut.png").write_bytes(photo.read_bytes()[:-60])
    command = ("upscale", photo.parent, "-o", tmp_path / "out", "-m", "bicubic-x2", "--json", tmp_path / "out.json")
    run_ranks(tmp_path, "promptsr", *command, ranks=2, code=1)  # torchrun knows no other
    report = json.loads((tmp_path / "out.json").read_text())
    assert [Path(image["input"]).name for image in report["images"]] == ["0.png", "1.png", "2.png", "photo.png"]
    assert [Path(entry["input"]).name for entry in report["failed"]] == ["cut.png"]
    assert _names(tmp_path / "out") == ["0.png", "1.png", "2.png", "photo.png"]


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
    monkeypatch.setattr("promptsr.zoo.load.load_model", lambda name: SRModel(name, 2, _Cramped()))
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
        (["in/photo.png", "-o", "here", *BICUBIC], "here/ for a folder"),
        (["in/photo.png", "-o", "o.png", *BICUBIC, "--scale", "2", "--width", "9"], "Choose one of scale and width"),
        (["in/photo.png", "-o", "o.png", *BICUBIC, "--frame", "2"], "1 frame"),
        (["in/photo.png", "-o", "res", *BICUBIC, "--format", "gif"], "webp"),
        (["in/photo.png", "-o", "res", *BICUBIC, "--skip-existing", "--overwrite"], "choose one"),
        (["long.png", "-o", "o.webp", *BICUBIC], "16383"),
        (["anim.gif", "-o", "o.jpg", *BICUBIC], "--frame 1"),
        (["in/photo.png", "-o", "text.png", *BICUBIC], "--overwrite"),
        (["in/photo.png", "-o", "o.png", "-m", "esrgan-x9"], "bicubic-x4"),
        (["in/photo.png", "-o", "o.png", "-m", "promptsr-tiny-x4", "--tile", "4"], "8 or more"),
        (["in/photo.png", "-o", "o.png", *BICUBIC, "--tile", "big"], "auto, whole or a number"),
        (["in/photo.png", "-o", "in/photo.png/o.png", *BICUBIC], "is a file, not a folder"),
        (["in/photo.png", "-o", "o.xyz", *BICUBIC], ".png"),
        (["in/photo.png", "-o", "in/photo.png", *BICUBIC], "overwritten"),
        (["in/photo.png", "-o", "o.png", *BICUBIC, "--device", "cuda:77"], "cpu"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], hint: str, refused: Callable[..., str], photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no image at all")
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:-40])
    (tmp_path / "empty").mkdir()
    Image.new("L", (1, 8192)).save(tmp_path / "long.png")
    _animation(tmp_path / "anim.gif")
    assert hint in refused("upscale", *arguments)


def test_bad_input_in_a_process_of_its_own(promptsr_process: Process, tmp_path: Path) -> None:
    done = promptsr_process("upscale", tmp_path / "nowhere.png", "-o", tmp_path / "o.png", "-m", "bicubic-x2")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1 and "nowhere.png" in done.stderr
