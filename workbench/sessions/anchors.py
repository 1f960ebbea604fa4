"""A study of anchor prompts as the page keeps it: points to click on, their images, and files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from analysis.anchors.export import FILES, write_study
from analysis.anchors.figure import CATEGORY_COLORS, GROUP_COLORS
from analysis.anchors.separation import nearest
from analysis.anchors.study import TRAINED, AnchorStudy
from promptsr.support.errors import UserError
from workbench.sessions.pictures import new_folder

ALL = 0
"""The plane of all residual groups; the others are the numbers of the groups."""


class Points(NamedTuple):
    """Points in a plane, as `workbench.ui.scatter.scatter` takes them."""

    places: np.ndarray
    """N x 2."""
    labels: list[int]
    """Index into `names` of each point."""
    names: list[str]
    colors: list[str]
    """Colour of each label."""
    title: str


@dataclass(frozen=True, eq=False)
class Studied:
    """A study as files: a session holds on to names and numbers alone."""

    folder: Path
    """Folder of the files."""
    root: Path
    """Folder of the images."""
    model: str
    groups: int
    k: int
    rows: tuple[dict[str, Any], ...]
    """Rows of the table, as plain values."""

    @property
    def files(self) -> list[str]:
        """To download."""
        return [str(self.folder / name) for name in FILES]

    def points(self, plane: int) -> Points:
        """Return the points of a plane."""
        self._check(plane)
        with np.load(self.folder / "anchors.npz") as stored:
            if plane == ALL:
                names = [f"Group {group}" for group in range(1, self.groups + 1)]
                labels = np.repeat(np.arange(self.groups), len(stored["images"])).tolist()
                return Points(
                    stored["plane_all"], labels, names, _colors(GROUP_COLORS, self.groups), "Anchor prompts by group"
                )
            names, title = list(stored["names"]), f"Anchor prompts of group {plane} by category"
            places, labels = stored["plane_groups"][plane - 1], stored["categories"].tolist()
            return Points(places, labels, names, _colors(CATEGORY_COLORS, len(names)), title)

    def look(self, plane: int, point: int) -> tuple[dict[str, str], list[tuple[Path, str]]]:
        """Return a point of a plane: facts, and its image with those of its nearest neighbours in feature space.

        Raises:
            UserError: no such plane or point.
        """
        self._check(plane)
        with np.load(self.folder / "anchors.npz") as stored:
            features = stored[f"features_{TRAINED}"]
            groups, n = features.shape[:2]
            count = groups * n if plane == ALL else n
            if not 0 <= point < count:
                raise UserError(f"There is no point {point}: choose one from 0 to {count - 1}.")
            # groups x N x F -> (groups N) x F, group by group, as the plane has them
            flat = features.reshape(groups * n, -1) if plane == ALL else features[plane - 1]
            images, names, files = stored["images"], stored["names"], stored["files"]
            categories = names[stored["categories"]]

        def label(index: int) -> str:
            return f"group {index // n + 1}" if plane == ALL else str(categories[index % n])

        def file(index: int) -> Path:
            return self.root / str(files[images[index % n]])

        others = nearest(flat, point, self.k)
        alike = sum(label(other) == label(point) for other in others)
        group = point // n + 1 if plane == ALL else plane
        facts = {
            "Image": str(files[images[point % n]]),
            "Category": str(categories[point % n]),
            "Residual group": str(group),
            "Neighbours of the same " + ("group" if plane == ALL else "category"): f"{alike} of {len(others)}",
        }
        pictures = [(file(point), f"The chosen point: {label(point)}")]
        pictures += [(file(other), f"Neighbour {i}: {label(other)}") for i, other in enumerate(others, start=1)]
        return facts, pictures

    def _check(self, plane: int) -> None:
        if plane not in range(self.groups + 1):
            raise UserError(f"There is no plane {plane}: choose 0 for all groups, or a group from 1 to {self.groups}.")


def keep_study(study: AnchorStudy, root: Path) -> Studied:
    """Write the files of a study; `root` is the folder of its images, from where the page may show them."""
    folder = new_folder()
    write_study(study, folder)
    return Studied(folder, root, study.model, len(study.planes.single), study.k, tuple(_rows(study)))


def _rows(study: AnchorStudy) -> list[dict[str, Any]]:
    """Return the numbers of every network for each question; the first question is the one on groups."""
    return [
        {"where": f"group {i}" if i else "all groups", "by": "category" if i else "group", **row}
        for i, answers in enumerate(study.answers.values())
        for row in ({"network": name.replace("_", " "), **found.to_dict()} for name, found in answers.items())
    ]


def _colors(palette: Sequence[str], count: int) -> list[str]:
    return [palette[i % len(palette)] for i in range(count)]
