"""Damage for files: bits flipped, bytes inserted, removed and overwritten, ends cut off, two files spliced."""

import struct
import zlib
from collections.abc import Callable, Sequence
from functools import reduce

from hypothesis import strategies as st

_VALUES = (0, 1, 2, 3, 4, 8, 127, 128, 255, 256, 4096, 32767, 32768, 65535, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
_NUMBERS = [
    struct.pack(order + kind, value)
    for kind, size in {"B": 1, "H": 2, "I": 4, "Q": 8}.items()
    for order in "<>"
    for value in _VALUES
    if value < 256**size
]
"""Sizes, counts and offsets of header fields, at the edges of their types."""

_PLACES = st.integers(0, 63) | st.integers(0, 2**16 - 1)
"""Headers are where it hurts most; taken modulo the length of the file."""
_KINDS = st.sampled_from(["flip", "overwrite", "overwrite", "insert", "delete", "repeat", "cut"])
_EDITS = st.tuples(_KINDS, _PLACES, st.sampled_from(_NUMBERS) | st.binary(min_size=1, max_size=8), st.integers(1, 64))


def _edit(data: bytes, edit: tuple[str, int, bytes, int]) -> bytes:
    """Apply one edit; an empty file stays empty."""
    if not data:
        return data
    kind, place, piece, count = edit
    place %= len(data)
    before, after = data[:place], data[place:]
    match kind:
        case "flip":
            return before + bytes([after[0] ^ (1 << count % 8)]) + after[1:]
        case "overwrite":
            return before + piece + after[len(piece) :]
        case "insert":
            return before + piece + after
        case "delete":
            return before + after[count:]
        case "repeat":
            return before + after[:count] + after
        case _:
            return before


def damaged(files: Sequence[bytes], repair: Callable[[bytes], bytes] | None = None) -> st.SearchStrategy[bytes]:
    """Damage one of the files in up to six places.

    Args:
        files: valid ones, the simplest first.
        repair: corrects checksums, so that the damage is not found by these alone; applied to half of the results.
    """
    edits = st.lists(_EDITS, max_size=6)
    hurt = st.builds(lambda data, edits: reduce(_edit, edits, data), st.sampled_from(files), edits)
    return hurt if repair is None else hurt | hurt.map(repair)


def spliced(files: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Join the head of one file with the tail of another, or with random bytes."""
    part = st.sampled_from(files)
    joined = st.builds(lambda a, b, m, n: a[: m % len(a)] + b[n % len(b) :], part, part, _PLACES, _PLACES)
    random = st.builds(lambda a, m, tail: a[:m] + tail, part, st.integers(0, 32), st.binary(max_size=300))
    return joined | random


def repair_png(data: bytes) -> bytes:
    """Recompute the checksums of a PNG's chunks, as far as their lengths make sense."""
    out, at = data[:8], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        if len(body) < 4 + length:
            break
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return out + data[at:]
