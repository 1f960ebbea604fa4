"""The limits of the page: where they come from, and that what is beyond one is refused early, by its name."""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptsr.imaging import Picture, encode
from promptsr.support.errors import ConfigError, UserError
from workbench.server import limits
from workbench.server.limits import PUBLIC, Limits, enforce, read_limits, timely
from workbench.sessions import models
from workbench.sessions.compare import ask
from workbench.sessions.uploads import read_photograph
from workbench.tabs import upscale as upscale_tab
from workbench.tabs.attribution import attribute


@pytest.fixture(autouse=True)
def as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(limits, "_in_force", Limits())


def write(path: Path, height: int, width: int) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    encode(Picture(pixels), path)
    return str(path)


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text("seconds = 60\nupload_bytes = 1_000_000\n")
    assert read_limits(path, PUBLIC) == replace(PUBLIC, seconds=60, upload_bytes=1_000_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("second = 60", "second: Unexpected keyword argument. The limits are upload_bytes, free_bytes, input"),
        ("seconds = 0", "seconds: Input should be greater than 0"),
        ("seconds = '60'", "seconds: Input should be a valid integer"),
        ("seconds = true", "seconds: Input should be a valid integer"),
        ("seconds = 1.5", "seconds: Input should be a valid integer"),
        ("seconds: 60", "cannot be read as TOML"),
        (None, "cannot be read as TOML"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "limits.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_limits(path, Limits())


def test_no_limit_is_wider_in_public() -> None:
    own, public = asdict(Limits()), asdict(PUBLIC)
    assert all(public[field.name] <= (own[field.name] or math.inf) for field in fields(Limits)) and public != own


def test_pixels_of_photographs_are_limited(tmp_path: Path) -> None:
    image = write(tmp_path / "photo.png", 20, 30)
    enforce(Limits(input_pixels=20 * 30 - 1))
    with pytest.raises(UserError, match=r"photo.png has 30 x 20 pixels .* more than the limit of 0.0 megapixels"):
        read_photograph(image)
    enforce(Limits(input_pixels=20 * 30))
    assert read_photograph(image).width == 30


def test_pixels_of_results_are_limited(tmp_path: Path) -> None:
    image = write(tmp_path / "photo.png", 20, 30)
    enforce(Limits(output_pixels=80 * 120 - 1, compared_pixels=80 * 120 - 1))
    with pytest.raises(UserError, match="The result would have 120 x 80 pixels"):
        list(upscale_tab.upscale(image, "bicubic-x4", "bicubic", "auto", "PNG"))
    with pytest.raises(UserError, match="Results of 120 x 80 pixels are too large to compare"):
        ask(Path(image), "enlarge", None, 4)
    enforce(Limits(compared_pixels=20 * 30 - 1))
    with pytest.raises(UserError, match="Results of 30 x 20 pixels are too large to compare"):
        ask(Path(image), "shrink", None, 4)
    enforce(Limits(output_pixels=80 * 120, compared_pixels=80 * 120))
    *_, last = upscale_tab.upscale(image, "bicubic-x4", "bicubic", "auto", "PNG")
    with Image.open(last[3]) as result:
        assert result.size == (120, 80)


def test_tiles_are_limited_by_their_memory(tmp_path: Path) -> None:
    image = write(tmp_path / "photo.png", 40, 56)
    network = models.load("promptsr-tiny-x4")
    enforce(Limits(pass_bytes=network.working_memory(40, 56)))
    models.check_pass(network, "whole", 40, 56)
    models.check_pass(network, 10**9, 40, 56)
    enforce(Limits(pass_bytes=network.working_memory(40, 56) - 1))
    for tile in ("whole", "56", "1000000"):
        with pytest.raises(UserError, match=r"promptsr-tiny-x4 would take .* for 56 x 40 pixels at once"):
            list(upscale_tab.upscale(image, "promptsr-tiny-x4", "bicubic", tile, "PNG"))
    models.check_pass(network, 32, 40, 56)
    models.check_pass(network, "auto", 10_000, 10_000)


def test_steps_and_models_are_limited(tmp_path: Path) -> None:
    image = write(tmp_path / "photo.png", 40, 56)
    enforce(Limits(steps=5, models_at_once=1))
    with pytest.raises(UserError, match="The number of steps must be 1 to 5, not 6"):
        list(attribute(image, "enlarge", 4, ["bicubic-x4"], 0, 0, 16, 6))
    with pytest.raises(UserError, match="Choose 1 to 1 different models, not bicubic-x4, promptsr-tiny-x4"):
        list(attribute(image, "enlarge", 4, ["bicubic-x4", "promptsr-tiny-x4"], 0, 0, 16, 5))


def test_so_many_models_are_kept_and_no_more() -> None:
    models._kept.cache_clear()
    enforce(Limits(models_kept=2))
    try:
        first = models.load("bicubic-x2")
        assert models.load("bicubic-x2") is first
        models.load("bicubic-x3"), models.load("bicubic-x4")
        assert models.load("bicubic-x2") is not first
    finally:
        models._kept.cache_clear()


def test_work_ends_when_its_time_is_over() -> None:
    closed = []

    def work() -> Iterator[int]:
        try:
            for step in range(100):
                time.sleep(0.02)
                yield step
        finally:
            closed.append(True)

    enforce(Limits(seconds=1))
    assert list(timely(step for step in range(3))) == [0, 1, 2]
    seen = []
    with pytest.raises(UserError, match="longer than the limit of 1 seconds, so it was stopped"):
        for step in timely(work()):
            seen.append(step)
    assert closed == [True] and 0 < len(seen) <= 50
    stopped = timely(work())
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert closed == [True, True]
