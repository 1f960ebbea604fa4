"""Origin of the weights in a file: their licence, and a score with its source, as far as anything here states them."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from promptsr.downloads.catalogue import Entry
from promptsr.paper.tables import published
from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.checkpoints import read_info
from promptsr.zoo.formats import is_promptsr, read_header
from promptsr.zoo.listing import WEIGHTS, ModelInfo

_LICENCES = ("modelspec.license", "license", "licence")
"""Keys of the metadata of safetensors files that name a licence."""
_LONGEST = 80
"""Characters of a text from a file."""


@dataclass(frozen=True)
class Score:
    """A measured or printed score."""

    psnr_y: float
    """dB."""
    images: str
    """Name of the benchmark set, or which images."""
    source: str
    """Source of the number."""


@dataclass(frozen=True)
class Origin:
    """Licence and score of weights; None where nothing states them."""

    licence: str | None = None
    score: Score | None = None


def origin_of(model: ModelInfo, path: Path | None, catalogue: Mapping[str, Entry]) -> Origin:
    """Return the origin of a model's weights.

    Bundled models have the project's licence and its measurements. A file with the checksum of an entry of the
    catalogue has the licence that is known there, and the score that the paper prints for that network. Other files
    may have a licence in their metadata, and checkpoints of `promptsr train` the score of their validation.

    Args:
        model: as it is listed.
        path: of its weights; None for bicubic interpolation.
        catalogue: of `promptsr.downloads.load_catalogue`, whose files are recognised.
    """
    measured = next(iter(model.scores.items()), None)
    score = measured and Score(measured[1]["psnr_y"], measured[0], "measured (scores.json)")
    if path is None or path.parent == WEIGHTS:
        return Origin(None if path is None else _own_licence(), score)
    try:
        status = path.stat()
        files = ((file, entry) for entry in catalogue.values() for file in entry.files)
        alike = {file.sha256: entry for file, entry in files if file.size == status.st_size}
        if alike and (entry := alike.get(_checksum(path, status.st_mtime_ns))):
            return Origin(entry.licence, _printed(model))
        notes = read_header(path).notes
        licence = next((notes[key][:_LONGEST] for key in _LICENCES if notes.get(key)), None)
        return Origin(licence, _validated(read_info(path)) if is_promptsr(notes) else None)
    except (CheckpointError, OSError):  # a file of another format, or one that has gone
        return Origin()


@lru_cache(maxsize=256)
def _checksum(path: Path, changed: int) -> str:
    """Return the SHA-256 of a file that was last changed at this time in nanoseconds."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _printed(model: ModelInfo) -> Score | None:
    """Return the first PSNR that Table I prints clearly for a network's published weights."""
    try:
        rows = published("I", scale=model.scale)
    except UserError:  # another scale
        return None
    rows = rows[(rows["metric"] == "psnr_y") & (rows["method"].str.rstrip("+") == model.architecture)]
    if rows.empty:
        return None
    first = rows.iloc[0]
    return Score(float(first["value"]), str(first["dataset"]), "Table I of the paper")


def _validated(info: Mapping[str, Any]) -> Score | None:
    """Return the score of the last validation in a training run; `info` may come from any file."""
    train, psnr = info.get("train"), info.get("validation_psnr_y")
    if not isinstance(train, dict) or not isinstance(psnr, float) or not math.isfinite(psnr):
        return None
    count, folder = train.get("validation_images"), os.path.basename(str(train.get("validation")))
    images = f"{count} images of {folder}" if isinstance(count, int) else folder
    return Score(psnr, images[:_LONGEST], "in its training")


def _own_licence() -> str | None:
    try:
        return metadata("promptsr")["License-Expression"]
    except PackageNotFoundError:  # a checkout that is not installed
        return None
