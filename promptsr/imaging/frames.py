"""Write animations, files of several pages, and folders of frames, from frames that come one after the other."""

import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyvips
from PIL.TiffImagePlugin import AppendingTiffWriter

from promptsr.imaging.containers import png, webp
from promptsr.imaging.encode import SUFFIXES, encode, losses
from promptsr.imaging.picture import Header, Metadata, Picture
from promptsr.imaging.png_chunks import SIGNATURE, read_chunks, write_chunk
from promptsr.support.errors import ImageError, UserError
from promptsr.support.files import make_ordinary, replacing


def can_hold(header: Header, path: Path) -> bool:
    """Return True if a file of this name can hold all frames; a name without a known suffix is a folder of PNG."""
    if header.frames == 1 or path.suffix.lower() not in SUFFIXES:
        return True
    return path.suffix.lower() in (".png", ".webp") if header.durations else _is_tiff(path)


def write_frames(frames: Iterable[Picture], header: Header, path: Path, *, quality: int = 95) -> list[str]:
    """Write an animation (PNG or WebP), the pages of a TIFF, or a folder of PNG, all or nothing.

    One frame is held at a time; the others wait in files beside `path`, where they stay after an error, in a folder
    that the message names.

    Args:
        frames: pictures, of one size in an animation.
        header: says whether they are an animation, and its durations and loop.
        path: a name that `can_hold` allows; what is there is replaced.
        quality: as in `promptsr.imaging.encode`.

    Returns:
        What the format cannot keep, a phrase each.

    Raises:
        ImageError: there are no frames, or they cannot be encoded.
        UserError: the path cannot be written.
    """
    with _folder_beside(path) as folder:
        parts: list[Path] = []
        lost: dict[str, None] = {}
        try:
            for frame in frames:
                parts.append(folder / f"{len(parts) + 1:04}{'.tif' if _is_tiff(path) else '.png'}")
                if header.durations:
                    frame = _of_one_kind(frame, header, first=len(parts) == 1)
                if path.suffix.lower() == ".webp":
                    lost.update(dict.fromkeys(losses(frame, path)))
                lost.update(dict.fromkeys(encode(frame, parts[-1])))
            if len(parts) != header.frames:
                raise ImageError(f"{len(parts)} of {header.frames} frames came; read the file again.")
            _join(parts, header, path, quality)
        except UserError as error:
            finished = [part for part in parts if part.exists()]
            if not finished:
                raise
            spare = path.with_name(f"{path.stem}-{folder.name[-8:]}")
            _publish(folder, spare)
            raise type(error)(f"{error} The {len(finished)} finished frames are in {spare}.") from error
    no_longer = ["durations and loop of the animation"] if header.durations and not path.suffix else []
    return [*lost, *no_longer]


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    except OSError as error:
        raise UserError(f"Cannot write to {path.parent} ({error.strerror}): choose another output folder.") from error
    try:
        yield folder
    except OSError as error:
        raise UserError(f"Cannot write {path} ({error.strerror}): choose another output path.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _of_one_kind(frame: Picture, header: Header, *, first: bool) -> Picture:
    """Give a frame the channels of all; metadata stay with the first."""
    alpha = frame.alpha
    if header.alpha and alpha is None:
        alpha = np.full(frame.color.shape[:2], np.iinfo(frame.color.dtype).max, frame.color.dtype)
    metadata = frame.metadata if first else Metadata(icc=frame.metadata.icc)
    return replace(frame, alpha=alpha, grey=header.grey, metadata=metadata)


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def _join(parts: list[Path], header: Header, path: Path, quality: int) -> None:
    if path.suffix.lower() not in SUFFIXES:
        _publish(parts[0].parent, path)
        return
    with replacing(path) as temporary:
        if _is_tiff(path):
            _join_pages(parts, temporary)
        elif path.suffix.lower() == ".webp":
            _join_webp(parts, header, temporary, quality)
        else:
            _join_apng(parts, header, temporary)


def _publish(folder: Path, path: Path) -> None:
    make_ordinary(folder, 0o777)
    if path.is_dir():
        shutil.rmtree(path)
    folder.rename(path)


def _join_pages(parts: list[Path], target: Path) -> None:
    with AppendingTiffWriter(target, new=True) as pages:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, pages)
            pages.newFrame()


def _join_webp(parts: list[Path], header: Header, target: Path, quality: int) -> None:
    images = [pyvips.Image.new_from_file(str(part), access="sequential") for part in parts]
    joined = pyvips.Image.arrayjoin(images, across=1).copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", images[0].height)
    joined.set_type(pyvips.GValue.array_int_type, "delay", list(header.durations))
    joined.set_type(pyvips.GValue.gint_type, "loop", header.loop)
    try:
        data = joined.webpsave_buffer(Q=quality, smart_subsample=True, keep="icc")  # else it makes up EXIF
    except pyvips.Error as error:
        raise ImageError(f"{target.name} could not be encoded; write PNG instead.") from error
    metadata = png.read(parts[0].read_bytes())
    target.write_bytes(webp.with_metadata(data, metadata, images[0].width, images[0].height))


def _join_apng(parts: list[Path], header: Header, target: Path) -> None:
    """Put the pixels of PNG files into one (Portable Network Graphics, third edition, section 11.3.6)."""
    sequence = 0
    with target.open("wb") as file:
        file.write(SIGNATURE)
        for index, (part, duration) in enumerate(zip(parts, header.durations, strict=True)):
            pixels_seen = False
            for kind, data in read_chunks(part):
                if kind == b"IHDR":
                    size = data[:8]  # width, height
                if kind == b"IDAT" and not pixels_seen:
                    pixels_seen = True
                    # Offset 0, 0; the delay as a fraction; the frame replaces all that is there.
                    delay = (duration, 1000) if duration < 2**16 else (min(duration // 1000, 2**16 - 1), 1)
                    write_chunk(file, b"fcTL", struct.pack(">I8sIIHHBB", sequence, size, 0, 0, *delay, 0, 0))
                    sequence += 1
                if kind == b"IDAT" and index > 0:
                    write_chunk(file, b"fdAT", struct.pack(">I", sequence) + data)
                    sequence += 1
                elif index == 0 and kind != b"IEND":
                    write_chunk(file, kind, data)
                if kind == b"IHDR" and index == 0:
                    write_chunk(file, b"acTL", struct.pack(">II", len(parts), header.loop))
        write_chunk(file, b"IEND", b"")
