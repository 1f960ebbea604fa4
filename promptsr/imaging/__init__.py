"""Read and write pictures with their depth, alpha and metadata; resize them; PSNR and SSIM."""

from typing import Any

from promptsr.imaging.picture import Metadata, Picture
from promptsr.support.errors import missing_package

__all__ = ["SUFFIXES", "Metadata", "Picture", "decode", "encode", "find_images"]

try:
    from promptsr.imaging.decode import decode, find_images
    from promptsr.imaging.encode import SUFFIXES, encode
except ModuleNotFoundError as error:  # networks do without pyvips, which reads and writes files
    _missing = ModuleNotFoundError(missing_package(error), name=error.name)

    def __getattr__(name: str) -> Any:
        raise _missing if name in __all__ else AttributeError(f"module {__name__!r} has no attribute {name!r}")
