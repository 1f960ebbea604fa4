"""`promptsr evaluate`: a folder, image by image, or models over benchmark sets as in Table I."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, check_targets, name_weights, progress_bar, show
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.progress import finish

if TYPE_CHECKING:
    from promptsr.evaluation.benchmark_sets import BenchmarkSet
    from promptsr.evaluation.evaluate import Evaluation, LeftOut
    from promptsr.evaluation.measure import Measuring
    from promptsr.evaluation.table import TableOne
    from promptsr.zoo.sr_model import SRModel


def evaluate(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A name from `promptsr models`, or a checkpoint. Repeatable."),
    ] = None,
    hr: Annotated[Path | None, typer.Option(help="Folder of HR images, to be scored one by one.")] = None,
    lr: Annotated[
        Path | None,
        typer.Option(help="Folder of their LR images, such as babyx4.png for baby.png. Default: bicubic, made here."),
    ] = None,
    bench: Annotated[
        Path | None, typer.Option(help="Folder of benchmark sets instead, for a table beside the published one.")
    ] = None,
    table_one: Annotated[
        Path | None,
        typer.Option(
            "--table-one",
            help="Folder of benchmark sets: measure every model that is here (or those of --model) at every scale, "
            "with costs, beside Table I; to table-one.html, .md and .csv in --out (table-one by default).",
        ),
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
    """Measure PSNR and SSIM on Y, as in the paper's Table I; several ranks share the images under torchrun.

    Images that cannot be measured are named and left out, and the exit status is 2.
    """
    from promptsr.cli.left_out import LeftOutLog, check_none_left_out
    from promptsr.evaluation.benchmark_sets import find_sets, search_set
    from promptsr.evaluation.evaluate import decibels
    from promptsr.evaluation.measure import measure
    from promptsr.evaluation.score_log import ScoreLog
    from promptsr.evaluation.table import FILES, write_table
    from promptsr.evaluation.table import table_one as beside_printed
    from promptsr.support.ranks import joined
    from promptsr.zoo.load import load_models
    from promptsr.zoo.sr_model import common_scale, find_device

    if table_one is not None:
        if hr or lr or bench or self_ensemble or stability:
            raise ConfigError("--table-one takes no --hr, --lr, --bench, --self-ensemble or --stability.")
        return _table_one(table_one, out or Path("table-one"), model or [], sets or [], scale, device, json_target)
    if not model:
        raise ConfigError("Name a model with --model: see `promptsr models`.")
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
    common = common_scale(models)
    if bench is not None:
        found = find_sets(bench, sets or [], common)
    elif hr is not None:
        found = [search_set(str(hr), hr, lr, common)]
    else:
        raise ConfigError("Give the images by --hr, one folder of them, or by --bench, a folder of benchmark sets.")
    if stability:
        return _stability(models[0].to(find_device(device)), names[0], found[0], json_target)
    with joined() as ranks:
        models = [loaded.to(find_device(device)) for loaded in models]
        named = LeftOutLog()
        for each in found:
            named.name(_reasons(each.name, each.left_out))
        with progress_bar(shown=ranks.first) as bar:
            task = bar.add_task("images", total=None, note="")

            def tell(step: "Measuring") -> None:
                note = f"{step.model} {decibels(step.image.psnr_y)} dB"
                bar.update(task, completed=step.done, total=step.total, note=note)

            log = ScoreLog(out / "scores", ranks.rank) if out else None
            rows = finish(measure(models, found, ensemble=self_ensemble, log=log, ranks=ranks), tell)
    if not ranks.first:
        return
    if bench is not None:
        table = beside_printed(rows, found, common, self_ensemble)
        if out:
            write_table(table, out)
        result, shown = table.to_dict(), _rows(table)
    else:
        [scores] = rows[0].sets.values()
        result = {**scores.to_dict(), "model": f"{names[0]}+" if self_ensemble else names[0]}
        shown = _images(scores)
    name_weights(models, result, shown)
    show(result, shown, json_target)
    lost = {
        image: why
        for row in rows
        for name, each in row.sets.items()
        for image, why in _reasons(name, each.left_out).items()
    }
    named.name(lost)
    check_none_left_out(lost, sum(len(each.pairs) + len(each.left_out) for each in found))


def _table_one(
    bench: Path, out: Path, names: list[str], sets: list[str], scale: int | None, device: str, json_target: str | None
) -> None:
    from analysis.complexity.table_one import FILES, numbers, write_table_one
    from analysis.complexity.table_one import table_one as measure_all
    from promptsr.cli.left_out import LeftOutLog, check_none_left_out
    from promptsr.evaluation.evaluate import decibels
    from promptsr.evaluation.measure import Measuring
    from promptsr.zoo.listing import SCALES, search_models

    if scale is not None and scale not in SCALES:
        raise ConfigError(f"Table I is of x2, x3 and x4, not x{scale}.")
    check_targets([out / name for name in FILES], json_target)
    scales = SCALES if scale is None else (scale,)
    work = measure_all(search_models(), bench, out, names=names, sets=sets, scales=scales, device=device)
    with progress_bar() as bar:
        task = bar.add_task("Table I", total=None, note="")

        def tell(step: "Measuring | str") -> None:
            if isinstance(step, Measuring):
                note = f"{step.model} {decibels(step.image.psnr_y)} dB"
                bar.update(task, completed=step.done, total=step.total, note=note)
            else:
                bar.update(task, note=f"{step}: time and memory")

        table = finish(work, tell)
    page = write_table_one(table, out)
    shown = Table("model", "method", "params", *table.sets, box=SIMPLE, pad_edge=False, caption=f"All of it: {page}")
    for row in (row for row in table.rows if row.model):
        scores = (decibels(row.sets[name].psnr_y) if name in row.sets else "–" for name in table.sets)
        shown.add_row(row.model, row.method, f"{(row.parameters or 0) / 1e3:,.0f}K", *scores)
    frame = numbers(table).astype(object)
    show({"device": table.device, "rows": frame.where(frame.notna(), None).to_dict("records")}, shown, json_target)
    lost = {
        image: why
        for row in table.rows
        for name, each in row.sets.items()
        for image, why in _reasons(name, each.left_out).items()
    }
    lost |= {row.model: row.reason for row in table.rows if row.model and row.reason}
    named = LeftOutLog()
    named.name(lost)
    check_none_left_out(lost, len(lost) + sum(len(each.images) for row in table.rows for each in row.sets.values()))


def _reasons(set_name: str, images: "Iterable[LeftOut]") -> dict[str, str]:
    """Return why images of a set were left out, by set and name."""
    return {f"{set_name}: {image.name}": image.reason for image in images}


def _stability(model: "SRModel", name: str, images: "BenchmarkSet", json_target: str | None) -> None:
    from promptsr.cli.left_out import LeftOutLog, check_none_left_out
    from promptsr.evaluation.evaluate import LeftOut, decibels
    from promptsr.evaluation.stability import STEP, mean
    from promptsr.evaluation.stability import stability as measure

    named, changes, left_out = LeftOutLog(), [], list(images.left_out)
    named.name(_reasons(images.name, left_out))
    with progress_bar() as bar:
        task = bar.add_task("images", total=len(images.pairs), note="")
        for pair in images.pairs:
            try:
                changes.append(measure(model, *pair))
            except UserError as error:
                left_out.append(LeftOut(pair[0].name, str(error)))
                named.name(_reasons(images.name, left_out[-1:]))
            bar.advance(task)
    if not changes:
        raise UserError(f"No image of {images.name} could be measured; see above.")
    table = Table("image", "8-bit values that change", "by up to (levels)", "PSNR between (dB)")
    for change in (*changes, mean(changes)):
        share = f"{100 * change.share:.2f} %"
        table.add_row(change.name, share, str(change.levels), decibels(change.psnr, 1))
    unchanged = sum(math.isinf(change.psnr) for change in changes)
    if unchanged:
        table.caption = f"{unchanged} of {len(changes)} do not change at all; the mean PSNR is of the others."
    rows = {"images": [asdict(change) for change in changes], "left_out": [asdict(image) for image in left_out]}
    means = {"share": mean(changes).share, "unchanged": unchanged}
    show({"model": name, "moved_by": STEP, **rows, **means}, table, json_target)
    check_none_left_out(_reasons(images.name, left_out), len(images.pairs) + len(images.left_out))


def _images(scores: "Evaluation") -> Table:
    from promptsr.evaluation.evaluate import decibels

    table = Table("image", "PSNR-Y (dB)", "SSIM-Y")
    for image in scores.images:
        table.add_row(image.name, decibels(image.psnr_y, 3), f"{image.ssim_y:.4f}")
    table.add_section()
    table.add_row("mean", decibels(scores.psnr_y, 3), f"{scores.ssim_y:.4f}", style="bold")
    table.caption = " ".join(scores.remarks)
    return table


def _rows(found: "TableOne") -> Table:
    between = " / " if len(found.sets) <= 2 else "\n"  # more do not fit into 80 characters side by side
    texts = (Column("model", overflow="fold", min_width=12), Column("params", justify="right"))
    scores = (Column(name, justify="right", no_wrap=True) for name in found.sets)
    table = Table(*texts, *scores, box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for figures, style in (("measured", "bold"), ("published", None)):
        lines = [line for line in found.lines if line["figures"] == figures]
        if lines:
            table.add_row(f"{figures}:", style="italic")
        for line in lines:
            cells = (line[name].replace(" / ", between) for name in ("model", "parameters", *found.sets))
            table.add_row(*cells, style=style)
        table.add_section()
    table.caption = found.caption
    return table
