"""Time of our networks and their peers in one run, and the memory of each in a process of its own.

    python benchmarks/speed.py    # everything; to benchmarks/results/speed.csv, speed.md and speed.png
    python benchmarks/speed.py --sizes 128x128 --models promptsr-x4,omnisr,atd-light --json -

All take turns on the same input with the same threads; seconds are the median of the turns, after one that does not
count. Nothing else may run on the machine meanwhile: it warns when the load is high.
"""

import promptsr.wait_policy  # noqa: F401
import json
import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from analysis.common.figure_style import publish
from benchmarks import fresh_process
from benchmarks.contenders import ALL, REFERENCE, Contender, build, check, tell_skipped
from benchmarks.figures import draw_speed
from benchmarks.passes import PassRow, Settings, clock, forward_pass, matrix_product, product_size
from benchmarks.report import RESULTS, Threads, command, head, publish_text, significant, warn_if_busy, write_csv
from promptsr.cli.console import JsonOption, check_targets, log, run
from promptsr.complexity.counting import count
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.files import write_json
from promptsr.support.markdown_tables import markdown
from promptsr.zoo.adapters.probing import describe as describe_error

_PRODUCTS = 10
_PRODUCT = "matrix product"


@dataclass(frozen=True)
class Row(PassRow):
    """One network at one size."""

    seconds: float
    """Median."""
    peak_mb: float
    """The most memory that a fresh process held, 10^6 bytes; see `fresh_process`."""
    ratio_to_promptsr: float
    """Seconds over those of promptsr-x4 at the same size in the same run."""
    share_of_matmul_peak: float
    """Multiply-adds a second over those of the best matrix product of the run."""


def parse_sizes(text: str) -> list[tuple[int, int]]:
    """Parse `"128x128,180x320"` -> height and width of each.

    Raises:
        ConfigError: something else.
    """
    matches = [re.fullmatch(r"\s*([1-9]\d{0,4})x([1-9]\d{0,4})\s*", size) for size in text.split(",")]
    if not all(matches):
        raise ConfigError(f"--sizes takes HEIGHTxWIDTH in pixels, such as 128x128,180x320, not {text!r}.")
    return [(int(match[1]), int(match[2])) for match in matches if match]


def in_turns(passes: Mapping[str, Callable[[], None]], repeats: int, what: str) -> dict[str, list[float]]:
    """Return the seconds of every pass in each of `repeats` rounds; other work on the machine slows a round alike.

    Raises:
        UserError: one of them fails, as some networks do on tiny images.
    """
    for name, once in passes.items():
        log.print(f"{what}: first run of {name}", highlight=False)
        try:
            once()
        except RuntimeError as error:
            reason = describe_error(error)
            raise UserError(f"{name} failed on {what} ({reason}): choose another size or leave it out.") from error
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for i in range(repeats):
        log.print(f"{what}: round {i + 1} of {repeats}", highlight=False)
        for name, once in passes.items():
            seconds[name].append(clock(once))
    return seconds


def measure(
    names: list[str], sizes: list[tuple[int, int]], settings: Settings, repeats: int
) -> tuple[list[Row], float]:
    """Return the rows in the order asked for, and the best multiply-adds a second of a matrix product.

    Peers whose package is missing are left out, with a line on stderr.

    Raises:
        ConfigError: no network is left.
    """
    contenders = _build_all(names)
    if not contenders:
        raise ConfigError(f"Nothing of {', '.join(names)} can be built here: install what is missing or choose others.")
    timed = contenders
    if REFERENCE not in {each.name for each in contenders}:
        timed = [*contenders, *_build_all([REFERENCE])]
    product = matrix_product(settings)
    products = [clock(product) for _ in range(_PRODUCTS)]
    medians: dict[tuple[str, int, int], float] = {}
    for height, width in sizes:
        passes = {each.name: forward_pass(each, height, width, settings) for each in timed}
        seconds = in_turns({**passes, _PRODUCT: product}, repeats, f"{height} x {width}")
        products += seconds.pop(_PRODUCT)
        medians |= {(name, height, width): statistics.median(values) for name, values in seconds.items()}
    peak = product_size(settings) ** 3 / min(products)

    rows = []
    for height, width in sizes:
        for each in contenders:
            log.print(f"{height} x {width}: memory of {each.name}", highlight=False)
            median = medians[each.name, height, width]
            rows.append(
                Row(
                    each.name,
                    height,
                    width,
                    **asdict(settings),
                    seconds=significant(median),
                    peak_mb=significant(fresh_process.measure(each.name, height, width, settings).peak / 1e6),
                    ratio_to_promptsr=significant(median / medians[REFERENCE, height, width]),
                    share_of_matmul_peak=significant(count(each.network, height, width).multiply_adds / median / peak),
                )
            )
    return rows, peak


def report(rows: list[Row], peak: float, settings: Settings) -> str:
    """Return Markdown: how it was measured, and a table for each size, the fastest first."""
    side = product_size(settings)
    text = (
        f"{head('Speed', 'speed', settings)} Best {side} x {side} matrix product of the run: "
        f"{peak / 1e9:.1f}G multiply-adds a second.\n\nMedian seconds of one forward pass, all networks in turns on "
        f"the same input; ratio: to the seconds of {REFERENCE}; peak memory: of a fresh process, 10^6 bytes; share: of "
        "the multiply-adds a second of that product, attention products counted. Convolutions are no matrix products "
        "of torch and may go beyond it.\n"
    )
    for height, width in dict.fromkeys((row.height, row.width) for row in rows):
        lines = [
            {
                "model": row.model,
                "seconds": f"{row.seconds:.3f}",
                "ratio": f"{row.ratio_to_promptsr:.2f}",
                "peak MB": f"{row.peak_mb:.0f}",
                "share of matmul peak": f"{100 * row.share_of_matmul_peak:.0f} %",
            }
            for row in sorted(rows, key=lambda row: row.seconds)
            if (row.height, row.width) == (height, width)
        ]
        text += f"\n## {height} x {width}\n\n{markdown(lines)}"
    return text


def speed(
    sizes: Annotated[str, typer.Option(help="Height x width of the LR input, pixels.")] = "128x128,180x320",
    models: Annotated[str, typer.Option(help="Names; a wrong one lists them all.")] = ",".join(ALL),
    threads: Threads = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, or bfloat16 under autocast.")] = "float32",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; seconds are their median.")] = 5,
    output: Annotated[Path, typer.Option(help="Folder for speed.csv, speed.md and speed.png.")] = RESULTS,
    json_target: JsonOption = None,
) -> None:
    """Measure; with --json write the rows there, and nothing to the output folder."""
    names = list(dict.fromkeys(name.strip() for name in models.split(",")))
    check(names)
    settings = Settings(threads or torch.get_num_threads(), device, dtype)
    wanted = parse_sizes(sizes)
    targets = [] if json_target else [output / f"speed.{suffix}" for suffix in ("csv", "md", "png")]
    check_targets(targets, json_target)
    torch.set_num_threads(settings.threads)
    warn_if_busy(settings.threads)
    rows, peak = measure(names, wanted, settings, repeats)
    content = {"rows": [asdict(row) for row in rows]}
    if json_target == "-":
        typer.echo(json.dumps(content, indent=2))
    elif json_target:
        write_json(Path(json_target), content)
    else:
        table, text, figure = targets
        write_csv(table, rows)
        publish(draw_speed(rows), figure)
        publish_text(text, report(rows, peak, settings))


def _build_all(names: list[str]) -> list[Contender]:
    built = {name: build(name) for name in names}
    for name, contender in built.items():
        if contender is None:
            tell_skipped(name)
    return [contender for contender in built.values() if contender]


app = command(speed)

if __name__ == "__main__":
    run(app)
