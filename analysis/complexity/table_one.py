"""Table I, alive: every model that is here on every set that is there, beside the row that the paper prints.

Scores are measured as the paper's are (`promptsr.evaluation.measure`), costs for a result of 1280 x 720
(`promptsr.evaluation.cost`). All of it is kept in the output folder, so that a stopped run goes on where it was, and a
model that is added later is all that is measured then. Methods whose weights are not here have a row that names the
page of their authors.
"""

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.common.figure_style import svg
from analysis.common.page import render
from analysis.complexity.figure import draw_accuracy
from analysis.complexity.study import LARGEST, Point, accuracy_against_size
from promptsr.downloads.catalogue import Entry, load_catalogue
from promptsr.evaluation.benchmark_sets import find_sets
from promptsr.evaluation.cost import Cost, measure_cost
from promptsr.evaluation.evaluate import Evaluation, decibels
from promptsr.evaluation.measure import Measuring, measure
from promptsr.evaluation.score_log import ScoreLog
from promptsr.paper.tables import DATASETS, LATER, SOURCE, Printed, PrintedRow, printed_rows, published
from promptsr.support.errors import UserError
from promptsr.support.files import write_text
from promptsr.support.markdown_tables import markdown
from promptsr.zoo.authors_files import authors_files
from promptsr.zoo.fingerprint import fingerprint
from promptsr.zoo.listing import PRESETS_LISTED, SCALES, WEIGHTS, Listing, ModelInfo
from promptsr.zoo.load import load_model
from promptsr.zoo.origin import origin_of
from promptsr.zoo.sr_model import SRModel, find_device

FILES = ("table-one.csv", "table-one.md", "table-one.html")
"""Files that `write_table_one` writes."""
_METRICS = {"psnr_y": ".2f", "ssim_y": ".4f"}
"""By name, how they are printed."""
_PRESETS = {"PromptSR": "promptsr", "PromptSR*": "promptsr-star"}


@dataclass(frozen=True)
class Row:
    """A model at its scale, or a method without one."""

    scale: int
    method: str
    """As Table I or III or others print it; empty for a network that none of them has."""
    model: str = ""
    """Its name here; empty if the weights of the method are not here."""
    weights: str = ""
    """File that they come from, or where their authors keep them."""
    licence: str = ""
    parameters: int | None = None
    cost: Cost = field(default_factory=Cost)
    sets: dict[str, Evaluation] = field(default_factory=dict)
    printed: dict[str, dict[str, Printed]] = field(default_factory=dict)
    """Scores of the method, by set and metric."""
    printed_parameters: Printed | None = None
    table: str = ""
    """Table that prints it, as for `promptsr.paper.tables.published`."""
    reason: str = ""
    """Why something is missing."""

    def difference(self, name: str) -> float | None:
        """Return measured minus printed PSNR-Y on a set, dB; None unless both are there and the print is clear."""
        found, printed = self.sets.get(name), self.printed.get(name, {}).get("psnr_y")
        return None if not found or not found.images or not printed or printed.value is None else (
            found.psnr_y - printed.value
        )  # fmt: skip


@dataclass(frozen=True)
class TableOne:
    """All rows, by scale and then in the order of print.

    Models that are printed nowhere come first, networks that only others print come last.
    """

    rows: list[Row]
    sets: list[str]
    """All that any scale has."""
    device: str

    @property
    def scales(self) -> list[int]:
        """Return the scales of the rows."""
        return list(dict.fromkeys(row.scale for row in self.rows))


def method_of(architecture: str, parameters: int, scale: int) -> str:
    """Return the name that the paper has for a network; empty if it has none."""
    if architecture == "PromptSR":
        sizes = {method: PRESETS_LISTED[name][SCALES.index(scale)] for method, name in _PRESETS.items()}
        return next((method for method, size in sizes.items() if size == parameters), "")
    return next((each.method for each in authors_files() if each.fits(architecture, parameters)), "")


def table_one(
    listing: Listing,
    bench: Path,
    out: Path,
    *,
    names: Sequence[str] = (),
    sets: Sequence[str] = (),
    scales: Sequence[int] = SCALES,
    device: str = "cpu",
) -> Generator[Measuring | str, None, TableOne]:
    """Measure all models of a listing that have weights on all benchmark sets of a folder.

    One model that cannot be loaded or measured never costs the others: its row says why.

    Args:
        listing: of `promptsr.zoo.listing.search_models`.
        bench: as in `find_sets`.
        out: keeps scores and costs; a stopped run goes on from it.
        names: of models; all if empty.
        sets: names of sets; all if empty.
        scales: of the models.
        device: to measure on.

    Yields:
        The name of a model whose cost is measured next, or a score.

    Raises:
        UserError: no set has images for any of the scales, none of the models is there, or `out` cannot be written.
    """
    wanted = [each for each in listing.models if each.has_weights and (not names or each.name in names)]
    if missing := set(names) - {each.name for each in wanted}:
        raise UserError(f"There is no model {min(missing)} with weights: see `promptsr models`.")
    rows: list[Row] = []
    columns: dict[str, None] = {}
    without: list[UserError] = []
    catalogue = load_catalogue()
    for scale in scales:
        infos = [each for each in wanted if each.scale == scale]
        try:
            found = find_sets(bench, sets, scale)
        except UserError as error:
            without.append(error)
            continue
        columns |= dict.fromkeys(each.name for each in found)
        models, refused = _load(infos, device)
        costs: dict[str, Cost | str] = {}
        for model in models:
            yield model.name
            costs[model.name] = _cost(model, out / "costs", device)
        measured = {}
        if models:
            work = measure(models, found, log=ScoreLog(out / "scores"))
            measured = {row.model: row for row in (yield from work)}
        printed = {row.method: row for row in printed_rows(scale, list(DATASETS), ("I", "III", LATER))}
        of_scale = []
        for info in infos:
            method = method_of(info.architecture, info.parameters, scale)
            row, cost = printed.get(method), costs.get(info.name, "")
            reason = refused.get(info.name, cost if isinstance(cost, str) else "")
            if row and row.table == LATER:
                reason = f"{reason} {_elsewhere(method)}".strip()
            of_scale.append(
                Row(
                    scale,
                    method,
                    info.name,
                    *_source(info, listing.files.get(info.name), catalogue),
                    parameters=info.parameters,
                    cost=cost if isinstance(cost, Cost) else Cost(),
                    sets=measured[info.name].sets if info.name in measured else {},
                    printed=row.sets if row else {},
                    printed_parameters=row.parameters if row else None,
                    table=row.table if row else "",
                    reason=reason,
                )
            )
        if not names:
            of_scale += _absent(scale, printed.values(), {row.method for row in of_scale})
        order = {method: number for number, method in enumerate(printed)}
        rows += sorted(of_scale, key=lambda row: (row.method != "", order.get(row.method, len(order))))
    if not rows:
        raise without[0] if without else UserError("There is no model to measure: see `promptsr models`.")
    known = [name for name in DATASETS if name in columns]
    return TableOne(rows, [*known, *(name for name in columns if name not in known)], device)


def _load(infos: Sequence[ModelInfo], device: str) -> tuple[list[SRModel], dict[str, str]]:
    """Load models; return them, and why the others could not be loaded."""
    models, refused = [], {}
    for info in infos:
        try:
            models.append(load_model(info.name).to(find_device(device)))
        except UserError as error:
            refused[info.name] = str(error)
    return models, refused


def _cost(model: SRModel, folder: Path, device: str) -> Cost | str:
    """Return the cost of a model, kept in a folder by its fingerprint and device; or why there is none."""
    kept = folder / f"{fingerprint(model.network)[:32]}-x{model.scale}-{device.replace(':', '-')}.json"
    try:
        return Cost(**json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # not measured yet, or by another version
        pass
    try:
        cost = measure_cost(model.name, device)
    except UserError as error:
        return str(error)
    write_text(kept, json.dumps(asdict(cost)))
    return cost


def _source(info: ModelInfo, path: Path | None, catalogue: Mapping[str, Entry]) -> tuple[str, str]:
    """Return where the weights of a model come from, and their licence if anything states it."""
    if path is None:
        return "", ""
    licence = origin_of(info, path, catalogue).licence or ""
    return ("bundled" if path.parent == WEIGHTS else path.name), licence


def _absent(scale: int, methods: Iterable[PrintedRow], found: set[str]) -> list[Row]:
    """Return a row for each of these methods that none of the models is of."""
    pages = {each.method: each for each in authors_files()}
    rows = []
    for printed in methods:
        if printed.method in found:
            continue
        authors = pages.get(printed.method)
        if printed.table == LATER:
            weights, reason = authors.page if authors else "", _elsewhere(printed.method)
        elif authors is None:
            reason, weights = "Its weights are not published: train them with `promptsr train`.", ""
        else:
            name = next(iter(authors.names([scale])), "a checkpoint")
            weights, reason = authors.page, f"Not here: put {name} into the folder PROMPTSR_MODELS."
        rows.append(
            Row(
                scale,
                printed.method,
                weights=weights,
                printed=printed.sets,
                printed_parameters=printed.parameters,
                table=printed.table,
                reason=reason,
            )
        )
    return rows


def _elsewhere(method: str) -> str:
    """Return what others print of a network's cost, and where its score on Urban100 was read."""
    rows = published(LATER, method, clear_only=False)
    costs = [
        f"{row.printed}{'?' if row.status == 'unclear' else ''} {row.metric.replace('_', '-')}"
        for row in rows[rows["dataset"] == ""].itertuples()
    ]
    [source] = rows.loc[(rows["dataset"] == "Urban100") & (rows["metric"] == "psnr_y"), "evidence"]
    return f"Not in the paper. Others print {', '.join(costs)}. Urban100: {source}."


def numbers(table: TableOne) -> pd.DataFrame:
    """Return a line for each row: names, costs (bytes, seconds), and of each set what was measured and printed.

    Columns `<set> psnr_y`, `<set> ssim_y`, `<set> printed psnr_y`, `<set> printed ssim_y`, `<set> difference` (dB). NaN
    where nothing was measured, or nothing clear is printed.
    """
    lines = []
    for row in table.rows:
        line: dict[str, Any] = {
            "scale": row.scale,
            "method": row.method,
            "model": row.model,
            "weights": row.weights,
            "licence": row.licence,
            "parameters": row.parameters,
            "printed_parameters": row.printed_parameters and row.printed_parameters.value,
            **asdict(row.cost),
        }
        for name in table.sets:
            found, printed = row.sets.get(name), row.printed.get(name, {})
            for metric in _METRICS:
                line[f"{name} {metric}"] = getattr(found, metric) if found and found.images else None
                line[f"{name} printed {metric}"] = printed[metric].value if metric in printed else None
            line[f"{name} difference"] = row.difference(name)
        lines.append(line | {"reason": row.reason})
    frame = pd.DataFrame(lines)
    counts = ["parameters", "printed_parameters", "published_parameters", "multiply_adds", "published_multiply_adds"]
    return frame.astype(dict.fromkeys([*counts, "peak_bytes"], "Int64"))


def write_table_one(table: TableOne, folder: Path) -> Path:
    """Write `table-one.csv`, `.md` and `.html` (self-contained, sortable, with Fig. 1b) to a folder; return the page.

    Raises:
        UserError: the folder cannot be written.
    """
    csv, text, page = (folder / name for name in FILES)
    write_text(csv, numbers(table).to_csv(index=False, lineterminator="\n"))
    texts = {scale: _texts(table, scale) for scale in table.scales}
    sections = [f"## x{scale}\n\n{markdown([*lines, *later])}" for scale, (lines, later) in texts.items()]
    write_text(text, "\n".join([*sections, f"{_caption(table)}\n"]))
    rendered = render(
        "analysis.complexity",
        "table_one.html",
        caption=_caption(table),
        sections=[
            {
                "scale": scale,
                "columns": list((lines or later)[0]),
                "lines": lines,
                "later": later,
                "chart": _chart(table, scale),
            }
            for scale, (lines, later) in texts.items()
        ],
    )
    write_text(page, rendered)
    return page


def _texts(table: TableOne, scale: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return the rows of a scale as text by column, and those of networks that only others print."""
    lines: list[dict[str, str]] = []
    later: list[dict[str, str]] = []
    for row in (row for row in table.rows if row.scale == scale):
        cost = row.cost
        line = {
            "model": row.model or row.method,
            "method": row.method,
            "parameters": _thousands(row.parameters),
            "by thop": _thousands(cost.published_parameters),
            "Multi-Adds": _giga(cost.multiply_adds),
            "by thop ": _giga(cost.published_multiply_adds),
            "seconds": "–" if cost.seconds is None else f"{cost.seconds:.2f}",
            "memory": "–" if cost.peak_bytes is None else f"{cost.peak_bytes / 1e6:,.0f} MB",
        }
        for name in table.sets:
            found, printed = row.sets.get(name), row.printed.get(name, {})
            line[name] = f"{decibels(found.psnr_y)} / {found.ssim_y:.4f}" if found and found.images else "–"
            if name in DATASETS:
                texts = [_printed(printed.get(each), each) for each in _METRICS]
                line[f"{name} printed"] = " / ".join(texts) if set(texts) != {"–"} else "–"
                difference = row.difference(name)
                line[f"{name} Δ"] = "–" if difference is None else f"{difference:+.2f}"
        weights = " · ".join(filter(None, (row.weights, row.licence)))
        (later if row.table == LATER else lines).append(line | {"weights": weights, "note": row.reason})
    return lines, later


def _printed(number: Printed | None, metric: str) -> str:
    if number is None or number.status == "absent":
        return "–"
    return f"{number.printed}?" if number.value is None else format(number.value, _METRICS[metric])


def _thousands(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e3:,.0f}K"


def _giga(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e9:,.1f}G"


def _caption(table: TableOne) -> str:
    text = (
        f"PSNR-Y in dB / SSIM-Y. Costs are of one pass for a result of 1280 x 720 on {table.device}: all multiply-adds "
        "and those that the counter thop counts, seconds, and the memory that the pass took. Δ: measured minus printed "
        f"PSNR. Printed: {SOURCE}; ?: unclear in our copy; –: not printed, or not measured."
    )
    if any(row.table == LATER for row in table.rows):
        text += (
            " The last rows of x4 are networks that the paper does not have, as others print them; "
            "? there: they differ, or only a summary has the number."
        )
    return text


def _chart(table: TableOne, scale: int) -> Markup:
    """Return Fig. 1b of a scale as an SVG element: of Urban100, as the paper has it, or of the first set there is."""
    measured = [row for row in table.rows if row.scale == scale and row.sets and 0 < (row.parameters or 0) <= LARGEST]
    names = [name for name in table.sets if any(row.sets[name].images for row in measured if name in row.sets)]
    if not names:
        return Markup()
    name = "Urban100" if "Urban100" in names else names[0]
    points = [
        Point(row.model, float(row.parameters or 0), row.sets[name].psnr_y, "measured")
        for row in measured
        if row.sets[name].images
    ]
    if name in DATASETS:
        points += [point for point in accuracy_against_size(name, scale) if point.origin == "published"]
    return Markup(svg(draw_accuracy(points, name, scale)))
