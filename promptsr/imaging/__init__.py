"""Read and write pictures with their depth, alpha and metadata; resize them; PSNR and SSIM."""

from typing import Any

from promptsr.imaging.picture import Density, Header, Metadata, Picture
from promptsr.support.errors import missing_package

__all__ = [
    "SUFFIXES",
    "Density",
    "Header",
    "Metadata",
    "Picture",
    "check_target",
    "decode",
    "decode_frames",
    "encode",
    "find_images",
    "inspect",
    "search_images",
]

try:
    from promptsr.imaging.decode import decode, decode_frames, inspect
    from promptsr.imaging.encode import SUFFIXES, check_target, encode
    from promptsr.imaging.folders import find_images, search_images
except ModuleNotFoundError as error:  # networks do without pyvips, which reads and writes files
    _missing = ModuleNotFoundError(missing_package(error), name=error.name)

    def __getattr__(name: str) -> Any:
        raise _missing if name in __all__ else AttributeError(f"module {__name__!r} has no attribute {name!r}")
