"""Training on the CPU or one GPU: L1 loss, bicubic LR, checkpoints that a stopped run resumes from.

`train` is a generator: it yields a report every so often, and closing it stops the run, which then resumes from the
state that was saved last.
"""

import csv
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from promptsr.acceleration import Acceleration
from promptsr.checkpoints import load_checkpoint, save_checkpoint
from promptsr.config import ModelConfig
from promptsr.data import PatchSampler, load_pair, load_patches
from promptsr.errors import CheckpointError, ConfigError, UserError
from promptsr.files import replacing
from promptsr.imaging.decode import find_images
from promptsr.imaging.metrics import psnr_y, quantize
from promptsr.model.network import PromptSR
from promptsr.optimizers import ExponentialMovingAverage, Schedule, build_optimizers, rate


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The defaults suit a small network on a CPU; the paper's are given behind each field."""

    data: tuple[str, ...]
    """Folders of HR images."""
    output: str
    """Folder for `last.pt` (to resume from), `best.safetensors`, `final.safetensors` and `log.csv`."""
    validation: str | None = None
    """Folder of HR images for the PSNR that picks `best.safetensors`."""
    validation_images: int | None = None
    """Only the first so many of them."""
    init: str | None = None
    """Weights to start from; tensors of another shape (the decoder of another scale) start fresh."""
    steps: int = 10_000  # paper: 500K for x2, 250K for x3 and x4
    batch: int = 8  # paper: 48
    patch: int = 32  # side in LR pixels; paper: 64
    optimizer: Literal["adam", "muon"] = "muon"  # paper: adam
    lr: float = 6e-4  # Adam's peak rate; paper: 5e-4 for x2, 2e-4 for x3 and x4
    matrix_lr: float = 6e-3  # Muon's
    schedule: Schedule = "cosine"  # paper: halving
    warmup: int = 100  # steps
    clip: float = 0.5  # largest norm of the gradient
    ema: float = 0.999
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    seed: int = 0
    device: str = "cpu"
    report_every: int = 50  # steps
    validate_every: int = 500  # steps; last.pt is written as often

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "patch", "report_every", "validate_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}.")


@dataclass(frozen=True)
class TrainReport:
    """How a run is doing."""

    step: int
    steps: int
    loss: float
    """Mean L1 loss since the last report, for values in [0, 1]."""
    lr: float
    seconds: float
    """Spent training since this process began, validation included."""
    psnr_y: float | None
    """Mean validation PSNR of the averaged weights in dB, when it was measured at this step."""
    notes: tuple[str, ...] = ()
    """What could not be had of precision or compilation, a sentence each; said once."""


def train(model: ModelConfig, config: TrainConfig) -> Generator[TrainReport, None, Path]:
    """Trains a network, from the last saved state if the output folder holds one.

    Yields:
        A report every `report_every` steps, and at each validation.

    Returns:
        Path of the best weights (of the final ones, without validation images).

    Raises:
        UserError: unusable data, an output folder that holds another run, or a loss that is no number any more.
    """
    run = _Run(model, config)
    patches = load_patches([Path(folder) for folder in config.data], model.scale, config.patch)
    validation = _validation_pairs(config, model.scale)
    started, since_report = time.monotonic(), 0
    total = torch.zeros((), device=config.device)
    for step in range(run.step, config.steps):
        total += run.advance(patches)
        since_report += 1
        due = (step + 1) % config.validate_every == 0 or step + 1 == config.steps
        if not due and (step + 1) % config.report_every:
            continue
        loss = float(total) / since_report
        if loss != loss:
            raise UserError(f"The loss is no number after step {step + 1}: start anew with a lower lr.")
        psnr = run.validate(validation) if due and validation else None
        if due:
            run.save()
        seconds, notes = time.monotonic() - started, run.acceleration.take_notes()
        report = TrainReport(step + 1, config.steps, loss, run.lr, seconds, psnr, notes)
        _log(run.output / "log.csv", report)
        total.zero_()
        since_report = 0
        yield report
    return run.finish(bool(validation))


class _Run:
    """The state of a run: everything that `last.pt` holds."""

    def __init__(self, model: ModelConfig, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.output = Path(config.output)
        self.last = self.output / "last.pt"
        self.network = PromptSR(model).to(config.device)
        if config.init is not None:
            _load_matching(self.network, load_checkpoint(Path(config.init)))
        self.acceleration = Acceleration(self.network, config.device, config.precision, config.compile)
        self.optimizers = build_optimizers(self.network, config.optimizer, config.lr, config.matrix_lr)
        self.peaks = [group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups]
        self.average = ExponentialMovingAverage(self.network, config.ema)
        self.step = 0
        self.best: float | None = None
        if self.last.exists():
            self._resume()

    @property
    def lr(self) -> float:
        return float(self.optimizers[-1].param_groups[0]["lr"])

    def advance(self, patches: PatchSampler) -> Tensor:
        """One optimisation step; returns the loss. Depends on the seed and the step's number only."""
        c = self.config
        factor = rate(c.schedule, self.step, c.steps, c.warmup)
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group, peak in zip(groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        lr, hr = (images.to(c.device) for images in patches.batch(c.batch, (c.seed, self.step)))
        loss = self.acceleration.backward(lambda network: (network(lr) - hr).abs().mean())  # eq. 5
        nn.utils.clip_grad_norm_(self.network.parameters(), c.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.average.update(self.network, self.step)
        self.step += 1
        return loss

    def validate(self, pairs: list[tuple[Tensor, Tensor]]) -> float:
        """Mean PSNR-Y of the averaged weights; keeps them as `best.safetensors` if they are the best so far."""
        judge = PromptSR(self.network.config).to(self.config.device).eval()
        judge.load_state_dict(self.average.weights)
        with torch.inference_mode():
            results = [quantize(judge(lr.to(self.config.device))).cpu() for _, lr in pairs]
        border = self.network.config.scale
        psnr = sum(psnr_y(sr, hr, border) for sr, (hr, _) in zip(results, pairs, strict=True)) / len(pairs)
        if self.best is None or psnr > self.best:
            self.best = psnr
            self._export("best.safetensors", psnr)
        return psnr

    def save(self) -> None:
        with replacing(self.last) as temporary:
            torch.save(self._state(), temporary)

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.network.config.to_dict(),
            "train": asdict(self.config),
            "step": self.step,
            "best": self.best,
            "network": self.network.state_dict(),
            "average": self.average.weights,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def finish(self, validated: bool) -> Path:
        self._export("final.safetensors", None)
        return self.output / ("best.safetensors" if validated else "final.safetensors")

    def _export(self, name: str, psnr: float | None) -> None:
        info = {"train": _provenance(self.config), "step": self.step, "validation_psnr_y": psnr}
        save_checkpoint(self.output / name, self.network.config, self.average.weights, info)

    def _resume(self) -> None:
        try:
            state: dict[str, Any] = torch.load(self.last, weights_only=True, map_location=self.config.device)
            if state.keys() != self._state().keys():
                raise ValueError("this is the state of something else")
        except Exception as error:  # torch raises whatever the unpickler meets in a damaged file
            raise CheckpointError(f"{self.last} is damaged: remove it to start anew, or restore it.") from error
        mine = {"model": self.network.config.to_dict(), "train": asdict(self.config)}
        for kind, settings in mine.items():
            changed = [
                key for key, value in settings.items() if state[kind].get(key) != value and key not in _MAY_CHANGE
            ]
            if changed:
                raise ConfigError(
                    f"{self.output} holds a run with another {', '.join(changed)}: choose another output folder, or "
                    f"the same settings to resume it."
                )
        self.network.load_state_dict(state["network"])
        self.average.weights = state["average"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.best = state["step"], state["best"]


# What may differ between the legs of one run without making it another run
_MAY_CHANGE = {"data", "output", "validation", "validation_images", "init", "compile", "device", "report_every"}


def _provenance(config: TrainConfig) -> dict[str, Any]:
    """What made the weights, for whoever gets them: folders by name, since paths mean nothing on other machines."""
    settings = asdict(config)
    for key in ("output", "report_every", "validate_every"):
        del settings[key]
    settings["data"] = [Path(folder).name for folder in config.data]
    for key in ("validation", "init"):
        settings[key] = settings[key] and Path(settings[key]).name
    return settings


def _load_matching(network: nn.Module, source: nn.Module) -> None:
    wanted = network.state_dict()
    state = {k: v for k, v in source.state_dict().items() if k in wanted and v.shape == wanted[k].shape}
    if "encoder.weight" not in state:
        raise CheckpointError("The initial weights have another number of channels than this network: choose others.")
    network.load_state_dict(state, strict=False)


def _validation_pairs(config: TrainConfig, scale: int) -> list[tuple[Tensor, Tensor]]:
    if config.validation is None:
        return []
    paths = find_images(Path(config.validation))[: config.validation_images]
    return [load_pair(path, scale) for path in paths]


def _log(path: Path, report: TrainReport) -> None:
    fresh = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = {name: value for name, value in asdict(report).items() if name != "notes"}
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(figures))
        if fresh:
            writer.writeheader()
        writer.writerow(figures)
