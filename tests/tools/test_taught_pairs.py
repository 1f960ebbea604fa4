"""Pairs whose HR images are other networks' results."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from promptsr import load_model
from promptsr.data.pairs import search_pairs
from promptsr.support.errors import UserError
from tests.tools.conftest import pixels
from tools.taught_pairs import taught_pairs, textured_part

TEACHERS = ["bicubic-x2", "promptsr-tiny-x2"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A grey photograph with noise at its lower right, a small one, and a damaged file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    large = np.full((160, 192, 3), 128, dtype=np.uint8)
    large[90:150, 120:190] = rng.integers(0, 256, (60, 70, 3))
    Image.fromarray(large).save(folder / "large.png")
    Image.fromarray(rng.integers(0, 256, (38, 50, 3), dtype=np.uint8)).save(folder / "small.png")
    (folder / "cut.png").write_bytes((folder / "large.png").read_bytes()[:200])
    return folder


def test_the_mean_of_teachers_is_paired_with_what_they_saw(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taught_pairs([photos], TEACHERS, tmp_path / "out", shrink=2.5, side=32)
    hr, lr = tmp_path / "out" / "hr", tmp_path / "out" / "lr"
    assert "cut.png" in capsys.readouterr().out
    assert [(pair[0].name, pair[1].name) for pair in search_pairs(hr, lr, 2).pairs if pair[1]] == [
        ("large.png", "large.png"),
        ("small.png", "small.png"),
    ]
    small = torch.from_numpy(pixels(photos / "small.png")[:37]).permute(2, 0, 1)[None]  # 15 x 20, of 37 x 50 pixels
    wanted = F.interpolate(small, size=(15, 20), mode="bicubic", antialias=True)[0].permute(1, 2, 0)
    assert np.abs(pixels(lr / "small.png") - wanted.clamp(0, 255).numpy()).max() <= 0.5 + 1e-3
    for name, size in (("large.png", (64, 64, 3)), ("small.png", (30, 40, 3))):
        seen = torch.from_numpy(pixels(lr / name) / 255).float().permute(2, 0, 1)[None]
        with torch.inference_mode():
            results = [load_model(teacher)(seen).clamp(0, 1)[0].permute(1, 2, 0) for teacher in TEACHERS]
        assert pixels(hr / name).shape == size
        assert np.abs(pixels(hr / name) - 255 * torch.stack(results).mean(0).numpy()).max() <= 0.5 + 1e-3


def test_what_is_there_stays(photos: Path, tmp_path: Path) -> None:
    taught_pairs([photos], TEACHERS[:1], tmp_path / "out", shrink=2)
    kept = tmp_path / "out" / "hr" / "large.png"
    kept.write_bytes(b"as it was")
    (tmp_path / "out" / "hr" / "small.png").unlink()
    taught_pairs([photos], TEACHERS[:1], tmp_path / "out", shrink=2)
    assert kept.read_bytes() == b"as it was" and pixels(kept.with_name("small.png")).shape == (38, 50, 3)


def test_the_part_is_where_the_texture_is() -> None:
    image = torch.zeros(1, 3, 80, 96)
    image[..., 40:72, 16:48] = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(textured_part(image, 32), image[..., 40:72, 16:48])
    assert textured_part(image, 90).shape == (1, 3, 80, 90)


def test_bad_requests(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bicubic-x2 x2, bicubic-x4 x4"):
        taught_pairs([photos], ["bicubic-x2", "bicubic-x4"], tmp_path / "out")
    with pytest.raises(UserError, match="same name"):
        taught_pairs([photos, photos], TEACHERS, tmp_path / "out")
    assert not (tmp_path / "out").exists()
