"""Read HEIC, in which phones keep photographs, and the colours of AVIF, its sibling.

libheif opens both, as pi-heif brings it: with a decoder of HEVC, which libvips as pip installs it lacks.
"""

import numpy as np
import pi_heif

from promptsr.imaging.colour import Colour, coded_colour
from promptsr.imaging.picture import Metadata
from promptsr.support.errors import as_value_errors

_CHANNELS = {"L": 1, "I": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_LIGHT = (4, 5, 8, 16, 18)
"""Transfers that are taken at their word (ITU-T H.273, table 3). The others are those of video, whose names cameras and
converters write on photographs that mean sRGB, as browsers show them."""
_SRGB = 13


class HeifImage:
    """An image whose header was read: the one that its file calls the primary one.

    Raises:
        ValueError: it is damaged, or of a kind that cannot be read.
    """

    def __init__(self, data: bytes) -> None:
        with as_value_errors():
            file = pi_heif.open_heif(data, convert_hdr_to_8bit=False)
            self._image = file[file.primary_index]
        self.width, self.height = self._image.size  # upright: what the boxes say of turning is done by libheif
        mode, _, bits = self._image.mode.partition(";")
        if mode not in _CHANNELS:
            raise ValueError(f"pixels of mode {mode}")
        self.channels, self.deep = _CHANNELS[mode], bool(bits)

    def metadata(self) -> Metadata:
        """Return the profile, EXIF data (which may speak of a turn that was made) and XMP."""
        info = self._image.info
        block = info.get("exif")
        return Metadata(
            icc=info.get("icc_profile"), exif=block and block.removeprefix(b"Exif\0\0"), xmp=info.get("xmp")
        )

    def colour(self) -> Colour | None:
        """Return the colour that the file names by code points; None if it is sRGB or that of a profile."""
        codes = self._image.info.get("nclx_profile")
        if codes is None or "icc_profile" in self._image.info:
            return None
        transfer = codes["transfer_characteristics"]
        transfer = transfer if transfer in _LIGHT else _SRGB
        return coded_colour(codes["color_primaries"], transfer, grey=self.channels < 3, name="nclx")

    def pixels(self) -> np.ndarray:
        """Return H x W x channels, uint8 or uint16 in its full range.

        Raises:
            ValueError: they are damaged or cut short.
        """
        with as_value_errors():
            values = np.frombuffer(self._image.data, np.uint16 if self.deep else np.uint8)
        values = values.reshape(self.height, self.width, self.channels)
        # A copy, since libheif's memory goes with the image.
        return in_full_range(values, self._image.info["bit_depth"]) if self.deep else values.copy()


def in_full_range(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Spread uint16 values whose upper `bits` alone are used over all: white becomes 65535."""
    top = pixels >> (16 - bits)
    return top << (16 - bits) | top >> (2 * bits - 16)
