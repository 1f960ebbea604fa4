"""Images for training and evaluation: pairs of HR and LR, a cache of decoded pixels, random crops."""

from pathlib import Path

from torch import Tensor

from promptsr.imaging.decode import decode
from promptsr.imaging.metrics import quantize
from promptsr.imaging.resize import crop_to_multiple, downscale
from promptsr.support.errors import UserError


def load_pair(path: Path, scale: int, lr_path: Path | None = None) -> tuple[Tensor, Tensor]:
    """Load an HR image, cropped to a multiple of the scale, and its LR version.

    Args:
        path: of the HR image.
        scale: s.
        lr_path: of the LR image, whose size is not checked here; None for the bicubic one, see `make_lr`.

    Returns:
        1 x 3 x sH x sW and 1 x 3 x H x W in [0, 1].

    Raises:
        ImageError: a file that cannot be read.
        UserError: an image without a single LR pixel.
    """
    if lr_path is not None:
        return load_hr(path, scale), decode(lr_path).to_tensor()
    hr = load_hr(path, scale)
    if 0 in hr.shape:
        raise UserError(f"{path} is smaller than {scale} pixels: leave it out.")
    return hr, make_lr(hr, scale)


def load_hr(path: Path, scale: int) -> Tensor:
    """Load an HR image, cropped to a multiple of the scale: 1 x 3 x sH x sW in [0, 1]."""
    return crop_to_multiple(decode(path).to_tensor(), scale)


def make_lr(hr: Tensor, scale: int) -> Tensor:
    """Shrink HR images by bicubic interpolation, to 8-bit levels: B x 3 x sH x sW -> B x 3 x H x W in [0, 1]."""
    return quantize(downscale(hr, scale))
