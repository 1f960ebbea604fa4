"""Content of an image file as arrays."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

_PART = 2**20
"""Values that are converted at a time."""


@dataclass(frozen=True)
class Density:
    """Pixels on paper."""

    x: float
    y: float
    """Pixels per millimetre; without a unit only the ratio of `x` and `y` means something."""
    unit: Literal["mm"] | None = "mm"


@dataclass(frozen=True)
class Metadata:
    """Metadata that travels with the pixels from the file that was read to the file that is written."""

    icc: bytes | None = None
    """ICC colour profile of the pixel values; None means sRGB."""
    exif: bytes | None = None
    """EXIF block from its TIFF header on (`II*` or `MM`), with no `Exif` marker in front, with orientation 1 and
    without a thumbnail."""
    xmp: bytes | None = None
    """XMP packet, with orientation 1 if it names one."""
    iptc: bytes | None = None
    """IPTC-IIM records."""
    texts: tuple[tuple[str, str], ...] = ()
    """Keywords and texts of a PNG; the comment of a JPEG or a GIF has the keyword `Comment`."""
    density: Density | None = None
    """None if the file does not say."""
    notes: tuple[str, ...] = ()
    """Sentences: what was converted or left out when the file was read."""


@dataclass(frozen=True)
class Header:
    """Description of an image file, as `decode` gives its first frame: upright, palettes expanded."""

    format: str
    """PNG, JPEG, WebP, TIFF, GIF, AVIF, HEIC, BMP, PPM or TGA."""
    width: int
    height: int
    bit_depth: int
    """8 or 16."""
    grey: bool
    alpha: bool
    frames: int = 1
    """Number of frames of an animation, or of pages of a TIFF."""
    durations: tuple[int, ...] = ()
    """Milliseconds of each frame; empty for still images and pages."""
    loop: int = 0
    """Times that an animation is shown; 0: for ever."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright image.

    Raises:
        ValueError: the arrays do not fit the description of the fields.
    """

    color: np.ndarray
    """H x W x 3, uint8 or uint16, using the full range of its type; a grey image is its one channel repeated."""
    alpha: np.ndarray | None = None
    """H x W of the same type, 0 transparent; not multiplied into `color`. None: the image has no alpha channel."""
    grey: bool = False
    metadata: Metadata = Metadata()

    def __post_init__(self) -> None:
        if self.color.ndim != 3 or self.color.shape[2] != 3 or self.color.size == 0:
            raise ValueError(f"color must be H x W x 3 and not empty, not {self.color.shape}")
        if self.color.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"color must be uint8 or uint16, not {self.color.dtype}")
        if self.alpha is not None and (self.alpha.shape, self.alpha.dtype) != (self.color.shape[:2], self.color.dtype):
            raise ValueError("alpha must have the height, the width and the type of color")

    @property
    def height(self) -> int:
        return int(self.color.shape[0])

    @property
    def width(self) -> int:
        return int(self.color.shape[1])

    @property
    def bit_depth(self) -> int:
        """8 or 16."""
        return 8 * self.color.dtype.itemsize

    def to_tensor(self) -> Tensor:
        """Return `color` as 1 x 3 x H x W float32 in [0, 1]."""
        return to_unit(self.color).permute(2, 0, 1)[None].contiguous()  # H x W x 3 -> 1 x 3 x H x W


def to_unit(pixels: np.ndarray) -> Tensor:
    """Convert uint8 or uint16 of any shape to float32 in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float32)).div_(np.iinfo(pixels.dtype).max)


def to_pixels(values: Tensor, bit_depth: int) -> np.ndarray:
    """Convert values of one or more dimensions, clamped to [0, 1], to the nearest uint8 or uint16.

    This inverts `to_unit` exactly. It works in parts, so it needs little memory besides the result.
    """
    pixels = torch.empty(values.shape, dtype=torch.uint8 if bit_depth == 8 else torch.uint16)
    rows = max(1, _PART // max(1, values[:1].numel()))
    for start in range(0, len(values), rows):
        part = values[start : start + rows]
        pixels[start : start + rows] = part.clamp(0, 1).mul_(2**bit_depth - 1).round_()
    return pixels.numpy()


def to_color(image: Tensor, bit_depth: int = 8) -> np.ndarray:
    """1 x 3 x H x W -> H x W x 3 as `Picture.color`, see `to_pixels`."""
    return to_pixels(image[0].permute(1, 2, 0), bit_depth)


def to_array(image: Tensor) -> np.ndarray:
    """1 x 3 x H x W on any device -> H x W x 3 float32, clamped to [0, 1]."""
    return image[0].permute(1, 2, 0).float().clamp(0, 1).cpu().numpy()
