"""`promptsr evaluate`: a folder, image by image, or models over benchmark sets as in Table I."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, check_targets, progress_bar, show
from promptsr.support.errors import ConfigError
from promptsr.support.progress import finish
from promptsr.support.ranks import joined
from promptsr.zoo.load import load_models
from promptsr.zoo.sr_model import common_scale, find_device

if TYPE_CHECKING:
    from promptsr.evaluation.evaluate import Evaluation
    from promptsr.evaluation.measure import Measuring
    from promptsr.evaluation.table import TableOne
    from promptsr.zoo.sr_model import SRModel


def evaluate(
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="A name from `promptsr models`, or a checkpoint. Repeatable.")
    ],
    hr: Annotated[Path | None, typer.Option(help="Folder of HR images, to be scored one by one.")] = None,
    lr: Annotated[
        Path | None, typer.Option(help="Folder of LR images of the same names. Default: bicubic, made from the HR.")
    ] = None,
    bench: Annotated[
        Path | None, typer.Option(help="Folder of benchmark sets instead, for a table beside the published one.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="A set in that folder. Repeatable.", show_default="all of them")
    ] = None,
    scale: Annotated[int | None, typer.Option(help="Checked against the models'.")] = None,
    self_ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="Mean over the eight flips and turns of each image.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for table.csv and table.md; a stopped run is resumed from it."),
    ] = None,
    stability: Annotated[
        bool, typer.Option("--stability", help="With --hr: how results change when the input moves by 1e-6.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    json_target: JsonOption = None,
) -> None:
    """Measure PSNR and SSIM on Y, as in the paper's Table I; several ranks share the images under torchrun."""
    from promptsr.evaluation.benchmark_sets import BenchmarkSet, find_sets
    from promptsr.evaluation.evaluate import find_pairs
    from promptsr.evaluation.measure import measure
    from promptsr.evaluation.score_log import ScoreLog
    from promptsr.evaluation.table import FILES, table_one, write_table

    names = list(dict.fromkeys(model))
    if hr is not None and (bench or sets or out or len(names) > 1):
        raise ConfigError("--hr takes one model and no --bench, --set or --out: leave it out for a table of sets.")
    if stability and (hr is None or self_ensemble):
        raise ConfigError("--stability takes the images by --hr, and no --self-ensemble.")
    if bench is not None and lr is not None:
        raise ConfigError("--lr goes with --hr: in a folder of sets LR images lie beside the HR images.")
    check_targets([out / name for name in FILES] if out else [], json_target)
    models = load_models(names)
    for name, loaded in zip(names, models, strict=True):
        if scale is not None and scale != loaded.scale:
            raise ConfigError(f"{name} upscales x{loaded.scale}, not x{scale}: choose a model for x{scale}.")
    if stability and hr is not None:
        return _stability(models[0].to(find_device(device)), names[0], find_pairs(hr, lr), json_target)
    common = common_scale(models)
    if bench is not None:
        found = find_sets(bench, sets or [], common)
    elif hr is not None:
        found = [BenchmarkSet(str(hr), find_pairs(hr, lr))]
    else:
        raise ConfigError("Give the images by --hr, one folder of them, or by --bench, a folder of benchmark sets.")
    with joined() as ranks:
        models = [loaded.to(find_device(device)) for loaded in models]
        with progress_bar(shown=ranks.first) as bar:
            task = bar.add_task("images", total=None, note="")

            def tell(step: "Measuring") -> None:
                note = f"{escape(step.model)} {step.image.psnr_y:.2f} dB"
                bar.update(task, completed=step.done, total=step.total, note=note)

            log = ScoreLog(out / "scores", ranks.rank) if out else None
            rows = finish(measure(models, found, ensemble=self_ensemble, log=log, ranks=ranks), tell)
    if not ranks.first:
        return
    if bench is not None:
        table = table_one(rows, found, common, self_ensemble)
        if out:
            write_table(table, out)
        show(table.to_dict(), _rows(table), json_target)
    else:
        [scores] = rows[0].sets.values()
        result = {**scores.to_dict(), "model": f"{names[0]}+" if self_ensemble else names[0]}
        show(result, _images(scores), json_target)


def _stability(model: "SRModel", name: str, pairs: list[tuple[Path, Path | None]], json_target: str | None) -> None:
    from promptsr.evaluation.stability import STEP, mean
    from promptsr.evaluation.stability import stability as measure

    changes = []
    with progress_bar() as bar:
        task = bar.add_task("images", total=len(pairs), note="")
        for pair in pairs:
            changes.append(measure(model, *pair))
            bar.advance(task)
    table = Table("image", "8-bit values that change", "by up to (levels)", "PSNR between (dB)")
    for change in (*changes, mean(changes)):
        table.add_row(escape(change.name), f"{100 * change.share:.2f} %", str(change.levels), f"{change.psnr:.1f}")
    images = [asdict(change) for change in changes]
    show({"model": name, "moved_by": STEP, "images": images, "share": mean(changes).share}, table, json_target)


def _images(scores: "Evaluation") -> Table:
    table = Table("image", "PSNR-Y (dB)", "SSIM-Y")
    for image in scores.images:
        table.add_row(escape(image.name), f"{image.psnr_y:.3f}", f"{image.ssim_y:.4f}")
    table.add_section()
    table.add_row("[bold]mean", f"[bold]{scores.psnr_y:.3f}", f"[bold]{scores.ssim_y:.4f}")
    return table


def _rows(found: "TableOne") -> Table:
    between = " / " if len(found.sets) <= 2 else "\n"  # more do not fit into 80 characters side by side
    texts = (Column("model", overflow="fold", min_width=12), Column("params", justify="right"))
    scores = (Column(name, justify="right", no_wrap=True) for name in found.sets)
    table = Table(*texts, *scores, box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for figures, style in (("measured", "bold"), ("published", None)):
        lines = [line for line in found.lines if line["figures"] == figures]
        if lines:
            table.add_row(f"[italic]{figures}:")
        for line in lines:
            cells = (line[name].replace(" / ", between) for name in ("model", "parameters", *found.sets))
            table.add_row(*map(escape, cells), style=style)
        table.add_section()
    table.caption = escape(found.caption)
    return table
