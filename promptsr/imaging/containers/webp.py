"""Metadata in the chunks of a WebP file (RFC 9649)."""

import struct
from collections.abc import Iterator

from promptsr.imaging.picture import Metadata

_HAS_EXIF, _HAS_XMP, _HAS_ALPHA = 8, 4, 16


def read(data: bytes) -> Metadata:
    """Read all but the colour profile."""
    found = {kind: body for kind, body in _chunks(data) if kind in (b"EXIF", b"XMP ")}
    exif = found.get(b"EXIF")
    return Metadata(exif=exif and exif.removeprefix(b"Exif\0\0"), xmp=found.get(b"XMP "))


def with_metadata(data: bytes, metadata: Metadata, width: int, height: int) -> bytes:
    """Return a WebP file with EXIF and XMP added."""
    if metadata.exif is None and metadata.xmp is None:
        return data
    parts = list(_chunks(data))
    if parts[0][0] != b"VP8X":
        # A lossless bitstream says behind its two sides (14 bits each) and its signature whether it has alpha.
        alpha = parts[0][0] == b"VP8L" and parts[0][1][4] & 16
        sides = struct.pack("<II", width - 1, height - 1)
        parts.insert(0, (b"VP8X", bytes([_HAS_ALPHA if alpha else 0, 0, 0, 0]) + sides[:3] + sides[4:7]))
    extended = bytearray(parts[0][1])
    if metadata.exif is not None:
        extended[0] |= _HAS_EXIF
        parts.append((b"EXIF", metadata.exif))
    if metadata.xmp is not None:
        extended[0] |= _HAS_XMP
        parts.append((b"XMP ", metadata.xmp))
    parts[0] = (b"VP8X", bytes(extended))
    body = b"".join(kind + struct.pack("<I", len(part)) + part + bytes(len(part) % 2) for kind, part in parts)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        if at + 8 + size > len(data):
            return
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
