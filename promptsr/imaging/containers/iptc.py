"""IPTC records in Photoshop's image resources."""

import struct

_RESOURCE = b"8BIM\x04\x04\0\0"
"""Number 0x0404, without a name."""


def records_of(resources: bytes) -> bytes | None:
    """Return the IPTC-IIM records in image resources."""
    at = 0
    while at + 12 <= len(resources) and resources[at : at + 4] == b"8BIM":
        (number,) = struct.unpack_from(">H", resources, at + 4)
        start = at + 6 + (resources[at + 6] + 2) // 2 * 2  # behind a name of even length, with its own length
        if start + 4 > len(resources):
            return None
        (size,) = struct.unpack_from(">I", resources, start)
        if number == 0x0404:
            return resources[start + 4 : start + 4 + size] or None
        at = start + 4 + (size + 1) // 2 * 2
    return None


def resources_of(records: bytes) -> bytes:
    """Return image resources that hold these records alone."""
    return _RESOURCE + struct.pack(">I", len(records)) + records + bytes(len(records) % 2)
