// The stage: two images under one view, A left of the slider and B right of it.

let shown = { a: null, b: null, reference: null };
let loading = 0;
let stale = false; // What is shown is not what the state names: new images are on their way.

const stage = () => byId('stage');
const stageCanvas = () => byId('canvas');
const anyShown = () => shown.a || shown.b || shown.reference;

/** The zoom at which the whole image is seen; a whole number where it enlarges, so that pixels are even squares. */
function fitZoom(image, width, height) {
  const zoom = Math.min(width / image.w, height / image.h);
  return clamp(zoom >= 2 ? Math.floor(zoom) : zoom, MIN_ZOOM, MAX_ZOOM);
}

/** Size of the stage in CSS px, zoom in CSS px per image px, and the point of the image in its middle. */
function view() {
  const image = anyShown() || { w: 1, h: 1 };
  const width = stage().clientWidth;
  const height = stage().clientHeight;
  const zoom = state.zoom ?? fitZoom(image, width, height);
  return { width, height, zoom, x: state.x ?? image.w / 2, y: state.y ?? image.h / 2, image };
}

const toImage = (v, sx, sy) => [v.x + (sx - v.width / 2) / v.zoom, v.y + (sy - v.height / 2) / v.zoom];

/** Zoom so that the point of the image under (sx, sy) stays there. */
function zoomAbout(sx, sy, zoom) {
  const v = view();
  const next = clamp(zoom, MIN_ZOOM, MAX_ZOOM);
  const [px, py] = toImage(v, sx, sy);
  moveTo(px - (sx - v.width / 2) / next, py - (sy - v.height / 2) / next, next);
}

/** Put a point of the image into the middle; the image cannot leave the stage. */
function moveTo(x, y, zoom) {
  const { image } = view();
  change({ zoom, x: clamp(x, 0, image.w), y: clamp(y, 0, image.h) });
}

const resetView = () => change({ zoom: null, x: null, y: null, boxX: null, boxY: null, split: 0.5 });

function zoomStep(factor) {
  const v = view();
  zoomAbout(v.width / 2, v.height / 2, v.zoom * factor);
}

/** Load what the state names, then draw. What is on the stage stays until the new images are there. */
async function loadStage() {
  const token = ++loading;
  stale = true;
  const { scene, frame, spp } = state;
  const entries = [state.a, state.b, REFERENCE].map((method) => findImage(scene, frame, spp, method));
  let images;
  try {
    images = await Promise.all(entries.map(getImage));
  } catch (error) {
    if (token !== loading) return;
    stale = false;
    showMessage([`The images cannot be read: ${error.message}`]);
    return;
  }
  if (token !== loading) return;
  const [a, b, reference] = images;
  shown = { a, b, reference };
  stale = false;
  explainMissing();
  paintStage();
  drawProbe();
  await drawCrops();
  document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn || 0) + 1);
}

/** How an image is shown now: as it is, or as its error map. */
function lookOf(image) {
  const asError = state.error && image !== shown.reference && sameSize(image, shown.reference);
  return asError ? errorLook(image, shown.reference) : displayLook(image, exposure(), state.tone);
}

function paintStage() {
  if (stale) return;
  const canvas = stageCanvas();
  const v = view();
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(v.width * ratio));
  const height = Math.max(1, Math.round(v.height * ratio));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext('2d');
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  const zoom = v.zoom * ratio;
  context.imageSmoothingEnabled = zoom < 1;
  context.imageSmoothingQuality = 'high';
  const left = Math.round(width / 2 - v.x * zoom);
  const top = Math.round(height / 2 - v.y * zoom);
  const middle = Math.round(state.split * width);
  for (const [image, from, to] of [[shown.a, 0, middle], [shown.b, middle, width]]) {
    if (!image || to <= from) continue;
    const side = painted(image, lookOf(image));
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, height);
    context.clip();
    context.drawImage(side, left, top, image.w * zoom, image.h * zoom);
    context.restore();
  }
  if (anyShown()) drawBox(context, left, top, zoom, ratio);
  const handle = byId('handle');
  handle.style.setProperty('left', `${100 * state.split}%`);
  handle.setAttribute('aria-valuenow', String(Math.round(100 * state.split)));
  handle.hidden = state.a === state.b;
  drawTags(v);
  byId('errorlegend').hidden = !(state.error && shown.reference);
  byId('zoomvalue').textContent = `${v.zoom >= 1 ? Number(v.zoom.toFixed(1)) : v.zoom.toFixed(2)}×`;
}

function drawBox(context, left, top, zoom, ratio) {
  const { x, y, size } = cropBox();
  for (const [color, grow] of [['#000', 1.5 * ratio], ['#fff', 0.5 * ratio]]) {
    context.strokeStyle = color;
    context.lineWidth = ratio;
    context.strokeRect(left + x * zoom - grow, top + y * zoom - grow, size * zoom + 2 * grow, size * zoom + 2 * grow);
  }
}

function drawTags(v) {
  for (const [side, name, image, room] of [['a', state.a, shown.a, state.split], ['b', state.b, shown.b, 1 - state.split]]) {
    const tag = byId(`tag-${side}`);
    const asError = state.error && image && image !== shown.reference && sameSize(image, shown.reference);
    tag.replaceChildren(el('kbd', {}, side.toUpperCase()), ' ', labelOf(name),
      asError ? ' · error' : '', image?.entry.bad ? el('span', { class: 'warn' }, ` · ${image.entry.bad} NaN px`) : '');
    tag.hidden = !name || room * v.width < 70;
    tag.style.setProperty('max-width', `${Math.max(0, room * v.width - 24)}px`);
  }
}

function showMessage(children) {
  const box = byId('message');
  box.replaceChildren(...children);
  box.hidden = !children.length;
}

/** Say why a side is empty, and offer what there is. */
function explainMissing() {
  const missing = [[state.a, shown.a], [state.b, shown.b]].filter(([name, image]) => name && !image).map(([name]) => name);
  const { scene, frame, spp } = state;
  if (!viewable(scene).length) {
    showMessage([page.images.length || page.notes.length ? `This page has no images of ${scene}: see the notes below.` : 'This page has no images.']);
  } else if (missing.length) {
    const failed = failures.find((f) => missing.includes(f.method) && f.scene === scene && (!isNumber(f.frame) || f.frame === frame));
    // The same frame first, then the same spp, then whatever is near.
    const offers = framesOf(scene).flatMap((f) => sppChoices.filter((s) => hasImages(scene, f, s)).map((s) => ({ f, s })))
      .filter(({ f, s }) => f !== frame || s !== spp)
      .map((o) => ({ ...o, far: (o.f !== frame) * (1000 + Math.abs(o.f - frame)) + (o.s !== spp) * (500 + Math.abs(sppChoices.indexOf(o.s) - sppChoices.indexOf(spp))) }))
      .sort((p, q) => p.far - q.far);
    showMessage([
      el('p', {}, `${unique(missing).map(labelOf).join(' and ')}: no image of frame ${frame}${spp ? ` at ${spp} spp` : ''} on this page`,
        failed ? ` (${failed.error}).` : page.notes.length ? ': see the notes below.' : '.'),
      offers.length > 0 && el('p', { class: 'offers' }, 'Show ',
        offers.slice(0, 5).map(({ f, s }) => button(`frame ${f}${s ? ` at ${s} spp` : ''}`, null, () => change({ frame: f, spp: s })))),
    ].filter(Boolean));
  } else showMessage([]);
}

/** The fixed scale of the error maps. */
function errorLegend() {
  const bar = el('canvas', { width: 256, height: 1, 'aria-hidden': 'true' });
  const context = bar.getContext('2d');
  const pixels = context.createImageData(256, 1);
  for (let i = 0; i < 256; i++) pixels.data.set([RAMP[3 * i], RAMP[3 * i + 1], RAMP[3 * i + 2], 255], 4 * i);
  context.putImageData(pixels, 0, 0);
  const ticks = ['0.0001', '0.001', '0.01', '0.1', '1', '10'];
  return el('div', { id: 'errorlegend', hidden: true, role: 'img', 'aria-label': 'Colour scale of the error maps, from 0.0001, dark, to 10, yellow' },
    el('span', {}, 'squared relative error (x − r)² / (r² + 0.01)'), bar,
    el('div', { class: 'ticks' }, ticks.map((t) => el('span', {}, t))));
}
