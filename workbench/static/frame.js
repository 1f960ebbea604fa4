// Runs once for a frame: over each of its pictures it says which square is magnified; clicks and arrow keys move it.
const REACH = 5; // pixels that a pointer may go in a click
const REST = 60; // milliseconds in which moves are gathered
const MOVES = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
const PICTURES = props.pictures.map((id) => `#${id}`).join();
const frames = new Map(); // by picture
let place = null, pressed = null, waiting = null;

const fields = () => ['x', 'y'].map((axis) => document.querySelector(`#${props[axis]} input`));
const within = (value, most) => Math.min(Math.max(value, 0), most);
// Pixels from the beginning of a square to the place that stands for it.
const half = (side) => place.step * Math.floor(side / place.step / 2);
// What is drawn of an image, in pixels of the screen.
const drawn = (image) => {
  const box = image.getBoundingClientRect(), {naturalWidth, naturalHeight} = image;
  const fit = Math.min(box.width / naturalWidth, box.height / naturalHeight);
  const scale = getComputedStyle(image).objectFit === 'scale-down' ? Math.min(fit, 1) : fit;
  const [width, height] = [scale * naturalWidth, scale * naturalHeight];
  return {left: box.left + (box.width - width) / 2, top: box.top + (box.height - height) / 2, width, height};
};
const draw = () => {
  for (const picture of document.querySelectorAll(PICTURES)) {
    const image = picture.querySelector('img'), host = image?.closest('.image-container');
    if (!frames.has(picture)) frames.set(picture, create());
    const frame = frames.get(picture);
    if (!host || !place) { frame.remove(); continue; }
    if (frame.parentElement !== host) host.append(frame);
    const {left, top, wide, high, width} = place, box = drawn(image), origin = host.getBoundingClientRect();
    const scale = box.width / width;
    Object.assign(frame.style, {
      left: `${box.left - origin.left + scale * left}px`, width: `${scale * wide}px`,
      top: `${box.top - origin.top + scale * top}px`, height: `${scale * high}px`,
    });
    Object.assign(frame, {ariaValueMin: 0, ariaValueMax: width - wide, ariaValueNow: left, ariaValueText: `x ${left}, y ${top}`});
  }
};
const create = () => {
  const frame = document.createElement('div');
  Object.assign(frame, {className: 'place-frame', role: 'slider', tabIndex: 0, ariaLabel: 'Magnified square'});
  frame.addEventListener('keydown', step);
  return frame;
};
// Fill the fields as typing does, and say once that it was done.
const go = (left, top, x, y) => {
  Object.assign(place, {left, top});
  fields().forEach((field, axis) => {
    field.value = [x, y][axis];
    field.dispatchEvent(new Event('input', {bubbles: true}));
  });
  draw();
  waiting ??= setTimeout(() => { waiting = null; trigger('select'); }, REST);
};
const step = (event) => {
  const by = MOVES[event.key];
  if (!by || !place) return;
  event.preventDefault();
  const {wide, high, width, height} = place;
  const far = event.shiftKey ? Math.max(place.step, half(Math.floor(wide / 2))) : place.step;
  const left = within(place.left + far * by[0], width - wide), top = within(place.top + far * by[1], height - high);
  go(left, top, left + half(wide), top + half(high));
};
const click = (picture, {clientX, clientY}) => {
  const box = drawn(picture.querySelector('img')), {wide, high, width, height} = place;
  const x = Math.floor((clientX - box.left) / box.width * width), y = Math.floor((clientY - box.top) / box.height * height);
  if (x < 0 || x >= width || y < 0 || y >= height) return;
  const begin = (at, side, most) => within(place.step * Math.floor(at / place.step) - half(side), most - side);
  go(begin(x, wide, width), begin(y, high, height), x, y);
  frames.get(picture).focus({preventScroll: true});
};
// Pointers, not clicks: those of fingers end in Gradio's slider.
document.addEventListener('pointerdown', ({target, isPrimary, button, clientX, clientY}) => {
  const picture = target.closest('.content, .image-frame')?.closest(PICTURES);
  pressed = picture && isPrimary && !button && element.isConnected ? {picture, clientX, clientY} : null;
});
document.addEventListener('pointerup', (event) => {
  const far = pressed && Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY);
  if (pressed && place && far < REACH) click(pressed.picture, event);
  pressed = null;
});

// Pictures are replaced, grow, and are zoomed into.
const resized = new ResizeObserver(draw), zoomed = new MutationObserver(draw);
const attend = (image) => {
  if (!image.matches?.('img') || !image.closest(PICTURES)) return;
  resized.observe(image);
  zoomed.observe(image, {attributeFilter: ['style']});
  image.closest('button')?.setAttribute('tabindex', -1); // the frame over it is for the keys
  draw();
};
document.addEventListener('load', ({target}) => attend(target), true);
document.querySelectorAll(PICTURES).forEach((picture) => picture.querySelectorAll('img').forEach(attend));
watch('value', () => {
  const told = props.value, [x, y] = fields();
  // An answer to an earlier move is out of date: that to the last one is still to come.
  const moving = ![x, y].includes(document.activeElement);
  if (told && moving && (told.x !== Number(x.value) || told.y !== Number(y.value))) return;
  place = told && {...told};
  draw();
});
