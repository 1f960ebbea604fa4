"""`promptsr app`."""

from typing import Annotated

import typer


def open_workbench(
    host: Annotated[str, typer.Option(help="Address to listen on; default: this machine only.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Default: the first free one from 7860 on.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    mcp: Annotated[bool, typer.Option("--mcp", help="Serve assistants too (Model Context Protocol).")] = False,
) -> None:
    """Open the workbench in the browser."""
    from workbench.page import launch

    launch(host=host, port=port, open_browser=browser, mcp=mcp)
