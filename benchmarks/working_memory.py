"""Working memory of a forward pass, and the constants fitted to it that `--tile auto` goes by.

    python benchmarks/working_memory.py [MODEL ...] [--sides 96 128 192 256]

Models are named as in `benchmarks/speed.py`; without any, it measures those whose constants stand in
`promptsr/zoo/memory.py`. Each size runs in a process of its own: the most that was resident, minus what was resident
before the call and after a first, small one. Ours are measured with and without their kernels, since the same tiles
must do for both. The line is the least-squares one through the larger of both, raised until no measured size lies above
it. Prints a table, and the lines of `promptsr.zoo.memory.MEASURED`. It needs no idle machine. Linux only.
"""

import argparse

import numpy as np
import torch

from benchmarks.contenders import build
from benchmarks.fresh_process import measure
from benchmarks.passes import Settings
from benchmarks.report import head
from promptsr import kernels
from promptsr.support.markdown_tables import markdown
from promptsr.zoo.memory import MEASURED, WorkingMemory


def peak(name: str, side: int, settings: Settings) -> int | None:
    """Return the bytes that a pass over side x side pixels takes; None if imports took more, which hides it."""
    found = measure(name, side, side, settings)
    return found.peak - found.before if found.peak > found.peak_before else None


def variants(name: str) -> list[str]:
    """Return the network as it runs here, and in plain torch if that is something else."""
    ours = name.startswith("promptsr")
    return [name, f"{name}-torch"] if ours and kernels.why_not() is None else [name]


def fit(pixels: list[int], peaks: list[int]) -> WorkingMemory:
    """Fit the least-squares line, raised until no point lies above it."""
    per_pixel = int(np.ceil(np.polyfit(pixels, peaks, 1)[0]))
    above = (taken - per_pixel * count for count, taken in zip(pixels, peaks, strict=True))
    return WorkingMemory(per_pixel, max(0, *above))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[f"{name}-x{scale}" for name, scale in MEASURED])
    parser.add_argument("--sides", nargs="+", type=int, default=[96, 128, 192, 256], help="LR pixels")
    arguments = parser.parse_args()

    settings = Settings(torch.get_num_threads())
    lines, constants = [], []
    for name in arguments.models:
        if build(name) is None:
            continue
        sides, largest = [], []
        for side in arguments.sides:
            peaks = {variant: peak(variant, side, settings) for variant in variants(name)}
            for variant, taken in peaks.items():
                megabytes, pixel = ("", "") if taken is None else (f"{taken / 1e6:.1f}", f"{taken / side**2:.0f}")
                lines.append({"model": variant, "side": str(side), "10^6 bytes": megabytes, "bytes per pixel": pixel})
                print(*lines[-1].values(), sep="\t", flush=True)
            known = [taken for taken in peaks.values() if taken is not None]
            if known:
                sides.append(side)
                largest.append(max(known))
        constants.append((name, fit([side**2 for side in sides], largest)))
    print(f"\n{head('Working memory', 'working_memory', settings)}\n\n{markdown(lines)}")
    for name, memory in constants:
        preset, _, scale = name.rpartition("-x")
        print(f'    ("{preset}", {scale}): {memory},')


if __name__ == "__main__":
    main()
