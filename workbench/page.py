"""Puts the tabs together and serves them, to this machine alone and without asking any other."""

import threading
from pathlib import Path

import gradio as gr

from promptsr import kernels
from promptsr.errors import UserError
from workbench import anchors_tab, architecture_tab, attention_tab, compare_tab, failures_tab, lam_tab, upscale_tab
from workbench.theme import theme

_STATIC = Path(__file__).parent / "static"
_DAY = 24 * 60 * 60
_HEADER = """
<header class="masthead">
  <div>
    <h1>PromptSR Workbench</h1>
    <p>Enlarge photographs, and look inside the network that does it.</p>
  </div>
  <button type="button" class="lamp" title="Light or dark" aria-label="Light or dark"
    onclick="document.body.classList.toggle('dark')">◐</button>
</header>
"""


def build() -> gr.Blocks:
    """The page."""
    with gr.Blocks(title="PromptSR Workbench", analytics_enabled=False, delete_cache=(_DAY // 24, _DAY)) as page:
        gr.HTML(_HEADER, js_on_load=None, apply_default_css=False)
        with gr.Tabs() as tabs:
            upscale_tab.build()
            comparing = compare_tab.build()
            attributing = lam_tab.build()
            failures_tab.build(tabs, comparing, attributing)
            attention_tab.build()
            anchors_tab.build()
            architecture_tab.build()
    return page


def launch(host: str = "127.0.0.1", port: int | None = None, open_browser: bool = True) -> None:
    """Serves the page until the program is stopped.

    Args:
        host: address to listen on; only this machine reaches the default.
        port: None for the first free one from 7860 on.
        open_browser: also open the page.

    Raises:
        UserError: the port is taken.
    """
    # Kernels that have to be built are there by the time somebody has chosen an image.
    threading.Thread(target=kernels.why_not, daemon=True).start()
    try:
        build().launch(
            server_name=host,
            server_port=port,
            inbrowser=open_browser,
            share=False,
            ssr_mode=False,
            mcp_server=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=[],
            max_file_size="64mb",
            theme=theme(),
            css_paths=_STATIC / "style.css",
            favicon_path=_STATIC / "favicon.svg",
        )
    except OSError as error:
        raise UserError(f"Port {port or '7860 and those after it'} cannot be used: choose another one.") from error
