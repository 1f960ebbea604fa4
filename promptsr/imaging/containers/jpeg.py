"""Metadata in the segments of a JPEG file (ITU-T T.81 annex B, T.871; EXIF 2.32; XMP specification part 3)."""

import struct
from collections.abc import Iterator

from promptsr.imaging.containers import iptc
from promptsr.imaging.picture import Density, Metadata

_EXIF, _XMP, _MORE_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_JFIF = b"JFIF\0"
_MOST = 65533
"""Bytes of a segment."""
_INCH = 25.4


def read(data: bytes) -> Metadata:
    """Read all but the colour profile."""
    exif = xmp = density = None
    texts, resources = [], b""
    notes: tuple[str, ...] = ()
    for marker, body in _segments(data):
        if marker == 0xE0 and body.startswith(_JFIF) and len(body) >= 12:
            density = _density(*struct.unpack_from(">BHH", body, 7))
        elif marker == 0xE1 and body.startswith(_EXIF):
            exif = exif or body.removeprefix(_EXIF)
        elif marker == 0xE1 and body.startswith(_XMP):
            xmp = xmp or body.removeprefix(_XMP)
        elif marker == 0xE1 and body.startswith(_MORE_XMP):
            notes = ("The extended part of its XMP was left out.",)
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            resources += body.removeprefix(_PHOTOSHOP)
        elif marker == 0xFE:
            texts.append(("Comment", comment_text(body)))
    return Metadata(None, exif, xmp, iptc.records_of(resources), tuple(texts), density, notes)


def comment_text(body: bytes) -> str:
    """Decode a comment, whose encoding no standard names."""
    body = body.rstrip(b"\0")
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of the segments before the pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 1:  # fill bytes, and markers without content
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in (0xDA, 0xD9) or length < 2:
            return
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


def _density(unit: int, x: int, y: int) -> Density | None:
    if x == 0 or y == 0:
        return None
    if unit in (1, 2):
        return Density(x / (_INCH if unit == 1 else 10), y / (_INCH if unit == 1 else 10))
    return None if x == y else Density(x, y, None)  # JFIF must name a density; equal ones mean that it is unknown


def segments(metadata: Metadata) -> tuple[bytes, list[str]]:
    """Return the segments that hold the metadata, but for the colour profile, and what they cannot hold."""
    bodies = [(0xE0, _JFIF + b"\1\2" + struct.pack(">BHH", *_jfif_density(metadata.density)) + b"\0\0", "")]
    if metadata.exif is not None:
        bodies.append((0xE1, _EXIF + metadata.exif, "EXIF of more than 64 KB"))
    if metadata.xmp is not None:
        bodies.append((0xE1, _XMP + metadata.xmp, "XMP of more than 64 KB"))
    if metadata.iptc is not None:
        bodies.append((0xED, _PHOTOSHOP + iptc.resources_of(metadata.iptc), "IPTC records of more than 64 KB"))
    for keyword, text in metadata.texts:
        if keyword == "Comment":
            bodies.append((0xFE, text.encode(errors="surrogatepass"), "a comment of more than 64 KB"))
    kept = b"".join(
        struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body for marker, body, _ in bodies if len(body) <= _MOST
    )
    return kept, [phrase for _, body, phrase in bodies if len(body) > _MOST]


def _jfif_density(density: Density | None) -> tuple[int, int, int]:
    """Return unit and whole numbers, by the unit in which they are nearest."""
    if density is None:
        return 0, 1, 1
    if density.unit is None:
        factors = {0: 1.0 if density.x >= 1 and density.y >= 1 else 1000.0}
    else:
        factors = {1: _INCH, 2: 10.0}
    found = []
    for unit, factor in factors.items():
        exact = (density.x * factor, density.y * factor)
        x, y = (min(max(round(number), 1), 65535) for number in exact)
        found.append((max(abs(x / exact[0] - 1), abs(y / exact[1] - 1)), unit, x, y))
    return min(found)[1:]
