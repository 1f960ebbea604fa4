"""Times local attribution maps against bare passes of the same network, and measures their peak memory.

    python benchmarks/lam.py [--model NAME] [--side 64] [--steps 50] [--at-once 4] [--repeats 3] [--memory]

Without a model it takes the full x4 preset of the paper, untrained: what the weights say costs nothing. Passes of the
map and bare forward and backward passes (the gradient of the output's sum to the image, as many points at once) take
turns, so that other work on the machine slows both alike. Prints seconds, and their ratio for each repeat; with
--memory also the peak memory of a map, each in a process of its own, for 1, 2, 4, ... points at once.
"""

import promptsr.wait_policy  # noqa: F401
import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch
from torch import Tensor, nn

from analysis.comparison.compare import Region
from analysis.lam.attribution import PathSettings
from analysis.lam.method import AT_ONCE, WINDOW, LocalAttributionMap
from promptsr.config import preset
from promptsr.model.network import PromptSR
from promptsr.zoo.load import load_model


def network(name: str | None) -> nn.Module:
    """A model of the zoo, or the paper's network with fresh weights."""
    torch.manual_seed(0)
    return load_model(name).network if name else PromptSR(preset("promptsr", scale=4)).eval()


def bare_pass(module: nn.Module, images: Tensor) -> None:
    """One forward pass, and one backward pass to the images."""
    images = images.clone().requires_grad_()
    torch.autograd.grad(module(images).sum(), images)


def compare(module: nn.Module, image: Tensor, steps: int, at_once: int) -> tuple[float, float]:
    """Seconds of a map, and of a bare pass for each of its steps."""
    sizes = [min(at_once, steps - start) for start in range(0, steps, at_once)]
    stream = LocalAttributionMap(module).stream(image, Region(120, 120, WINDOW), PathSettings(steps), at_once=at_once)
    lam = bare = 0.0
    running = True
    while running or sizes:
        begun = time.perf_counter()
        running = running and next(stream, None) is not None
        lam += time.perf_counter() - begun
        if sizes:
            images = image.expand(sizes.pop(), -1, -1, -1)
            begun = time.perf_counter()
            bare_pass(module, images)
            bare += time.perf_counter() - begun
    return lam, bare


def peak_memory(module: nn.Module, image: Tensor, at_once: int) -> int:
    """Bytes that one pass of a map needs at most beyond what the process held before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stream = LocalAttributionMap(module).stream(image, Region(120, 120, WINDOW), at_once=at_once)
    next(stream)
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="of the zoo")
    parser.add_argument("--side", type=int, default=64, help="of the LR image")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    module = network(arguments.model)
    image = torch.rand(1, 3, arguments.side, arguments.side, generator=torch.Generator().manual_seed(0))
    if arguments.peak:
        print(peak_memory(module, image, arguments.at_once))
        return
    if arguments.memory:
        for at_once in (1, 2, 4, 8):
            command = [sys.executable, __file__, *sys.argv[1:], "--peak", "--at-once", str(at_once)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{at_once} at once: peak {int(done.stdout) / 2**20:.0f} MiB", flush=True)
    bare_pass(module, image)  # warm up
    ratios = []
    for _ in range(arguments.repeats):
        lam, bare = compare(module, image, arguments.steps, arguments.at_once)
        ratios.append(lam / bare)
        print(f"map {lam:.1f} s, {arguments.steps} bare passes {bare:.1f} s: ratio {ratios[-1]:.3f}", flush=True)
    if ratios:
        print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
