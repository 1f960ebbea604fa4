// Runs once for the element around a scatter; the picture in it may change at any time.
const FULL = 1000;  // side of the whole picture
const REACH = 14;  // pixels around the pointer in which a point counts as meant
const svg = () => element.querySelector('.scatter svg');
const shown = () => [...element.querySelectorAll('.scatter circle[data-point]:not(.hidden)')];
const at = circle => {
  const box = circle.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
};
const view = () => svg().getAttribute('viewBox').split(' ').map(Number);
// From coordinates of the picture to pixels of the page; the picture ends where the border begins.
const onPage = () => svg().getScreenCTM();
let drag = null, moved = false;

function nearest(event) {
  let best = null, least = REACH;
  for (const circle of shown()) {
    const [x, y] = at(circle), distance = Math.hypot(x - event.clientX, y - event.clientY);
    if (distance < least) { best = circle; least = distance; }
  }
  return best;
}
function say(circle) {
  const legend = circle && element.querySelector(`.scatter button[data-label="${circle.dataset.label}"]`);
  element.querySelector('.scatter output').textContent = circle ? legend.textContent : '';
  svg().classList.toggle('aimed', circle !== null);
}
function choose(circle) {
  const ring = element.querySelector('.scatter .ring');
  ring.setAttribute('cx', circle.getAttribute('cx'));
  ring.setAttribute('cy', circle.getAttribute('cy'));
  ring.dataset.chosen = circle.dataset.point;
  say(circle);
  trigger('click', {point: Number(circle.dataset.point)});
}
function look(x, y, side) {
  svg().setAttribute('viewBox', `${x} ${y} ${side} ${side}`);
  svg().style.setProperty('--unit', side / FULL);  // dots stay as large as they are on the screen
}
element.addEventListener('click', event => {
  const button = event.target.closest('.scatter button[data-label]');
  if (button) {
    const on = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', on);
    element.querySelectorAll(`.scatter circle[data-label="${button.dataset.label}"]`)
      .forEach(circle => circle.classList.toggle('hidden', !on));
  } else if (event.target.closest('.scatter svg') && !moved) {
    const circle = nearest(event);
    if (circle) choose(circle);
  }
});
element.addEventListener('pointerdown', event => {
  if (!event.target.closest('.scatter svg')) return;
  svg().setPointerCapture(event.pointerId);  // a drag goes on beyond the edge of the picture
  drag = {x: event.clientX, y: event.clientY, view: view()};
  moved = false;
});
element.addEventListener('pointermove', event => {
  if (!event.target.closest('.scatter svg')) return;
  if (!drag || !event.buttons) return say(nearest(event));
  const [x, y, side] = drag.view, pixels = onPage().a;
  const right = event.clientX - drag.x, down = event.clientY - drag.y;
  moved = moved || Math.hypot(right, down) > 4;
  if (moved) look(x - right / pixels, y - down / pixels, side);
});
element.addEventListener('wheel', event => {
  if (!event.target.closest('.scatter svg')) return;
  event.preventDefault();
  const [x, y, side] = view();
  const meant = new DOMPoint(event.clientX, event.clientY).matrixTransform(onPage().inverse());
  const closer = Math.min(FULL, Math.max(FULL / 40, side * Math.exp(event.deltaY / 500)));
  if (closer === FULL) return look(0, 0, FULL);
  const kept = closer / side;  // what is under the pointer stays there
  look(meant.x - (meant.x - x) * kept, meant.y - (meant.y - y) * kept, closer);
}, {passive: false});
element.addEventListener('dblclick', event => { if (event.target.closest('.scatter svg')) look(0, 0, FULL); });
element.addEventListener('keydown', event => {
  const ahead = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!ahead || !event.target.closest('.scatter svg')) return;
  event.preventDefault();
  const ring = element.querySelector('.scatter .ring'), first = ring.dataset.chosen === undefined;
  const [x, y] = at(first ? svg() : ring); // the first one is that nearest to the middle
  let best = null, least = Infinity;
  for (const circle of shown()) {
    const [right, down] = [at(circle)[0] - x, at(circle)[1] - y];
    const forward = right * ahead[0] + down * ahead[1], aside = Math.abs(right * ahead[1] + down * ahead[0]);
    const cost = first ? Math.hypot(right, down) : forward + 3 * aside;
    if ((first || (forward > 0.5 && aside <= forward)) && cost < least) { best = circle; least = cost; }
  }
  if (best) choose(best);
});
