"""Jobs that users wait for, repeated for some seconds; `against.py` starts it, also in checkouts of older commits.

    python benchmarks/jobs.py training 8 32 --seconds 10    # prints seconds of every pass as JSON

upscaling SIDE: a forward pass of the paper's network, x4, on SIDE x SIDE pixels
attribution SIDE: a local attribution map of 12 steps with the bundled x4 network, on SIDE x SIDE pixels
training BATCH PATCH: a step of the paper's network, x4, with both optimisers
"""

import promptsr  # before torch: it chooses how threads wait

# isort: split
import argparse
import json
import time
from collections.abc import Callable

import torch

from analysis import LocalAttributionMap, PathSettings, Region

SCALE = 4


def upscaling(side: int) -> Callable[[], object]:
    """Return a pass."""
    network = promptsr.build_model("promptsr", scale=SCALE).eval()
    image = torch.rand(1, 3, side, side)

    def run() -> object:
        with torch.inference_mode():
            return network(image)

    return run


def attribution(side: int) -> Callable[[], object]:
    """Return a pass."""
    network = promptsr.load_model("promptsr-tiny-x4").network
    image, middle = torch.rand(1, 3, side, side), SCALE * side // 2
    settings = PathSettings(12, rule="right")
    return lambda: list(LocalAttributionMap(network).stream(image, Region(middle, middle, 16), settings))


def training(batch: int, patch: int) -> Callable[[], object]:
    """Return a pass."""
    from promptsr.training.optimizers import build_optimizers

    network = promptsr.build_model("promptsr", scale=SCALE).train()
    optimizers = build_optimizers(network, "muon", 1e-6, 1e-6)
    lr, hr = torch.rand(batch, 3, patch, patch), torch.rand(batch, 3, SCALE * patch, SCALE * patch)

    def run() -> None:
        (network(lr) - hr).abs().mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return run


def main() -> None:
    """Run one job."""
    parser = argparse.ArgumentParser()
    jobs: dict[str, Callable[..., Callable[[], object]]] = {
        "upscaling": upscaling,
        "attribution": attribution,
        "training": training,
    }
    parser.add_argument("job", choices=jobs)
    parser.add_argument("sizes", type=int, nargs="+")
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    torch.manual_seed(0)
    run = jobs[given.job](*given.sizes)
    run()
    taken: list[float] = []
    end = time.perf_counter() + given.seconds
    while not taken or time.perf_counter() < end:
        begun = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begun)
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
