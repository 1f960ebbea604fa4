"""Images for training and evaluation: pairs of HR and LR, a cache of decoded pixels, random crops."""

from pathlib import Path

from torch import Tensor

from promptsr.data.pairs import common_part
from promptsr.imaging.decode import decode
from promptsr.imaging.metrics import quantize
from promptsr.imaging.resize import crop_to_multiple, downscale
from promptsr.support.errors import ImageError


def load_pair(path: Path, scale: int, lr_path: Path | None = None) -> tuple[Tensor, Tensor]:
    """Load an HR image, cropped to a multiple of the scale, and its LR version.

    Args:
        path: of the HR image.
        scale: s.
        lr_path: of the LR image, of which pixels that the HR image does not show in full are dropped; None for the
            bicubic one, see `make_lr`.

    Returns:
        1 x 3 x sH x sW and 1 x 3 x H x W in [0, 1].

    Raises:
        ImageError: a file that cannot be read, an LR image of another size, or an image without a single LR pixel.
    """
    hr, lr = load_common(path, scale, lr_path)
    hr = crop_to_multiple(hr, scale)
    if 0 in hr.shape:
        raise ImageError(f"{path} is smaller than {scale} pixels: leave it out.")
    return hr, lr[:, :, : hr.shape[2] // scale, : hr.shape[3] // scale]


def load_input(path: Path, scale: int, shrink: bool) -> Tensor:
    """Load the input of a network, 1 x 3 x H x W in [0, 1]: an image, or with `shrink` an HR image that is shrunk.

    Raises:
        ImageError: as in `load_pair`.
    """
    return load_pair(path, scale)[1] if shrink else decode(path).to_tensor()


def load_common(path: Path, scale: int, lr_path: Path | None = None) -> tuple[Tensor, Tensor]:
    """Load an HR image and its LR version as in `load_pair`, but the LR image whole.

    Where its sides are rounded up, an upscaled LR image is larger than what HR has to compare it with.

    Returns:
        The part of the HR image that the LR image shows, 1 x 3 x h x w with sH - s < h <= sH, and 1 x 3 x H x W.

    Raises:
        ImageError: as in `load_pair`.
    """
    if lr_path is None:
        hr = load_hr(path, scale)
        if 0 in hr.shape:
            raise ImageError(f"{path} is smaller than {scale} pixels: leave it out.")
        return hr, make_lr(hr, scale)
    hr, lr = load_hr(path, 1), decode(lr_path).to_tensor()
    height, width = common_part(path, hr.shape[2:], lr_path, lr.shape[2:], scale)
    return hr[:, :, :height, :width], lr


def load_hr(path: Path, scale: int) -> Tensor:
    """Load an HR image, cropped to a multiple of the scale: 1 x 3 x sH x sW in [0, 1]."""
    return crop_to_multiple(decode(path).to_tensor(), scale)


def make_lr(hr: Tensor, scale: int) -> Tensor:
    """Shrink HR images by bicubic interpolation, to 8-bit levels: B x 3 x sH x sW -> B x 3 x H x W in [0, 1]."""
    return quantize(downscale(hr, scale))
