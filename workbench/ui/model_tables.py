"""Tables of the tab *Models*, as templates that the browser fills with rows of plain values."""

from promptsr.zoo.listing import OWN_MODELS
from workbench.sessions.figure_names import LONGEST

_START = """${(() => {
  const text = value => new Option(value ?? '–').innerHTML.replaceAll('"', '&quot;');
  const table = (heads, bodies) => `<table><thead><tr>${heads}</tr></thead>${bodies}</table>`;
"""
_END = "})()}"

LIST = (
    _START
    + """
  const scored = ({psnr_y, images, source}) =>
    `${psnr_y.toFixed(2)} dB<small>${text(images)}, ${text(source)}</small>`;
  const licence = all => all ? `<span title="${text(all)}">${text(all.split(':')[0])}</span>` : 'not stated';
  const row = each => `<tr>
    <th scope="row">${text(each.name)}<small>${text(each.architecture)}${each.is_added ? ', added' : ''}</small></th>
    <td>${each.parameters ? each.parameters.toLocaleString('en') : '–'}</td>
    <td>${each.score ? scored(each.score) : '–'}</td>
    <td>${each.seconds_per_megapixel === null ? '–' : Number(each.seconds_per_megapixel.toPrecision(2))}</td>
    <td>${each.parameters ? licence(each.licence) : '–'}</td>
    <td class="words"><input value="${text(each.figure_name)}" data-model="${text(each.name)}" maxlength="LONGEST"
      aria-label="Name of ${text(each.name)} in figures"></td></tr>`;
  const group = scale => `<tbody><tr class="group"><th scope="rowgroup" colspan="6">×${scale}</th></tr>
    ${value.filter(each => each.scale === scale).map(row).join('')}</tbody>`;
  const heads = `<th>Model</th><th>Parameters</th><th>PSNR-Y</th>
    <th title="Seconds for a megapixel of the photograph, in the last run on this machine">Seconds per<br>megapixel</th>
    <th>Licence</th><th class="words">Name in figures</th>`;
  return value.length ? table(heads, [...new Set(value.map(each => each.scale))].map(group).join('')) : '';
""".replace("LONGEST", str(LONGEST))
    + _END
)
"""Template for `model_rows.rows`, by scale."""

MORE = (
    _START
    + """
  const row = each => `<tr>
    <th scope="row" class="words"><a href="${text(each.page)}" target="_blank" rel="noreferrer">${text(each.title)}</a>
    </th><td>${(each.size / 1e6).toFixed(1)} MB</td><td class="words">${text(each.licence)}</td>
    <td class="words"><code>${text(each.command)}</code>
    <button type="button" data-command="${text(each.command)}">Copy</button></td></tr>`;
  const heads = '<th>Weights</th><th>Size</th><th class="words">Licence</th><th class="words">Command</th>';
  return table(heads, `<tbody>${value.map(row).join('')}</tbody>`);
"""
    + _END
)
"""Template for `model_rows.to_fetch`."""

IGNORED = (
    _START
    + """
  const row = each => `<tr><th scope="row" class="words">${text(each.path)}</th>
    <td class="words">${text(each.reason)}</td></tr>`;
  const heads = '<th>File</th><th class="words">Why it is in no list</th>';
  return value.length ? table(heads, `<tbody>${value.map(row).join('')}</tbody>`) : `<p class="hint">
    Nothing was ignored. Start the workbench with OWN_MODELS=folder, and the checkpoints of a folder are in all lists.
    </p>`;
""".replace("OWN_MODELS", OWN_MODELS)
    + _END
)
"""Template for `model_rows.ignored`."""

RENAME = """element.addEventListener('change', ({target}) => {
  if (!target.dataset.model) return;
  target.dataset.asked = '';
  trigger('submit', {model: target.dataset.model, name: target.value});
});"""
"""Send the name that a model gets in figures."""
_ASKED = """() => {
  for (const field of document.querySelectorAll('#models-table input[data-asked]')) {
    delete field.dataset.asked;
    """
KEEP_NAME = _ASKED + "field.value = field.defaultValue = field.value.trim() || field.dataset.model; } }"
RESTORE_NAME = _ASKED + "field.value = field.defaultValue; } }"
"""Show the name that was sent, or, as it was refused, the one before."""

COPY = """element.addEventListener('click', async ({target}) => {
  if (!target.dataset.command) return;
  const copied = await navigator.clipboard?.writeText(target.dataset.command).then(() => true, () => false);
  if (!copied) getSelection().selectAllChildren(target.parentElement.querySelector('code'));
  target.textContent = copied ? 'Copied' : 'Press Ctrl+C';
  setTimeout(() => { target.textContent = 'Copy'; }, 2000);
});"""
"""Copy a command; without the browser's clipboard, as on plain HTTP, select it."""
