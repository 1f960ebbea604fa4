"""Put the tabs together and serves them, to this machine alone and without asking any other."""

import gc
import os
import sys
import threading
import warnings
from contextlib import suppress
from importlib import reload
from importlib.util import find_spec
from pathlib import Path

import gradio as gr
import matplotlib
from starlette.middleware import Middleware

from promptsr.support.errors import UserError
from workbench import tools
from workbench.server.access import is_own, users
from workbench.server.device import in_background
from workbench.server.limits import PUBLIC, Limits, enforce, in_force, read_limits
from workbench.server.queueing import let_streams_end, outlive_pages, refuse_other_requests, share_fairly
from workbench.server.route_guard import RouteGuard
from workbench.sessions import models, visits
from workbench.tabs import anchors, architecture, attention, attribution, compare, failures, many, model_list, upscale
from workbench.tabs.links import connect
from workbench.ui.model_choice import renew_choices
from workbench.ui.theme import theme

_STATIC = Path(__file__).parent / "static"
_DAY = 24 * 60 * 60
_HEADER = """
<header class="masthead">
  <div>
    <h1>PromptSR Workbench</h1>
    <p>Enlarge photographs, and look inside the network that does it.</p>
  </div>
  <div class="tools">
    <button type="button" class="api" title="How programs use this page">API</button>
    <button type="button" class="lamp" title="Light or dark" aria-label="Light or dark">◐</button>
  </div>
</header>
"""


def build(public: bool = False) -> gr.Blocks:
    """Build the page; one that is public takes no models."""
    with gr.Blocks(title="PromptSR Workbench", analytics_enabled=False, delete_cache=(_DAY // 24, _DAY)) as page:
        gr.HTML(_HEADER, js_on_load=(_STATIC / "page.js").read_text(encoding="utf-8"), apply_default_css=False)
        with gr.Tabs() as tabs:
            settings = [upscale.build(page)]
            for each in (many, compare, attribution, failures, attention, anchors, architecture):
                settings.append(each.build())
            model_list.build(page, own=not public)
        tools.build()
        connect(page, tabs, settings)
    return page


def launch(
    host: str | None = None,
    port: int | None = None,
    open_browser: bool = True,
    mcp: bool = False,
    public: bool = False,
    limits: Path | None = None,
    login: bool = True,
) -> None:
    """Serve the page until the program is stopped.

    Args:
        host: address to listen on; by default only this machine reaches it, and all do if it is public.
        port: None for the first free one from 7860 on.
        open_browser: also open the page.
        mcp: also be a server of the Model Context Protocol, whose tools are the endpoints of the page.
        public: for other machines: visitors log in as one of `access.users`, and limits are tighter.
        limits: TOML file of other limits, see `limits.Limits`.
        login: False lets everybody in who reaches a public page, as `deploy/app.py` does.

    Raises:
        UserError: the port is taken, there is no package for the protocol, other machines would reach a page that is
            not public, there are no users, or the limits cannot be read.
    """
    host = host or ("0.0.0.0" if public else "127.0.0.1")
    if not public and not is_own(host):
        raise UserError(f"Other machines would reach {host}: add --public, which asks for a login and tightens limits.")
    if public and mcp:
        raise UserError("Assistants are served on this machine alone: leave out --mcp or --public.")
    if mcp and find_spec("mcp") is None:
        raise UserError("The Model Context Protocol needs another package: pip install 'gradio[mcp]'.")
    auth = users() if public and login else None
    base = PUBLIC if public else Limits()
    enforce(read_limits(limits, base) if limits else base)
    # Keep Gradio's record of events small: Gradio sums it up after every event.
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
    # Gradio switches the backend around every event, and fails while another one imports pyplot.
    if not hasattr(sys, "ps1"):  # notebooks draw in a way of their own
        matplotlib.use("agg")
    # Visitors cannot mend an installation, and a network that needs what is missing says so itself.
    warnings.filterwarnings("ignore", "torchvision was built for another PyTorch")
    if mcp:
        reload(gr.mcp)  # with the package that `workbench` kept from it
    models.postpone_reading()
    page = build(public).queue(max_size=in_force().waiting, api_open=False)  # every request goes through the queue
    share_fairly(page)
    let_streams_end(page)
    outlive_pages(page, visits.leave)
    refuse_other_requests(page)
    # What is there by now stays. Python would look through all of it for garbage, and so wait until there is a lot.
    gc.freeze()
    gc.enable()
    try:
        page.launch(
            server_name=host,
            server_port=port,
            auth=auth,
            app_kwargs={"middleware": [Middleware(RouteGuard)]},
            inbrowser=open_browser,
            share=False,
            ssr_mode=False,
            mcp_server=mcp,
            run_history=False,
            enable_monitoring=False,
            footer_links=["api"],
            max_file_size=in_force().upload_bytes,
            state_session_capacity=in_force().sessions,
            theme=theme(),
            css_paths=_STATIC / "style.css",
            favicon_path=_STATIC / "favicon.svg",
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise UserError(f"Port {port or '7860 and those after it'} cannot be used: choose another one.") from error
    print(f"The workbench is at {page.local_url}", flush=True)
    threading.Thread(target=_warm, args=(page,), daemon=True).start()  # while the browser loads the page
    if not hasattr(sys, "ps1"):  # notebooks go on, and show the page
        page.block_thread()


def _warm(page: gr.Blocks) -> None:
    """Make what the tabs open with, in their order; after the first of them, read new files of models."""
    with suppress(UserError):  # the tab says so when it is opened
        upscale.warm()
    models.complete()
    renew_choices(page)
    with in_background():
        for tab in (many, compare, attribution, failures, attention, anchors, architecture):
            with suppress(UserError):
                tab.warm()
