"""The paper's network on a GPU, in one command of under nine minutes: checks first, then time and memory.

    python benchmarks/gpu.py                                  # to benchmarks/results/gpu.md
    python benchmarks/gpu.py --device cpu --side 16 --batch 1 --patch 16 --repeats 1 --output /tmp    # tries it out

Checked: results and gradients against the CPU in float32, and that no step makes the host wait for the device.
Measured: forward passes, training steps in float32 and bfloat16, and the most memory of a step, with fused attention
and with explicit attention, which stores its maps.
"""

import promptsr.wait_policy  # noqa: F401
import copy
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks.passes import SCALE, Settings, autocast, clock, one_after_another, training_phases, wait
from benchmarks.report import RESULTS, command, head, publish_text
from promptsr.cli.console import check_targets, log, run
from promptsr.model.network import PromptSR, build_model
from promptsr.model.taps import explicit_attention
from promptsr.support.markdown_tables import markdown
from promptsr.training.optimizers import build_optimizers


def training_step(network: PromptSR, batch: int, patch: int, settings: Settings) -> Callable[[], None]:
    """Return a step: forward, L1 loss, backward, and both optimisers."""
    phases = training_phases(network, build_optimizers(network, "muon", 1e-6, 1e-6), batch, patch, settings)
    return one_after_another(phases)


def differences(network: PromptSR, settings: Settings, side: int) -> tuple[float, float]:
    """Return the relative errors of result and gradient (of the L1 norm, to all weights) against the CPU."""
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))

    def computed(model: PromptSR, x: Tensor) -> tuple[Tensor, Tensor]:
        result = model(x)
        gradients = torch.autograd.grad(result.abs().mean(), list(model.parameters()))
        return result.detach().cpu(), torch.cat([gradient.flatten().cpu() for gradient in gradients])

    expected = computed(copy.deepcopy(network).cpu(), image)
    found = computed(network, image.to(settings.device))
    result, gradient = (float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True))
    return result, gradient


def waits(step: Callable[[], None], settings: Settings) -> int:
    """Count how often a step makes the host wait for the device; 0 on the CPU, which has nothing to wait for."""
    if settings.device == "cpu":
        return 0
    step()
    wait(settings)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


def timed(once: Callable[[], None], settings: Settings, repeats: int) -> tuple[float, float]:
    """Return median seconds, and on a GPU the most megabytes (10^6 bytes) that were allocated; NaN on a CPU."""
    once()
    wait(settings)
    if settings.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    timed_step = one_after_another({"job": once}, settings)
    seconds = [clock(timed_step) for _ in range(repeats)]
    peak = torch.cuda.max_memory_allocated() / 1e6 if settings.device == "cuda" else float("nan")
    return statistics.median(seconds), peak


def gpu(
    device: Annotated[str, typer.Option(help="cuda, or cpu to try it out.")] = "cuda",
    side: Annotated[int, typer.Option(min=1, help="Of the image of the forward pass, pixels.")] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Of the training step.")] = 16,
    patch: Annotated[int, typer.Option(min=1, help="Side of its LR patches, pixels.")] = 64,
    repeats: Annotated[int, typer.Option(min=1, help="Seconds are their median.")] = 10,
    output: Annotated[Path, typer.Option(help="Folder for gpu.md.")] = RESULTS,
) -> None:
    """Check, measure, write and print."""
    target = output / "gpu.md"
    check_targets([target], None)
    begun = time.perf_counter()
    settings = {dtype: Settings(torch.get_num_threads(), device, dtype) for dtype in ("float32", "bfloat16")}
    plain = settings["float32"]
    torch.manual_seed(0)
    network = build_model("promptsr", scale=SCALE).to(device)
    result, gradient = differences(network, plain, 32)
    blocked = waits(training_step(network, batch, patch, plain), plain)
    image = torch.rand(1, 3, side, side, device=device)
    rows = []
    for attention, dtype in product(("fused", "explicit"), settings):
        chosen = settings[dtype]

        @torch.inference_mode()
        def forward(chosen: Settings = chosen) -> None:
            with autocast(chosen):
                network(image)

        jobs = {
            f"forward, {side} x {side}": forward,
            f"step, {batch} of {patch} x {patch}": training_step(network, batch, patch, chosen),
        }
        for job, once in jobs.items():
            log.print(f"{job}, {attention} attention, {dtype}", highlight=False)
            with explicit_attention(network) if attention == "explicit" else nullcontext():
                seconds, peak = timed(once, chosen, repeats)
            cells = {"job": job, "attention": attention, "precision": dtype, "seconds": f"{seconds:.4f}"}
            rows.append({**cells, "peak MB": "" if peak != peak else f"{peak:.0f}"})
    text = (
        f"{head('On a GPU', 'gpu', plain, f', {time.perf_counter() - begun:.0f} s')}\n\n"
        f"Against the CPU in float32, 32 x 32 pixels, relative: result {result:.1e}, gradient {gradient:.1e}. "
        f"A training step makes the host wait for the device {blocked} times.\n\n{markdown(rows)}"
    )
    publish_text(target, text)


app = command(gpu)

if __name__ == "__main__":
    run(app)
