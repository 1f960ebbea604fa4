"""A search for failure cases as files: one self-contained HTML page, and tables."""

import base64
import io
import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup
from PIL import Image

from analysis.common.figure_style import svg
from analysis.common.page import render
from analysis.common.tables import write_table
from analysis.comparison.compare import score_texts
from analysis.failures.figure import draw_texture
from analysis.failures.search import OVERLAP
from analysis.failures.study import FLOOR, LEAST_LOSS, Case, FailureStudy
from promptsr.evaluation.evaluate import decibels
from promptsr.imaging.picture import to_color
from promptsr.support.files import write_text

REPORT = "report.html"
FILES = (REPORT, "cases.csv", "texture.csv")
"""Files that `write_report` writes."""
_COLORS = "RdBu_r"
"""Colour map of errors: blue where the result is too dark, red where it is too bright."""


def write_report(study: FailureStudy, folder: Path, command: str | None = None) -> Path:
    """Write `report.html` (self-contained), `cases.csv` and `texture.csv` to a folder, which is made when missing.

    Args:
        study: as `find_failures` gives it.
        folder: files of these names are replaced.
        command: the command line to show.

    Returns:
        The path of the page.

    Raises:
        UserError: the folder cannot be written.
    """
    page = render(
        "analysis.failures",
        "report.html",
        study=study,
        command=command,
        psnr=study.mean("psnr_y"),
        ssim=study.mean("ssim_y"),
        balance=study.balance.to_dict("records"),
        cases=[_shown(case) for case in study.cases],
        kinds={kind: sum(case.kind == kind for case in study.cases) for kind in ("blur", "artefact")},
        chart=Markup(svg(draw_texture(study.texture))),
        scale_colors=_uri(_colored(np.linspace(-1, 1, 128)[None], 1)),
        score_texts=score_texts,
        decibels=decibels,
        signed=_signed,
        floor=FLOOR,
        least_loss=LEAST_LOSS,
        overlap=OVERLAP,
    )
    write_table(_cases_table(study), folder / "cases.csv")
    write_table(study.texture, folder / "texture.csv")
    write_text(folder / REPORT, page)
    return folder / REPORT


def _cases_table(study: FailureStudy) -> pd.DataFrame:
    """Return one row per case, the greatest loss first, with one column for each number."""
    if not study.cases:
        return pd.DataFrame(columns=["rank", "image", "x", "y", "window", "kind", "loss_db", "against"])
    rows = [{"rank": rank, **case.to_dict()} for rank, case in enumerate(study.cases, start=1)]
    return pd.json_normalize(rows, sep=" ").rename(columns=lambda name: name.removeprefix("texture "))


def _shown(case: Case) -> dict[str, Any]:
    """Return a case for the page: pictures as data URIs, and the place of the box in the first, in percent."""
    height, width = case.hr.shape[2:]
    box = (case.inset.x / width, case.inset.y / height, case.window / width, case.window / height)
    errors = case.errors
    limit = max(1, math.ceil(max(np.percentile(np.abs(error), 99) for error in errors.values())))
    return {
        "case": case,
        "surroundings": _uri(to_color(case.hr)),
        "ratio": f"{width} / {height}",
        "box": [round(100 * share, 3) for share in box],
        "crops": {name: _uri(crop) for name, crop in case.crops.items()},
        "errors": {model: _uri(_colored(error, limit)) for model, error in errors.items()},
        "limit": limit,
    }


def _colored(values: np.ndarray, limit: float) -> np.ndarray:
    """Colour H x W as H x W x 3, uint8; colours end at -limit and limit."""
    colors: np.ndarray = matplotlib.colormaps[_COLORS]((values / limit + 1) / 2, bytes=True)
    return colors[..., :3]


def _uri(pixels: np.ndarray) -> str:
    """Encode H x W x 3, uint8, as a PNG in a data URI."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")
