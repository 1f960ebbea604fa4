"""The command line of the analyses, `python -m analysis COMMAND`.

As with `promptsr`, `--json -` leaves stdout to one JSON object, and bad input ends with one sentence and exit code 2.
"""

from pkgutil import resolve_name

import typer

from promptsr.cli.console import run

_COMMANDS = (
    "lam",
    "lam_study",
    "failures",
    "complexity",
    "anchors",
    "attention",
    "categories",
    "receptive_field",
    "ablate",
)
"""In the order of the help. Each is a file here and the function of the same name in it: a line is all that a new
command needs."""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Look into super-resolution networks.")


@app.callback()
def _options() -> None:
    pass


for _name in _COMMANDS:
    app.command()(resolve_name(f"{__name__}.{_name}:{_name}"))


def main() -> None:
    """Runs the command line."""
    run(app)
