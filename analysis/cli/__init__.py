"""The command line of the analyses, `python -m analysis COMMAND`.

As with `promptsr`, `--json -` leaves stdout to one JSON object, and bad input ends with one sentence and exit code 2.
"""

import typer

from analysis.cli.ablate import ablate
from analysis.cli.anchors import anchors
from analysis.cli.attention import attention
from analysis.cli.categories import categories
from analysis.cli.complexity import complexity
from analysis.cli.failures import failures
from analysis.cli.lam import lam
from analysis.cli.lam_study import lam_study
from analysis.cli.receptive_field import receptive_field
from promptsr.cli.console import run

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Look into super-resolution networks.")


@app.callback()
def _options() -> None:
    pass


app.command()(lam)
app.command()(lam_study)
app.command()(failures)
app.command()(complexity)
app.command()(anchors)
app.command()(attention)
app.command()(categories)
app.command()(receptive_field)
app.command()(ablate)


def main() -> None:
    """Runs the command line."""
    run(app)
