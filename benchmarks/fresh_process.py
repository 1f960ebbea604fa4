"""The memory of one forward pass, measured in a process of its own.

    python benchmarks/fresh_process.py MODEL HEIGHT WIDTH THREADS DEVICE DTYPE    # prints JSON; `measure` starts it

On the CPU it is memory resident in the whole process, Python, torch and the network's package included; on a GPU what
torch allocated there.
"""

import promptsr.wait_policy  # noqa: F401
import json
import subprocess
import sys
from dataclasses import asdict, dataclass

import torch

from benchmarks.contenders import build
from benchmarks.passes import Settings, forward_pass
from promptsr.evaluation.cost import resident
from promptsr.support.errors import UserError

_SMALL = 16


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    before: int
    """Held when the pass begins."""
    peak_before: int
    """The most that was held until then, by imports and by building the network. Below `peak`, or that says nothing
    about the pass."""
    peak: int
    """The most that was held at all."""


def measure(name: str, height: int, width: int, settings: Settings) -> Memory:
    """Run network `name` once, in a new process.

    Raises:
        UserError: it failed; its own message is on stderr.
    """
    command = [sys.executable, __file__, name, str(height), str(width), *map(str, asdict(settings).values())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError(
            f"{name} failed on {height} x {width} in a process of its own (exit code {done.returncode}): if memory ran "
            "out, choose a smaller size."
        )
    return Memory(**json.loads(done.stdout))


def main() -> None:
    """Measure and print, in the process of its own."""
    name, height, width, threads, device, dtype = sys.argv[1:]
    settings = Settings(int(threads), device, dtype)
    torch.set_num_threads(settings.threads)
    contender = build(name)
    assert contender is not None, "the caller has built it as well"
    # Whatever is loaded and set up once at any size belongs to what was held before.
    forward_pass(contender, _SMALL, _SMALL, settings)()
    run = forward_pass(contender, int(height), int(width), settings)
    before, peak_before = _held(device)
    run()
    print(json.dumps(asdict(Memory(before, peak_before, _held(device)[1]))))


def _held(device: str) -> tuple[int, int]:
    if device == "cuda":
        return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    return resident()


if __name__ == "__main__":
    main()
