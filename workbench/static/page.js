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
