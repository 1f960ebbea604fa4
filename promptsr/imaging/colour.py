"""Colours of files without an ICC profile, converted into sRGB: gAMA, cHRM and cICP of PNG, nclx of AVIF and HEIC."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from promptsr.imaging.png_chunks import read_chunks

_Curve = Callable[[np.ndarray], np.ndarray]
_SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""White, red, green and blue: x and y of each."""
_PRIMARIES = {  # ITU-T H.273, table 2
    1: _SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (0.3127, 0.3290, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (0.3127, 0.3290, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_SAME_GAMMA, _SAME_COLOUR = 0.01, 0.0015
"""Differences from sRGB (relative, and of coordinates) that only come from rounding."""
_ROWS = 64
"""Rows that are converted at a time."""


@dataclass(frozen=True)
class Colour:
    """Meaning of pixel values."""

    linear: _Curve
    """Values in [0, 1] -> light, 1 for white."""
    matrix: np.ndarray | None
    """Matrix of linear RGB to that of sRGB; None: the same primaries."""
    note: str

    def converted(self, pixels: np.ndarray) -> np.ndarray:
        """Convert H x W x 3, uint8 or uint16, to sRGB."""
        peak = np.iinfo(pixels.dtype).max
        table = self.linear(np.arange(peak + 1) / peak)
        if self.matrix is None:
            return np.rint(_encoded(table) * peak).astype(pixels.dtype)[pixels]
        found = np.empty_like(pixels)
        for top in range(0, len(pixels), _ROWS):
            light = table[pixels[top : top + _ROWS]] @ self.matrix.T
            found[top : top + _ROWS] = np.rint(_encoded(light) * peak)
        return found


def png_colour(data: bytes, *, grey: bool) -> Colour | None:
    """Return the colour of a PNG file; None if its values are those of sRGB, or of an ICC profile."""
    found: dict[bytes, bytes] = {}
    for kind, body in read_chunks(data):
        if kind == b"IDAT":
            break
        found.setdefault(kind, body)
    if len(found.get(b"cICP", b"")) == 4:
        primaries, transfer, _, full = found[b"cICP"]
        return coded_colour(primaries, transfer, full=bool(full), grey=grey, name="cICP")
    if b"iCCP" in found or b"sRGB" in found:
        return None
    gamma = int.from_bytes(found[b"gAMA"], "big") / 100000 if len(found.get(b"gAMA", b"")) == 4 else 0.0
    places = (
        tuple(n / 100000 for n in struct.unpack(">8I", found[b"cHRM"])) if len(found.get(b"cHRM", b"")) == 32 else _SRGB
    )
    matrix = None if grey else _matrix(places)
    same_gamma = not 0 < gamma < 100 or abs(gamma * 2.2 - 1) <= _SAME_GAMMA
    if same_gamma and matrix is None:
        return None
    names = [name for name, there in (("gAMA", gamma), ("cHRM", matrix is not None)) if there]
    note = f"Its colours ({' and '.join(names)}) were converted to sRGB."
    return Colour(_decoded if same_gamma else lambda values: values ** (1 / gamma), matrix, note)


def coded_colour(primaries: int, transfer: int, *, full: bool = True, grey: bool, name: str) -> Colour | None:
    """Return the meaning of the code points of ITU-T H.273; unknown ones are those of sRGB.

    Args:
        primaries: code point of the primaries.
        transfer: that of the transfer.
        full: whether black is 0 and white the largest value, or they are those of video.
        grey: whether the image has one channel, which primaries do not change.
        name: of what holds them in the file, for the note.

    Returns:
        None if the values are those of sRGB.
    """
    curve = _CURVES.get(transfer, _decoded)
    matrix = None if grey else _matrix(_PRIMARIES.get(primaries, _SRGB))
    if full and matrix is None and curve is _decoded:
        return None
    linear = curve if full else lambda values: curve(((values * 255 - 16) / 219).clip(0, 1))
    clipped = "; light above its white was cut off" if transfer in (16, 18) else ""
    return Colour(linear, matrix, f"Its colours ({name}) were converted to sRGB{clipped}.")


def _matrix(places: tuple[float, ...]) -> np.ndarray | None:
    """Return the matrix from linear light of these primaries to that of sRGB; None for the same, or impossible ones."""
    if np.abs(np.subtract(places, _SRGB)).max() <= _SAME_COLOUR:
        return None
    try:
        ours, theirs = _to_xyz(_SRGB), _to_xyz(places)
        # White becomes white by the Bradford transform, as in ICC profiles.
        bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
        scale = (bradford @ ours.sum(1)) / (bradford @ theirs.sum(1))
        matrix = np.linalg.inv(ours) @ np.linalg.inv(bradford) @ np.diag(scale) @ bradford @ theirs
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    return matrix if np.isfinite(matrix).all() and np.abs(matrix).max() < 100 else None


def _to_xyz(places: tuple[float, ...]) -> np.ndarray:
    white, *primaries = ((x / y, 1.0, (1 - x - y) / y) for x, y in zip(places[::2], places[1::2], strict=True))
    columns = np.array(primaries).T
    return columns * np.linalg.solve(columns, np.array(white))


def _encoded(light: np.ndarray) -> np.ndarray:
    """Light -> values of sRGB (IEC 61966-2-1)."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _decoded(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _bt709(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))


def _pq(values: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084; white is at 203 cd/m² (ITU-R BT.2408)."""
    root = values ** (1 / 78.84375)
    return 10000 / 203 * ((root - 0.8359375).clip(0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)


def _hlg(values: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, without the part that depends on the display; white is at 75 % (ITU-R BT.2408)."""

    def scene(signal: np.ndarray) -> np.ndarray:
        return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)

    return scene(values) / scene(np.array(0.75))


_CURVES: dict[int, _Curve] = {
    **dict.fromkeys((1, 6, 14, 15), _bt709),
    4: lambda values: values**2.2,
    5: lambda values: values**2.8,
    8: lambda values: values,
    13: _decoded,
    16: _pq,
    18: _hlg,
}
"""By code point of the transfer (ITU-T H.273, table 3)."""
