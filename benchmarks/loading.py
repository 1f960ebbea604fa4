"""How many training crops a second come out of the cache of decoded images, and how long filling it takes.

    python benchmarks/loading.py FOLDER [FOLDER ...] [--workers 0 1 2] [--patch 64] [--scale 4]

The cache is a fresh one in a temporary folder, so nothing is decoded beforehand (the system may keep its files in
memory afterwards, as it does in a training). Prints the table that `benchmarks/results/loading.md` keeps.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.passes import Settings
from benchmarks.report import RESULTS, head, publish_text, warn_if_busy
from promptsr.data.cache import read_images
from promptsr.data.crops import RandomCrops, Share, load_crops
from promptsr.data.pairs import find_pairs
from promptsr.support.markdown_tables import markdown
from promptsr.support.progress import finish


def crops_per_second(crops: RandomCrops, workers: int, patch: int, batch: int, seconds: float) -> float:
    """Measure batches as a training draws them, after the first few."""
    share = Share(range(1_000_000), lambda step: (batch, patch), 0, 1, 1)
    batches = load_crops(crops, share, workers, pin_memory=False)
    for _ in range(2 + 2 * workers):
        next(batches)
    begun = time.monotonic()
    for count in itertools.count(1):
        next(batches)
        if (taken := time.monotonic() - begun) > seconds:
            return count * batch / taken
    raise AssertionError("counting never ends")


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--patch", type=int, default=64, help="side in LR pixels")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10, help="for each line")
    arguments = parser.parse_args()
    warn_if_busy(max(1, *arguments.workers))
    pairs = [pair for folder in arguments.folders for pair in find_pairs(folder, None)]
    with tempfile.TemporaryDirectory() as cache:
        taken = []
        for _ in range(2):
            begun = time.monotonic()
            images = finish(read_images(pairs, arguments.scale, Path(cache))).images
            taken.append(time.monotonic() - begun)
        crops = RandomCrops(images, arguments.scale, seed=0)
        lines = []
        for workers in arguments.workers:
            speed = crops_per_second(crops, workers, arguments.patch, arguments.batch, arguments.seconds)
            lines.append({"workers": str(workers), "crops a second": f"{speed:.0f}"})
    pixels = sum(image.hr.array.shape[0] * image.hr.array.shape[1] for image in images)
    written = (
        f"{head('Loading', 'loading', Settings(torch.get_num_threads()))}\n\n"
        f"{len(images)} images of {pixels / 1e6:.0f} megapixels together: {taken[0]:.1f} s to decode them, shrink them "
        f"and measure their texture, once; {taken[1]:.2f} s to open them from the cache in later runs. Then, pairs of "
        f"crops of {arguments.patch} x {arguments.patch} LR pixels, x{arguments.scale}, in batches of "
        f"{arguments.batch} (0 workers: in the process that trains, between its steps):\n\n{markdown(lines)}"
    )
    publish_text(RESULTS / "loading.md", written)


if __name__ == "__main__":
    main()
