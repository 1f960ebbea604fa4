"""Training pairs: HR photographs, their bicubic LR versions, and aligned crops drawn where there is texture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from promptsr.errors import UserError
from promptsr.imaging.decode import decode, find_images
from promptsr.imaging.metrics import quantize
from promptsr.imaging.resize import crop_to_multiple, downscale

_CELL = 64  # HR pixels: the grain at which texture is measured


def load_pair(path: Path, scale: int, lr_path: Path | None = None) -> tuple[Tensor, Tensor]:
    """An HR image, cropped to a multiple of the scale, and its LR version.

    Args:
        path: of the HR image.
        scale: s.
        lr_path: of the LR image, whose size is not checked here; None for the bicubic one, see `make_lr`.

    Returns:
        1 x 3 x sH x sW and 1 x 3 x H x W in [0, 1].
    """
    if lr_path is not None:
        return load_hr(path, scale), decode(lr_path).to_tensor()
    hr = load_hr(path, scale)
    if 0 in hr.shape:
        raise UserError(f"{path} is smaller than {scale} pixels: leave it out.")
    return hr, make_lr(hr, scale)


@dataclass(frozen=True)
class PatchSampler:
    """Draws random aligned crops; places with little gradient are drawn seldom, in proportion to it."""

    hr: list[Tensor]
    """Each 3 x sH x sW, uint8."""
    lr: list[Tensor]
    """Each 3 x H x W, uint8."""
    cells: np.ndarray
    """Cells of all images, M x 3: image, row and column in HR pixels."""
    cumulative: np.ndarray
    """Cumulative share of texture over the cells, M, ending with 1."""
    scale: int
    patch: int
    """Side of a crop in LR pixels."""

    def batch(self, size: int, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """A batch of crops, flipped and rotated at random; the same seed gives the same batch.

        Returns:
            LR, B x 3 x patch x patch, and HR, B x 3 x s patch x s patch, both in [0, 1].
        """
        rng = np.random.default_rng(seed)
        pairs = [self._crop(rng) for _ in range(size)]
        lr, hr = (torch.stack(crops).float() / 255 for crops in zip(*pairs, strict=True))
        return lr, hr

    def _crop(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        image, row, column = self.cells[np.searchsorted(self.cumulative, rng.random(), side="right")]
        s, p = self.scale, self.patch
        # The crop's middle falls anywhere in the cell, as far as the border of the image allows.
        middle = (np.array([row, column]) + rng.integers(0, _CELL, 2)) // s
        limit = np.array(self.lr[image].shape[1:]) - p
        y, x = np.clip(middle - p // 2, 0, limit)
        lr = self.lr[image][:, y : y + p, x : x + p]
        hr = self.hr[image][:, s * y : s * (y + p), s * x : s * (x + p)]
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        return _turned(lr, turns, flip), _turned(hr, turns, flip)


def load_patches(folders: Sequence[Path], scale: int, patch: int) -> PatchSampler:
    """Decodes every image of some folders into memory.

    Args:
        folders: where the HR images lie.
        scale: s.
        patch: side of the crops in LR pixels; images smaller than s * patch are left out.

    Raises:
        UserError: no image is large enough, or a file cannot be read.
    """
    hr_images: list[Tensor] = []
    lr_images: list[Tensor] = []
    cells: list[np.ndarray] = []
    texture: list[np.ndarray] = []
    for path in (path for folder in folders for path in find_images(folder)):
        hr = load_hr(path, scale)
        if min(hr.shape[2:]) >= scale * patch:
            places, gradient = _texture(hr)
            cells.append(np.insert(places, 0, len(hr_images), axis=1))
            texture.append(gradient)
            hr_images.append(_bytes(hr))
            lr_images.append(_bytes(make_lr(hr, scale)))
    if not hr_images:
        names = ", ".join(map(str, folders))
        raise UserError(f"No image in {names} is at least {scale * patch} pixels on both sides: use larger images.")
    weights = np.concatenate(texture) + 1e-6
    weights = np.minimum(weights, weights.mean())  # beyond that it is noise as often as detail
    cumulative = np.cumsum(weights / weights.sum())
    cumulative[-1] = 1.0
    return PatchSampler(hr_images, lr_images, np.concatenate(cells), cumulative, scale, patch)


def load_hr(path: Path, scale: int) -> Tensor:
    """An HR image, cropped to a multiple of the scale: 1 x 3 x sH x sW in [0, 1]."""
    return crop_to_multiple(decode(path).to_tensor(), scale)


def make_lr(hr: Tensor, scale: int) -> Tensor:
    """The bicubic LR version of HR images, at 8-bit levels: B x 3 x sH x sW -> B x 3 x H x W in [0, 1]."""
    return quantize(downscale(hr, scale))


def _texture(hr: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Top-left corners of the cells of an image, m x 2, and their mean absolute luma gradient, m."""
    grey = hr[0].mean(0)
    gradient = torch.zeros_like(grey)
    gradient[1:] += grey.diff(dim=0).abs()
    gradient[:, 1:] += grey.diff(dim=1).abs()
    means = torch.nn.functional.avg_pool2d(gradient[None, None], _CELL, ceil_mode=True)[0, 0]
    rows, columns = np.indices(means.shape)
    places = np.stack([rows.ravel(), columns.ravel()], axis=1) * _CELL
    return places, means.numpy().ravel().astype(np.float64)


def _bytes(image: Tensor) -> Tensor:
    return (image[0] * 255).round().byte()


def _turned(image: Tensor, turns: int, flip: bool) -> Tensor:
    image = image.rot90(turns, (1, 2))
    return image.flip(2) if flip else image
