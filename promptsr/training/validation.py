"""Scores of the averaged weights on images that are not trained on."""

import math
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from promptsr.config import ModelConfig
from promptsr.data import load_common
from promptsr.data.pairs import search_pairs
from promptsr.imaging.metrics import psnr_y, quantize
from promptsr.imaging.resize import crop_to_multiple, upscale
from promptsr.model.network import PromptSR
from promptsr.support.errors import ImageError, UserError, first_few
from promptsr.training.devices import total
from promptsr.training.recipe import Recipe

_SHOWN, _SIDE = 4, 192  # images of which a part is shown, and its side in HR pixels


class Validation:
    """Images whose scores the devices share among them."""

    def __init__(self, recipe: Recipe, fabric: Fabric) -> None:
        """Read the images.

        Raises:
            UserError: the folder is missing or empty, an HR image has no partner, or an image cannot be used.
        """
        self._fabric = fabric
        self._config = recipe.model
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self.notes: list[str] = []
        """Sentences on the images."""
        if recipe.validation is not None:
            self._read(Path(recipe.validation), recipe)
        self._shown = [_middle(lr, hr, recipe.model) for hr, lr in self._pairs[:_SHOWN]]

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def score(self, weights: dict[str, Tensor]) -> tuple[float, list[str]]:
        """Return the mean PSNR-Y in dB, and a sentence if it leaves out perfect images; every device must ask for it.

        It is infinite if all are perfect.
        """
        judge, rank, world = self._judge(weights), self._fabric.global_rank, self._fabric.world_size
        mine = [self._psnr(self._upscaled(judge, lr), hr) for hr, lr in self._pairs[rank::world]]
        rest = [psnr for psnr in mine if not math.isinf(psnr)]
        number = round(total(self._fabric, torch.tensor(float(len(rest)))))
        mean = total(self._fabric, torch.tensor(sum(rest), dtype=torch.float64)) / number if number else math.inf
        perfect = len(self._pairs) - number
        if not perfect:
            return mean, []
        return mean, [f"{perfect} of {len(self._pairs)} validation images are perfect: the mean PSNR is of the others."]

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

    def _read(self, folder: Path, recipe: Recipe) -> None:
        scale = recipe.model.scale
        lr_folder = None if recipe.validation_lr is None else Path(recipe.validation_lr)
        found = search_pairs(folder, lr_folder, scale, smallest=2 * scale + 1)
        self.notes += found.notes
        partners, unusable = dict(found.pairs), dict(found.left_out)
        bad: list[str] = []
        flat: list[str] = []
        for path in sorted([*partners, *unusable])[: recipe.validation_images]:
            try:
                if path in unusable:
                    raise ImageError(unusable[path])
                hr, lr = load_common(path, scale, partners[path])
            except ImageError as error:
                bad.append(str(error))
                continue
            # Such an image cannot rank networks, and its PSNR, infinite at one step and finite at the next, hides more
            # than it shows.
            if math.isinf(self._psnr(upscale(lr, scale), hr)):
                flat.append(path.name)
            else:
                self._pairs.append((hr, lr))
        if bad:
            more = f" And {len(bad) - 3} more." if len(bad) > 3 else ""
            raise UserError(f"Validation in {folder}: {' '.join(bad[:3])}{more}")
        if flat:
            fact = f"Bicubic interpolation restores {first_few(flat)} perfectly"
            if not self._pairs:
                raise UserError(f"{fact}: validate on photographs.")
            self.notes.append(f"{fact}: not counted in the validation.")

    def _psnr(self, sr: Tensor, hr: Tensor) -> float:
        """Return the PSNR-Y in dB of a result, which may be larger than HR, see `promptsr.data.load_common`."""
        return psnr_y(quantize(sr)[:, :, : hr.shape[2], : hr.shape[3]], hr, self._config.scale)

    def _upscaled(self, judge: PromptSR, lr: Tensor) -> Tensor:
        with torch.inference_mode():
            return quantize(judge(lr.to(self._fabric.device))).cpu()


def _middle(lr: Tensor, hr: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Return the middle part of a pair, LR first."""
    scale, side = config.scale, _SIDE // config.scale
    lr = lr[:, :, : hr.shape[2] // scale, : hr.shape[3] // scale]
    hr = crop_to_multiple(hr, scale)
    y, x = (max(0, (size - side) // 2) for size in lr.shape[2:])
    inner = lr[:, :, y : y + side, x : x + side]
    return inner, hr[:, :, scale * y : scale * (y + side), scale * x : scale * (x + side)]
