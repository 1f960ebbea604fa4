"""Results that never lie in memory as a whole."""

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from promptsr.imaging import Picture
from promptsr.inference import upscaler as module
from promptsr.inference.sizes import Size
from promptsr.inference.upscaler import Estimate, Upscaler
from promptsr.support import large_arrays
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo import memory
from tests.imaging.conftest import random_picture
from tests.inference.conftest import bicubic, nearest, toy


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The folder for temporary files, to which all arrays go."""
    monkeypatch.setattr(large_arrays, "LARGE", 0)
    monkeypatch.setattr(module, "LARGE", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield tmp_path


def rounded(values: Tensor, dtype: Any) -> np.ndarray:
    peak = np.iinfo(dtype).max
    return (values.clamp(0, 1) * peak).round().numpy().astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(("tile", "overlap"), [(16, 8), (20, 0), (33, 16), ("whole", 0)])
def test_lines_are_those_of_the_whole_result(
    dtype: Any, grey: bool, tile: int | str, overlap: int, files: Path
) -> None:
    """Bit by bit, rounded from the float32 tensor of the same tiles."""
    picture = random_picture(71, 50, dtype, alpha=True, grey=grey)
    picture.alpha[:] |= 1  # type: ignore[index]
    worker = Upscaler(toy(lambda x: 1.2 * bicubic(x, 3) - 0.1, scale=3), tile=tile, overlap=overlap)
    images = torch.cat([picture.to_tensor(), Picture(np.stack([picture.alpha] * 3, 2)).to_tensor()])  # type: ignore
    color, alpha = finish(worker.upscale_tensor(images))
    if grey:
        color = color.mean(0).expand(3, -1, -1)
    made = worker(picture).picture
    np.testing.assert_array_equal(made.color, rounded(color.permute(1, 2, 0), dtype))
    np.testing.assert_array_equal(made.alpha, rounded(alpha.mean(0), dtype))
    assert isinstance(made.color, np.memmap) and isinstance(made.alpha, np.memmap)


def test_finished_lines_are_written_before_the_next_row_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    zeros = torch.zeros

    def watch(*size: int, **options: Any) -> Tensor:
        nonlocal largest
        largest = max(largest, int(np.prod(size)))
        return zeros(*size, **options)

    monkeypatch.setattr(torch, "zeros", watch)
    Upscaler(toy(nearest), tile=16, overlap=4)(random_picture(200, 20))
    assert largest == 3 * 32 * 40


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not list open files like this")
def test_files_vanish_with_their_arrays(files: Path) -> None:
    picture = random_picture(20, 20, alpha=True)

    def mapped() -> int:
        gc.collect()
        return Path("/proc/self/maps").read_text(encoding="utf-8").count(str(files))

    result = Upscaler(toy(nearest), size=Size(scale=3))(picture)
    assert mapped() == 2 and not os.listdir(files)  # those of the network are gone already
    stream = Upscaler(toy(nearest), tile=10).stream(picture)
    next(stream)
    assert mapped() == 4
    stream.close()
    del result
    assert mapped() == 0


def test_without_room_on_the_disk_nothing_begins(monkeypatch: pytest.MonkeyPatch, files: Path) -> None:
    def never(x: Tensor) -> Tensor:
        raise AssertionError("the network was run")

    free = 20 * 30 * 512**2 * 3
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    worker = Upscaler(toy(never, scale=512), tile=1)
    assert worker.estimate(20, 30).disk == free
    message = rf"The result needs 0.6 GB in {files} \(0.5 GB are free\): free some space there, or set TMPDIR"
    with pytest.raises(UserError, match=message):
        worker(random_picture(20, 30, alpha=True))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve files")
def test_a_disk_that_fills_is_found_before_the_work(monkeypatch: pytest.MonkeyPatch, files: Path) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"needs 0.0 GB in .* \(No space left on device\): free some space"):
        Upscaler(toy(nearest))(random_picture(20, 30))


def test_what_measured_memory_does_not_hold_is_refused_with_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 2 * 12 * 4 * 1000 * 1000 + 3 * 4 * 1000 * 1000 - 1)
    with pytest.raises(UserError, match=r"memory for the result: .* It takes 0.1 GB, and 0.1 GB are free"):
        Upscaler(toy(nearest), tile="whole").estimate(1000, 1000)
    Upscaler(toy(nearest), tile=999).estimate(1000, 1000)


def test_passes_beyond_measured_memory_go_through_in_smaller_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 10**7)
    picture = random_picture(100, 100)
    result = Upscaler(toy(nearest, bytes_per_pixel=2000), tile="whole")(picture)
    assert result.tile == 50 and "Memory ran out at a side of 100 pixels" in str(result.note)
    np.testing.assert_array_equal(result.picture.color, picture.color.repeat(2, 0).repeat(2, 1))


def test_models_of_one_size_get_tiles_of_it() -> None:
    sizes: list[tuple[int, ...]] = []

    def run(x: Tensor) -> Tensor:
        sizes.append(tuple(x.shape[2:]))
        return nearest(x)

    picture = random_picture(100, 130)
    worker = Upscaler(toy(run, max_tile=(40, 64), tiling="internal"))
    result = worker(picture)
    assert set(sizes) == {(40, 64)} and result.tile == 64 and result.tiles == worker.estimate(100, 130).passes == 12
    np.testing.assert_array_equal(result.picture.color, picture.color.repeat(2, 0).repeat(2, 1))


def test_an_estimate_worked_out_by_hand() -> None:
    worker = Upscaler(toy(nearest, bytes_per_pixel=1000, scale=4), tile=200, overlap=20)
    # 3000 x 4000 in tiles of 200 that share 20: 17 x 23; the lines of a row of tiles twice in float32
    expected = 1000 * 200 * 200 + 2 * 4 * 3 * 800 * 16000
    assert worker.estimate(3000, 4000) == Estimate(12000, 16000, 17 * 23, expected, 12000 * 16000 * 3)
    assert worker.estimate(3000, 4000, bit_depth=16, alpha=True).disk == 12000 * 16000 * 4 * 2
    assert worker.estimate(3000, 4000, alpha=True).passes == 2 * 17 * 23
    small = worker.estimate(100, 100)
    assert (small.disk, small.passes, small.pixels) == (0, 1, 160_000)
    assert Upscaler(toy(nearest), size=Size(scale=2.5)).estimate(4000, 4000).disk == 4000**2 * 3 * (2**2 + 2.5**2)
