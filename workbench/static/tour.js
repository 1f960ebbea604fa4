// Runs once for the element around the diagram; the buttons in it may change at any time.
const stage = element.closest('#tour-stage');
const step = (way) => element.querySelector(`button[data-step="${way}"]`);
let held = null; // the step that was pressed by keyboard: in the next diagram another button has its place

// Full screen, with large type for a lecture hall. Where a browser has no full screen, the tab fills the window.
const enter = () => {
  stage.toggleAttribute('data-hall', true);
  stage.requestFullscreen?.().catch(() => {});
};
const leave = () => {
  stage.removeAttribute('data-hall');
  if (document.fullscreenElement) document.exitFullscreen();
};
document.addEventListener('fullscreenchange', () => { if (!document.fullscreenElement) leave(); });
document.addEventListener('keydown', (event) => {
  if (!stage.hasAttribute('data-hall') || event.altKey || event.ctrlKey || event.metaKey) return;
  const way = {ArrowRight: 'next', PageDown: 'next', ArrowLeft: 'previous', PageUp: 'previous'}[event.key];
  if (way) {
    event.preventDefault();
    step(way).click();
  }
  if (event.key === 'Escape') leave();
});

element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button?.matches('.hall')) stage.hasAttribute('data-hall') ? leave() : enter();
  if (!button?.dataset.box) return;
  const {box, group, block} = button.dataset;
  held = button === document.activeElement ? button.dataset.step ?? 'here' : null;
  trigger('click', {box, group, block});
});
new MutationObserver(() => {
  const focused = document.activeElement;
  if (!held || (element.contains(focused) && !focused.disabled)) return;
  const button = step(held);
  (button && !button.disabled ? button : [...element.querySelectorAll('[aria-pressed="true"]')].at(-1)).focus();
  held = null;
}).observe(element, {childList: true, subtree: true, attributeFilter: ['disabled']});
