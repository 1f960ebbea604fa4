"""Files that were damaged: bits flipped, bytes inserted, removed and overwritten, ends cut off, two files spliced."""

import struct
import zlib
from collections.abc import Callable, Sequence
from functools import reduce

from hypothesis import strategies as st

Edit = Callable[[bytes], bytes]

_VALUES = (0, 1, 2, 3, 4, 8, 127, 128, 255, 256, 4096, 32767, 32768, 65535, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
_NUMBERS = [
    struct.pack(order + kind, value)
    for kind, size in {"B": 1, "H": 2, "I": 4, "Q": 8}.items()
    for order in "<>"
    for value in _VALUES
    if value < 256**size
]
"""What header fields hold when they lie: sizes, counts and offsets at the edges of their types."""

_PLACES = st.integers(0, 63) | st.integers(0, 2**16 - 1)
"""Headers are where it hurts most; taken modulo the length of the file."""
_PIECES = st.sampled_from(_NUMBERS) | st.binary(min_size=1, max_size=8)


def _flip(place: int, bit: int) -> Edit:
    return lambda data: _patch(data, place, bytes([data[place % len(data)] ^ (1 << bit)]))


def _overwrite(place: int, piece: bytes) -> Edit:
    return lambda data: _patch(data, place, piece)


def _insert(place: int, piece: bytes) -> Edit:
    return lambda data: data[: place % len(data)] + piece + data[place % len(data) :]


def _delete(place: int, count: int) -> Edit:
    return lambda data: data[: place % len(data)] + data[place % len(data) + count :]


def _repeat(place: int, count: int) -> Edit:
    return lambda data: data[: place % len(data) + count] + data[place % len(data) :]


def _cut(place: int, _: int) -> Edit:
    return lambda data: data[: place % len(data)]


def _patch(data: bytes, place: int, piece: bytes) -> bytes:
    place %= len(data)
    return data[:place] + piece + data[place + len(piece) :]


_EDITS = st.one_of(
    st.builds(_flip, _PLACES, st.integers(0, 7)),
    st.builds(_overwrite, _PLACES, _PIECES),
    st.builds(_overwrite, _PLACES, _PIECES),
    st.builds(_insert, _PLACES, _PIECES),
    st.builds(_delete, _PLACES, st.integers(1, 64)),
    st.builds(_repeat, _PLACES, st.integers(1, 64)),
    st.builds(_cut, _PLACES, st.just(0)),
)


def damaged(files: Sequence[bytes], repair: Edit | None = None) -> st.SearchStrategy[bytes]:
    """Files of these, damaged in one to six places; one in a few as it was.

    Args:
        files: sound ones, the simplest first.
        repair: what makes checksums right again, so that the damage is not found by these alone; done to half of them.
    """
    whole = st.sampled_from(list(files))
    hurt = st.builds(_edited, whole, st.lists(_EDITS, max_size=6))
    return hurt if repair is None else hurt | hurt.map(repair)


def spliced(files: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """The head of one file and the tail of another, or bytes that are nothing at all behind the start of a file."""
    part = st.sampled_from(list(files))
    joined = st.builds(lambda a, b, m, n: a[: m % len(a)] + b[n % len(b) :], part, part, _PLACES, _PLACES)
    random = st.builds(lambda a, m, tail: a[:m] + tail, part, st.integers(0, 32), st.binary(max_size=300))
    return joined | random


def _edited(data: bytes, edits: list[Edit]) -> bytes:
    return reduce(lambda whole, edit: edit(whole) if whole else whole, edits, data)


def repair_png(data: bytes) -> bytes:
    """The file with the checksums of its chunks computed anew, as far as their lengths make sense."""
    out, at = data[:8], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        if len(body) < 4 + length:
            break
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return out + data[at:]
