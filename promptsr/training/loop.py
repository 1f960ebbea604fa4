"""A training from its recipe to its weights, as a generator that can be stopped at any step."""

import math
import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from promptsr.data.cache import CachedImage, ImagesRead, read_images
from promptsr.data.crops import Pair, RandomCrops, Share, load_crops
from promptsr.data.pairs import search_pairs
from promptsr.support.errors import ConfigError, UserError, first_few, first_line
from promptsr.support.files import cache_folder, check_writable
from promptsr.training.devices import launch, leave, lost, total
from promptsr.training.logs import Logs, TrainReport
from promptsr.training.recipe import Recipe
from promptsr.training.run import Run
from promptsr.training.state import LAST, remove_leftovers
from promptsr.training.validation import Validation


@dataclass(frozen=True)
class Outcome:
    """Result of a training."""

    step: int
    finished: bool
    """False: it was asked to stop, and `last.ckpt` holds its state."""
    weights: Path | None
    """The best weights (the final ones, without validation images) of a finished run."""


def train(
    recipe: Recipe, out: Path, *, resume: bool = False, should_stop: Callable[[], bool] = lambda: False
) -> Generator[ImagesRead | TrainReport, None, Outcome]:
    """Train a network; in every process, if `torchrun` started several.

    Write to `out`: `last.ckpt` and `previous.ckpt`, to resume from; `best.safetensors` by validation,
    `final.safetensors` and `final-raw.safetensors` (averaged and trained weights after the last step); `log.csv`,
    `tensorboard/` and `validation.png`.

    Args:
        recipe: settings of the training.
        out: folder of the run.
        resume: go on from `last.ckpt` in it, if there is one. Processes that `torchrun` starts anew do so unasked.
        should_stop: asked after every step; true saves and ends the run.

    Yields:
        Progress of reading the images; then a report every `report_every` steps, and at each validation.

    Raises:
        UserError: unusable settings or data, a folder that holds a run already, a disk that is full, or a loss that
            became NaN or infinite. What was saved before is whole.
    """
    check_writable(out / LAST)
    if (out / LAST).exists() and not (resume or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))):
        raise ConfigError(f"{out} holds a run already: go on with --resume, or choose another --out.")
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    fabric, notes = launch(recipe.device, recipe.precision)
    try:
        if recipe.smallest_batch < recipe.accumulate * fabric.world_size:
            raise ConfigError(
                f"A batch of {recipe.smallest_batch} cannot be shared by {fabric.world_size} processes in "
                f"{recipe.accumulate} parts each: raise batch, or lower accumulate."
            )
        run = Run(recipe, out, fabric)
        validation = Validation(recipe, fabric)
        with fabric.rank_zero_first(local=True):  # one process decodes, the others find the cache full
            images, remarks = yield from _images(recipe)
        run.trains_on(images)
        crops = RandomCrops(images, recipe.model.scale, recipe.seed)
        share = Share(
            range(run.step, recipe.steps), recipe.size_at, fabric.global_rank, fabric.world_size, recipe.accumulate
        )
        batches = load_crops(crops, share, recipe.workers, fabric.device.type == "cuda")
        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
        return (yield from _steps(run, validation, batches, (*remarks, *validation.notes, *notes), should_stop))
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        leave()


def _images(recipe: Recipe) -> Generator[ImagesRead, None, tuple[list[CachedImage], list[str]]]:
    """Read the images that are large enough, and return sentences on the others too.

    Raises:
        UserError: no image is large enough, or the cache cannot be written.
    """
    scale = recipe.model.scale
    lr_folders: list[Path | None] = [Path(folder) for folder in recipe.data_lr]
    lr_folders = lr_folders or [None] * len(recipe.data)
    found = [search_pairs(Path(hr), lr, scale) for hr, lr in zip(recipe.data, lr_folders, strict=True)]
    cache = Path(recipe.cache) if recipe.cache is not None else cache_folder() / "images"
    read = yield from read_images([pair for each in found for pair in each.pairs], scale, cache)
    bad = [*(reason for each in found for _, reason in each.left_out), *read.damaged]
    large: list[CachedImage] = []
    small: list[str] = []
    for image in read.images:
        if min(image.lr.array.shape[:2]) >= recipe.largest_patch:
            large.append(image)
        else:
            small.append(image.name)
    folders = ", ".join(recipe.data)
    if not large and not small:
        raise UserError(f"No image in {folders} can be used: {bad[0]}")
    if not large:
        side = scale * recipe.largest_patch
        raise UserError(f"No image in {folders} is at least {side} pixels on both sides: use larger images.")
    notes = [*(f"{sentence} It is left out." for sentence in bad), *(note for each in found for note in each.notes)]
    if small:
        notes.append(f"{len(small)} of the images are too small to be used: {first_few(small)}.")
    return large, notes


def _steps(
    run: Run, validation: Validation, batches: Iterator[Pair], notes: tuple[str, ...], should_stop: Callable[[], bool]
) -> Generator[TrainReport, None, Outcome]:
    recipe, fabric, first = run.recipe, run.fabric, run.fabric.global_rank == 0
    if first:
        remove_leftovers(run.out)
    logs = Logs(run.out, run.step) if first else None
    try:
        window, saved = _Window(fabric), time.monotonic()
        while run.step < recipe.steps:
            crops, _ = recipe.size_at(run.step)
            window.add(*run.advance(batches), crops)
            stop = should_stop()
            if fabric.world_size > 1:  # on any device
                stop = total(fabric, torch.tensor(float(stop))) > 0
            due = run.step % recipe.validate_every == 0 or run.step == recipe.steps
            if not (due or stop or run.step % recipe.report_every == 0):
                continue
            loss, speed = window.means()
            if not math.isfinite(loss):
                raise UserError(f"The loss became NaN or infinite after step {run.step}: {run.way_back()}")
            psnr, perfect = _validate(run, validation, logs) if due and validation else (None, [])
            if first and (due or stop or time.monotonic() - saved > 60 * recipe.save_minutes):
                run.save()
                saved = time.monotonic()
            report = TrainReport(
                run.step, recipe.steps, loss, run.lr, speed, psnr, (*notes, *perfect, *run.acceleration.take_notes())
            )
            if logs is not None:
                logs.report(report)
            yield report
            window, notes = _Window(fabric), ()
            if stop and run.step < recipe.steps:
                return Outcome(run.step, False, None)
    except RuntimeError as error:
        if not lost(error):
            raise
        raise UserError(
            f"Another process of this training is gone ({first_line(str(error))}): torchrun --max-restarts 3 goes on "
            f"by itself, --resume by hand."
        ) from error
    finally:
        if logs is not None:
            logs.close()
    if first:
        run.export("final.safetensors", run.average.weights)
        run.export("final-raw.safetensors", run.network.state_dict())
    return Outcome(run.step, True, run.out / ("best.safetensors" if validation else "final.safetensors"))


def _validate(run: Run, validation: Validation, logs: Logs | None) -> tuple[float, list[str]]:
    """Return the mean PSNR-Y of the averaged weights in dB, and remarks on it; keep the best weights."""
    psnr, remarks = validation.score(run.average.weights)
    better = run.best is None or psnr > run.best
    if better:
        run.best = psnr
    if logs is not None:
        logs.picture(validation.picture(run.average.weights), run.step)
        if better:
            run.export("best.safetensors", run.average.weights, psnr if math.isfinite(psnr) else None)
    return psnr, remarks


class _Window:
    """Loss and speed since the last report."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        # Kept on the device: reading them after every step would make a GPU wait.
        self._loss, self._norm = torch.zeros(2, device=fabric.device)
        self._steps = self._crops = 0
        self._begun = time.monotonic()

    def add(self, loss: Tensor, norm: Tensor, crops: int) -> None:
        self._loss += loss
        self._norm += norm
        self._steps += 1
        self._crops += crops

    def means(self) -> tuple[float, float]:
        """Return the mean loss over all devices, NaN if a gradient was NaN or infinite, and the crops a second."""
        loss = self._loss if bool(self._norm.isfinite()) else self._norm * math.nan
        return total(self._fabric, loss) / self._steps, self._crops / (time.monotonic() - self._begun)
