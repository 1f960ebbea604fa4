"""Comments and XMP in the blocks of a GIF file (GIF89a; XMP specification part 3)."""

from promptsr.imaging.containers.jpeg import comment_text
from promptsr.imaging.picture import Metadata

_XMP = b"XMP DataXMP"
_TRAILER = 257
"""Bytes behind a packet that lead readers of sub-blocks to its end."""


def read(data: bytes) -> Metadata:
    """Read comments and XMP."""
    texts, xmp = [], None
    at = 13 + _table(data, 10)
    while at + 2 <= len(data):
        kind, label = data[at], data[at + 1]
        if kind == 0x2C and at + 11 <= len(data):  # an image: its place, its colours, its pixels
            _, at = _blocks(data, at + 11 + _table(data, at + 9))
        elif kind == 0x21:
            parts, end = _blocks(data, at + 2)
            if label == 0xFE:
                texts.append(("Comment", comment_text(b"".join(parts))))
            elif label == 0xFF and parts and parts[0] == _XMP and xmp is None:
                xmp = data[at + 14 : end - 1 - _TRAILER] or None
            at = end
        else:
            break
    return Metadata(xmp=xmp, texts=tuple(texts))


def _table(data: bytes, flags: int) -> int:
    """Return the bytes of a table of colours, by the flags at a place."""
    packed = data[flags] if flags < len(data) else 0
    return 3 * 2 ** ((packed & 7) + 1) if packed & 128 else 0


def _blocks(data: bytes, at: int) -> tuple[list[bytes], int]:
    parts = []
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return parts, at + 1
