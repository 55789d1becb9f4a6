// The region in the box, of every method and the reference side by side, at one exposure.

let cropping = 0;

/** The box in image px: its corner and side. Without a place of its own it follows the middle of the view. */
function cropBox() {
  const v = view();
  const size = Math.min(state.boxSize, v.image.w, v.image.h);
  const corner = (centre, limit) => clamp(Math.round(centre - size / 2), 0, Math.max(0, limit - size));
  return { x: corner(state.boxX ?? v.x, v.image.w), y: corner(state.boxY ?? v.y, v.image.h), size };
}

function drawCropBar() {
  redraw(byId('cropbar'),
    el('h3', {}, 'Crops'),
    select('box', BOX_SIZES.map((s) => [String(s), `${s} px`]), String(state.boxSize), (s) => change({ boxSize: Number(s) })),
    button('Follow the view', 'The box stays in the middle of the view (c); a click on the image places it', () => change({ boxX: null, boxY: null }),
      { 'aria-pressed': state.boxX === null }),
    el('span', { class: 'dim small' }, 'Click a crop to see it as A, with Shift as B. Figures: ', el('b', {}, metricLabel(metricOf(state.metric))),
      ' of the frame; relMSE of the box.'),
  );
}

async function drawCrops() {
  if (stale) return;
  const token = ++cropping;
  drawCropBar();
  const { scene, frame, spp } = state;
  const names = viewable(scene).filter((name) => findImage(scene, frame, spp, name));
  const images = await Promise.all(names.map((name) => getImage(findImage(scene, frame, spp, name)))).catch(() => []);
  if (token !== cropping || !images.length) {
    if (token === cropping) byId('crops').replaceChildren();
    return;
  }
  const holder = byId('crops');
  if (holder.dataset.names !== key(scene, names)) {
    holder.replaceChildren(...names.map((name) => cropFigure(name, viewable(scene).indexOf(name) + 1)));
    holder.dataset.names = key(scene, names);
  }
  const box = cropBox();
  names.forEach((name, i) => paintCrop(holder.children[i], name, images[i], box));
}

function cropFigure(name, digit) {
  const choose = (event) => change(event.shiftKey ? { b: name } : { a: name });
  return el('figure', { 'data-method': name },
    el('button', { type: 'button', class: 'crop', title: `Show ${labelOf(name)} as A (${digit}), with Shift as B`, onclick: choose },
      el('canvas', { role: 'img', 'aria-label': `crop of ${labelOf(name)}` })),
    el('figcaption', {}, el('div', { class: 'name' }, el('kbd', {}, digit), ' ', el('span', {}, labelOf(name)), el('span', { class: 'side' })),
      el('div', { class: 'figures' })));
}

function paintCrop(figure, name, image, { x, y, size }) {
  const canvas = figure.querySelector('canvas');
  if (canvas.width !== size) Object.assign(canvas, { width: size, height: size });
  paintRegion(canvas.getContext('2d'), image, lookOf(image), x, y, Math.min(size, image.w - x), Math.min(size, image.h - y));
  const sides = [state.a === name && 'A', state.b === name && 'B'].filter(Boolean).join(' ');
  figure.querySelector('.side').textContent = sides;
  figure.classList.toggle('chosen', Boolean(sides));
  const metric = metricOf(state.metric);
  const row = frameValue(state.scene, state.frame, state.spp, name, state.metric);
  const inBox = name === REFERENCE ? null : boxError(image, shown.reference, x, y, size);
  figure.querySelector('.figures').replaceChildren(...(name === REFERENCE
    ? [el('span', { class: 'dim' }, referenceLine())]
    : [el('b', {}, row ? metricNumber(metric, row.value) : '–'), row?.within_reference_noise ? el('span', { class: 'dim' }, ' ≈ noise') : '',
       inBox === null ? '' : el('span', { class: 'dim' }, ` · box ${number(inBox)}`)]));
}

function referenceLine() {
  const of = references.find((r) => r.scene === state.scene && r.frame === state.frame);
  return of ? [of.spp > 0 && `${of.spp} spp`, isNumber(of.noise) && `noise ${number(of.noise)}`].filter(Boolean).join(', ') : '';
}
