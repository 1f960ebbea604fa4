"""The numbers of local attribution maps as a table, and how to read them."""

import gradio as gr

HELP = """**How to read it.** LAM marks the input pixels that made the window: the redder, the more.
The *diffusion index* (DI) says how widely they are spread, 0 if one pixel does it all and 100 if all do the same; a
larger one means that the network draws on more of the image, which need not make a better picture. The *completeness
gap* is by how much the attributions miss what they must add up to, the change of the window along the path from a
blurred input to the sharp one: take more steps where it is large. PromptSR sorts pixels into categories, so some gap
remains."""
# The browser renders the table, so that programs get plain numbers.
_TABLE = """${value.length ? `<table><thead><tr><th>Model</th><th>DI</th><th>Completeness gap</th>
<th>Pixels above 1 %</th><th>PSNR-Y, dB</th><th>SSIM-Y</th><th>Steps</th><th>Time, s</th></tr></thead><tbody>${
value.map(row => {
  const text = (number, digits, sign = '', unit = '') =>
    number === null ? '–' : (number > 0 ? sign : '') + number.toFixed(digits) + unit;
  const percent = (share, digits, sign) => text(share === null ? null : 100 * share, digits, sign, ' %');
  return `<tr><th>${new Option(row.model).innerHTML}</th><td><b>${text(row.di, 2)}</b></td>
<td>${percent(row.completeness_gap, 2, '+')}</td><td>${percent(row.activated['0.01'], 1)}</td>
<td>${text(row.psnr_y, 2)}</td><td>${text(row.ssim_y, 4)}</td>
<td>${row.settings.steps}${row.preview ? ' (preview)' : ''}</td><td>${row.seconds.toFixed(1)}</td></tr>`;
}).join('')}</tbody></table>` : ''}"""


def numbers(elem_id: str) -> gr.HTML:
    """A table of `Attributed.rows`."""
    return gr.HTML(
        [], html_template=_TABLE, js_on_load=None, apply_default_css=False, elem_id=elem_id, elem_classes="scores"
    )
