"""EXIF blocks: what no longer fits an upright, larger picture is changed in place, since makers' notes hold offsets."""

import re
import struct

from promptsr.imaging.containers.directories import EXIF, GPS, INTEROPERABILITY, Directory, Reader, Value, packed
from promptsr.imaging.picture import Density

ORIENTATION = 0x0112
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_THUMBNAIL, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_WIDTHS, _HEIGHTS = {0x0100, 0xA002, 0x1001}, {0x0101, 0xA003, 0x1002}
"""Tags of the image, of EXIF, and of the interoperability directory."""
DENSITY = (_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT)
DESCRIPTIVE = (
    *(0x010D, 0x010E, 0x010F, 0x0110, 0x011D, 0x0131, 0x0132, 0x013B, 0x013C),  # DocumentName to HostComputer
    *(0x4746, 0x4749, 0x8298, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),  # Rating, Copyright, XPTitle to XPSubject
    *(EXIF, GPS),
)
"""Tags that say something about the picture, in TIFF files and in EXIF alike."""
_INCH = 25.4
_UNITS = {2: _INCH, 3: 10.0}
"""Millimetres of the units of density."""


def clean(block: bytes) -> bytes | None:
    """Set the orientation of a block to 1 and remove its thumbnail; None if it is damaged."""
    try:
        reader = Reader(block)
        main, *others = reader.directories()
        fields = reader.fields(main)
        patched = bytearray(block)
        if ORIENTATION in fields:
            struct.pack_into(reader.order + "H", patched, fields[ORIENTATION][1], 1)
    except (ValueError, struct.error):
        return None
    if reader.big:
        return None
    if others:
        thumbnail = reader.read(others[0])
        struct.pack_into(reader.order + "I", patched, reader.link(main), 0)
        starts, sizes = thumbnail.numbers(_THUMBNAIL), thumbnail.numbers(_THUMBNAIL_LENGTH)
        if starts and sizes:
            start, end = int(starts[0]), int(starts[0] + sizes[0])
            if end >= len(patched) > start >= 8:
                del patched[start:]
            elif 8 <= start < end:
                patched[start:end] = bytes(end - start)
    return bytes(patched)


def resized(block: bytes, width: int, height: int) -> bytes:
    """Set the sides that a block names."""
    patched = bytearray(block)
    try:
        reader = Reader(block)
        places = reader.directories()[:1]
        for at in places:  # grows: directories that are pointed to
            for tag, (entry, value) in reader.fields(at).items():
                if tag in (EXIF, INTEROPERABILITY) and len(places) < 4:
                    places.append(struct.unpack_from(reader.order + "I", block, value)[0])
                elif tag in _WIDTHS | _HEIGHTS and value == entry + 8:
                    struct.pack_into(
                        reader.order + "HII", patched, entry + 2, 4, 1, width if tag in _WIDTHS else height
                    )
    except (ValueError, struct.error):
        return bytes(patched)
    return bytes(patched)


def density(directory: Directory) -> Density | None:
    """Return the density that a directory names."""
    x, y = (directory.numbers(tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    if not (x and y and x[0] > 0 and y[0] > 0):
        return None
    unit = directory.numbers(_RESOLUTION_UNIT) or [2]  # inch by default
    if unit[0] not in _UNITS:
        return Density(x[0], y[0], None)
    return Density(x[0] / _UNITS[int(unit[0])], y[0] / _UNITS[int(unit[0])])


def density_of(block: bytes) -> Density | None:
    """Return the density that a block names."""
    try:
        reader = Reader(block)
        return density(reader.read(reader.directories()[0], DENSITY))
    except (ValueError, IndexError):
        return None


def density_tags(value: Density) -> Directory:
    """Return the tags of a density: in dots per inch, or as a ratio."""
    by = 1.0 if value.unit is None else _INCH
    found = Directory({_RESOLUTION_UNIT: Value(3, struct.pack("<H", 1 if value.unit is None else 2))})
    for tag, number in ((_X_RESOLUTION, value.x * by), (_Y_RESOLUTION, value.y * by)):
        found[tag] = Value(5, struct.pack("<II", *_quotient(number)))
    return found


def _quotient(number: float) -> tuple[int, int]:
    for below in (1, 10000):
        above = round(number * below)
        if 0 < above < 2**32 and abs(above / below - number) <= 1e-5 * number:
            return above, below
    return (min(round(number), 2**32 - 1), 1) if number >= 1 else (1, min(round(1 / number), 2**32 - 1))


def block_of(directory: Directory) -> bytes | None:
    """Return a block with these tags; None for none."""
    return b"II*\0" + struct.pack("<I", 8) + packed(directory, 8) if directory else None


def descriptive(block: bytes) -> Directory:
    """Return the tags of a block that say something about the picture."""
    try:
        reader = Reader(block)
        return reader.read(reader.directories()[0], DESCRIPTIVE)
    except (ValueError, IndexError):
        return Directory()


def upright_xmp(packet: bytes) -> bytes:
    """Set the orientation that a packet names to 1, and remove thumbnails."""
    packet = re.sub(rb'(tiff:Orientation(?:\s*=\s*["\']|>))[2-8]', rb"\g<1>1", packet)
    return re.sub(rb"<xmp:Thumbnails>.*?</xmp:Thumbnails>", b"", packet, flags=re.DOTALL)


def resized_xmp(packet: bytes, width: int, height: int) -> bytes:
    """Set the sides that a packet names."""
    for names, side in (
        (rb"tiff:ImageWidth|exif:PixelXDimension", width),
        (rb"tiff:ImageLength|exif:PixelYDimension", height),
    ):
        packet = re.sub(rb"((?:%s)(?:\s*=\s*[\"']|>))\d+" % names, rb"\g<1>%d" % side, packet)
    return packet
