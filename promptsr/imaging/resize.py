"""Bicubic resizing, the way super-resolution benchmarks do it: a = -0.5, antialiased when it shrinks.

Equal to MATLAB's `imresize(image, s, "bicubic")` away from the border of two pixels, but for the rounding to 8 bit that
MATLAB does between the two axes: one grey level, very rarely two. (Plain `mode="bicubic"` uses a = -0.75 and scores
0.2 dB higher: it is another filter.)
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def upscale(image: Tensor, scale: int) -> Tensor:
    """B x C x H x W -> B x C x sH x sW."""
    return resize(image, image.shape[2] * scale, image.shape[3] * scale)


def downscale(image: Tensor, scale: int) -> Tensor:
    """B x C x H x W -> B x C x H/s x W/s; both sides must be multiples of s (see `crop_to_multiple`)."""
    if image.shape[2] % scale or image.shape[3] % scale:
        raise ValueError(f"{tuple(image.shape)} is not a multiple of {scale}")
    return resize(image, image.shape[2] // scale, image.shape[3] // scale)


def crop_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Drop rows at the bottom and columns on the right, as benchmarks do: B x C x H x W."""
    height, width = image.shape[2:]
    return image[:, :, : height - height % multiple, : width - width % multiple]


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """B x C x H x W -> B x C x height x width."""
    # Torch has no half precision for this on the CPU.
    precise = image.float() if image.device.type == "cpu" and image.dtype in (torch.float16, torch.bfloat16) else image
    resized = F.interpolate(precise, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    return resized.to(image.dtype)
