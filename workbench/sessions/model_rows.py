"""Rows of the tab Models: those on the page with their scores and licences, those to fetch, and what was ignored."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptsr.downloads import load_catalogue
from promptsr.downloads.catalogue import Entry
from promptsr.support.errors import UserError
from promptsr.zoo.formats import SUFFIXES
from promptsr.zoo.listing import OWN_MODELS
from promptsr.zoo.origin import origin_of
from workbench.sessions import models, speed
from workbench.sessions.figure_names import figure_names


def rows() -> list[dict[str, Any]]:
    """Return for each model that can be run, by scale, plain values: `name`, `scale`, `parameters`, `architecture`,
    `weights` (the entry of its file, if it has several), `score` (`psnr_y` in dB, `images`, `source`; or None),
    `seconds_per_megapixel` of input in its last run on this machine (None before the first), `licence` (None if it is
    not stated), `is_added`, and `figure_name`."""
    known, files, added = models.known(), models.listing().files, models.added()
    chosen, catalogue = figure_names(), _catalogue()
    found = []
    for name in models.usable():
        model, own = known[name], added.get(name)
        origin = origin_of(model, own.path if own else files.get(name), catalogue)
        seconds = speed.latest(name)
        found.append(
            {
                **{key: getattr(model, key) for key in ("name", "scale", "parameters", "architecture", "weights")},
                "score": asdict(origin.score) if origin.score else None,
                "seconds_per_megapixel": None if seconds is None else 1e6 * seconds,
                "licence": origin.licence,
                "is_added": own is not None,
                "figure_name": chosen.get(name, name),
            }
        )
    return found


def to_fetch() -> list[dict[str, Any]]:
    """Return `title`, `size` in bytes, `licence`, `page` and `command` of all weights that `promptsr fetch` knows."""
    folder = f'"${OWN_MODELS}"' if os.environ.get(OWN_MODELS) else "models"
    return [
        {
            **{key: getattr(entry, key) for key in ("title", "size", "licence", "page")},
            "command": f"promptsr fetch {entry.name} --to {folder}",
        }
        for entry in _catalogue().values()
        if entry.files and Path(entry.files[0].name).suffix.lower() in SUFFIXES
    ]


def ignored() -> list[dict[str, str]]:
    """Return `path` in the owner's folder of models and `reason` of every file there that is none."""
    folder = os.environ.get(OWN_MODELS, "")
    return [
        {"path": os.path.relpath(path, folder) if path != Path(folder) else str(path), "reason": reason}
        for path, reason in models.listing().ignored
    ]


def _catalogue() -> dict[str, Entry]:
    try:
        return load_catalogue()
    except UserError:  # a list of the owner's own that is broken: `promptsr fetch` tells
        return {}
