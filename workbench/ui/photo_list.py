"""A list of photographs with small pictures, states and a button that tries one again."""

import gradio as gr

# The browser renders the list, so that programs get plain values.
_TEMPLATE = """${value.length ? (() => {
const text = string => new Option(string ?? '').innerHTML.replaceAll('"', '&quot;');
const item = (each, index) => `<li class="${each.state.replace(' ', '-')}">
<span class="small">${each.thumbnail ? `<img src="${each.thumbnail}" alt="">` : ''}</span>
<span class="name"><b>${text(each.photograph)}</b>
${each.result ? `<span>${text(each.result)}, ${each.size}</span>` : ''}
${each.notes ? `<span class="notes">${text(each.notes)}</span>` : ''}</span>
<span class="state">${each.state}</span>
${['failed', 'waiting'].includes(each.state) ? `<button type="button" data-index="${index}"
aria-label="${each.state === 'failed' ? 'Retry' : 'Upscale'} ${text(each.photograph)}">
${each.state === 'failed' ? 'Retry' : 'Upscale'}</button>` : ''}</li>`;
return `<ul class="photos" aria-label="Photographs">${value.map(item).join('')}</ul>`; })() : ''}"""
_ON_LOAD = """
element.addEventListener('click', event => {
  const button = event.target.closest('.photos button');
  if (button) trigger('select', {index: Number(button.dataset.index)});
});
"""


def photo_list(elem_id: str) -> gr.HTML:
    """Return a list whose rows are its value, see `workbench.sessions.many.Question.rows`.

    `select` says by its `index` which of them is to be tried again.
    """
    return gr.HTML([], html_template=_TEMPLATE, js_on_load=_ON_LOAD, apply_default_css=False, elem_id=elem_id)
