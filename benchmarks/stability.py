"""How much of a result changes with the order of the arithmetic: kernels or plain torch, threads, batches, 1e-6 more.

    python benchmarks/stability.py FOLDER [--model NAME ...]    # HR images; to benchmarks/results/stability.md

Every image goes through each model whole, and once more in each other way; LR images are made from the HR images.
"""

import promptsr.wait_policy  # noqa: F401
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks.passes import Settings
from benchmarks.report import RESULTS, command, head, publish_text
from promptsr import kernels
from promptsr.cli.console import check_targets, log, run
from promptsr.data import load_pair
from promptsr.evaluation.stability import STEP, Change, compare, mean, moved
from promptsr.imaging.folders import find_images
from promptsr.support.markdown_tables import markdown
from promptsr.zoo.load import load_models
from promptsr.zoo.sr_model import SRModel

_MODELS = ("promptsr-tiny-x4", "promptsr-x4", "bicubic-x4")


def without_kernels(model: SRModel, image: Tensor) -> Tensor:
    """Run on plain torch."""
    with kernels.disabled():
        return model(image)


def with_other_threads(model: SRModel, image: Tensor) -> Tensor:
    """Run on one thread, or on two where there was one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if before > 1 else 2)
    try:
        return model(image)
    finally:
        torch.set_num_threads(before)


WAYS: dict[str, Callable[[SRModel, Tensor], Tensor]] = {
    "again": lambda model, image: model(image),
    "other number of threads": with_other_threads,
    "second of a batch of two": lambda model, image: model(torch.cat([image.flip(3), image]))[1:],
    "plain torch": without_kernels,
    f"input moved by {STEP:g}": lambda model, image: model(moved(image)),
}


@torch.inference_mode()
def changes(model: SRModel, path: Path) -> dict[str, Change]:
    """Compare the results of one image in each of the ways."""
    _, lr = load_pair(path, model.scale, None)
    result = model(lr)
    return {way: compare(path.name, result, other(model, lr)) for way, other in WAYS.items()}


def stability(
    folder: Annotated[Path, typer.Argument(help="Of HR images.")],
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="Repeatable.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for stability.md.")] = RESULTS,
) -> None:
    """Measure, write and print."""
    target = output / "stability.md"
    check_targets([target], None)
    names, paths = model or list(_MODELS), find_images(folder)
    rows = []
    for name, loaded in zip(names, load_models(names), strict=True):
        found: dict[str, list[Change]] = {way: [] for way in WAYS}
        for number, path in enumerate(paths):
            log.print(f"{name}: image {number + 1} of {len(paths)}", highlight=False)
            for way, change in changes(loaded, path).items():
                found[way].append(change)
        for way, of_all in found.items():
            total = mean(of_all)
            rows.append(
                {
                    "model": name,
                    "the same image": way,
                    "images that change": f"{sum(change.psnr < float('inf') for change in of_all)} of {len(of_all)}",
                    "8-bit values that change": f"{100 * total.share:.3f} %",
                    "by up to (levels)": str(total.levels),
                    "PSNR between (dB)": f"{total.psnr:.1f}",
                }
            )
    text = (
        f"{head('The same image, computed in other ways', 'stability', Settings(torch.get_num_threads()))}\n\n"
        f"Against the first result. PSNR: mean over the images that "
        f"change at all, before rounding.\n\n{markdown(rows)}"
    )
    publish_text(target, text)


app = command(stability)

if __name__ == "__main__":
    run(app)
