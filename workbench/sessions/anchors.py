"""A study of anchor prompts as the page keeps it: points to click on, their images, and files."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from analysis.anchors.export import ARRAYS, FILES, NUMBERS, write_plane
from analysis.anchors.figure import CATEGORY_COLORS, GROUP_COLORS
from analysis.anchors.separation import nearest
from analysis.anchors.study import TRAINED
from promptsr.support.errors import UserError
from promptsr.support.files import write_json
from workbench.sessions.pictures import new_folder

SHIPPED = Path(__file__).parents[1] / "static" / "anchors"
"""The study that comes with the page: its arrays and numbers, and what they were made of (`made.json`)."""
_MADE = "made.json"

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
    """Folder of the files of `write_study`."""
    root: Path
    """Folder of the images, from where the page may show them."""

    @cached_property
    def numbers(self) -> dict[str, Any]:
        """As `AnchorStudy.to_dict`."""
        numbers: dict[str, Any] = json.loads((self.folder / NUMBERS).read_text(encoding="utf-8"))
        return numbers

    @property
    def groups(self) -> int:
        """Number of residual groups."""
        return len(self.numbers["categories"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the table: the numbers of every network for each question, the one on groups first."""
        networks = {
            "trained": self.numbers,
            "untrained": self.numbers["control_untrained"],
            "update off": self.numbers["update_off"],
            **{f"alpha {other['alpha']:g}": other for other in self.numbers["alphas"]},
        }
        answers = {name: [found["groups"], *found["categories"]] for name, found in networks.items()}
        return [
            {
                **found[i],
                "where": f"group {i}" if i else "all groups",
                "by": "category" if i else "group",
                "network": name,
            }
            for i in range(1 + self.groups)
            for name, found in answers.items()
            if i < len(found)  # other networks may have fewer groups
        ]

    @property
    def files(self) -> list[str]:
        """To download."""
        return [str(self.folder / name) for name in FILES]

    def points(self, plane: int) -> Points:
        """Return the points of a plane."""
        self._check(plane)
        with np.load(self.folder / ARRAYS) as stored:
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
        with np.load(self.folder / ARRAYS) as stored:
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

        others = nearest(flat, point, self.numbers["k"])
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


def ship(study: Studied, made: Mapping[str, Any]) -> None:
    """Make a study the one that comes with the page; `made` says of what it was made, as plain values."""
    for name in (ARRAYS, NUMBERS):
        shutil.copyfile(study.folder / name, SHIPPED / name)
    write_json(SHIPPED / _MADE, made)


def shipped(made: Mapping[str, Any]) -> Studied | None:
    """Return the study that comes with the page if it was made of just this; its images are still to be written."""
    if json.loads((SHIPPED / _MADE).read_text(encoding="utf-8")) != made:
        return None
    folder = new_folder()
    for name in (ARRAYS, NUMBERS):
        shutil.copyfile(SHIPPED / name, folder / name)
    write_plane(folder)
    return Studied(folder, folder / "images")


def _colors(palette: Sequence[str], count: int) -> list[str]:
    return [palette[i % len(palette)] for i in range(count)]
