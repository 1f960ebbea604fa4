"""Decoded once, mapped by everybody, and every file that cannot be used is named."""

import errno
import os
import pickle
import time
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from promptsr.data import load_hr, make_lr
from promptsr.data.cache import CachedImage, ImagesRead, ReadImages, read_images
from promptsr.imaging.decode import decode
from promptsr.imaging.resize import crop_to_multiple
from promptsr.support.errors import UserError
from promptsr.support.progress import finish


def write(path: Path, height: int = 37, width: int = 26, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def read(paths: list[Path], folder: Path, scale: int = 4) -> ReadImages:
    return finish(read_images([(path, None) for path in paths], scale, folder / "cache"))


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are decoded from now on."""
    seen: list[Path] = []

    def load(path: Path, scale: int) -> Tensor:
        seen.append(path)
        return load_hr(path, scale)

    monkeypatch.setattr("promptsr.data.cache.load_hr", load)
    return seen


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pixels_are_those_of_the_file_and_of_its_bicubic(tmp_path: Path, scale: int) -> None:
    pixels = write(tmp_path / "a.png")
    [image] = read([tmp_path / "a.png"], tmp_path, scale).images
    assert np.array_equal(image.hr.array, pixels) and isinstance(image.hr.array, np.memmap)
    lr = make_lr(crop_to_multiple(decode(tmp_path / "a.png").to_tensor(), scale), scale)[0]
    assert np.array_equal(image.lr.array, (lr * 255).round().permute(1, 2, 0).numpy())
    assert image.lr.array.shape == (37 // scale, 26 // scale, 3)
    assert (image.name, image.size) == ("a.png", (tmp_path / "a.png").stat().st_size)


def test_an_image_without_a_pixel_of_lr_is_read(tmp_path: Path) -> None:
    write(tmp_path / "thin.png", 3, 50)
    [image] = read([tmp_path / "thin.png"], tmp_path).images
    assert image.lr.array.shape[0] == 0


def test_an_image_is_decoded_once_and_again_only_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    write(path)
    seen = decodings(monkeypatch)
    first = read([path], tmp_path).images[0]
    again = read([path], tmp_path).images[0]
    assert seen == [path] and np.array_equal(first.hr.array, again.hr.array)
    read([path], tmp_path, scale=2)  # only its LR is missing
    assert len(seen) == 2
    changed = write(path, seed=1)
    assert np.array_equal(read([path], tmp_path).images[0].hr.array, changed)


@pytest.mark.parametrize("name", ["hr.npy", "lr-x4.npy", "texture.npy"])
def test_a_file_of_the_cache_that_was_cut_short_is_made_anew(tmp_path: Path, name: str) -> None:
    pixels = write(tmp_path / "a.png")
    read([tmp_path / "a.png"], tmp_path)
    [path] = (tmp_path / "cache").rglob(name)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert np.array_equal(read([tmp_path / "a.png"], tmp_path).images[0].hr.array, pixels)
    assert path.read_bytes() == whole


def test_own_lr_images_are_read_and_cached_like_hr_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hr, lr = tmp_path / "hr" / "a.png", tmp_path / "lr" / "ax4.png"
    pixels, own = write(hr, 38, 27), write(lr, 10, 7, seed=1)  # sides rounded up
    bicubic = read([hr], tmp_path).images[0].lr.array.copy()

    def read_own() -> CachedImage:
        return finish(read_images([(hr, lr)], 4, tmp_path / "cache")).images[0]

    image = read_own()
    assert np.array_equal(image.hr.array, pixels) and np.array_equal(image.lr.array, own[:9, :6])
    assert image.lr_file == ("ax4.png", lr.stat().st_size)
    assert np.array_equal(read([hr], tmp_path).images[0].lr.array, bicubic)
    seen = decodings(monkeypatch)
    assert np.array_equal(read_own().lr.array, own[:9, :6]) and seen == []
    assert np.array_equal(read_own().lr.array, own[:9, :6])
    other = write(lr, 9, 6, seed=2)
    assert np.array_equal(read_own().lr.array, other)
    write(lr, 12, 7)
    found = finish(read_images([(hr, lr)], 4, tmp_path / "cache"))
    assert found.images == [] and "ax4.png (7 x 12) is not a.png (24 x 36) shrunk by 4" in found.damaged[0]


def test_damaged_and_vanished_files_are_named_and_left_out(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png", "d.png")]
    for path in paths:
        write(path)
    paths[1].write_bytes(paths[1].read_bytes()[:600])
    paths[2].unlink()
    steps: list[ImagesRead] = []
    found = finish(read_images([(path, None) for path in paths], 4, tmp_path / "cache"), steps.append)
    assert steps == [ImagesRead(done, 4) for done in (1, 2, 3, 4)]
    assert [image.name for image in found.images] == ["a.png", "d.png"]
    assert len(found.damaged) == 2
    assert found.damaged[0].startswith("b.png is damaged") and "c.png is not there any more" in found.damaged[1]


def test_a_full_disk_is_a_sentence_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.png")

    def full(_file: object, _array: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(UserError, match=r"No space left on device.*cache=FOLDER"):
        read([tmp_path / "a.png"], tmp_path)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_another_process_maps_the_files_and_gets_no_copy(tmp_path: Path) -> None:
    pixels = write(tmp_path / "a.png", 300, 200)
    sent = pickle.dumps(read([tmp_path / "a.png"], tmp_path).images[0])
    assert len(sent) < 5000 < pixels.size
    received: CachedImage = pickle.loads(sent)
    assert np.array_equal(received.hr.array, pixels) and isinstance(received.hr.array, np.memmap)


def test_headers_are_parsed_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser, together = Lock(), []

    def load(path: Path, mmap_mode: Literal["r"]) -> np.ndarray:
        together.append(not parser.acquire(blocking=False))
        time.sleep(0.01)
        if not together[-1]:
            parser.release()
        return loaded(path, mmap_mode=mmap_mode)

    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for path in paths:
        write(path)
    read(paths, tmp_path)
    loaded = np.load
    monkeypatch.setattr(np, "load", load)
    assert len(read(paths, tmp_path).images) == 8
    assert together == [False] * 24
