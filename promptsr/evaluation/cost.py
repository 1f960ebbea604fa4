"""Cost of a model for a result of 1280 x 720, as in Table III: multiply-adds in both conventions, time and memory.

python -m promptsr.evaluation.cost MODEL DEVICE    # prints JSON; `measure_cost` starts it
"""

import promptsr.wait_policy  # noqa: F401
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from promptsr.complexity.counting import count
from promptsr.support.errors import UserError
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import find_device

_HEIGHT, _WIDTH = 720, 1280
_SMALL = 48
"""Side of the input of a first pass, in which whatever is set up once is set up."""


@dataclass(frozen=True)
class Cost:
    """Costs of one forward pass; None where they cannot be counted or measured."""

    published_parameters: int | None = None
    """Here and below: counted by thop's convention, see `promptsr.complexity.counting`."""
    multiply_adds: int | None = None
    published_multiply_adds: int | None = None
    seconds: float | None = None
    """Time of a single pass over the whole image."""
    peak_bytes: int | None = None
    """The most that the pass held beyond what there was before it."""


def measure_cost(name: str, device: str = "cpu") -> Cost:
    """Measure a model in a process of its own, so that its memory is told from that of others.

    Args:
        name: as `load_model` takes it.
        device: as `find_device` takes it.

    Raises:
        UserError: the process failed, for example because memory ran out.
    """
    command = [sys.executable, "-m", "promptsr.evaluation.cost", name, device]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{name} could not be measured on {_WIDTH} x {_HEIGHT} (exit code {done.returncode}): {reason}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def resident() -> tuple[int, int]:
    """Return the bytes of this process that are in memory now, and the most that there were.

    From what Linux tells about this process: what `resource` tells begins with the peak of the process that started it.

    Raises:
        UserError: this is not Linux.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError as error:
        raise UserError("Memory is measured as Linux tells it: measure on Linux.") from error
    now, peak = (1024 * int(status.partition(key)[2].split()[0]) for key in ("VmRSS:", "VmHWM:"))
    return now, peak


def main() -> None:
    """Measure and print, in the process of its own."""
    name, device = sys.argv[1:]
    model = load_model(name).to(find_device(device))
    height, width = (-(-side // model.scale) for side in (_HEIGHT, _WIDTH))
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(model.device)
    with torch.inference_mode():
        model(image[:, :, :_SMALL, :_SMALL])
        before, _ = _held(model.device)
        begun = time.perf_counter()
        model(image)
        _, peak = _held(model.device)
        seconds = time.perf_counter() - begun
    cost = Cost(seconds=seconds, peak_bytes=None if peak is None or before is None else peak - before)
    if model.parameter_count is None:  # else it is no network of PyTorch
        found = count(model.network.cpu(), height, width)
        names = ("published_parameters", "multiply_adds", "published_multiply_adds")
        cost = replace(cost, **{name: getattr(found, name) for name in names})
    print(json.dumps(asdict(cost)))


def _held(device: torch.device) -> tuple[int | None, int | None]:
    """Return the bytes that are held now and the most that there were, after all work on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    try:
        return resident()
    except UserError:  # not Linux
        return None, None


if __name__ == "__main__":
    main()
