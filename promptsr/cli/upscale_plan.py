"""Plan of `promptsr upscale`: which file becomes which, and all that can be refused before any pixel is decoded."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from promptsr.imaging import SUFFIXES, Header, check_target, inspect
from promptsr.imaging.folders import search_images
from promptsr.imaging.frames import can_hold
from promptsr.support.errors import ConfigError, ImageError, UserError
from promptsr.support.files import check_writable

FRAMES = "frames"
"""Format of a folder of PNG files, one for each frame."""
_OWN = {"JPEG": ".jpg", "TIFF": ".tif", "WebP": ".webp"}
"""Suffix of a result by the format of an input whose own suffix cannot be written; else PNG."""
_IMAGE_SUFFIXES = {*SUFFIXES, ".jfif", ".jpe", ".gif", ".apng", ".bmp", ".avif", ".heic", ".heif", ".hif", ".tga"}
_IMAGE_SUFFIXES |= {".ppm", ".pgm", ".pbm", ".pnm", ".pam"}


@dataclass(frozen=True)
class Wish:
    """Options that decide on names and formats of results."""

    output: str
    file_format: str | None = None
    frame: int | None = None
    """The only frame that is wanted, from 0."""
    recursive: bool = False
    existing: str | None = None
    """"skip" or "overwrite" results that exist; None: refuse them."""


@dataclass(frozen=True)
class Job:
    """One input and its result."""

    source: Path
    target: Path
    """A file; without a known suffix a folder of frames."""
    header: Header
    note: str | None = None
    """Why the result is not of the format that was asked for."""


@dataclass(frozen=True)
class Plan:
    """Jobs in order, and the files that will have no result."""

    jobs: list[Job]
    failed: list[tuple[Path, str]] = field(default_factory=list)
    """With the reason."""
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    """Files in folders that hold no image, with the reason."""
    skipped: list[Path] = field(default_factory=list)
    """Results that exist."""


def plan(inputs: list[Path], wish: Wish, size_of: Callable[[Header], tuple[int, int]]) -> Plan:
    """Plan a run.

    Args:
        inputs: files and folders.
        wish: options.
        size_of: returns height and width of a result, or refuses it.

    Raises:
        UserError: an impossible option; an input that does not exist; the only input cannot become its result; or
            results exist and were neither to be skipped nor to be overwritten.
    """
    file_format = _format(wish.file_format)
    folder = Path(wish.output)
    single = len(inputs) == 1 and not inputs[0].is_dir()
    named = single and not folder.is_dir() and not wish.output.endswith(("/", "\\")) and file_format != FRAMES
    if named and folder.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{folder} has no known image suffix: use one of {', '.join(SUFFIXES)}, or {folder}/ for a folder."
        )
    found, left_out = _find(inputs, folder, wish.recursive)
    jobs, failed = [], []
    for source, below in found:
        try:
            header = _header(source, wish.frame)
            target = folder if named else folder / below / _name(source, header, file_format)
            jobs.append(_checked(Job(source, target, header), size_of, strict=named))
        except UserError as error:
            if single:
                raise
            failed.append((source, str(error)))
    jobs = _told_apart(jobs)
    sources = {source.resolve() for source, _ in found}
    for job in jobs:
        if job.target.resolve() in sources:
            raise UserError(f"{job.target} would be overwritten by a result: choose another --output.")
        if job.target.suffix:
            check_writable(job.target)
    there = [job for job in jobs if job.target.exists()]
    if there and wish.existing is None:
        names = ", ".join(str(job.target) for job in there[:3]) + (", ..." if len(there) > 3 else "")
        raise UserError(
            f"{len(there)} of {len(jobs)} results exist already ({names}): choose --skip-existing, --overwrite or "
            "another --output."
        )
    if wish.existing != "skip":
        return Plan(jobs, failed, left_out)
    skipped = {job.target for job in there}
    return Plan([job for job in jobs if job.target not in skipped], failed, left_out, [job.target for job in there])


def _format(name: str | None) -> str | None:
    """Return a suffix, `FRAMES` or None."""
    if name is None or name.lower() == FRAMES:
        return name and FRAMES
    suffix = f".{name.lower().lstrip('.')}"
    if suffix not in SUFFIXES:
        known = ", ".join(each[1:] for each in SUFFIXES)
        raise ConfigError(f"There is no format {name}: choose one of {known} or {FRAMES}.")
    return suffix


def _find(inputs: list[Path], output: Path, recursive: bool) -> tuple[list[tuple[Path, Path]], list[tuple[Path, str]]]:
    """Return the files, each with the folder that its result lies in below the output, and those left out."""
    files: list[tuple[Path, Path]] = []
    left_out: list[tuple[Path, str]] = []
    for path in inputs:
        if not path.is_dir():
            if not path.exists():
                raise UserError(f"There is no file {path}: check the path.")
            files.append((path, Path()))
            continue
        found = search_images(path, recursive=recursive)
        earlier = output.resolve()  # results of an earlier run, where the output lies in the folder itself
        inside = earlier != path.resolve()
        images = [image for image in found.images if not (inside and earlier in image.resolve().parents)]
        files += [(image, image.parent.relative_to(path)) for image in images]
        left_out += found.left_out
    if not files:
        more = "" if recursive else "; --recursive looks into its sub-folders"
        raise UserError(f"{', '.join(map(str, inputs))} holds no image: give another folder{more}.")
    return files, left_out


def _header(source: Path, frame: int | None) -> Header:
    header = inspect(source)
    if frame is None:
        return header
    if frame >= header.frames:
        raise ImageError(f"{source.name} has {header.frames} frames: there is no --frame {frame + 1}.")
    return replace(header, frames=1, durations=(), loop=0)


def _name(source: Path, header: Header, file_format: str | None) -> str:
    """Return the name of a result in a folder."""
    known = source.suffix.lower() in _IMAGE_SUFFIXES
    stem = source.stem if known else source.name
    if file_format == FRAMES and header.frames > 1:
        return stem
    if file_format not in (None, FRAMES):
        return f"{stem}{file_format}"
    return source.name if source.suffix.lower() in SUFFIXES else f"{stem}{_OWN.get(header.format, '.png')}"


def _checked(job: Job, size_of: Callable[[Header], tuple[int, int]], *, strict: bool) -> Job:
    """Return the job, with another format where its own cannot hold the result.

    Raises:
        ImageError: the format cannot hold the result, and `strict` forbids another; or no format can.
    """
    height, width = size_of(job.header)
    try:
        if not can_hold(job.header, job.target):
            kind, others = ("an animation", ".png or .webp") if job.header.durations else ("pages", ".tif")
            raise ImageError(
                f"{job.source.name} holds {job.header.frames} frames, and {job.target.suffix} files cannot hold "
                f"{kind}: choose {others}, --format {FRAMES} or --frame 1."
            )
        if job.target.suffix.lower() in SUFFIXES:
            check_target(job.target, width, height)
    except ImageError as error:
        suffix = ".tif" if job.header.frames > 1 and not job.header.durations else ".png"
        if strict or job.target.suffix.lower() == suffix:
            raise
        other = replace(job, target=job.target.with_suffix(suffix))
        _checked(other, size_of, strict=True)
        return replace(other, note=f"{error} The result is {other.target.name}.")
    return job


def _told_apart(jobs: list[Job]) -> list[Job]:
    """Give results of one name, in any case, the suffix of their inputs, and then numbers."""

    def key(target: Path) -> str:
        return str(target).casefold()

    times = Counter(key(job.target) for job in jobs)
    taken = {name for name, count in times.items() if count == 1}
    result = []
    for job in jobs:
        if times[key(job.target)] > 1:
            stem, suffix = job.target.stem, job.target.suffix
            base = f"{stem}-{job.source.suffix[1:].lower()}" if job.source.suffix else stem
            number, target = 1, job.target.with_name(base + suffix)
            while key(target) in taken:
                number += 1
                target = job.target.with_name(f"{base}-{number}{suffix}")
            job = replace(job, target=target, note=" ".join(filter(None, (job.note, f"The result is {target.name}."))))
            taken.add(key(target))
        result.append(job)
    return result
