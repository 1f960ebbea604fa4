// What the page does by itself; it runs once the header is there, which is `element`.
const body = document.body;

// Light or dark: as the system has it, until one is chosen.
const LOOK = 'promptsr-look';
const kept = localStorage.getItem(LOOK);
if (kept) body.classList.toggle('dark', kept === 'dark');
element.querySelector('.lamp').addEventListener('click', () => {
  localStorage.setItem(LOOK, body.classList.toggle('dark') ? 'dark' : 'light');
});

// Gradio's page reads all answers from one stream, which the server ends with the last. A run that is accepted before the
// page has heard of that end waits for ever, and one whose result comes before its acceptance is never forgotten. So an
// acceptance waits until the stream tells of the run or has ended, and what the stream tells waits for the acceptance.
const gate = () => {
  const made = {};
  made.passed = new Promise((open) => (made.open = open));
  return made;
};
const runs = new Map(); // by id: `told` opens once the stream tells of a run, `known` once the page has its acceptance
const gatesOf = (id) => runs.get(id) ?? runs.set(id, {told: gate(), known: gate()}).get(id);
const later = (milliseconds = 0) => new Promise((go) => setTimeout(go, milliseconds));
let ended = Promise.resolve(); // the last stream that was asked for: it may be over before the page has its beginning
const inOrder = async (asked) => {
  const end = gate();
  ended = end.passed;
  const answer = await asked.catch((error) => { end.open(); throw error; });
  const {readable, writable} = new TransformStream({async transform(part, out) {
    for (const [, id] of new TextDecoder().decode(part).matchAll(/"event_id": ?"(\w+)"/g)) {
      gatesOf(id).told.open();
      await Promise.race([gatesOf(id).known.passed, later(1000)]); // an acceptance may be lost
    }
    out.enqueue(part);
  }});
  answer.body.pipeTo(writable).catch(() => {}).then(() => later()).then(end.open);
  return new Response(readable, answer);
};

// Gradio cancels a run by the id that the server gave it. Until that has come it would send none, and the run went on:
// so the cancelling waits for it.
const ask = window.fetch, accepted = new Map(); // answers of the server, by the function that was asked for
window.fetch = async (address, options) => {
  const route = String(address.url ?? address).match(/\/(queue\/join|queue\/data|cancel|reset)(\?|$)/)?.[1];
  if (!route) return ask(address, options);
  if (route === 'queue/data') return inOrder(ask(address, options));
  const said = JSON.parse(options.body);
  if (route === 'queue/join') {
    const asked = ask(address, options), reply = asked.then((each) => each.clone().json()).catch(() => ({}));
    accepted.set(said.fn_index, reply);
    const answer = await asked, {event_id: id} = await reply;
    if (!id) return answer;
    await Promise.race([gatesOf(id).told.passed, ended]);
    answer.json = async () => {
      later().then(gatesOf(id).known.open);
      return reply;
    };
    return answer;
  }
  if (said.event_id === null && route === 'cancel') said.event_id = (await accepted.get(said.fn_index))?.event_id ?? '';
  return ask(address, {...options, body: JSON.stringify({...said, event_id: said.event_id ?? ''})});
};

// Gradio says of a list that something was put in whenever it is left: only another value than before is a choice.
const entered = {};
document.addEventListener('focusin', ({target}) => {
  if (target.matches('input[role="combobox"]')) entered[target.closest('.block').id] = target.value;
});
window.isChosen = (id) => entered[id] !== (entered[id] = document.querySelector(`#${id} input`).value);

// Gradio's page for programs, whose own button lies in the footer.
element.querySelector('.api').addEventListener('click', () => {
  const button = document.querySelector('footer .show-api');
  button.dispatchEvent(new MouseEvent('mouseenter')); // loads what the click shows
  button.click();
});

// Ctrl+Enter starts what the open tab is for, Escape stops it.
const press = (what) => {
  const buttons = [...document.querySelectorAll(`button[id$="-${what}"]`)];
  document.activeElement.blur(); // a number that is being typed counts
  setTimeout(() => buttons.find((button) => button.checkVisibility())?.click(), 100);
};
document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) press('start');
  if (event.key === 'Escape' && !document.querySelector('[role="listbox"]')) press('cancel');
});

// Arrows go from tab to tab.
document.addEventListener('keydown', (event) => {
  const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  const tab = event.target.closest('[role="tab"]');
  if (!by || !tab) return;
  const tabs = [...tab.parentElement.querySelectorAll('[role="tab"]')];
  const next = tabs[(tabs.indexOf(tab) + by + tabs.length) % tabs.length];
  next.focus();
  next.click();
});

// The server tells photographs by their content; Gradio would turn away those whose type the browser does not know.
const PLACES = ':is([id$="-image"], #compare-hr)';
const typed = (files) => {
  const list = new DataTransfer();
  for (const file of files) list.items.add(file.type.startsWith('image/') ? file : new File([file], file.name, {type: 'image/any'}));
  return list.files;
};
document.addEventListener('change', ({target}) => {
  if (target.matches(`${PLACES} input[type=file]`)) target.files = typed(target.files);
}, true);
document.addEventListener('drop', (event) => {
  const {files} = event.dataTransfer;
  if (files.length > 1 && event.target.closest('#upscale-image')) { // many photographs have a tab of their own
    event.preventDefault();
    event.stopPropagation();
    document.getElementById('tab-many-button').click();
    const give = (patience) => {
      const input = document.querySelector('#many-image input[type=file]');
      if (!input && patience) return setTimeout(give, 100, patience - 1);
      input.files = typed(files);
      input.dispatchEvent(new Event('change', {bubbles: true}));
    };
    give(50);
  } else if (files.length && event.target.closest(PLACES)) Object.defineProperty(event, 'dataTransfer', {value: {files: typed(files)}});
}, true);

// A checkpoint that is dropped anywhere goes to the models.
const CHECKPOINT = /\.(safetensors|pth|pt|ckpt|onnx)$/i;
const models = () => document.querySelector('#models-file input[type=file]');
document.addEventListener('drop', (event) => {
  const {files} = event.dataTransfer;
  if (![...files].some((file) => CHECKPOINT.test(file.name)) || event.target.closest('#models-file')) return;
  event.preventDefault();
  event.stopPropagation();
  document.getElementById('tab-models-button').click();
  const send = setInterval(() => {
    if (!models()) return;
    clearInterval(send);
    models().files = files;
    models().dispatchEvent(new Event('change', {bubbles: true}));
  }, 50);
  setTimeout(() => clearInterval(send), 2000); // a public page takes none, and says so there
}, true);
document.addEventListener('dragover', (event) => event.preventDefault()); // else the browser would open what is dropped

// Lists of models tell scale, size, score and speed of each, with a line between scales.
const rowOf = new Map();
window.modelsKnown = (rows) => rows.forEach((row) => rowOf.set(row.name, row));
const about = ({scale, parameters, score, seconds_per_megapixel: seconds}) => [
  `×${scale}`,
  parameters && (parameters < 1e6 ? `${Math.round(parameters / 1e3)} K` : `${(parameters / 1e6).toFixed(1)} M`),
  score && `${score.psnr_y.toFixed(2)} dB on ${score.images}`,
  seconds && `${Number(seconds.toPrecision(2))} s per megapixel`,
].filter(Boolean).join(' · ');
const describe = () => {
  let scale;
  for (const option of document.querySelectorAll('[role="listbox"] [role="option"]')) {
    const row = rowOf.get(option.ariaLabel);
    if (row) option.dataset.about = about(row);
    else delete option.dataset.about;
    option.classList.toggle('next-scale', row !== undefined && scale !== undefined && row.scale !== scale);
    scale = row?.scale;
  }
};
new MutationObserver(describe).observe(body, {childList: true, subtree: true, attributeFilter: ['aria-label']});

// The address holds the open tab and, once it shows more than at first, all that is set there: `tabs/links.py` reads it,
// and what the browser keeps in the same words. Tabs are entries of the history, places in them too.
const VISIT = 'promptsr-visit', SETTINGS = 'promptsr-settings-', LAST = 'promptsr-last-';
const before = {...localStorage, ...sessionStorage};
const visit = before[VISIT] ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
const store = (where, name, text) => (text ? where.setItem(name, text) : where.removeItem(name));
store(sessionStorage, VISIT, visit); // of this tab of the browser, across reloads: so the server finds its runs again
const texts = (value) => { // of a setting; a photograph is a sample and its side, or folder and name on the server
  const all = [value].flat().filter((each) => each !== null && each !== undefined && each !== '');
  return Object.assign(all.map((each) => {
    if (!each.path) return String(each);
    const [folder, name] = each.path.split(/[/\\]/).slice(-2);
    return /^\d+$/.test(folder) ? `${name.replace(/\.\w+$/, '')}-${folder}` : `${folder}/${name}`;
  }), {photo: all.some((each) => each.path)});
};
const isPlace = (key) => key === 'x' || key === 'y';
const queryOf = (pairs) => new URLSearchParams(pairs
  .filter(([key, now, first]) => now.photo || String(now) !== String(first))
  .flatMap(([key, now]) => (now.length ? now.map((text) => [key, text]) : [[key, '']]))).toString();
const link = (tab, asked, view = of(tab).view) => [`tab=${tab}`, asked, view].filter(Boolean).join('&');
const address = (tab) => { // nothing but the tab, as long as it shows what it opened with
  const {now, first, shown, by} = of(tab), bar = document.getElementById(`${tab}-bar`);
  return (bar ? by : now !== first) ? `?${link(tab, bar ? shown : now)}` : `?tab=${tab}`;
};
const panels = () => [...document.querySelectorAll('[role="tabpanel"][id^="tab-"]')];
const linked = () => new URLSearchParams(location.search).get('tab') ?? 'upscale';
let open; // the open tab
let going; // where Back or Forward leads, until that tab is open or something else is done
for (const type of ['pointerdown', 'keydown']) addEventListener(type, () => { going = undefined; }, true);
const writeAddress = () => {
  const panel = panels().find((each) => each.checkVisibility()), tab = panel?.id.replace('tab-', '');
  if (!tab || (going && tab !== going)) return;
  going = undefined;
  const moved = open !== undefined && open !== tab, to = address(tab);
  open = tab;
  if (moved && linked() !== tab) history.pushState(null, '', to);
  else if (linked() === tab && to !== `?tab=${tab}` && !of(tab).old && !of(tab).awaited) {
    if (to === location.search) return;
    history.replaceState(history.state, '', to);
    store(sessionStorage, LAST + tab, to.slice(1));
  }
};
new MutationObserver(writeAddress).observe(body, {subtree: true, attributeFilter: ['style']});

// What a tab should show: as the page is loaded, a link, the last run of this visit, or settings as they were; and the
// entry of the history that the page has gone to.
const reloaded = performance.getEntriesByType('navigation')[0]?.type === 'reload';
const asLoaded = (tab) => {
  const more = linked() === tab && [...new URLSearchParams(location.search).keys()].some((key) => key !== 'tab');
  const query = more ? location.search.slice(1) : '', last = before[LAST + tab];
  if (query && !(reloaded && last)) return {query, how: 'link'};
  if (last) return {query: last, how: last === query ? 'link' : 'again'};
  return {query: before[SETTINGS + tab] ?? '', how: 'remembered'};
};
let wanted = asLoaded;
window.arrival = () => JSON.stringify({visit, tab: new URLSearchParams(location.search).get('tab') ?? going ?? null});
window.openTabs = () => {
  for (const button of document.querySelectorAll('[id$="-opening"]')) {
    const tab = button.id.replace('-opening', '');
    if (wanted(tab).query === '') continue;
    window.opening(tab); // until its answer is there, the address stays
    button.click();
  }
};
window.opening = (tab) => {
  const {query, how} = wanted(tab);
  of(tab).awaited = query !== '' && how !== 'remembered';
  return JSON.stringify({visit, query, how, open: linked() === tab});
};
window.unlessAwaited = (tab, values) => (of(tab).awaited ? ['awaited', ...values.slice(1)] : values); // not as at first
addEventListener('popstate', () => {
  const there = going = linked(), same = [address(there), `?tab=${there}`, ''].includes(location.search);
  const query = same ? '' : location.search.slice(1);
  of(there).awaited = !same; // or its address of now would be written here
  wanted = (tab) => ({query: tab === there ? query : '', how: 'link'});
  const button = document.getElementById(`tab-${there}-button`); // those without room are in a menu, by the server then
  button?.click();
  if (!same || !button) document.getElementById('history-moved').click();
});

// A link to what the open tab shows; without the browser's clipboard, as on plain HTTP, from a field that is selected.
document.addEventListener('click', async ({target}) => {
  const button = target.closest('.copy-link');
  if (!button) return;
  const {shown, now} = of(open), text = `${location.origin}${location.pathname}?${link(open, shown ?? now)}`;
  let copied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  if (!copied) {
    const field = Object.assign(document.createElement('input'), {value: text, readOnly: true, className: 'link-field'});
    field.ariaLabel = 'Link';
    button.after(field);
    field.select();
    copied = document.execCommand('copy');
    if (copied) field.remove();
    else field.addEventListener('blur', () => field.remove());
    if (copied) button.focus();
  }
  const label = button.textContent;
  button.textContent = copied ? 'Copied' : 'Press Ctrl+C';
  setTimeout(() => { button.textContent = label; }, 2000);
});

// A result belongs to the settings that it was asked with. Beside others it is marked as old, and its files are out of
// reach; so they are while a run goes on that has not shown its own result yet.
// By name: settings at first, now, when the button was pressed, of the run, and of the result; how that is looked at.
const tabs = {};
const of = (tab) => (tabs[tab] ??= {});
window.settingsNow = (tab, first, asked, opened, values) => {
  const known = of(tab), pairs = first.map(([key, value], i) => [key, texts(values[i]), texts(value)]);
  known.now = queryOf(pairs.slice(0, asked));
  known.view = queryOf(pairs.slice(asked));
  if (known.first === undefined) known.first = known.now;
  else store(localStorage, SETTINGS + tab, queryOf(pairs.filter(([key, now]) => !isPlace(key) && !now.photo)));
  if (opened) known.awaited = false;
  belong();
};
window.startAgain = (tab) => {
  document.querySelector(`#tab-${tab}:has(.start-bar .running) #${tab}-cancel`)?.click();
  document.getElementById(`${tab}-start`).click();
};
document.addEventListener('click', ({target}) => {
  const tab = target.closest('button[id$="-start"]')?.id.match(/^(\w+)-start$/)[1];
  if (tab) of(tab).pressed = of(tab).now;
}, true);
const reveal = (results) => {
  const {top} = results.getBoundingClientRect();
  if (top > 0.6 * innerHeight || top < -0.4 * innerHeight) results.scrollIntoView({behavior: 'smooth'});
};
const viewOf = ({asked, shown, view}) => { // of a run that begins; the place may lie outside of another result
  const leaves = (key) => shown !== undefined && asked !== shown && isPlace(key);
  return new URLSearchParams([...new URLSearchParams(view)].filter(([key]) => !leaves(key))).toString();
};
const FILES = ':is([id$="-download"]:not(#many-download), [id$="-files"], [id$="-report"], [id$="-drawn"])';
const belong = () => {
  for (const news of document.querySelectorAll('.start-bar .status')) {
    const panel = news.closest('[role="tabpanel"][id^="tab-"]'), tab = panel.id.replace('tab-', ''), known = of(tab);
    const {run, result} = news.dataset, done = news.matches('.done');
    if (run && run !== known.run) {
      const asked = (known.runs ??= {})[run] ??= known.pressed ?? known.now; // an earlier one is shown again by its own
      Object.assign(known, {run, asked, pressed: undefined});
      store(sessionStorage, LAST + tab, link(tab, known.asked, viewOf(known)));
    }
    const fresh = (done || result !== undefined) && run && known.by !== run;
    if (done || result !== undefined) Object.assign(known, {shown: run ? known.asked : known.first, by: run});
    const going = news.matches('.running') && known.by !== run;
    const old = known.shown !== undefined && (going || known.shown !== known.now);
    panel.toggleAttribute('data-old', old);
    document.getElementById(`${tab}-start`)?.setAttribute('aria-disabled', news.matches('.running')); // *Cancel* is first
    for (const file of panel.querySelectorAll(FILES)) file.inert = old;
    if (fresh) reveal(news.closest('.start-bar').parentElement.lastElementChild);
    known.old = old;
  }
  writeAddress();
};
new MutationObserver(belong).observe(body, {childList: true, subtree: true});

// In a picture with a place the arrow keys move it, by a pixel or by ten; its number fields tell the server.
const PLACED = '[id$="-whole"]';
let settled;
document.addEventListener('keydown', (event) => {
  const picture = event.target.matches('button') && event.target.closest(PLACED);
  if (!picture || event.ctrlKey || event.metaKey) return;
  const [axis, by] = {ArrowLeft: ['x', -1], ArrowRight: ['x', 1], ArrowUp: ['y', -1], ArrowDown: ['y', 1]}[event.key] ?? [];
  const enter = event.key === 'Enter' || event.key === ' '; // which would be a click without a place
  if (axis || enter) event.preventDefault();
  const tab = picture.id.replace(/-\w+$/, '');
  if (enter) document.getElementById(`${tab}-start`)?.click();
  const field = axis && document.querySelector(`#${tab}-${axis} input`);
  if (!field) return;
  field.value = Math.max(0, Number(field.value) + by * (event.shiftKey ? 10 : 1));
  field.dispatchEvent(new Event('input', {bubbles: true}));
  clearTimeout(settled);
  settled = setTimeout(() => field.dispatchEvent(new KeyboardEvent('keypress', {key: 'Enter', bubbles: true})), 250);
});

// Names for what Gradio leaves without one, for those who listen to the page.
const name = () => {
  for (const image of document.querySelectorAll('button.gallery-item:not([aria-label]) img[src]')) {
    image.closest('button').ariaLabel = `Sample ${image.src.match(/([^/]+)\.\w+$/)?.[1]}`;
  }
  for (const frame of document.querySelectorAll('button:has(> .image-frame):not([aria-label])')) {
    const label = frame.closest(PLACED) ? 'Place: the arrow keys move it' : 'Picture';
    frame.ariaLabel = frame.closest('.block').querySelector('[data-testid="block-label"]')?.innerText.trim() || label;
  }
  for (const input of document.querySelectorAll(`${PLACES} input[type=file][accept]`)) input.removeAttribute('accept');
  for (const empty of document.querySelectorAll('.empty[aria-label]:not([role])')) empty.role = 'img';
  for (const table of document.querySelectorAll('.scores:not([role])')) { // on a phone it scrolls
    Object.assign(table, {role: 'group', tabIndex: 0, ariaLabel: 'Table'});
  }
  for (const around of document.querySelectorAll('button[aria-label="common.upload"]')) { // a button holds the button
    Object.assign(around, {role: 'group', tabIndex: -1, ariaLabel: 'Add photographs', title: 'Add photographs'});
  }
};
new MutationObserver(name).observe(body, {childList: true, subtree: true, attributeFilter: ['src']});
name();

// The border of a before/after slider goes by keys, on the way that Gradio's own pointer takes.
const BORDER = '.slider-wrap [data-testid="slider"]';
const STEPS = {ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100};
const track = (border) => { // from the left to the right edge of the picture, in pixels of the screen
  const image = border.parentElement.querySelector('img'), box = image.parentElement.getBoundingClientRect();
  const width = Math.min(box.width, box.height * image.naturalWidth / image.naturalHeight);
  return {left: box.left + (box.width - width) / 2, width};
};
const percent = (border) => {
  const {left, width} = track(border), box = border.getBoundingClientRect();
  return Math.min(Math.max(100 * (box.left + box.width / 2 - left) / width || 0, 0), 100);
};
const tell = (border) => { border.ariaValueNow = Math.round(percent(border)); };
const moved = new MutationObserver((changes) => changes.forEach(({target}) => tell(target)));
document.addEventListener('load', ({target}) => { // of a picture of a slider
  const border = target.closest?.('.slider-wrap')?.querySelector(BORDER);
  if (!border) return;
  if (border.role !== 'slider') moved.observe(border, {attributeFilter: ['style']});
  Object.assign(border, {role: 'slider', tabIndex: 0, ariaLabel: 'Border between both pictures, percent'});
  Object.assign(border, {ariaValueMin: 0, ariaValueMax: 100});
  tell(border);
}, true);
document.addEventListener('keydown', (event) => {
  const border = event.target.closest(BORDER), by = STEPS[event.key];
  if (!border || !by) return;
  event.preventDefault();
  const {left, width} = track(border), to = Math.min(Math.max(percent(border) + by, 0), 100);
  const there = {clientX: left + to / 100 * width, bubbles: true, cancelable: true, view: window};
  for (const type of ['mousedown', 'mouseup']) border.dispatchEvent(new MouseEvent(type, there));
});
