"""Scores of the averaged weights on images that are not trained on."""

from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from promptsr.config import ModelConfig
from promptsr.data import load_pair
from promptsr.imaging.decode import find_images
from promptsr.imaging.metrics import psnr_y, quantize
from promptsr.imaging.resize import upscale
from promptsr.model.network import PromptSR
from promptsr.training.devices import total
from promptsr.training.recipe import Recipe

_SHOWN, _SIDE = 4, 192  # images of which a part is shown, and its side in HR pixels


class Validation:
    """Images whose scores the devices share among them."""

    def __init__(self, recipe: Recipe, fabric: Fabric) -> None:
        """Read the images.

        Raises:
            UserError: the folder is missing or empty, or a file cannot be read.
        """
        self._fabric = fabric
        self._config = recipe.model
        paths = [] if recipe.validation is None else find_images(Path(recipe.validation))[: recipe.validation_images]
        self._pairs = [load_pair(path, recipe.model.scale) for path in paths]
        self._shown = [_middle(lr, hr, recipe.model) for hr, lr in self._pairs[:_SHOWN]]

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def score(self, weights: dict[str, Tensor]) -> float:
        """Return the mean PSNR-Y in dB; every device must ask for it."""
        judge, rank, world = self._judge(weights), self._fabric.global_rank, self._fabric.world_size
        border = self._config.scale
        mine = [psnr_y(self._upscaled(judge, lr), hr, border) for hr, lr in self._pairs[rank::world]]
        return total(self._fabric, torch.tensor(sum(mine), dtype=torch.float64)) / len(self._pairs)

    def picture(self, weights: dict[str, Tensor]) -> Tensor:
        """Return parts of the first images, a row each: bicubic, network, HR; 3 x H x W in [0, 1]."""
        judge = self._judge(weights)
        rows = [
            torch.cat([upscale(lr, self._config.scale).clamp(0, 1), self._upscaled(judge, lr), hr], dim=3)[0]
            for lr, hr in self._shown
        ]
        width = max(row.shape[2] for row in rows)
        padded = [torch.nn.functional.pad(row, (0, width - row.shape[2])) for row in rows]
        return torch.cat(padded, dim=1)

    def _judge(self, weights: dict[str, Tensor]) -> PromptSR:
        judge = PromptSR(self._config).to(self._fabric.device).eval()
        judge.load_state_dict(weights)
        return judge

    def _upscaled(self, judge: PromptSR, lr: Tensor) -> Tensor:
        with torch.inference_mode():
            return quantize(judge(lr.to(self._fabric.device))).cpu()


def _middle(lr: Tensor, hr: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Return the middle part of a pair, LR first."""
    scale, side = config.scale, _SIDE // config.scale
    y, x = (max(0, (size - side) // 2) for size in lr.shape[2:])
    inner = lr[:, :, y : y + side, x : x + side]
    return inner, hr[:, :, scale * y : scale * (y + side), scale * x : scale * (x + side)]
