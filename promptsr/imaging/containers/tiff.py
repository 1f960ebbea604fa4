"""Metadata in the directories of a TIFF file."""

import struct
from typing import BinaryIO

from promptsr.imaging.containers import exif, iptc
from promptsr.imaging.containers.directories import Directory, Reader, Value, packed
from promptsr.imaging.picture import Metadata

_NEW_SUBFILE_TYPE, _DESCRIPTION = 0x00FE, 0x010E
_XMP, _IPTC, _PHOTOSHOP = 0x02BC, 0x83BB, 0x8649
_WANTED = (*exif.DESCRIPTIVE, *exif.DENSITY, _XMP, _IPTC, _PHOTOSHOP)
_OF_PIXELS = (b'{"shape":', b"ImageJ=", b"<?xml")
"""Beginnings of descriptions that tell tifffile, ImageJ or OME how the pixels are stored."""


def pages(data: bytes) -> list[int]:
    """Return the numbers of the directories that are pages, rather than thumbnails and smaller versions of one."""
    try:
        reader = Reader(data)
        found = reader.directories()
    except ValueError:
        return [0]
    kinds = [reader.read(at, (_NEW_SUBFILE_TYPE,)).numbers(_NEW_SUBFILE_TYPE) for at in found]
    return [page for page, kind in enumerate(kinds) if not (kind and int(kind[0]) & 1)] or [0]


def read(data: bytes, page: int) -> Metadata:
    """Read all but the colour profile of a page.

    Args:
        page: the number of its directory.
    """
    try:
        reader = Reader(data)
        found = reader.read(reader.directories()[page], _WANTED)
    except (ValueError, IndexError):
        return Metadata()
    notes: tuple[str, ...] = ()
    if (found.raw(_DESCRIPTION) or b"").startswith(_OF_PIXELS):
        del found[_DESCRIPTION]
        notes = ("A description of how its pixels are stored was left out.",)
    described = Directory({tag: value for tag, value in found.items() if tag in exif.DESCRIPTIVE})
    records = _in_file_order(found.get(_IPTC), reader.order) or iptc.records_of(found.raw(_PHOTOSHOP) or b"")
    block = exif.block_of(described)
    return Metadata(None, block, found.raw(_XMP), records or None, (), exif.density(found), notes)


def _in_file_order(value: object, order: str) -> bytes | None:
    """Return IPTC records, which are often said to be numbers of 32 bits, padded with zeros."""
    if not isinstance(value, Value):
        return None
    data = value.data
    if value.kind == 4 and order == ">":
        data = b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))
    return data.rstrip(b"\0") if value.kind == 4 else data


def add(file: BinaryIO, metadata: Metadata) -> None:
    """Put metadata, but for the colour profile, into a little-endian TIFF of one page; its density is replaced.

    Args:
        file: open for reading and writing.
    """
    file.seek(0)
    header = file.read(16)
    big = header[2] == 43
    at = struct.unpack_from("<Q", header, 8)[0] if big else struct.unpack_from("<I", header, 4)[0]
    file.seek(at)
    count = int.from_bytes(file.read(8 if big else 2), "little")
    step = 20 if big else 12
    table = file.read(count * step)
    entries = [table[start : start + step] for start in range(0, len(table), step)]
    kept = {struct.unpack_from("<H", entry)[0]: entry for entry in entries}
    kept = {tag: entry for tag, entry in kept.items() if tag not in exif.DENSITY}
    added = Directory() if metadata.exif is None else exif.descriptive(metadata.exif)
    if metadata.density is not None:
        added |= exif.density_tags(metadata.density)
    if metadata.xmp is not None:
        added[_XMP] = Value(1, metadata.xmp)
    if metadata.iptc is not None:
        added[_IPTC] = Value(7, metadata.iptc)
    end = file.seek(0, 2)
    start = end + end % 2
    file.write(bytes(end % 2) + packed(added, start, big=big, kept=kept))
    file.seek(8 if big else 4)
    file.write(struct.pack("<Q" if big else "<I", start))
