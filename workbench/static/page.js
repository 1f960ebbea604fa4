// What the page does by itself; it runs once the header is there, which is `element`.
const body = document.body;

// Light or dark: as the system has it, until somebody chooses.
const LOOK = 'promptsr-look';
const kept = localStorage.getItem(LOOK);
if (kept) body.classList.toggle('dark', kept === 'dark');
element.querySelector('.lamp').addEventListener('click', () => {
  localStorage.setItem(LOOK, body.classList.toggle('dark') ? 'dark' : 'light');
});

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

// The address keeps the tab, so that a reload or a bookmark finds it again.
document.addEventListener('click', (event) => {
  const tab = event.target.closest('[role="tab"]')?.id.match(/^tab-(\w+)-button$/);
  if (tab) history.replaceState(history.state, '', `?tab=${tab[1]}`);
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
  if (files.length && event.target.closest(PLACES)) Object.defineProperty(event, 'dataTransfer', {value: {files: typed(files)}});
}, true);

// A result belongs to the settings that it was asked with. Beside others it is marked as old, and its files are out of
// reach; so they are while a run goes on that has not shown its own result yet.
const tabs = {}; // by name: settings at first, now, when the button was pressed, of the run, and of the result
const of = (tab) => (tabs[tab] ??= {});
window.settingsNow = (tab, values) => {
  of(tab).now = JSON.stringify(values, (key, value) => value?.path ?? value);
  of(tab).first ??= of(tab).now;
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
const FILES = ':is([id$="-download"], [id$="-files"], [id$="-report"], [id$="-drawn"])';
const belong = () => {
  for (const news of document.querySelectorAll('.start-bar .status')) {
    const panel = news.closest('[role="tabpanel"]'), known = of(panel.id.replace('tab-', ''));
    const {run, result} = news.dataset, done = news.matches('.done');
    if (run && run !== known.run) {
      Object.assign(known, {run, asked: known.pressed ?? known.now, pressed: undefined});
    }
    const fresh = (done || result !== undefined) && run && known.by !== run;
    if (done || result !== undefined) Object.assign(known, {shown: run ? known.asked : known.first, by: run});
    const going = news.matches('.running') && known.by !== run;
    const old = known.shown !== undefined && (going || known.shown !== known.now);
    panel.toggleAttribute('data-old', old);
    for (const file of panel.querySelectorAll(FILES)) file.inert = old;
    if (fresh) reveal(news.closest('.start-bar').parentElement.lastElementChild);
  }
};
new MutationObserver(belong).observe(body, {childList: true, subtree: true});

// Names for what Gradio leaves without one, for those who listen to the page.
const name = () => {
  for (const image of document.querySelectorAll('button.gallery-item:not([aria-label]) img[src]')) {
    image.closest('button').ariaLabel = `Sample ${image.src.match(/([^/]+)\.\w+$/)?.[1]}`;
  }
  for (const frame of document.querySelectorAll('button:has(> .image-frame):not([aria-label])')) {
    frame.ariaLabel = frame.closest('.block').querySelector('[data-testid="block-label"]')?.innerText.trim() || 'Picture';
  }
  for (const input of document.querySelectorAll(`${PLACES} input[type=file][accept]`)) input.removeAttribute('accept');
  for (const empty of document.querySelectorAll('.empty[aria-label]:not([role])')) empty.role = 'img';
};
new MutationObserver(name).observe(body, {childList: true, subtree: true, attributeFilter: ['src']});
name();
