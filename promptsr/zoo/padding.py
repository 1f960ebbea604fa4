"""Pad images to the sizes that a network takes."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pad(image: Tensor, right: int, bottom: int) -> Tensor:
    """Return a padded copy of B x C x H x W: by reflection as far as the image goes, then by replication."""
    if not (right or bottom):
        return image.clone()
    height, width = image.shape[2:]
    mirrored_right, mirrored_bottom = min(right, width - 1), min(bottom, height - 1)
    image = F.pad(image, (0, mirrored_right, 0, mirrored_bottom), mode="reflect")
    return F.pad(image, (0, right - mirrored_right, 0, bottom - mirrored_bottom), mode="replicate")


def pad_to(image: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Return B x C x H x W padded like `pad` until both sides are multiples of a number, and at least this long."""
    return pad(image, *(_missing(side, multiple, least) for side in (image.shape[3], image.shape[2])))


def mirror_to(image: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Return B x C x H x W padded on the right and at the bottom like `pad_to`, but the last pixel is repeated too."""
    right, bottom = (_missing(side, multiple, least) for side in (image.shape[3], image.shape[2]))
    return mirror(image, (0, right), (0, bottom))


def mirror(image: Tensor, across: tuple[int, int], down: tuple[int, int]) -> Tensor:
    """Return B x C x H x W padded by its mirror image, in which the pixels at the border occur twice.

    Args:
        image: of any size.
        across: pixels to add on the left and on the right.
        down: pixels to add at the top and at the bottom.
    """
    for axis, (before, after) in ((2, down), (3, across)):
        side = image.shape[axis]
        places = torch.arange(-before, side + after, device=image.device) % (2 * side)
        image = image.index_select(axis, torch.minimum(places, 2 * side - 1 - places))
    return image


def _missing(side: int, multiple: int, least: int) -> int:
    return -(-max(side, least) // multiple) * multiple - side
