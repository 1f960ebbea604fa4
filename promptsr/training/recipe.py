"""Everything that decides what a training does, as one immutable value."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from promptsr.config import ModelConfig
from promptsr.support.errors import ConfigError


@dataclass(frozen=True)
class Crops:
    """Crops of a step."""

    patch: int
    """Side in LR pixels."""
    batch: int

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Recipe:
    """One training. The defaults suit a small network on a CPU; `configs/x2.yaml` is the paper's recipe.

    Raises:
        ConfigError: a value that no training can have.
    """

    data: tuple[str, ...]
    """Folders of HR images."""
    model: ModelConfig = field(default_factory=ModelConfig)
    validation: str | None = None
    """Folder of HR images for the PSNR that picks `best.safetensors`."""
    validation_images: int | None = None
    """Only the first so many of them."""
    init: tuple[str, ...] = ()
    """Weights to start from, or the `last.ckpt` of a run (its averaged weights); of several the mean. What has another
    shape, the decoder of another scale, starts fresh."""
    steps: int = 10_000
    batch: int = 8
    """Crops of a step, over all devices together."""
    patch: int = 64
    """Side of the crops in LR pixels."""
    first_half: Crops | None = None
    """What the first half of the steps uses instead of `patch` and `batch`."""
    accumulate: int = 1
    """Parts that a device takes its share of the batch in, for less memory."""
    loss: Literal["l1", "mse"] = "l1"
    """Mean absolute (eq. 5) or squared error."""
    teacher: str | None = None
    """Another model of the same scale, as `promptsr.zoo.load.load_model` names it, whose results are learned too."""
    teacher_share: float = 0.5
    """Of the loss: its part that compares with the teacher's results; the rest compares with the HR images."""
    optimizer: Literal["adam", "muon"] = "muon"
    """Adam as in the paper, or Muon for the matrices and Adam for the rest."""
    lr: float = 6e-4
    """Adam's peak rate."""
    matrix_lr: float = 6e-3
    """Muon's peak rate."""
    halve_at: tuple[int, ...] = ()
    """Steps at which the rates are halved; without any they fall to zero along a cosine."""
    warmup: int = 100
    """Steps over which the rates rise to their peaks."""
    clip: float | None = 0.5
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Decay of the averaged weights, which are the ones that are validated and kept; 0: the trained weights."""
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    """torch.compile: slow start, faster steps on a GPU."""
    seed: int = 0
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto: a GPU if there is one."""
    threads: int | None = None
    """CPU threads of each process; null: what torch takes by itself, one for each core, under torchrun one."""
    workers: int = 0
    """Processes of each device that cut out crops ahead of time."""
    cache: str | None = None
    """Folder for decoded images; default: `images` in `promptsr.support.files.cache_folder`."""
    report_every: int = 50
    """Steps."""
    validate_every: int = 500
    """Steps; `last.ckpt` is written as often."""
    save_minutes: float = 5
    """`last.ckpt` is also written at a report if it is older than this."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "patch", "accumulate", "report_every", "validate_every"):
            _at_least(name, getattr(self, name), 1)
        for name in ("lr", "matrix_lr", "warmup", "ema", "seed", "workers", "save_minutes"):
            _at_least(name, getattr(self, name), 0)
        if self.first_half is not None:
            _at_least("first_half.patch", self.first_half.patch, 1)
            _at_least("first_half.batch", self.first_half.batch, 1)
        for name in ("validation_images", "threads"):
            if getattr(self, name) is not None:
                _at_least(name, getattr(self, name), 1)
        if self.clip is not None and not self.clip > 0:
            raise ConfigError(f"clip must be greater than 0, or null for none, not {self.clip}.")
        if not 0 <= self.teacher_share <= 1:
            raise ConfigError(f"teacher_share must lie between 0 and 1, not {self.teacher_share}.")
        if self.ema >= 1:
            raise ConfigError(f"ema must be less than 1, not {self.ema}.")
        if not self.data:
            raise ConfigError("data is empty: give at least one folder of HR images, as in data=photos/.")

    def size_at(self, step: int) -> tuple[int, int]:
        """Batch and patch of a step (0, 1, ...)."""
        crops = self.first_half if self.first_half is not None and step < self.steps // 2 else self
        return crops.batch, crops.patch

    @property
    def largest_patch(self) -> int:
        """Side in LR pixels of the largest crops of the run."""
        return max(self.patch, self.first_half.patch if self.first_half is not None else 0)

    @property
    def smallest_batch(self) -> int:
        """Of the run."""
        return min(self.batch, self.first_half.batch if self.first_half is not None else self.batch)


# What may differ between the legs of one run without making it another run
MAY_CHANGE = frozenset(
    {
        "data",
        "validation",
        "validation_images",
        "init",
        "accumulate",
        "compile",
        "device",
        "threads",
        "workers",
        "cache",
        "report_every",
        "validate_every",
        "save_minutes",
    }
)


def provenance(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the training provenance stored with weights: folders by name, since paths mean nothing elsewhere.

    Args:
        settings: `dataclasses.asdict` of a recipe; not changed.
    """
    hidden = ("model", "threads", "workers", "cache", "report_every", "save_minutes")
    told = {key: value for key, value in settings.items() if key not in hidden}
    for key in ("data", "init"):
        told[key] = [Path(path).name for path in settings[key]]
    for key in ("validation", "teacher"):
        told[key] = settings[key] and Path(settings[key]).name
    return told


def _at_least(name: str, value: float, least: int) -> None:
    if not value >= least:  # NaN neither
        raise ConfigError(f"{name} must be at least {least}, not {value}.")
