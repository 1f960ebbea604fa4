"""The sample photographs as files that the page may show."""

import tempfile
from functools import lru_cache
from pathlib import Path

import gradio as gr

from analysis.common.samples import write_samples

SIDES = (192, 256, 384)
"""Longest sides of them in pixels: what takes seconds to enlarge, to shrink and attribute, and what fills its place."""


@lru_cache
def sample_paths(longest: int) -> tuple[Path, ...]:
    """PNG files of at most `longest` pixels a side, which live as long as the program."""
    folder = Path(_folder().name, str(longest))
    paths = write_samples(folder, longest)
    gr.set_static_paths([folder])
    return paths


@lru_cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="promptsr-samples-")
