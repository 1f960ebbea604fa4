"""The curve of a chain of runs: every validation stands at the pixels that were seen before it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from promptsr.config import preset
from promptsr.support.errors import UserError
from promptsr.training.recipe import Recipe, provenance
from tools.keep_run import page
from tools.training_curve import read_stretches, training_curve

FIRST, SECOND = 32 * 32 * 10 / 1e6, 64 * 64 * 5 / 1e6
"""Millions of pixels of a step."""
FOREVER: dict[str, Any] = {"halve_at": (999_999,), "patch": 64, "batch": 5}


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A run of 100 steps; another from there, kept after 10 steps and again after 30 more; a last one from that."""
    folder = tmp_path / "trained"
    folder.mkdir()
    keep(folder, "first", {50: 27.0, 100: 27.5}, 100, patch=32, batch=10, halve_at=(999_999,))
    keep(folder, "second", {10: 28.0}, 10, init=("trained/first-raw.safetensors",), **FOREVER)
    keep(folder, "second", {5: 28.1}, 30, 10, init=("trained/second-raw.safetensors",), **FOREVER)
    keep(folder, "last", {20: 28.3}, 20, init=("trained/second.safetensors",), halve_at=(), patch=64, batch=5)
    return folder


def keep(folder: Path, name: str, scores: dict[int, float], steps: int, after: int = 0, **settings: Any) -> None:
    """Write the page that `keep_run` writes about a run."""
    run = folder.parent / name
    run.mkdir(exist_ok=True)
    rows = "".join(f"{step},0.1,0.1,5,{psnr}\n" for step, psnr in scores.items())
    (run / "log.csv").write_text(f"step,loss,lr,images_per_second,psnr_y\n{rows}")
    recipe = Recipe(data=("photos",), model=preset("promptsr"), validation="kodak", validation_images=8, **settings)
    path = folder / (f"{name}-after-{after}.md" if after else f"{name}.md")
    path.write_text(page(run, provenance(asdict(recipe)), steps, after))


def test_every_run_counts_on_from_the_one_that_it_began_with(pages: Path) -> None:
    found = read_stretches(pages)
    assert [(each.name, each.crops, each.decays) for each in found] == [
        ("first", 32, False),
        ("second", 64, False),
        ("second", 64, False),
        ("last", 64, True),
    ]
    assert [each.psnr_y for each in found] == [[27.0, 27.5], [28.0], [28.1], [28.3]]
    steps = [[50 * FIRST, 100 * FIRST], [100 * FIRST + 10 * SECOND], [100 * FIRST + 15 * SECOND]]
    for stretch, expected in zip(found, [*steps, [100 * FIRST + 60 * SECOND]], strict=True):
        assert stretch.pixels == pytest.approx(expected)


def test_it_is_drawn(pages: Path) -> None:
    training_curve(pages, target := pages.parent / "curve.png")
    with Image.open(target) as image:
        drawn = {color for _, color in image.convert("RGB").getcolors(2**20) or []}
    assert {(0x48, 0x78, 0xA8), (0xDD, 0x8A, 0x2B)} <= drawn  # constant and falling rates


def test_a_page_that_is_missing_or_another_text_is_named(pages: Path) -> None:
    (pages / "first.md").rename(pages.parent / "first.md")
    with pytest.raises(UserError, match="no page about first, with which second began"):
        read_stretches(pages)
    (pages / "notes.md").write_text("# Notes\n")
    with pytest.raises(UserError, match=r"notes\.md is no page"):
        read_stretches(pages)
