"""The state of a run, and one step of it."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from promptsr.data.cache import CachedImage
from promptsr.data.crops import Pair
from promptsr.model.network import PromptSR
from promptsr.support.errors import ConfigError, UserError
from promptsr.training.acceleration import Acceleration
from promptsr.training.averaging import ExponentialMovingAverage
from promptsr.training.initial import load_matching, load_teacher
from promptsr.training.optimizers import build_optimizers, rate
from promptsr.training.recipe import MAY_CHANGE, Recipe, provenance
from promptsr.training.state import LAST, load_state, save_state
from promptsr.zoo.checkpoints import save_checkpoint

_LOSSES = {"l1": nn.functional.l1_loss, "mse": nn.functional.mse_loss}


class Run:
    """Everything that a step changes; `last.ckpt` holds all of it.

    No random state is kept: crops and torch's random numbers follow from the seed and the step's number.
    """

    def __init__(self, recipe: Recipe, out: Path, fabric: Fabric) -> None:
        """Start at step 0, or where the state in `out` stopped.

        Raises:
            UserError: the initial weights are unusable, or the state is that of another run.
        """
        torch.manual_seed(recipe.seed)
        self.recipe, self.out, self.fabric = recipe, out, fabric
        self.network = PromptSR(recipe.model).to(fabric.device)
        self.step = 0
        self.best: float | None = None
        """Highest validation PSNR so far."""
        self.images: list[tuple[str, int]] = []
        """Names and sizes in bytes of the files that are trained on; empty before the first step."""
        saved = self._saved() if (out / LAST).exists() else None
        if saved is not None:
            self.network.load_state_dict(saved["network"])
        elif recipe.init:
            load_matching(self.network, [Path(path) for path in recipe.init])
        self._teacher = None if recipe.teacher is None else load_teacher(recipe).to(fabric.device)
        self.acceleration = Acceleration(fabric, self.network, recipe.compile)
        self.optimizers = build_optimizers(self.network, recipe.optimizer, recipe.lr, recipe.matrix_lr)
        self._peaks = [group["lr"] for group in self._groups()]
        self.average = ExponentialMovingAverage(self.network, recipe.ema)
        if saved is not None:
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            self.average.load(saved["average"])
            self.step, self.best, self.images = saved["step"], saved["best"], [tuple(i) for i in saved["images"]]

    @property
    def lr(self) -> float:
        """Adam's rate in the last step."""
        return float(self._groups()[-1]["lr"])

    def trains_on(self, images: list[CachedImage]) -> None:
        """Set the images, which must be those of the state.

        Raises:
            UserError: one of them has vanished or changed since the run began, or there is a new one.
        """
        files = ((image.name, image.size, image.lr_file) for image in images)
        found = [file for name, size, lr_file in files for file in ((name, size), lr_file) if file is not None]
        if self.images and found != self.images:
            gone, new = (sorted(set(a) - set(b)) for a, b in ((self.images, found), (found, self.images)))
            what = f"{gone[0][0]} has vanished or changed" if gone else f"{new[0][0] if new else 'an image'} was added"
            raise UserError(
                f"{what} since the run in {self.out} began: restore the images to resume it, or start another run "
                f"with init={self.out / LAST}."
            )
        self.images = found

    def advance(self, micro_batches: Iterator[Pair]) -> tuple[Tensor, Tensor]:
        """Make one optimisation step, which depends only on the state, the recipe and the images.

        Returns:
            This device's share of the loss (over all devices they add up to it), and the norm of the gradient before
            it was clipped.
        """
        recipe = self.recipe
        torch.manual_seed(recipe.seed + self.step)
        factor = rate(self.step, recipe.steps, recipe.warmup, recipe.halve_at)
        for group, peak in zip(self._groups(), self._peaks, strict=True):
            group["lr"] = peak * factor
        batch, _ = recipe.size_at(self.step)
        loss = torch.zeros((), device=self.fabric.device)
        for part in range(recipe.accumulate):
            lr, hr = (crops.to(self.fabric.device, non_blocking=True).float() / 255 for crops in next(micro_batches))
            loss += self._backward(lr, hr, len(lr) / batch, last=part + 1 == recipe.accumulate)
        limit = float("inf") if recipe.clip is None else recipe.clip
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit, foreach=True)
        for optimizer in self.optimizers:
            optimizer.step()
        self.acceleration.forget()
        self.average.update(self.network, self.step)
        self.step += 1
        return loss, norm

    def _backward(self, lr: Tensor, hr: Tensor, share: float, *, last: bool) -> Tensor:
        """Add the gradients of a part that is this share of the batch; return its share of the loss."""
        targets = [hr]
        if self._teacher is not None:
            with torch.no_grad():
                targets.append(self._teacher(lr).clamp(0, 1))
        # Devices average their gradients, where their sum is wanted.
        weight = torch.full((), share * self.fabric.world_size, device=self.fabric.device)
        loss = self.acceleration.backward(self._loss, lr, weight, *targets, last=last)
        return loss / self.fabric.world_size

    def _loss(self, network: nn.Module, lr: Tensor, weight: Tensor, hr: Tensor, taught: Tensor | None = None) -> Tensor:
        """Return the loss of eq. 5, a share of it against the teacher's results, times a weight."""
        compared, sr = _LOSSES[self.recipe.loss], network(lr)
        loss = compared(sr, hr)
        if taught is not None:
            loss = torch.lerp(loss, compared(sr, taught), self.recipe.teacher_share)
        return weight * loss

    def save(self) -> None:
        """Write `last.ckpt`; call it on one process.

        Raises:
            UserError: it cannot be written, or the weights contain NaN or infinity; the state before stays.
        """
        if not all(bool(value.isfinite().all()) for value in self.network.state_dict().values()):
            raise UserError(f"The weights contain NaN or infinity after step {self.step}: {self.way_back()}")
        save_state(self.out, self._state())

    def way_back(self) -> str:
        """Advise what to do when the training went astray."""
        if not (self.out / LAST).exists():
            return "start anew with a lower lr."
        return f"{self.out / LAST} is whole; start another run from it with init={self.out / LAST} and a lower lr."

    def export(self, name: str, weights: dict[str, Tensor], psnr: float | None = None) -> None:
        """Write weights as a checkpoint for `promptsr.zoo`; call it on one process."""
        info = {"train": provenance(asdict(self.recipe)), "step": self.step, "validation_psnr_y": psnr}
        save_checkpoint(self.out / name, self.recipe.model, weights, info)

    def _groups(self) -> list[dict[str, Any]]:
        # Not kept: an optimiser that loads its state makes new ones.
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def _state(self) -> dict[str, Any]:
        return {
            "recipe": asdict(self.recipe),
            "images": [list(image) for image in self.images],
            "step": self.step,
            "best": self.best,
            "network": self.network.state_dict(),
            "average": self.average.weights,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def _saved(self) -> dict[str, Any]:
        saved = load_state(self.out / LAST)
        theirs, mine = _flat(saved["recipe"]), _flat(asdict(self.recipe))
        changed = [key for key in mine if theirs.get(key) != mine[key] and key.partition(".")[0] not in MAY_CHANGE]
        if changed:
            raise ConfigError(
                f"{self.out} holds a run with another {', '.join(changed)}: choose another --out, or the same settings "
                "to resume it."
            )
        return saved


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Flatten `{"model": {"scale": 2}}` to `{"model.scale": 2}`."""
    flat = {}
    for key, value in settings.items():
        below = {f"{key}.{name}": entry for name, entry in value.items()} if isinstance(value, dict) else {key: value}
        flat.update(below)
    return flat
