"""Benchmark sets in the layouts of their archives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promptsr.evaluation.evaluate import find_pairs
from promptsr.imaging.decode import find_images
from promptsr.paper.tables import DATASETS
from promptsr.support.errors import UserError

_NAMES = {"b100": "BSD100", "bsds100": "BSD100", **{name.lower(): name for name in DATASETS}}
"""Names of the sets of Table I in archives and in `promptsr fetch`, in lower case."""


@dataclass(frozen=True)
class BenchmarkSet:
    """Images to measure models on."""

    name: str
    pairs: list[tuple[Path, Path | None]]
    """HR and LR images; None: the LR image is made from the HR image, see `promptsr.evaluation.evaluate.find_pairs`."""


def find_sets(bench: Path, names: Sequence[str], scale: int) -> list[BenchmarkSet]:
    """Find benchmark sets in a folder.

    A set `Set5` is the folder of this name, or `set5`, in one of four layouts: `Set5/x4/HR` with LR images
    of the same names in `Set5/x4/LR`; `Set5/HR` with `Set5/LR/x4`, as fetched; `Set5/HR/baby.png` with
    `Set5/LR_bicubic/X4/babyx4.png`; or HR images in `Set5` itself. Where there is no LR folder, LR images are made
    (bicubic).

    Args:
        bench: the folder.
        names: of the sets, each taken once; empty for all that have images for this scale, those of Table I first.
        scale: s.

    Raises:
        UserError: there is no such folder or set, it has no images for this scale, or an LR image is missing.
    """
    if not bench.is_dir():
        raise UserError(f"{bench} is not a folder; give the folder that holds Set5 and the other sets.")
    folders = {_called(path.name): path for path in sorted(bench.iterdir()) if path.is_dir()}
    known = [*(name for name in DATASETS if name in folders), *(name for name in folders if name not in DATASETS)]
    usable = [name for name in known if _holds_images(_locate(folders[name], scale)[0])]
    if not usable:
        raise UserError(f"{bench} holds no set with images for x{scale}; put them into {bench / 'Set5' / 'HR'}, say.")
    wanted = dict.fromkeys(map(_called, names)) or usable
    for name in wanted:
        if name not in usable:
            raise UserError(f"{bench} holds no set {name} with images for x{scale}: choose among {', '.join(usable)}.")
    return [BenchmarkSet(name, find_pairs(*_locate(folders[name], scale), lr_ending=f"x{scale}")) for name in wanted]


def _locate(folder: Path, scale: int) -> tuple[Path, Path | None]:
    """Return the HR folder of a set and its LR folder, if there is one."""
    hr, lr_folders = folder / f"x{scale}" / "HR", [folder / f"x{scale}" / "LR"]
    if not hr.is_dir():
        hr, lr_folders = folder / "HR", [folder / "LR" / f"x{scale}", folder / "LR_bicubic" / f"X{scale}"]
    if not hr.is_dir():
        return folder, None
    return hr, next((lr for lr in lr_folders if lr.is_dir()), None)


def _called(name: str) -> str:
    return _NAMES.get(name.lower(), name)


def _holds_images(folder: Path) -> bool:
    try:
        return bool(find_images(folder))
    except UserError:
        return False
