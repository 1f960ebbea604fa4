"""Image formats by the first bytes of a file; suffixes may be wrong or missing."""

import re

HEAD = 64
"""Bytes that tell the format."""

_SIGNATURES = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WebP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "GIF": rb"GIF8[79]a",
    "AVIF": rb"....ftyp(?:avi[fs]|....(?:....)*avi[fs])",
    "HEIC": rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)",
    "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "PPM": rb"P[1-6]\s+(?:\d|#)|P7\s+(?:[A-Z]+ |#)",
}


def format_of(head: bytes) -> str | None:
    """Return the format of a file that begins like this; None for TGA, which cannot be told, and all others."""
    return next((name for name, pattern in _SIGNATURES.items() if re.match(pattern, head[:HEAD], re.DOTALL)), None)
