"""The command line of the analyses, `python -m analysis COMMAND`.

As with `promptsr`, `--json -` leaves stdout to one JSON object, and bad input ends with one sentence and exit code 2.
"""

from pkgutil import resolve_name

import typer

from promptsr.cli.console import run

_COMMANDS = (
    "lam.command:lam",
    "lam.study_command:lam_study",
    "lam.faithfulness_command:lam_check",
    "lam.causes_command:causes",
    "failures.command:failures",
    "comparison.spectrum_command:spectrum",
    "comparison.similarity_command:similarity",
    "complexity.command:complexity",
    "anchors.command:anchors",
    "attention.command:attention",
    "attention.command:categories",
    "attention.receptive_field_command:receptive_field",
    "attention.stability_command:stability",
    "ablations.command:ablate",
    "paper.command:paper",
)
"""In the order of the help: room, file and function. A new command needs a line here."""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Look into super-resolution networks.")


@app.callback()
def _options() -> None:
    pass


for _command in _COMMANDS:
    app.command()(resolve_name(f"analysis.{_command}"))


def main() -> None:
    """Runs the command line."""
    run(app)
