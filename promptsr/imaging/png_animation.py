"""Frames of an animated PNG (Portable Network Graphics, third edition, section 11.3.6), put together by its rules."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from promptsr.imaging.png_chunks import SIGNATURE, chunk, read_chunks

_BACKGROUND, _PREVIOUS, _OVER = 1, 2, 1


@dataclass(frozen=True)
class _Control:
    """Content of a frame's chunk fcTL."""

    width: int
    height: int
    x: int
    y: int
    delay: int
    units: int
    """Units of the delay in a second."""
    disposal: int
    blend: int

    @property
    def milliseconds(self) -> int:
        return round(1000 * self.delay / (self.units or 100))


@dataclass(frozen=True)
class Animation:
    """Description of an animated PNG."""

    durations: tuple[int, ...]
    """Milliseconds of each frame."""
    loop: int
    """Times that it is shown; 0: for ever."""
    alpha: bool
    """Its frames have transparent parts that the pixels of the file do not show."""


def animation_of(data: bytes) -> Animation | None:
    """Return the description of a file; None for a still image."""
    loop, size, begun, controls = None, (0, 0), False, []
    for kind, body in read_chunks(data):
        if kind == b"IHDR" and len(body) == 13:
            size = struct.unpack_from(">II", body)
        elif kind == b"acTL" and len(body) == 8 and not begun:
            loop = struct.unpack(">II", body)[1]
        elif kind == b"fcTL" and len(body) == 26:
            controls.append(_control(body))
        elif kind == b"IDAT":
            begun = True
            if loop is None:
                return None
    if loop is None or len(controls) < 2:
        return None
    first = controls[0]
    alpha = (first.width, first.height) != size or any(control.disposal == _BACKGROUND for control in controls)
    return Animation(tuple(control.milliseconds for control in controls), loop, alpha or first.disposal == _PREVIOUS)


def frames_of(data: bytes, decode_png: Callable[[bytes], np.ndarray]) -> Iterator[np.ndarray]:
    """Yield whole frames, H x W x 4.

    Args:
        data: the file.
        decode_png: takes a still PNG and returns H x W x 4, uint8 or uint16.

    Raises:
        ValueError: it is damaged or cut short.
    """
    canvas: np.ndarray | None = None
    for number, (size, control, part) in enumerate(_parts(data)):
        pixels = decode_png(part)
        if canvas is None:
            canvas = np.zeros((size[1], size[0], 4), pixels.dtype)
        rows, columns = slice(control.y, control.y + control.height), slice(control.x, control.x + control.width)
        place = canvas[rows, columns]
        if pixels.shape != place.shape or pixels.dtype != canvas.dtype:
            raise ValueError("a frame lies outside")
        before = place.copy() if control.disposal == _PREVIOUS and number else None
        place[:] = _over(pixels, place) if control.blend == _OVER else pixels
        yield canvas.copy()
        if before is not None:
            place[:] = before
        elif control.disposal in (_BACKGROUND, _PREVIOUS):
            place[:] = 0


def _parts(data: bytes) -> Iterator[tuple[tuple[int, int], _Control, bytes]]:
    """Yield the size of the whole, and each frame as a PNG of its own."""
    header, expected, shared = b"", 0, b""
    control: _Control | None = None
    pixels: list[bytes] = []
    number, begun, ended = 0, False, False
    for kind, body in read_chunks(data):
        if kind == b"IHDR" and len(body) == 13:
            header = body
        elif kind == b"acTL" and len(body) == 8:
            (expected,) = struct.unpack_from(">I", body)
        elif kind in (b"PLTE", b"tRNS"):
            shared += chunk(kind, body)
        elif kind == b"IDAT" and control is not None:
            pixels.append(body)
        elif kind == b"fdAT" and control is not None:
            pixels.append(body[4:])
        elif (kind == b"fcTL" and len(body) == 26) or kind == b"IEND":
            ended = kind == b"IEND"
            if control is not None:
                yield _size(header), control, _still(header, control, shared, pixels)
                number += 1
            control, pixels = None if ended else _control(body), []
        begun = begun or kind == b"IDAT"
    if not ended or number < expected or not begun:
        raise ValueError("cut short")


def _size(header: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", header.ljust(8, b"\0"))
    return width, height


def _still(header: bytes, control: _Control, shared: bytes, pixels: list[bytes]) -> bytes:
    width, height = _size(header)
    if not (control.x + control.width <= width and control.y + control.height <= height):
        raise ValueError("a frame lies outside")
    head = chunk(b"IHDR", struct.pack(">II", control.width, control.height) + header[8:])
    return SIGNATURE + head + shared + chunk(b"IDAT", b"".join(pixels)) + chunk(b"IEND", b"")


def _control(body: bytes) -> _Control:
    return _Control(*struct.unpack_from(">4IHHBB", body, 4))


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Lay pixels over others; alpha is not multiplied into the colours of either."""
    peak = np.iinfo(above.dtype).max
    top, bottom = above[..., 3:] / peak, below[..., 3:] / peak
    alpha = top + bottom * (1 - top)
    mixed = (above[..., :3] * top + below[..., :3] * bottom * (1 - top)) / np.where(alpha > 0, alpha, 1)
    return np.rint(np.concatenate([mixed, alpha * peak], axis=2)).astype(above.dtype)
