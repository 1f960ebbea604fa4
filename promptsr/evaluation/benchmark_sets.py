"""Benchmark sets in the layouts of their archives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promptsr.data.pairs import PairPaths, search_pairs, subfolder
from promptsr.evaluation.evaluate import LeftOut, smallest_side
from promptsr.imaging.folders import search_images
from promptsr.paper.tables import DATASETS
from promptsr.support.errors import UserError

_NAMES = {"b100": "BSD100", "bsds100": "BSD100", **{name.lower(): name for name in DATASETS}}
"""Names of the sets of Table I in archives and in `promptsr fetch`, in lower case."""


@dataclass(frozen=True)
class BenchmarkSet:
    """Images to measure models on."""

    name: str
    pairs: list[PairPaths]
    left_out: tuple[LeftOut, ...] = ()
    """HR images that cannot be measured."""
    notes: tuple[str, ...] = ()
    """Sentences on the images."""


def find_sets(bench: Path, names: Sequence[str], scale: int) -> list[BenchmarkSet]:
    """Find benchmark sets in a folder.

    A set `Set5` is the folder of this name, or `set5`. HR images lie in `Set5/x4/HR`, `Set5/HR`, `Set5/GTmod12` or
    `Set5` itself, LR images in `Set5/x4/LR`, `Set5/LR/x4` (as fetched), `Set5/LR_bicubic/X4`, `Set5/LRbicx4`,
    `Set5/X4` or `Set5/LR`, or both in `Set5/image_SRF_4`; upper and lower case are the same. Images are paired by
    `promptsr.data.pairs.find_pairs`. Where there is no LR folder, LR images are made (bicubic).

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
    return [search_set(name, *_locate(folders[name], scale), scale) for name in wanted]


def search_set(name: str, hr_folder: Path, lr_folder: Path | None, scale: int) -> BenchmarkSet:
    """Find the images of a set, and check by their headers which can be measured.

    Raises:
        UserError: a folder is missing or empty, or an HR image has no partner or several.
    """
    found = search_pairs(hr_folder, lr_folder, scale, smallest=smallest_side(scale))
    left_out = tuple(LeftOut(path.name, reason) for path, reason in found.left_out)
    return BenchmarkSet(name, found.pairs, left_out, tuple(found.notes))


def _locate(folder: Path, scale: int) -> tuple[Path, Path | None]:
    """Return the HR folder of a set and its LR folder, if there is one."""
    x = f"x{scale}"
    if both := subfolder(folder, f"image_SRF_{scale}"):
        return both, both
    hr_folders = [subfolder(folder, *names) for names in ((x, "HR"), ("HR",), ("GTmod12",))]
    lr_names = ((x, "LR"), ("LR", x), ("LR_bicubic", x), (f"LRbic{x}",), (x,), ("LR",))
    lr_folders = [subfolder(folder, *names) for names in lr_names]
    return next(filter(None, hr_folders), folder), next((lr for lr in lr_folders if lr and _holds_images(lr)), None)


def _called(name: str) -> str:
    return _NAMES.get(name.lower(), name)


def _holds_images(folder: Path) -> bool:
    try:
        return bool(search_images(folder).images)
    except UserError:  # it cannot be read
        return False
