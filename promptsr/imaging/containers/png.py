"""Metadata in the chunks of a PNG file (Portable Network Graphics, third edition, section 11.3)."""

import re
import struct
import zlib
from collections.abc import Iterator

from promptsr.imaging.containers import iptc
from promptsr.imaging.picture import Density, Metadata
from promptsr.imaging.png_chunks import SIGNATURE, chunk, is_critical, read_chunks

_XMP = "XML:com.adobe.xmp"
_IPTC = "Raw profile type iptc"
"""Keyword by which ImageMagick and ExifTool store IPTC records, as hexadecimal digits."""
_PHOTOSHOP = b"Photoshop 3.0\0"
_MOST_TEXT = 16 * 2**20
"""Bytes of all texts together, unpacked."""
_LONG = 1024
"""Characters from which a text is compressed."""


def read(data: bytes) -> Metadata:
    """Read all but the colour profile."""
    exif = xmp = iptc_records = density = None
    texts: list[tuple[str, str]] = []
    notes: tuple[str, ...] = ()
    left = _MOST_TEXT
    for kind, body in read_chunks(data):
        if kind == b"pHYs" and len(body) == 9:
            x, y, unit = struct.unpack(">IIB", body)
            if x and y:
                density = Density(x / 1000, y / 1000) if unit == 1 else Density(x, y, None)
        elif kind == b"eXIf":
            exif = exif or body.removeprefix(b"Exif\0\0")
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            try:
                keyword, text = _text(kind, body, left)
            except ValueError:
                notes = ("Damaged or very large texts were left out.",)
                continue
            left -= len(text)
            if keyword == _XMP:
                xmp = xmp or text.encode()
            elif keyword == _IPTC and (records := _raw_profile(text)):
                iptc_records = records
            else:
                texts.append((keyword, text))
    return Metadata(None, exif, xmp, iptc_records, tuple(texts), density, notes)


def _text(kind: bytes, body: bytes, most: int) -> tuple[str, str]:
    """Return keyword and text.

    Raises:
        ValueError: it is damaged, or longer than `most` bytes.
    """
    keyword, mark, rest = body.partition(b"\0")
    if not mark:
        raise ValueError("no text")
    if kind == b"tEXt":
        packed, encoding = False, "latin-1"
    elif kind == b"zTXt":
        packed, encoding, rest = True, "latin-1", rest[1:]
    else:
        if len(rest) < 2:
            raise ValueError("no text")
        packed, encoding = rest[0] == 1, "utf-8"
        rest = rest[2:].split(b"\0", 2)[-1]  # behind the language and the translated keyword
    if packed:
        unpacker = zlib.decompressobj()
        try:
            rest = unpacker.decompress(rest, most + 1)
        except zlib.error as error:
            raise ValueError("damaged") from error
        if not unpacker.eof:
            raise ValueError("too long or cut short")
    if len(rest) > most:
        raise ValueError("too long")
    return keyword.decode("latin-1"), rest.decode(encoding)


def _raw_profile(text: str) -> bytes | None:
    """Return the records in a line with a name, a line with a number of bytes, and lines of hexadecimal digits."""
    found = re.fullmatch(r"\s*\w+\s+\d+\s+([0-9a-fA-F\s]+)", text)
    try:
        data = bytes.fromhex(found[1]) if found else b""
    except ValueError:
        return None
    data = data.removeprefix(_PHOTOSHOP)
    return iptc.records_of(data) if data.startswith(b"8BIM") else data or None


def with_chunks(head: bytes, added: bytes) -> bytes | None:
    """Return the beginning of a file with these chunks in place of its own; None if `head` stops before the pixels.

    Args:
        head: the beginning of a file, with chunks that are all sound.
        added: chunks, as `chunks` gives them.
    """
    at = len(SIGNATURE)
    while head[at + 4 : at + 8] != b"IDAT":
        if at + 8 > len(head):
            return None
        at += 12 + int.from_bytes(head[at : at + 4], "big")
    kept = b"".join(chunk(kind, data) for kind, data in read_chunks(head[:at]) if is_critical(kind))
    return SIGNATURE + kept + added + head[at:]


def chunks(metadata: Metadata) -> bytes:
    """Return the chunks that hold the metadata, in the order in which they go between IHDR and the pixels."""
    return b"".join(chunk(*each) for each in _chunks(metadata))


def _chunks(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    if metadata.icc is not None:
        yield b"iCCP", b"icc\0\0" + zlib.compress(metadata.icc)
    if metadata.density is not None:
        yield b"pHYs", _density(metadata.density)
    if metadata.exif is not None:
        yield b"eXIf", metadata.exif
    if metadata.xmp is not None:
        yield b"iTXt", _XMP.encode() + bytes(5) + metadata.xmp
    if metadata.iptc is not None:
        digits = metadata.iptc.hex()
        lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
        yield _text_chunk(_IPTC, f"\niptc\n{len(metadata.iptc):8}\n{lines}\n")
    for keyword, text in metadata.texts:
        if is_keyword(keyword):
            yield _text_chunk(keyword, text)


def is_keyword(text: str) -> bool:
    """Return True if a PNG can hold texts of this keyword: 1 to 79 printable Latin characters."""
    return re.fullmatch(r"[ -~\xa1-\xff]{1,79}", text) is not None


def _text_chunk(keyword: str, text: str) -> tuple[bytes, bytes]:
    name = keyword.encode("latin-1") + b"\0"
    try:
        data = text.encode("latin-1")
        if b"\0" not in data:
            return (b"zTXt", name + b"\0" + zlib.compress(data)) if len(data) > _LONG else (b"tEXt", name + data)
    except UnicodeEncodeError:
        pass
    data = text.encode(errors="replace")
    packed = len(data) > _LONG
    return b"iTXt", name + bytes([packed, 0, 0, 0]) + (zlib.compress(data) if packed else data)


def _density(density: Density) -> bytes:
    whole = float(density.x).is_integer() and float(density.y).is_integer()
    factor = 1 if density.unit is None and whole else 1000
    x, y = (min(max(round(number * factor), 1), 2**31 - 1) for number in (density.x, density.y))
    return struct.pack(">IIB", x, y, density.unit is not None)
