"""Self-ensemble: the mean of the results of an image in its eight orientations, "+" behind a name in tables.

R. Timofte et al., "Seven ways to improve example-based single image super resolution", CVPR 2016. Eight times the work
for a tenth of a decibel or so.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from promptsr.zoo.sr_model import SRModel


class SelfEnsemble(nn.Module):
    """Run another network (the child `network`) on an image, its mirror image, and both in quarter turns."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, float32 at least, neither clamped nor rounded before the mean."""
        total = torch.zeros((), device=image.device)
        for mirrored in (False, True):
            for turns in range(4):
                position = (image.flip(3) if mirrored else image).rot90(turns, (2, 3)).contiguous()
                result: Tensor = self.network(position).rot90(-turns, (2, 3))
                result = result.flip(3) if mirrored else result
                total = total + result.to(torch.promote_types(result.dtype, torch.float32))
        return total / 8

    def _get_name(self) -> str:
        return f"{self.network._get_name()}+"


def self_ensemble(model: SRModel) -> SRModel:
    """Return this model with self-ensemble, named `name+`; cut into tiles, it works tile by tile.

    The eight passes come one after the other: they need the memory of one, and that of the sum, float32.
    """
    return replace(
        model,
        name=f"{model.name}+",
        network=SelfEnsemble(model.network),
        bytes_per_pixel=model.bytes_per_pixel + 3 * 4 * model.scale**2,
    )
