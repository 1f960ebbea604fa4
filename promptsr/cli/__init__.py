"""The command line: `promptsr upscale | models | complexity | train | evaluate | fetch | app`.

With `--json -` stdout holds one JSON object and nothing else; progress and tables go to stderr. Bad input ends with
one sentence on stderr and exit code 2.
"""

import sys
from importlib.metadata import version
from typing import Annotated

from promptsr.support.errors import missing_package

try:
    import typer

    from promptsr.cli import evaluate, fetch, reports, train, upscale, workbench
    from promptsr.cli.console import run
except ModuleNotFoundError as error:
    sys.exit(missing_package(error))

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Image super-resolution with PromptSR.")
app.command()(upscale.upscale)
app.command()(reports.models)
app.command()(reports.complexity)
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(fetch.fetch)
app.command("app")(workbench.open_workbench)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("promptsr"))
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    run(app)
