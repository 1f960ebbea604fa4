"""`promptsr app`."""

import gc
from pathlib import Path
from typing import Annotated

import typer


def open_workbench(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: this machine only.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: the first free one from 7860 on.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    mcp: Annotated[bool, typer.Option("--mcp", help="Serve assistants too (Model Context Protocol).")] = False,
    public: Annotated[
        bool, typer.Option("--public", help="For other machines: a login from PROMPTSR_USERS, tighter limits.")
    ] = False,
    limits: Annotated[Path | None, typer.Option(help="TOML file of other limits, such as seconds = 60.")] = None,
) -> None:
    """Open the workbench in the browser."""
    gc.disable()  # modules leave little to collect; `launch` enables it
    from workbench.page import launch

    launch(host=host, port=port, open_browser=browser, mcp=mcp, public=public, limits=limits)
