"""Cost and effect of tiles: PSNR of images cut into tiles against whole ones, and seconds.

    python benchmarks/tiles.py PATH/TO/bench [--models MODEL ...] [--tiles 32 64 ...] [--sets Set14 Kodak24]

The network looks at a whole image at once, so that tiles change its answer. BENCH is as for `benchmarks/quality.py`:
Set14 is scored on its public LR images, Kodak24 on our own bicubic ones. Writes `benchmarks/results/tiles.csv` and
`tiles.md` (elsewhere with --out) and prints the latter.
"""

import promptsr.wait_policy  # noqa: F401
import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.passes import Settings
from benchmarks.report import RESULTS, head, publish_text, write_csv
from promptsr.data import load_pair
from promptsr.evaluation.benchmark_sets import find_sets
from promptsr.imaging.metrics import psnr_y, quantize
from promptsr.inference.upscaler import Upscaler
from promptsr.support.markdown_tables import markdown
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

MODELS = ("promptsr-tiny-x4", "promptsr-x4")


@dataclass(frozen=True)
class Row:
    """One model on one set at one tile size: means over its images."""

    model: str
    set: str
    tile: str
    """"whole", or the side of the tiles in LR pixels."""
    images: int
    cut: int
    """Images that are larger than a tile."""
    psnr_y: float
    """Against HR, dB."""
    psnr_y_to_whole: float | None
    """PSNR of the tiled result against the whole one, dB, over the images that were cut; None without any."""
    seconds: float
    """Per image."""


def measure(model: SRModel, name: str, pairs: list[tuple[Path, Path | None]], tiles: list[int]) -> Iterator[Row]:
    """Yield the rows of one model on the set `name`: whole images, then each tile size.

    Tile sizes take turns on every image, so that other work on the machine slows all alike.
    """
    settings: list[str | int] = ["whole", *tiles]
    workers = [Upscaler(model, tile=tile) for tile in settings]
    found: list[list[tuple[float, float, float]]] = [[] for _ in settings]  # PSNR-Y to HR, that to whole, seconds
    for hr_path, lr_path in pairs:
        hr, lr = load_pair(hr_path, model.scale, lr_path)
        whole = None
        for worker, images in zip(workers, found, strict=True):
            begun = time.perf_counter()
            sr = quantize(finish(worker.upscale_tensor(lr)))
            seconds = time.perf_counter() - begun
            whole = sr if whole is None else whole
            images.append((psnr_y(sr, hr, model.scale), psnr_y(sr, whole, 0), seconds))
    for tile, images in zip(settings, found, strict=True):
        to_hr, all_to_whole, seconds_taken = zip(*images, strict=True)
        to_whole = list(filter(math.isfinite, all_to_whole))
        yield Row(
            model.name,
            name,
            str(tile),
            len(images),
            len(to_whole),
            round(fmean(to_hr), 4),
            round(fmean(to_whole), 2) if to_whole else None,
            round(fmean(seconds_taken), 3),
        )


def lines(rows: list[Row]) -> list[dict[str, str]]:
    """Return the rows as text, with the difference from whole images beside every PSNR."""
    whole = {(row.model, row.set): row.psnr_y for row in rows if row.tile == "whole"}
    return [
        {
            "model": row.model,
            "set": row.set,
            "tile": row.tile,
            "images cut": f"{row.cut} of {row.images}",
            "PSNR-Y (dB)": f"{row.psnr_y:.3f}",
            "against whole": f"{row.psnr_y - whole[row.model, row.set]:+.3f}",
            "tiled to whole (dB)": "" if row.psnr_y_to_whole is None else f"{row.psnr_y_to_whole:.1f}",
            "seconds per image": f"{row.seconds:.2f}",
        }
        for row in rows
    ]


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", type=Path)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--tiles", nargs="+", type=int, default=[32, 64, 96, 128, 192])
    parser.add_argument("--sets", nargs="+", default=["Set14", "Kodak24"])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    rows: list[Row] = []
    for name in arguments.models:
        model = load_model(name)
        for chosen in find_sets(arguments.bench, arguments.sets, model.scale):
            for row in measure(model, chosen.name, chosen.pairs, arguments.tiles):
                rows.append(row)
                print(asdict(row), flush=True)
    write_csv(arguments.out / "tiles.csv", rows)
    settings, note = Settings(torch.get_num_threads()), ": means over the images; tiles overlap by 16 pixels."
    start = head("Tiles", "tiles", settings, note, ["BENCH", *sys.argv[2:]])
    publish_text(arguments.out / "tiles.md", f"{start}\n\n{markdown(lines(rows))}")


if __name__ == "__main__":
    main()
