"""An anchor study as files: arrays, a table of the plane, the figure, and the numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.anchors.embedding import Planes
from analysis.anchors.figure import draw_tsne
from analysis.anchors.points import Points
from analysis.anchors.study import TRAINED, AnchorStudy
from analysis.common.figure_style import publish
from analysis.common.tables import write_table
from promptsr.support.files import replacing, write_json

ARRAYS, NUMBERS = "anchors.npz", "anchors.json"
"""The files that hold a study; the others are drawn from the arrays."""
FILES = (ARRAYS, "tsne.csv", "tsne.png", "tsne.svg", NUMBERS)
"""Files that `write_study` writes."""


def write_study(study: AnchorStudy, folder: Path) -> None:
    """Write `FILES`, each all or nothing.

    `anchors.npz`: `features_<variant>` (groups x N x F, not standardised), `images` and `categories` (N indices into
    `files` and `names`), `plane_all` (groups N x 2, group by group), `plane_groups` (groups x N x 2) and `perplexity`.

    Raises:
        UserError: the folder cannot be written.
    """
    points, planes = study.points[TRAINED], study.planes
    arrays: dict[str, Any] = {
        "images": points.images,
        "categories": points.categories,
        "names": np.array(points.names),
        "files": np.array(points.files),
        "plane_all": planes.all,
        "plane_groups": planes.single,
        "perplexity": planes.perplexity,
        **{f"features_{variant}": each.features for variant, each in study.points.items()},
    }
    with replacing(folder / ARRAYS) as temporary:
        np.savez_compressed(temporary, **arrays)
    write_json(folder / NUMBERS, study.to_dict())
    write_plane(folder)


def write_plane(folder: Path) -> None:
    """Write the table and the figure of a study whose arrays are in the folder.

    Raises:
        UserError: the folder cannot be written.
    """
    with np.load(folder / ARRAYS) as stored:
        points = Points(
            stored[f"features_{TRAINED}"],
            stored["images"],
            stored["categories"],
            tuple(stored["names"].tolist()),
            tuple(stored["files"].tolist()),
        )
        planes = Planes(stored["plane_all"], stored["plane_groups"], float(stored["perplexity"]))
    write_table(_tsne_table(points, planes), folder / "tsne.csv")
    publish(draw_tsne(points, planes), folder / "tsne.png", folder / "tsne.svg")


def _tsne_table(points: Points, planes: Planes) -> pd.DataFrame:
    """Return a row per point and group, group by group: file, category, group (from 1), x_all and y_all (in the plane
    of all groups), x and y (in the plane of its own group)."""
    groups, n = planes.single.shape[:2]
    return pd.DataFrame(
        {
            "file": np.tile(np.array(points.files)[points.images], groups),
            "category": np.tile(np.array(points.names)[points.categories], groups),
            "group": np.repeat(np.arange(1, groups + 1), n),
            "x_all": planes.all[:, 0],
            "y_all": planes.all[:, 1],
            "x": planes.single[:, :, 0].ravel(),  # groups x N -> groups N
            "y": planes.single[:, :, 1].ravel(),
        }
    )
