"""A strip of results, each of which can be shown again, shown beside another, pinned and dropped."""

import gradio as gr

_TEMPLATE = """${value.length > 1 ? (() => {
const text = string => new Option(string).innerHTML.replaceAll('"', '&quot;');
const button = (each, what, label, more = '') =>
  `<button type="button" data-what="${what}" data-number="${each.number}" ${more}
aria-label="${label} ${text(each.name)} of ${text(each.photo)}">${label}</button>`;
return `<section class="strip" aria-label="Results of this page"><p>Results of this page: choose one to see it again.
<b>Before</b> puts another of the same photograph and size into the slider. The latest ${kept} are kept, and those with
a <b>Pin</b> for longer.</p><ol>${value.map(each => `<li class="${each.side}">
<button type="button" class="result" data-what="choose" data-number="${each.number}" ${each.side === 'after' ?
'aria-current="true"' : ''}><img src="${each.thumbnail}" alt=""><span><b>${text(each.name)}</b>
<span>${text(each.photo)}</span><span>${each.size}</span></span></button>
<div>${each.fits && each.side !== 'after' ?
button(each, 'beside', 'Before', `aria-pressed="${each.side === 'before'}"`) : ''}
${button(each, 'pin', 'Pin', `aria-pressed="${each.pinned}"`)}
${each.side ? '' : button(each, 'drop', 'Drop')}</div></li>`).join('')}</ol></section>`; })() : ''}"""
_ON_LOAD = """
element.addEventListener('click', event => {
  const button = event.target.closest('.strip button');
  if (!button) return;
  const {what, number} = button.dataset;
  trigger(['choose', 'beside'].includes(what) ? 'select' : 'input', {what, number: Number(number)});
});
"""


def strip(elem_id: str, kept: int) -> gr.HTML:
    """Return a strip of the results whose rows are its value, see `workbench.sessions.history.History.rows`.

    `select` says that one of them is to be shown, `input` that one is to be pinned or dropped: `number` says which, and
    `what` names the method of the history.

    Args:
        elem_id: of the strip.
        kept: most results in it.
    """
    return gr.HTML(
        [], html_template=_TEMPLATE, js_on_load=_ON_LOAD, apply_default_css=False, elem_id=elem_id, kept=kept
    )
