"""Figures as files: one drawing thread, errors that reach the caller, grounds."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from analysis.common.figure_style import png, publish
from promptsr.support.errors import UserError


def figure() -> Figure:
    made = Figure(figsize=(1, 1))
    made.text(0.1, 0.5, "M coarse")
    return made


def test_fonts_are_opened_once_for_all_threads() -> None:
    """matplotlib keeps those of each thread: a server has ever new ones."""
    png(figure())
    opened = font_manager._get_font.cache_info().misses  # type: ignore[attr-defined]
    drawn = set()
    for _ in range(4):
        with ThreadPoolExecutor(3) as threads:
            drawn |= set(threads.map(lambda _: png(figure()), range(6)))
    assert len(drawn) == 1  # and no thread draws into the picture of another
    assert font_manager._get_font.cache_info().misses == opened  # type: ignore[attr-defined]


def test_errors_of_writing_reach_the_caller(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another output folder"):
        publish(figure(), tmp_path / "file" / "figure.png")
    with pytest.raises(ValueError, match="not supported"):
        publish(figure(), tmp_path / "figure.docx")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_figures_on_the_page_have_no_ground() -> None:
    with Image.open(io.BytesIO(png(figure()))) as image:
        assert image.mode == "RGBA" and image.getpixel((0, 0))[3] == 0  # type: ignore[index]
