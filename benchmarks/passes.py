"""A forward pass, ready to be run: the same input, threads, device and precision for every network."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.contenders import Contender
from promptsr.support.errors import ConfigError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_PRODUCT_SIDES = {"cpu": 2048, "cuda": 8192}  # a GPU is not filled by less


@dataclass(frozen=True)
class Settings:
    """How everything of one run is computed.

    Raises:
        ConfigError: a value that cannot be.
    """

    threads: int
    """Of the CPU."""
    device: str = "cpu"
    dtype: str = "float32"
    """bfloat16 is torch's autocast; weights and input stay float32."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"--threads must be at least 1, not {self.threads}.")
        if self.device not in _PRODUCT_SIDES:
            raise ConfigError(f"--device must be cpu or cuda, not {self.device!r}.")
        if self.dtype not in _DTYPES:
            raise ConfigError(f"--dtype must be float32 or bfloat16, not {self.dtype!r}.")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("There is no GPU that this PyTorch can use: choose --device cpu.")


@dataclass(frozen=True)
class PassRow:
    """What every row about one forward pass begins with."""

    model: str
    height: int
    """Of the LR input, pixels."""
    width: int
    threads: int
    device: str
    dtype: str


def forward_pass(contender: Contender, height: int, width: int, settings: Settings) -> Callable[[], None]:
    """Upscales one random image of height x width, the same for all networks; returns when the result is there."""
    network = contender.network.to(settings.device)
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(settings.device)

    @torch.inference_mode()
    def run() -> None:
        with contender.running(), autocast(settings):
            network(image.clone())  # RCAN writes into its input
        wait(settings)

    return run


def product_size(settings: Settings) -> int:
    """Side of the square matrices of `matrix_product`."""
    return _PRODUCT_SIDES[settings.device]


def matrix_product(settings: Settings) -> Callable[[], None]:
    """A product of two square matrices; on the CPU always in float32, on a GPU in the precision of the run."""
    side = product_size(settings)
    dtype = _DTYPES[settings.dtype] if settings.device == "cuda" else torch.float32
    left, right = (torch.rand(side, side, device=settings.device).to(dtype) for _ in range(2))
    result = torch.empty_like(left)

    @torch.inference_mode()
    def run() -> None:
        torch.mm(left, right, out=result)
        wait(settings)

    return run


def clock(run: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def autocast(settings: Settings) -> torch.autocast:
    """The context that computes in the precision of the run."""
    return torch.autocast(settings.device, torch.bfloat16, enabled=settings.dtype == "bfloat16")


def wait(settings: Settings) -> None:
    """Until the device has done all it was told to."""
    if settings.device == "cuda":
        torch.cuda.synchronize()
