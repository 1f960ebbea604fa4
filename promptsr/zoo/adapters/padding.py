"""Pad images to the sizes that a network takes."""

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
