"""Pairs of HR and LR files, found by their names as data sets spell them, and checked by their headers."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from mimetypes import guess_type
from pathlib import Path

from promptsr.imaging.decode import inspect
from promptsr.imaging.folders import find_images, search_images
from promptsr.support.errors import ImageError, UserError, first_few

PairPaths = tuple[Path, Path | None]
"""Files of an HR image and its LR image; None: the LR image is made from the HR image."""

# Marks that tell the HR from the LR file of a pair, in lower case.
_MARKS = re.compile(
    r"""
    (?<=.) [\s_.@-]* x (?P<times>\d) (?:[dm]|w\d)? $                    # babyx4, 0001x4m
    | (?<=.) [\s_.@-] (?P<fold>\d) x $                                  # baby_4x
    | (?<=.) [\s_.-] srf [\s_.-]? (?P<factor>\d) $                      # img_001_SRF_4
    | (?<=.) [\s_.-] (?:bic|bicubic|bi|bd|dn)? (?:lr|lq|hr|hq|gt) (?:bic|bicubic|bi|bd|dn)? (?P<of>\d?) $
    | ^ (?:lr|lq|hr|hq|gt) [\s_.-] (?=.)                                # HR_001
    """,
    re.VERBOSE,
)
_OF_HR = re.compile(r"(?:^|[\s_.-])(?:hr|hq|gt)(?:\d?$|[\s_.-])")


@dataclass(frozen=True)
class FoundPairs:
    """Pairs of a folder."""

    pairs: list[PairPaths]
    left_out: list[tuple[Path, str]]
    """HR files of pairs that cannot be used, each with a sentence that says why."""
    notes: list[str]
    """Sentences on the pairs."""


def find_pairs(hr_folder: Path, lr_folder: Path | None, scale: int | None = None) -> list[PairPaths]:
    """Pair the HR images of a folder with their LR images by name.

    Names may differ in case, suffix, and the marks that data sets use: `baby.png` with `babyx4.png`,
    `baby_LRBI_x4.png` or `LR_baby.jpg`, `img_001_SRF_4_HR.png` with `img_001_SRF_4_LR.png` and so on. The names that
    agree most belong together. Both may lie in one folder. Files that are named as images are paired even if they
    cannot be read, so that they can be told from missing ones.

    Args:
        hr_folder: of the HR images.
        lr_folder: of the LR images, or of folders of them such as `X4`; None: they are made from the HR images.
        scale: s; names that state another one are not considered. None: any.

    Raises:
        UserError: a folder is missing or empty, or an HR image has no partner or several.
    """
    hr_paths = _files(hr_folder)
    if lr_folder is None:
        return [(path, None) for path in hr_paths]
    lr_folder = _of_scale(lr_folder, scale)
    return _pair(hr_paths, _files(lr_folder), lr_folder, scale)


def search_pairs(hr_folder: Path, lr_folder: Path | None, scale: int, *, smallest: int = 1) -> FoundPairs:
    """Find the pairs of a folder as `find_pairs` does, and check by the headers of their files that they can be used.

    HR images without LR images are only checked if there is a smallest size.

    Args:
        hr_folder: of the HR images.
        lr_folder: of the LR images; None: they are made from the HR images.
        scale: s.
        smallest: shorter side of the smallest usable HR image, pixels.

    Raises:
        UserError: as in `find_pairs`.
    """
    usable: list[PairPaths] = []
    left_out: list[tuple[Path, str]] = []
    rounded: list[str] = []
    for hr, lr in find_pairs(hr_folder, lr_folder, scale):
        try:
            if (lr is not None or smallest > 1) and _check(hr, lr, scale, smallest):
                rounded.append(hr.name)
            usable.append((hr, lr))
        except ImageError as error:
            left_out.append((hr, str(error)))
    notes = [f"LR sides are rounded up in {first_few(rounded)}: only the part common with HR counts."]
    return FoundPairs(usable, left_out, notes if rounded else [])


def common_part(hr: Path, hr_size: Sequence[int], lr: Path, lr_size: Sequence[int], scale: int) -> tuple[int, int]:
    """Return the height and the width of the part of an HR image that its LR image shows, in HR pixels.

    Args:
        hr: file of the HR image, for the message.
        hr_size: its height and width.
        lr: file of the LR image.
        lr_size: its height and width, each that of the HR image over s, rounded down or up.
        scale: s.

    Raises:
        ImageError: the LR image has another size.
    """
    if any(abs(scale * small - large) >= scale for small, large in zip(lr_size, hr_size, strict=True)):
        height, width = (side - side % scale for side in hr_size)
        raise ImageError(
            f"{lr.name} ({lr_size[1]} x {lr_size[0]}) is not {hr.name} ({width} x {height}) shrunk by {scale}: "
            "give the LR folder of this scale."
        )
    height, width = (min(scale * small, large) for small, large in zip(lr_size, hr_size, strict=True))
    return height, width


def subfolder(folder: Path, *names: str) -> Path | None:
    """Return the folder that is reached by these names, in any case; None if there is none that can be read."""
    for name in names:
        try:
            below = [path for path in sorted(folder.iterdir()) if path.name.casefold() == name.casefold()]
        except OSError:
            return None
        found = next((path for path in below if path.is_dir()), None)
        if found is None:
            return None
        folder = found
    return folder


def _check(hr: Path, lr: Path | None, scale: int, smallest: int) -> bool:
    """Return whether the sides of the LR image are rounded up.

    Raises:
        ImageError: the pair is of no use.
    """
    header = inspect(hr)
    size = header.height, header.width
    rounded = False
    if lr is not None:
        lr_header = inspect(lr)
        lr_size = lr_header.height, lr_header.width
        size = common_part(hr, size, lr, lr_size, scale)
        rounded = any(scale * small > large for small, large in zip(lr_size, size, strict=True))
    if min(size) < smallest:
        raise ImageError(f"{hr.name} ({size[1]} x {size[0]}) is smaller than {smallest} pixels: leave it out.")
    return rounded


def _pair(hr_paths: Sequence[Path], lr_paths: Sequence[Path], lr_folder: Path, scale: int | None) -> list[PairPaths]:
    if hr_paths and hr_paths[0].parent.resolve() == lr_folder.resolve():
        marked = [path for path in hr_paths if _OF_HR.search(path.stem.casefold())]
        hr_paths = marked or [path for path in hr_paths if len(_forms(path, None)) == 3]
        lr_paths = [path for path in lr_paths if path not in hr_paths]
        if not hr_paths:
            raise UserError(f"{lr_folder} holds LR images alone: give the folder of the HR images.")
    by_form: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for lr in lr_paths:
        for level, form in enumerate(_forms(lr, scale)):
            by_form[form].append((level, lr))
    partners = [_partners(hr, by_form, scale) for hr in hr_paths]
    missing = [hr.name for hr, found in zip(hr_paths, partners, strict=True) if not found]
    if missing:
        it = "it" if len(missing) == 1 else "them"
        raise UserError(
            f"{lr_folder} has no LR image called {first_few(missing)}: add {it}, or do without the LR folder."
        )
    claims: dict[Path, list[str]] = defaultdict(list)
    for hr, found in zip(hr_paths, partners, strict=True):
        if len(found) > 1:
            names = first_few([lr.name for lr in found])
            raise UserError(f"{lr_folder} has several LR images for {hr.name} ({names}): keep one of them there.")
        claims[found[0]].append(hr.name)
    for lr, owners in claims.items():
        if len(owners) > 1:
            raise UserError(f"{lr} may belong to {first_few(owners)}: give each an LR image of its own name.")
    return [(hr, found[0]) for hr, found in zip(hr_paths, partners, strict=True)]


def _partners(hr: Path, by_form: dict[str, list[tuple[int, Path]]], scale: int | None) -> list[Path]:
    """Return the LR images whose names agree most with that of an HR image."""
    for form in _forms(hr, scale):
        if form in by_form:
            best = min(level for level, _ in by_form[form])
            return [lr for level, lr in by_form[form] if level == best]
    return []


def _forms(path: Path, scale: int | None) -> list[str]:
    """Return a name, its stem, that in lower case, and that with ever fewer marks."""
    stem = path.stem.casefold()
    forms = [path.name, path.stem, stem]
    while found := _MARKS.search(stem):
        stated = next((int(number) for number in found.groups() if number), None)
        if scale is not None and stated not in (None, 1, scale):
            break
        stem = stem[: found.start()] + stem[found.end() :]
        forms.append(stem)
    return forms


def _of_scale(lr_folder: Path, scale: int | None) -> Path:
    """Return the folder `X4` in an LR folder that holds no image itself."""
    if scale is None or not lr_folder.is_dir() or search_images(lr_folder).images:
        return lr_folder
    return subfolder(lr_folder, f"x{scale}") or lr_folder


def _files(folder: Path) -> list[Path]:
    """Return the images of a folder, and the files that cannot be read but are named as images: they are to be missed.

    Raises:
        UserError: the folder does not exist, or holds none.
    """
    found = search_images(folder)
    bad = [path for path, _ in found.left_out if (guess_type(path.name, strict=False)[0] or "").startswith("image/")]
    return sorted([*found.images, *bad]) or find_images(folder)
