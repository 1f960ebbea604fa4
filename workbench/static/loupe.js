// Runs once for the element around a loupe; the pictures in it may change at any time.
const SIDE = 512;  // least side of an enlarged place, in pixels of the canvas
const REST = 300;  // milliseconds after which a place that the keys have gone to is sent
const wholes = () => [...element.querySelectorAll('.whole')];
let kept = null, resting = null;  // the place that stays when the pointer leaves, by its upper left corner

function inside(x, y) {
  const {width, height, size} = props.value;
  const clamp = (start, length) => Math.min(Math.max(Math.round(start), 0), length - size);
  return {x: clamp(x, width), y: clamp(y, height)};
}
function under(event) {
  const {left, top, width} = event.target.closest('.whole').getBoundingClientRect();
  const pixels = props.value.width / width, half = props.value.size / 2;
  return inside((event.clientX - left) * pixels - half, (event.clientY - top) * pixels - half);
}
function draw({x, y}) {
  const {width, height, size, pictures} = props.value;
  element.querySelector('.loupe').classList.toggle('moving', x !== props.value.x || y !== props.value.y);
  element.querySelector('output').textContent = `x ${x}, y ${y}, ${size} pixels a side`;
  wholes().forEach((whole, number) => {
    const image = whole.querySelector('img'), canvas = whole.parentElement.querySelector('canvas');
    const box = {left: x / width, top: y / height, width: size / width, height: size / height};
    for (const [side, share] of Object.entries(box)) whole.querySelector('i').style[side] = `${100 * share}%`;
    whole.role = 'img';
    whole.ariaLabel = `${pictures[number].name}; the arrow keys move the place at x ${x}, y ${y}`;
    canvas.role = 'img';
    canvas.ariaLabel = `${pictures[number].name} at x ${x}, y ${y}`;
    if (!image.complete || !image.naturalWidth) return;
    canvas.width = canvas.height = size * Math.ceil(SIDE / size);  // whole pixels only
    const pen = canvas.getContext('2d');
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, x, y, size, size, 0, 0, canvas.width, canvas.height);
  });
}
function keep(place, rest) {
  draw(kept = place);
  clearTimeout(resting);
  resting = setTimeout(() => { resting = null; trigger('click', place); }, rest);
}
function renew() {
  if (!props.value) return;
  if (!resting) kept = {x: props.value.x, y: props.value.y};
  draw(kept);
}
element.addEventListener('load', renew, true);
element.addEventListener('pointermove', event => { if (event.target.closest('.whole')) draw(under(event)); });
element.addEventListener('pointerout', event => { if (event.target.closest('.whole')) draw(kept); });
element.addEventListener('click', event => { if (event.target.closest('.whole')) keep(under(event), 0); });
element.addEventListener('keydown', event => {
  const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!by || !event.target.closest('.whole')) return;
  event.preventDefault();
  const step = event.shiftKey ? Math.ceil(props.value.size / 4) : 1;
  keep(inside(kept.x + step * by[0], kept.y + step * by[1]), REST);
});
watch('value', renew);
renew();
