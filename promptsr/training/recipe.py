"""Everything that decides what a training does, as one immutable value."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from promptsr.config import ModelConfig, preset
from promptsr.support.errors import ConfigError
from promptsr.support.settings import settings

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Paths = Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


def _network(value: object) -> ModelConfig:
    """Return the settings of a network; a dictionary of them may name a preset whose settings they replace."""
    if isinstance(value, ModelConfig):
        return value
    if not isinstance(value, dict):
        raise ConfigError(f"model takes settings, such as preset: promptsr, not {value!r}.")
    changes = {"preset": "promptsr", **value}
    return preset(str(changes.pop("preset")), **changes)


def _rate(value: object) -> object:
    """Return a rate; anything else is probably a folder, since LR also stands for low resolution."""
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ConfigError(f"this is Adam's rate, not {value!r}; name folders of LR images by data_lr.") from None
    return value


@settings()
class Crops:
    """Crops of a step."""

    patch: Count
    """Side in LR pixels."""
    batch: Count


@settings()
class Recipe:
    """One training. The defaults suit a small network on a CPU; `configs/x2.yaml` is the paper's recipe.

    Raises:
        ConfigError: a value that no training can have.
    """

    data: Paths
    """Folders of HR images."""
    model: Annotated[ModelConfig, BeforeValidator(_network)] = field(default_factory=ModelConfig)
    data_lr: Paths = ()
    """Folders of the LR images, one for each of `data`, paired as `promptsr.data.pairs.find_pairs` says; without them
    LR images are made, by bicubic interpolation."""
    validation: str | None = None
    """Folder of HR images for the PSNR that picks `best.safetensors`."""
    validation_lr: str | None = None
    """Folder of their LR images."""
    validation_images: Count | None = None
    """Only the first so many of them."""
    init: Paths = ()
    """Weights to start from, or the `last.ckpt` of a run (its averaged weights); of several the mean. What has another
    shape starts fresh, but for the last layer of another scale, see `promptsr.training.initial.load_matching`."""
    steps: Count = 10_000
    batch: Count = 8
    """Crops of a step, over all devices together."""
    patch: Count = 64
    """Side of the crops in LR pixels."""
    first_half: Crops | None = None
    """Crops of the first half of the steps, instead of `patch` and `batch`."""
    accumulate: Count = 1
    """Parts that a device takes its share of the batch in, for less memory."""
    loss: Literal["l1", "mse"] = "l1"
    """Mean absolute (eq. 5) or squared error."""
    teacher: str | None = None
    """Another model of the same scale, as `promptsr.zoo.load.load_model` names it, whose results are learned too."""
    teacher_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the loss that compares with the teacher's results; the rest compares with the HR images."""
    optimizer: Literal["adam", "muon"] = "muon"
    """Adam as in the paper, or Muon for the matrices and Adam for the rest."""
    lr: Annotated[NotNegative, BeforeValidator(_rate)] = 6e-4
    """Adam's peak rate."""
    matrix_lr: NotNegative = 6e-3
    """Muon's peak rate."""
    halve_at: tuple[int, ...] = ()
    """Steps at which the rates are halved; without any they fall to zero along a cosine."""
    warmup: Natural = 100
    """Steps over which the rates rise to their peaks."""
    clip: Positive | None = 0.5
    """Largest norm of the gradient; null for no limit."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the averaged weights, which are the ones that are validated and kept; 0: the trained weights."""
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    """torch.compile: slow start, faster steps on a GPU."""
    seed: Natural = 0
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto: a GPU if there is one."""
    threads: Count | None = None
    """CPU threads of each process; null: what torch takes by itself, one for each core, under torchrun one."""
    workers: Natural = 0
    """Processes of each device that cut out crops ahead of time."""
    cache: str | None = None
    """Folder for decoded images; default: `images` in `promptsr.support.files.cache_folder`."""
    report_every: Count = 50
    """Steps."""
    validate_every: Count = 500
    """Steps; `last.ckpt` is written as often."""
    save_minutes: NotNegative = 5
    """`last.ckpt` is also written at a report if it is older than this."""

    def __post_init__(self) -> None:
        if not self.data:
            raise ConfigError("data is empty: give at least one folder of HR images, as in data=photos/.")
        if self.data_lr and len(self.data_lr) != len(self.data):
            raise ConfigError(f"data_lr names {len(self.data_lr)} folders for {len(self.data)} of data: give each one.")
        if self.validation_lr is not None and self.validation is None:
            raise ConfigError("validation_lr goes with validation, the folder of the HR images.")

    def size_at(self, step: int) -> tuple[int, int]:
        """Return the batch and the patch of a step (0, 1, ...)."""
        crops = self.first_half if self.first_half is not None and step < self.steps // 2 else self
        return crops.batch, crops.patch

    @property
    def largest_patch(self) -> int:
        """Side in LR pixels of the largest crops of the run."""
        return max(self.patch, self.first_half.patch if self.first_half is not None else 0)

    @property
    def smallest_batch(self) -> int:
        """Smallest batch of the run."""
        return min(self.batch, self.first_half.batch if self.first_half is not None else self.batch)


# What may differ between the legs of one run without making it another run; images are compared by name and size
MAY_CHANGE = frozenset(
    {
        "data",
        "data_lr",
        "validation",
        "validation_lr",
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
    kept = {key: value for key, value in settings.items() if key not in hidden}
    for key in ("data", "data_lr", "init"):
        kept[key] = [Path(path).name for path in settings.get(key, ())]  # older runs lack some
    for key in ("validation", "validation_lr", "teacher"):
        kept[key] = settings.get(key) and Path(settings[key]).name
    return kept
