"""Crops: what is drawn, where, and that LR and HR show the same place."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from promptsr.data import load_pair
from promptsr.data.cache import read_images
from promptsr.data.crops import Draw, RandomCrops, Share, load_crops
from promptsr.data.pairs import find_pairs
from promptsr.imaging.resize import downscale
from promptsr.support.progress import finish


def crops_of(
    folder: Path, scale: int, patch: int, count: int, seed: int = 0, step: int = 0, lr: Path | None = None
) -> tuple[Tensor, Tensor]:
    """The crops of a step, B x 3 x H x W in [0, 1]: LR, HR."""
    images = finish(read_images(find_pairs(folder, lr), scale, folder / ".cache")).images
    crops = RandomCrops(images, scale, seed)
    pairs = [crops[Draw(step, place, patch)] for place in range(count)]
    small, large = (torch.stack(side).float() / 255 for side in zip(*pairs, strict=True))
    return small, large


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3))


def address(height: int, width: int) -> np.ndarray:
    """An image whose red is the row and whose green is the column."""
    rows, columns = np.indices((height, width))
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2)


def corners(hr: Tensor) -> np.ndarray:
    """Top-left corner of each crop of an address image, B x 2, whichever way the crop is turned."""
    return (hr * 255).round().int().amin((2, 3))[:, :2].numpy()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_pair_is_the_crop_and_its_8_bit_bicubic(tmp_path: Path, scale: int) -> None:
    pixels = noise(9 * scale + 1, 8 * scale + scale - 1)
    hr, lr = load_pair(write(tmp_path / "a.png", pixels), scale)
    expected = torch.as_tensor(pixels[: 9 * scale, : 8 * scale] / 255).permute(2, 0, 1)[None].float()
    torch.testing.assert_close(hr, expected, atol=1e-7, rtol=0)
    assert lr.shape == (1, 3, 9, 8)
    levels = lr * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert float((lr - downscale(expected, scale).clamp(0, 1)).abs().max()) <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_crops_are_the_hr_crops_downscaled(tmp_path: Path, scale: int) -> None:
    for i in range(3):
        write(tmp_path / f"{i}.png", noise(30 * scale + i, 24 * scale + 2 * i, seed=i))
    lr, hr = crops_of(tmp_path, scale, 12, 40)
    assert lr.shape == (40, 3, 12, 12) and hr.shape == (40, 3, 12 * scale, 12 * scale)
    assert lr.dtype == hr.dtype == torch.float32
    # Away from the border of the crop, to the rounding of 8 bit; a flip or turn of one alone would be far off.
    difference = (downscale(hr, scale).clamp(0, 1) - lr)[:, :, 2:-2, 2:-2].abs()
    assert float(difference.max()) <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("rounded", [0, 1])
def test_own_lr_images_are_cut_at_the_same_place_and_turned_alike(tmp_path: Path, rounded: int) -> None:
    """Red and green of both are row and column, so that every LR value tells which HR values belong to it."""
    for name in ("a", "b"):
        write(tmp_path / "hr" / f"{name}.png", address(3 * 40 + 2, 3 * 50 + 1))
        own = address(40 + rounded, 50 + rounded)
        own[..., 2] = 77  # no bicubic image has this
        write(tmp_path / "lr" / f"{name}x3.png", own)
    lr, hr = crops_of(tmp_path / "hr", 3, 10, 500, lr=tmp_path / "lr")
    lr, hr = ((crops * 255).round().int() for crops in (lr, hr))
    assert lr.shape == (500, 3, 10, 10) and bool((lr[:, 2] == 77).all())
    assert torch.equal(hr[:, :2, 1::3, 1::3], 3 * lr[:, :2] + 1)
    assert lr[:, 0].max() == 39 and lr[:, 1].max() == 49  # up to the last LR pixel that HR shows whole
    # Whether crops are own or bicubic changes nothing else about them.
    assert torch.equal(hr, (crops_of(tmp_path / "hr", 3, 10, 500)[1] * 255).round().int())


def test_a_draw_is_all_that_a_crop_depends_on(tmp_path: Path) -> None:
    write(tmp_path / "a.png", noise(120, 90))
    lr, hr = crops_of(tmp_path, 2, 8, 6, seed=3, step=14)
    again = crops_of(tmp_path, 2, 8, 6, seed=3, step=14)
    assert torch.equal(again[0], lr) and torch.equal(again[1], hr)
    for seed, step in ((3, 15), (4, 14)):
        assert not torch.equal(crops_of(tmp_path, 2, 8, 6, seed, step)[0], lr)
    assert len({crop.numpy().tobytes() for crop in lr}) == 6


def test_crops_reach_every_place_and_keep_to_the_grid(tmp_path: Path) -> None:
    write(tmp_path / "a.png", address(100, 140))
    _, hr = crops_of(tmp_path, 2, 10, 3000)
    places = corners(hr)
    assert (places % 2 == 0).all(), "an HR crop does not begin where an LR pixel does"
    assert places.min(0).tolist() == [0, 0] and places.max(0).tolist() == [80, 120]
    covered = np.zeros((100, 140), bool)
    for row, column in places:
        covered[row : row + 20, column : column + 20] = True
    assert covered.all()


def test_all_eight_orientations_occur_alike(tmp_path: Path) -> None:
    pixels = noise(16, 16)
    write(tmp_path / "a.png", pixels)
    _, hr = crops_of(tmp_path, 2, 8, 800)
    whole = np.moveaxis(pixels, 2, 0)
    turned = [np.rot90(w, k, (1, 2)) for w in (whole, whole[:, :, ::-1]) for k in range(4)]
    levels = (hr * 255).round().int().numpy()
    counts = [(levels == t).all((1, 2, 3)).sum() for t in turned]
    assert sum(counts) == 800
    assert min(counts) > 60  # 100 expected, standard deviation 9


def test_crops_prefer_texture(tmp_path: Path) -> None:
    pixels = np.full((512, 512, 3), 128)
    pixels[:, 256:] = noise(512, 256)
    write(tmp_path / "a.png", pixels)
    _, hr = crops_of(tmp_path, 2, 8, 400)
    textured = hr.flatten(1).std(1) > 0.05
    assert int(textured.sum()) > 380


def test_strong_texture_is_not_preferred_to_plain_texture(tmp_path: Path) -> None:
    """Beyond the mean gradient more of it counts no more: it is noise as often as detail."""
    pixels = np.full((256, 512, 3), 128)
    pixels[:, 128:320] = 118 + noise(256, 192) % 21  # on either side of the border of two cells
    pixels[:, 320:] = noise(256, 192)
    write(tmp_path / "a.png", pixels)
    _, hr = crops_of(tmp_path, 1, 4, 600)
    deviation = hr.flatten(1).std(1)
    plain = int(((deviation > 0.005) & (deviation < 0.05)).sum())
    # In proportion to the gradient it would be 1 in 13.
    assert plain > 600 / 13 * 1.3
    assert int((deviation < 0.005).sum()) < 40


def test_a_flat_image_is_no_error(tmp_path: Path) -> None:
    write(tmp_path / "a.png", np.full((70, 70, 3), 7))
    lr, hr = crops_of(tmp_path, 2, 8, 3)
    assert torch.equal((hr * 255).round(), torch.full((3, 3, 16, 16), 7.0)) and lr.shape == (3, 3, 8, 8)


@given(
    batch=st.integers(1, 20),
    world=st.integers(1, 5),
    parts=st.integers(1, 4),
    first=st.integers(0, 3),
)
def test_processes_and_parts_share_a_step_without_changing_it(batch: int, world: int, parts: int, first: int) -> None:
    def size_at(step: int) -> tuple[int, int]:
        return (batch, 16) if step < 2 else (batch + 1, 32)

    shares = [Share(range(first, 4), size_at, rank, world, parts) for rank in range(world)]
    assert all(len(share) == len(list(share)) == (4 - first) * parts for share in shares)
    drawn = [draw for share in shares for part in share for draw in part]
    wanted = [Draw(step, place, size_at(step)[1]) for step in range(first, 4) for place in range(size_at(step)[0])]
    assert sorted(drawn) == wanted
    for share in shares:
        sizes = [len(part) for part in share]
        assert all(max(step) - min(step) <= 1 for step in zip(*[iter(sizes)] * parts, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_cut_the_same_crops_in_the_same_order(tmp_path: Path, workers: int) -> None:
    write(tmp_path / "a.png", noise(64, 64))
    images = finish(read_images([(tmp_path / "a.png", None)], 2, tmp_path / ".cache")).images
    crops = RandomCrops(images, 2, 0)
    batches = list(load_crops(crops, Share(range(5), lambda step: (3, 8), 0, 1, 1), workers, pin_memory=False))
    assert len(batches) == 5
    for step, (lr, hr) in enumerate(batches):
        assert lr.dtype == hr.dtype == torch.uint8
        expected = [crops[Draw(step, place, 8)] for place in range(3)]
        assert torch.equal(lr, torch.stack([pair[0] for pair in expected]))
        assert torch.equal(hr, torch.stack([pair[1] for pair in expected]))
