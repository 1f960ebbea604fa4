"""Read BMP and TGA with Pillow; only these two of its decoders are ever run."""

import io

import numpy as np
from PIL import BmpImagePlugin, ImageFile, TgaImagePlugin

from promptsr.imaging.picture import Density, Metadata
from promptsr.support.errors import as_value_errors

_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "TGA": TgaImagePlugin.TgaImageFile,
}
_MODES = {"1": ("L", 1), "L": ("L", 1), "LA": ("LA", 2), "P": ("RGB", 3), "RGB": ("RGB", 3), "RGBA": ("RGBA", 4)}
"""The mode to which each is converted, and its channels."""


class PillowImage:
    """An image whose header was read.

    Raises:
        ValueError: it is damaged, or of a kind that cannot be read.
    """

    deep = False

    def __init__(self, kind: str, data: bytes) -> None:
        with as_value_errors():
            self._image = _PLUGINS[kind](io.BytesIO(data))
        self.width, self.height = self._image.size
        if self._image.mode not in _MODES:
            raise ValueError(f"pixels of mode {self._image.mode}")
        self._mode, self.channels = _MODES[self._image.mode]

    def metadata(self) -> Metadata:
        """Return the density."""
        dpi = self._image.info.get("dpi")
        return Metadata(density=Density(dpi[0] / 25.4, dpi[1] / 25.4) if dpi and min(dpi) > 0 else None)

    def pixels(self) -> np.ndarray:
        """Return H x W x channels, uint8.

        Raises:
            ValueError: they are damaged or cut short.
        """
        with as_value_errors():
            return np.asarray(self._image.convert(self._mode)).reshape(self.height, self.width, self.channels)
