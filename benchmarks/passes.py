"""Forward passes and training steps: the same input, threads, device and precision for every network."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.contenders import Contender
from promptsr.support.errors import ConfigError

SCALE = 4
"""Scale of the networks that are trained."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_PRODUCT_SIDES = {"cpu": 2048, "cuda": 8192}  # a GPU is not filled by less


@dataclass(frozen=True)
class Settings:
    """Threads, device and precision of one run.

    Raises:
        ConfigError: an impossible value.
    """

    threads: int
    """Threads of the CPU."""
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
    """The first columns of every row about one forward pass."""

    model: str
    height: int
    """Size of the LR input, pixels."""
    width: int
    threads: int
    device: str
    dtype: str


def forward_pass(contender: Contender, height: int, width: int, settings: Settings) -> Callable[[], None]:
    """Return a pass over a random height x width image, the same for all networks; it waits for the device."""
    network = contender.network.to(settings.device)
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(settings.device)

    @torch.inference_mode()
    def run() -> None:
        with contender.running(), autocast(settings):
            network(image.clone())  # RCAN writes into its input
        wait(settings)

    return run


def training_phases(
    network: Callable[[Tensor], Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
    batch: int,
    patch: int,
    settings: Settings,
) -> dict[str, Callable[[], None]]:
    """Return a training step on random crops: forward with the L1 loss, backward, and update.

    Args:
        network: B x 3 x H x W -> B x 3 x 4H x 4W, on the device of the run.
        optimizers: of its weights.
        batch: crops.
        patch: side of the LR crops, pixels.
        settings: of the run.
    """
    generator = torch.Generator().manual_seed(0)
    sides = (patch, SCALE * patch)
    lr, hr = (torch.rand(batch, 3, side, side, generator=generator).to(settings.device) for side in sides)
    loss = torch.zeros(())

    def forward() -> None:
        nonlocal loss
        with autocast(settings):
            loss = (network(lr) - hr).abs().mean()

    def update() -> None:
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return {"forward": forward, "backward": lambda: loss.backward(), "update": update}


def one_after_another(phases: dict[str, Callable[[], None]], settings: Settings | None = None) -> Callable[[], None]:
    """Return all phases as one step, which with `settings` returns when the device has done it."""

    def step() -> None:
        for phase in phases.values():
            phase()
        if settings is not None:
            wait(settings)

    return step


def product_size(settings: Settings) -> int:
    """Return the side of the square matrices of `matrix_product`."""
    return _PRODUCT_SIDES[settings.device]


def matrix_product(settings: Settings) -> Callable[[], None]:
    """Return a product of two square matrices; on the CPU always in float32, on a GPU in the precision of the run."""
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
    """Return the seconds that it takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def autocast(settings: Settings) -> torch.autocast:
    """Return the context that computes in the precision of the run."""
    return torch.autocast(settings.device, torch.bfloat16, enabled=settings.dtype == "bfloat16")


def wait(settings: Settings) -> None:
    """Wait until the device has finished."""
    if settings.device == "cuda":
        torch.cuda.synchronize()
