"""Turned, shrunk and recoloured copies of photographs, collages and cloths."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from promptsr.support.errors import UserError
from tests.tools.conftest import pixels
from tools.varied_images import varied_images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A blue photograph that brightens to the right, one of few pixels, and a damaged file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    ramp = np.zeros((120, 160, 3), np.uint8)
    ramp[..., 2] = np.linspace(60, 200, 160)
    Image.fromarray(ramp).save(folder / "ramp.png")
    Image.fromarray(np.full((3, 2, 3), 90, np.uint8)).save(folder / "tiny.png")
    (folder / "cut.png").write_bytes((folder / "ramp.png").read_bytes()[:100])
    return folder


def test_copies_show_the_photograph_turned_and_smaller(photos: Path, tmp_path: Path) -> None:
    varied_images([photos], tmp_path, collages=0, cloths=0)
    first, second, third, last = (pixels(tmp_path / f"ramp-{number}.png") for number in range(4))
    assert (tmp_path / "tiny-3.png").exists() and not (tmp_path / "cut-0.png").exists()
    for copy in (first, second):  # stays within the photograph, of whose shape it is
        assert max(copy.shape) < 160 and copy.shape[1] / copy.shape[0] == pytest.approx(160 / 120, rel=0.05)
    assert third.shape[1] / third.shape[0] != pytest.approx(160 / 120, rel=0.05)
    blue = first[..., 2]
    assert first[..., :2].max() == 0 and blue.min() >= 58 and blue.max() <= 202, "no border came in, no colour changed"
    slope = np.array([ndimage.sobel(blue, axis)[2:-2, 2:-2].mean() / 8 for axis in (0, 1)])
    assert 8 < np.degrees(np.arctan2(-slope[0], slope[1])) < 82, "counter-clockwise"
    assert np.hypot(*slope) > 1.05 * 140 / 159, "the ramp is steeper where it is smaller"
    assert np.median(last[..., :2]) > 200, "a negative of black"


def test_collages_are_full_of_edges_and_colours_and_come_again(photos: Path, tmp_path: Path) -> None:
    for out in ("once", "again"):
        varied_images([photos], tmp_path / out, collages=2, cloths=0)
    once, again = (sorted((tmp_path / out).glob("collage-*")) for out in ("once", "again"))
    assert [path.name for path in once] == ["collage-000.png", "collage-001.png"]
    for path, other in zip(once, again, strict=True):
        collage = pixels(path)
        np.testing.assert_array_equal(collage, pixels(other))
        assert collage.shape == (768, 768, 3)
        strong = (collage.max(2) - collage.min(2) > 128).mean()
        edges = (np.abs(np.diff(collage, axis=0)).max(2) > 64).mean()
        assert strong > 0.03 and edges > 0.01
    assert np.abs(pixels(once[0]) - pixels(once[1])).mean() > 30


def test_cloths_are_finer_than_lr_images_show(photos: Path, tmp_path: Path) -> None:
    """The photograph is a ramp, so what is fine comes from cloths; at x4 LR images show up to 1/8 cycle per pixel."""
    varied_images([photos], tmp_path, collages=0, cloths=4)
    cloths = [pixels(path).mean(2) for path in sorted(tmp_path.glob("cloth-*"))]
    assert [cloth.shape for cloth in cloths] == 4 * [(768, 768)]
    for cloth in cloths:
        power = np.abs(np.fft.fft2(cloth - ndimage.gaussian_filter(cloth, 8))) ** 2
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(768), np.fft.fftfreq(768)))  # cycles per pixel
        assert power[frequency > 1 / 8].sum() > 0.18 * power.sum(), "beyond the Nyquist frequency of x4"
        assert 2 < (cloth - ndimage.gaussian_filter(cloth, 8)).std() < 40, "of little contrast"


def test_another_seed_gives_other_images(photos: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        varied_images([photos], tmp_path / str(seed), collages=1, cloths=1, seed=seed)
    for name in ("ramp-0.png", "ramp-1.png", "ramp-2.png", "ramp-3.png", "collage-000.png", "cloth-000.png"):
        assert not np.array_equal(pixels(tmp_path / "0" / name), pixels(tmp_path / "1" / name)), name


def test_what_is_there_stays(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "ramp-1.png").write_bytes(b"as it was")
    varied_images([photos], out, collages=0, cloths=0)
    assert (out / "ramp-1.png").read_bytes() == b"as it was" and (out / "ramp-2.png").exists()


def test_bad_requests(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="same name"):
        varied_images([photos, photos], tmp_path / "out")
    for path in ("ramp.png", "tiny.png"):
        (photos / path).unlink()
    with pytest.raises(UserError, match="can be read"):
        varied_images([photos], tmp_path / "out")
