"""Draw PSNR-Y over the pixels that a chain of runs was trained on, from the pages of `tools/keep_run.py`.

    python -m tools.training_curve    # trained/*.md to docs/training.png

A run whose first weights came from another one has seen the pixels of both.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from analysis.common.figure_style import publish, soften
from promptsr.cli.console import run
from promptsr.support.errors import UserError

_ROOT = Path(__file__).resolve().parents[1]
_COLORS = {"constant rates": "#4878a8", "rates that fall to zero": "#dd8a2b"}


@dataclass(frozen=True)
class Stretch:
    """Validations of a run."""

    name: str
    crops: int
    """Side of the crops, LR pixels."""
    decays: bool
    """Whether its rates fall to zero."""
    pixels: list[float]
    """Millions of LR pixels that the weights had been trained on, also in the runs before, at each validation."""
    psnr_y: list[float]
    """Mean of the averaged weights, dB."""


def read_stretches(folder: Path) -> list[Stretch]:
    """Read the pages of a folder; a run counts on from the one whose weights it began with.

    Raises:
        UserError: a page is none of `keep_run`, or names a run that has no page.
    """
    pages = [_Page.read(path) for path in sorted(folder.glob("*.md"))]
    # A run that was kept twice has a page for each part: the second began with the weights of the first.
    first = {page.name: page for page in pages if page.origin != page.name}
    lengths = {name: max(page.step for page in pages if page.name == name) for name in first}

    def start(name: str) -> float:
        origin = first[name].origin
        if not origin:
            return 0
        if origin not in first:
            raise UserError(f"{folder} has no page about {origin}, with which {name} began: keep that run too.")
        return start(origin) + lengths[origin] * first[origin].pixels_per_step

    stretches = [
        Stretch(
            page.name,
            page.crops,
            page.decays,
            [start(page.name) + step * page.pixels_per_step for step, _ in page.rows],
            [psnr for _, psnr in page.rows],
        )
        for page in pages
    ]
    return sorted(stretches, key=lambda stretch: stretch.pixels)


@dataclass(frozen=True)
class _Page:
    name: str
    step: int
    crops: int
    pixels_per_step: float
    decays: bool
    origin: str
    """Run that made the first weights; empty: they were random."""
    rows: list[tuple[int, float]]

    @classmethod
    def read(cls, path: Path) -> "_Page":
        text = path.read_text(encoding="utf-8")
        title = re.match(r"# (.+), step (\d+)$", text, re.MULTILINE)
        if title is None:
            raise UserError(f"{path} is no page of tools/keep_run.py: move it elsewhere.")
        settings = dict(re.findall(r"(\w+)=(\S+)", text))
        crops, name = int(settings["patch"]), re.findall(r"'(.+?)(?:-raw)?\.safetensors'", settings.get("init", ""))
        pixels = crops**2 * int(settings["batch"]) / 1e6
        rows = [(int(step), float(psnr)) for step, psnr in re.findall(r"\| (\d+) \| ([\d.]+) \|", text)]
        decays = settings.get("halve_at") == "()"
        return cls(title[1], int(title[2]), crops, pixels, decays, name[0] if name else "", rows)


def draw_curve(stretches: list[Stretch]) -> Figure:
    """Draw them over a logarithmic axis."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    lines = {}
    styles = dict(zip(sorted({stretch.crops for stretch in stretches}), ("--", "-", ":"), strict=False))
    for stretch in stretches:
        kind = "rates that fall to zero" if stretch.decays else "constant rates"
        style = styles.get(stretch.crops, "-.")
        (line,) = axes.semilogx(stretch.pixels, stretch.psnr_y, style, color=_COLORS[kind], marker=".")
        lines[f"{kind}, crops of {stretch.crops}"] = line
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("LR pixels of all crops (millions)")
    axes.set_ylabel("PSNR-Y (dB)")
    soften(axes)
    axes.legend(list(lines.values()), list(lines), frameon=False, fontsize=9)
    return figure


def training_curve(
    folder: Annotated[Path, typer.Option(help="Of the pages.")] = _ROOT / "trained",
    out: Annotated[Path, typer.Option(help="Picture.")] = _ROOT / "docs" / "training.png",
) -> None:
    """Draw the curve."""
    publish(draw_curve(read_stretches(folder)), out)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(training_curve)

if __name__ == "__main__":
    run(app)
