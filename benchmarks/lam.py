"""Time of local attribution maps against bare passes of the same network.

    python benchmarks/lam.py [--model NAME] [--side 64] [--steps 50] [--at-once 4] [--repeats 3]

Without a model it takes the full x4 preset of the paper, untrained: weights do not change the time. Passes of the
map and bare forward and backward passes (the gradient of the output's sum to the image, as many points at once) take
turns, so that other work on the machine slows both alike. Prints seconds, and their ratio for each repeat.
"""

import promptsr.wait_policy  # noqa: F401
import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from analysis.common.image_windows import Region
from analysis.lam.attribution import AT_ONCE, WINDOW, PathSettings
from analysis.lam.method import LocalAttributionMap
from promptsr.config import preset
from promptsr.model.network import PromptSR
from promptsr.zoo.load import load_model


def network(name: str | None) -> nn.Module:
    """Return a model of the zoo, or the paper's network with fresh weights."""
    torch.manual_seed(0)
    return load_model(name).network if name else PromptSR(preset("promptsr", scale=4)).eval()


def bare_pass(module: nn.Module, images: Tensor) -> None:
    """Run one forward pass, and one backward pass to the images."""
    images = images.clone().requires_grad_()
    torch.autograd.grad(module(images).sum(), images)


def compare(module: nn.Module, image: Tensor, steps: int, at_once: int) -> tuple[float, float]:
    """Return the seconds of a map, and of a bare pass for each of its steps."""
    sizes = [min(at_once, steps - start) for start in range(0, steps, at_once)]
    settings = PathSettings(steps, rule="right")
    stream = LocalAttributionMap(module).stream(image, Region(120, 120, WINDOW), settings, at_once=at_once)
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="of the zoo")
    parser.add_argument("--side", type=int, default=64, help="of the LR image")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    module = network(arguments.model)
    image = torch.rand(1, 3, arguments.side, arguments.side, generator=torch.Generator().manual_seed(0))
    bare_pass(module, image)  # warm up
    ratios = []
    for _ in range(arguments.repeats):
        lam, bare = compare(module, image, arguments.steps, arguments.at_once)
        ratios.append(lam / bare)
        print(f"map {lam:.1f} s, {arguments.steps} bare passes {bare:.1f} s: ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
