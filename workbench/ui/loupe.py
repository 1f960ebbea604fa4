"""The same place of several pictures, enlarged side by side and moved together: a template and what drives it."""

from pathlib import Path

import gradio as gr

_ON_LOAD = (Path(__file__).parents[1] / "static" / "loupe.js").read_text(encoding="utf-8")
_TEMPLATE = """${value ? `<div class="loupe">${value.pictures.map(each => `<figure>
<figcaption>${new Option(each.name).innerHTML} <span>${each.scores}</span></figcaption>
<div class="whole" tabindex="0" style="aspect-ratio: ${value.width} / ${value.height};
width: min(100%, ${Math.round(200 * value.width / value.height)}px)">
<img src="gradio_api/file=${each.file.split('/').map(encodeURIComponent).join('/')}" alt=""><i></i></div>
<canvas></canvas></figure>`).join('')}</div><output></output><p class="hint">Move over a picture to look, click to stay
there. The arrow keys move the place by a pixel, with Shift by a quarter of it.</p>` : ''}"""


def loupe(elem_id: str) -> gr.HTML:
    """Return pictures of one size with a place that is moved by the pointer or the arrow keys in all of them at once.

    The browser draws it from the files themselves, without asking the server. Its value holds `pictures`, each with
    `name`, `file` that the page may show and `scores`, `width` and `height` of all, and the upper left corner `x`, `y`
    and the `size` of the place, in pixels. A place that was clicked on, or where the keys rest, is a click at `x`, `y`.
    """
    return gr.HTML(
        html_template=_TEMPLATE, js_on_load=_ON_LOAD, apply_default_css=False, elem_id=elem_id, elem_classes="loupes"
    )
