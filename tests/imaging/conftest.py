"""Random pictures, image files that other libraries write, and their colour management as the reference."""

import io
from typing import Any

import numpy as np
import pillow_heif
import tifffile
from PIL import Image, ImageCms

from promptsr.imaging import Picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def random_picture(
    height: int, width: int, dtype: Any = np.uint8, *, alpha: bool = False, grey: bool = False, seed: int = 0
) -> Picture:
    random = np.random.default_rng(seed)
    values = random.integers(0, np.iinfo(dtype).max, (height, width, 4), dtype=dtype, endpoint=True)
    color = values[..., :1].repeat(3, axis=2) if grey else values[..., :3]
    return Picture(color, values[..., 3] if alpha else None, grey)


def file_of(image: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    """An image in a file, written by Pillow."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def heic_of(pixels: np.ndarray, mode: str = "RGB", **options: Any) -> bytes:
    """H x W x channels in a HEIC without loss, written by libheif with x265; matrix 0: no other space than RGB."""
    buffer = io.BytesIO()
    image = pillow_heif.from_bytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    image.save(buffer, quality=-1, chroma=444, matrix_coefficients=0, **options)
    return buffer.getvalue()


def tiff_of(pixels: np.ndarray, **options: Any) -> bytes:
    """Pixels of any type in a TIFF file, written by tifffile."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    return exif


def to_srgb(image: Image.Image, profile: bytes) -> np.ndarray:
    """H x W x 3, converted from its profile by LittleCMS."""
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
    )
    return np.asarray(converted)
