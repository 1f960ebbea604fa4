"""Directories of TIFF files and of EXIF blocks (TIFF 6.0, section 2; BigTIFF)."""

import struct
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
POINTERS = (EXIF, GPS, INTEROPERABILITY)
"""Tags that point to a directory of their own."""
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8, 129: 1}
"""Bytes of a value, by type."""
_UNITS = {5: 4, 10: 4}
"""Bytes that are swapped together, where that isn't the whole value."""


@dataclass(frozen=True)
class Value:
    """Values of a tag."""

    kind: int
    """Type, such as 2 for ASCII or 3 for 16 bits."""
    data: bytes
    """In little-endian order."""

    @property
    def count(self) -> int:
        return len(self.data) // _SIZES[self.kind]

    def numbers(self) -> list[float]:
        """Return whole numbers and quotients; empty for other types."""
        if self.kind in (3, 4, 16):
            return list(struct.unpack(f"<{self.count}{ {3: 'H', 4: 'I', 16: 'Q'}[self.kind] }", self.data))
        if self.kind == 5:
            parts = struct.unpack(f"<{2 * self.count}I", self.data)
            return [a / b if b else 0.0 for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return []


class Directory(dict[int, "Value | Directory"]):
    """Tags and their values; a tag of `POINTERS` holds a directory."""

    def numbers(self, tag: int) -> list[float]:
        value = self.get(tag)
        return value.numbers() if isinstance(value, Value) else []

    def raw(self, tag: int) -> bytes | None:
        value = self.get(tag)
        return value.data if isinstance(value, Value) else None


class Reader:
    """Read the directories of a file or an EXIF block.

    Raises:
        ValueError: it does not begin like a TIFF.
    """

    def __init__(self, data: bytes) -> None:
        order = {b"II": "<", b"MM": ">"}.get(data[:2])
        version = struct.unpack_from(order + "H", data, 2)[0] if order and len(data) >= 8 else 0
        if order is None or version not in (42, 43):
            raise ValueError("no TIFF header")
        self.data, self.order, self.big = data, order, version == 43
        self._left = len(data)

    def directories(self) -> list[int]:
        """Return the offsets of the main directories, in order."""
        found: dict[int, None] = {}
        at = self._number("Q", 8) if self.big else self._number("I", 4)
        while at and at not in found and len(found) < 2**16:
            try:
                _, end = self._span(at)
                found[at] = None
                at = self._number("Q" if self.big else "I", end)
            except ValueError:
                break
        return list(found)

    def read(self, offset: int, wanted: Collection[int] | None = None) -> Directory:
        """Read a directory and those that it points to; what is damaged is left out.

        Args:
            wanted: only these tags; all tags of the directories that it points to.
        """
        return self._read(offset, wanted, depth=0)

    def fields(self, offset: int) -> dict[int, tuple[int, int]]:
        """Return the place of each entry, and of its value: tag -> (entry, value)."""
        places: dict[int, tuple[int, int]] = {}
        entries, _ = self._span(offset)
        for entry in entries:
            tag, kind, count = self._entry(entry)
            size = _SIZES.get(kind, 1) * count
            field = entry + (12 if self.big else 8)
            inline = size <= (8 if self.big else 4)
            places.setdefault(tag, (entry, field if inline else self._number("Q" if self.big else "I", field)))
        return places

    def link(self, offset: int) -> int:
        """Return the place of the offset of the next directory."""
        return self._span(offset)[1]

    def _read(self, offset: int, wanted: Collection[int] | None, depth: int) -> Directory:
        found = Directory()
        try:
            entries, _ = self._span(offset)
        except ValueError:
            return found
        for entry in entries:
            tag, kind, count = self._entry(entry)
            if tag in found or (wanted is not None and tag not in wanted):
                continue
            try:
                if tag in POINTERS:
                    if depth < 2 and (inner := self._read(self._pointer(entry), None, depth + 1)):
                        found[tag] = inner
                elif kind in _SIZES and count:
                    found[tag] = Value(kind, self._value(entry, kind, count))
            except ValueError:
                continue
        return found

    def _pointer(self, entry: int) -> int:
        _, kind, _ = self._entry(entry)
        return self._number("Q" if _SIZES.get(kind) == 8 else "I", entry + (12 if self.big else 8))

    def _value(self, entry: int, kind: int, count: int) -> bytes:
        size, field = _SIZES[kind] * count, entry + (12 if self.big else 8)
        at = field if size <= (8 if self.big else 4) else self._number("Q" if self.big else "I", field)
        self._left -= size  # entries that share their bytes could ask for much more than there is
        if at + size > len(self.data) or self._left < 0:
            raise ValueError("beyond the end")
        return little_endian(kind, self.data[at : at + size], self.order)

    def _entry(self, at: int) -> tuple[int, int, int]:
        try:
            tag, kind, count = struct.unpack_from(self.order + ("HHQ" if self.big else "HHI"), self.data, at)
        except struct.error as error:
            raise ValueError("beyond the end") from error
        return tag, kind, count

    def _span(self, offset: int) -> tuple[range, int]:
        """Return the places of the entries of a directory, and where they end."""
        count = self._number("Q" if self.big else "H", offset)
        start, step = offset + (8 if self.big else 2), 20 if self.big else 12
        if start + count * step > len(self.data):
            raise ValueError("beyond the end")
        return range(start, start + count * step, step), start + count * step

    def _number(self, kind: str, at: int) -> int:
        try:
            return int(struct.unpack_from(self.order + kind, self.data, at)[0])
        except (struct.error, OverflowError) as error:
            raise ValueError("beyond the end") from error


def little_endian(kind: int, data: bytes, order: str) -> bytes:
    """Return values with the order of their bytes swapped if it was big-endian."""
    unit = _UNITS.get(kind, _SIZES[kind])
    return data if order == "<" or unit == 1 else np.frombuffer(data, f"u{unit}").byteswap().tobytes()


def packed(directory: Directory, at: int, *, big: bool = False, kept: dict[int, bytes] | None = None) -> bytes:
    """Return the bytes of a directory that will lie at `at` (even), with those that it points to behind it.

    Args:
        kept: entries as they are, whose values lie elsewhere in the file; they give way to those of `directory`.
    """
    field, number, step = (8, "Q", 20) if big else (4, "I", 12)
    tags = sorted({*directory, *(kept or {})})
    end = at + (8 if big else 2) + len(tags) * step + field
    table, body = struct.pack("<Q" if big else "<H", len(tags)), b""
    for tag in tags:
        value = directory.get(tag)
        if value is None:
            table += (kept or {})[tag]
            continue
        if isinstance(value, Directory):
            inner, data = packed(value, end + len(body), big=big), struct.pack("<" + number, end + len(body))
            kind, count = 18 if big else 4, 1
        else:
            kind, count, data, inner = value.kind, value.count, value.data, b""
            if len(data) > field:
                inner, data = data, struct.pack("<" + number, end + len(body))
        body += inner + bytes(len(inner) % 2)
        table += struct.pack("<HH" + number, tag, kind, count) + data.ljust(field, b"\0")
    return table + bytes(field) + body
