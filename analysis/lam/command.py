"""`python -m analysis lam`: which input pixels made a window of the result, for one model or several."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from promptsr.cli.console import JsonOption, ModelsOption, check_targets, progress_bar, show
from promptsr.support.files import write_json
from promptsr.support.progress import finish


def lam(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The input; with --hr the image it is shrunk from.")],
    model: ModelsOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for lam.png, lam.json and the maps.")],
    x: Annotated[
        int | None, typer.Option(help="Left end of the window, output pixels.", show_default="the middle")
    ] = None,
    y: Annotated[int | None, typer.Option(help="Top of the window, output pixels.", show_default="the middle")] = None,
    window: Annotated[int, typer.Option(help="Side of the window, output pixels.")] = 16,
    steps: Annotated[
        int | None,
        typer.Option(
            help="From the blurred image to the sharp one.", show_default="50, by the adaptive rule 128 at most"
        ),
    ] = None,
    sigma: Annotated[float, typer.Option(help="Blur where the path starts, input pixels.")] = 1.2,
    kernel: Annotated[int, typer.Option(help="Side of the blur's kernel, input pixels, odd.")] = 9,
    rule: Annotated[
        str,
        typer.Option(
            help="Of integration: adaptive (steps are doubled until they are enough), right (the reference, as LAM's "
            "authors compute it) or trapezoid."
        ),
    ] = "adaptive",
    at_once: Annotated[
        int | None, typer.Option(help="Steps in one pass: memory grows with them.", show_default="a few")
    ] = None,
    around: Annotated[
        int | None,
        typer.Option(
            help="Look at a patch of so many input pixels a side around the window.", show_default="the whole"
        ),
    ] = None,
    hr: Annotated[
        bool, typer.Option("--hr", help="IMAGE is an HR image: shrink it first, and score against it.")
    ] = False,
    switch_off: Annotated[
        bool,
        typer.Option(
            "--switch-off", help="Each PromptSR with its promptings switched off too; not the paper's Fig. 10."
        ),
    ] = False,
    json_target: JsonOption = None,
) -> None:
    """Attribute a window of the result to the pixels of the input: a local attribution map (LAM)."""
    check_targets((out / "lam.png", out / "lam.json"), json_target)
    from analysis.ablations.networks import switched_off_series
    from analysis.common.figure_style import publish
    from analysis.common.image_windows import Region
    from analysis.comparison.compare import Comparing
    from analysis.lam.attribution import AT_ONCE, STEPS, PathSettings
    from analysis.lam.run import Attributing, Explanation, explain_window
    from promptsr.data import load_pair
    from promptsr.imaging.decode import decode
    from promptsr.zoo.load import load_models
    from promptsr.zoo.sr_model import common_scale

    models = load_models(model)
    if switch_off:
        models = [part for network in models for part in switched_off_series(network)]
    scale = common_scale(models)
    full, lr = load_pair(image, scale) if hr else (None, decode(image).to_tensor())
    height, width = (scale * side for side in lr.shape[2:])
    region = Region((width - window) // 2 if x is None else x, (height - window) // 2 if y is None else y, window)
    settings = PathSettings(STEPS.get(rule, 1) if steps is None else steps, sigma, kernel, rule)
    if at_once is None:
        at_once = AT_ONCE
    work = explain_window(models, lr, region, hr=full, side=around, settings=settings, at_once=at_once)
    with progress_bar() as bar:

        def tell(step: Comparing | Attributing | Explanation) -> None:
            if isinstance(step, Attributing) and step.progress is None:
                bar.add_task("steps", total=None, note=step.model)
            elif isinstance(step, Attributing) and step.progress is not None:
                bar.update(bar.task_ids[-1], completed=step.progress.done, total=step.progress.total)

        explanation = finish(work, tell)
    results = explanation.rows
    names = ["lam"] if len(models) == 1 else _file_names([network.name for network in models])
    for name, attribution, result in zip(names, explanation.attributions, results, strict=True):
        attribution.save(out / f"{name}.npz", result)
    publish(explanation.figure(image.name), out / "lam.png")
    summary = results[0] if len(results) == 1 else {"maps": results}
    write_json(out / "lam.json", summary)
    show(summary, _table(results), json_target)


def _file_names(models: list[str]) -> list[str]:
    """Return names of models as names of files: without separators, each once."""
    names: list[str] = []
    for model in models:
        plain = re.sub(r"[^\w.-]+", "_", model).strip("._")[-100:] or "model"
        count = sum(re.fullmatch(re.escape(plain) + r"(-\d+)?", name) is not None for name in names)
        names.append(f"{plain}-{count + 1}" if count else plain)
    return names


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table("model", "DI", "completeness gap", "steps", "detector", "seconds")
    for result in results:
        di = "none" if result["di"] is None else f"{result['di']:.2f}"
        gap = "none" if result["completeness_gap"] is None else f"{100 * result['completeness_gap']:+.2f} %"
        steps = str(result["levels"][-1][0])
        table.add_row(result["model"], di, gap, steps, f"{result['detector']:.3f}", f"{result['seconds']:.1f}")
    table.caption = "\n".join(f"{each['model']}: {each['warning']}" for each in results if each["warning"])
    return table
