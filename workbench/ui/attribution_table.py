"""Table and colours of local attribution maps, and how to read them.

The browser renders the table, so that programs get plain numbers.
"""

import numpy as np

from analysis.lam.figure import SCALE, scale_colors
from workbench.server.arguments import Real
from workbench.ui.color_bar import marked_bar

HELP = """LAM marks the input pixels that made the window: the redder, the more, by one scale for all models.
The *diffusion index* (DI) says how widely they are spread, 0 if one pixel does it all and 100 if all do the same; a
larger one means that the network draws on more of the image, which need not make a better picture. The *completeness
gap* is by how much the attributions miss what they must add up to, the change of the window along the path from a
blurred input to the sharp one. The adaptive rule doubles the steps until the gap is below 2 %, or no longer shrinks:
PromptSR sorts pixels into categories, and where they change along the path the window jumps, which no gradient sees.
The reference rule takes 50 steps and is the one that published maps were made by. A warning stands below the table
where the gap is above 5 %, or the window is flat."""
TABLE = """${value.length ? `<table><thead><tr><th>Model</th><th>Diffusion index (DI)</th>
<th title="By how much the attributions miss their sum">Completeness gap</th>
<th>Pixels above 1 %</th><th>PSNR-Y, dB</th><th>SSIM-Y</th><th>Steps</th><th>Time, s</th></tr></thead><tbody>${
value.map(row => {
  const text = (number, digits, sign = '', unit = '') =>
    number === null ? '–' : (number > 0 ? sign : '') + number.toFixed(digits) + unit;
  const percent = (share, digits, sign) => text(share === null ? null : 100 * share, digits, sign, ' %');
  return `<tr><th>${new Option(row.model).innerHTML}</th><td><b>${text(row.di, 2)}</b></td>
<td>${percent(row.completeness_gap, 2, '+')}</td><td>${percent(row.activated['0.01'], 1)}</td>
<td>${text(row.psnr_y, 2)}</td><td>${text(row.ssim_y, 4)}</td>
<td>${row.levels.at(-1)[0]}${row.preview ? ' (preview)' : ''}</td><td>${row.seconds.toFixed(1)}</td></tr>`;
}).join('')}</tbody></table>${value.filter(row => row.warning && !row.preview).map(row =>
  `<p class="warning" role="status"><b>${new Option(row.model).innerHTML}:</b> ${row.warning}</p>`).join('')}` : ''}"""


def map_scale(strength: Real) -> str:
    """Return the colour bar of the maps, for a strength from 0 to 1."""
    colors = scale_colors(np.linspace(0, 1, 33) ** 2, strength).tolist()
    ticks = {label: share**0.5 for label, share in SCALE.items()}
    return marked_bar(colors, ticks, "of the largest attribution, the same for every map")
