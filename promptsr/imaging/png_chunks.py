"""Chunks of a PNG file (Portable Network Graphics, third edition, section 5)."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_chunks(source: Path | bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and data of each chunk up to the end or to damage; ancillary chunks that are damaged are left out."""
    with closing(io.BytesIO(source)) if isinstance(source, bytes) else source.open("rb") as file:
        if file.read(8) != SIGNATURE:
            return
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            data, check = file.read(length), file.read(4)
            if len(check) < 4:
                return
            if is_critical(kind) or int.from_bytes(check, "big") == zlib.crc32(data, zlib.crc32(kind)):
                yield kind, data
            if kind == b"IEND":
                return


def is_critical(kind: bytes) -> bool:
    """Return True for the chunks without which there are no pixels."""
    return not kind[0] & 32


def write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    """Write a chunk."""
    file.write(chunk(kind, data))


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk with its length and its checksum."""
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
