// The bars above the stage, and the probe below it.

let probed = null; // The image point under the cursor.
let playing = false;

function drawViewer() {
  fill(byId('viewer'), {}, [
    el('div', { class: 'bar' },
      el('h2', {}, 'Images'),
      scenes.length > 1 && el('span', { id: 'viewscene' }),
      el('span', { id: 'frames', class: 'group' }),
      el('span', { id: 'sides', class: 'group' }),
      page.notes.length > 0 && button('not all images…', page.notes.join('\n'), () => byId('notes').scrollIntoView({ block: 'center' }), { class: 'plain' }),
    ),
    el('div', { class: 'bar' },
      el('span', { id: 'exposure', class: 'group' }),
      el('span', { id: 'tone' }),
      el('span', { id: 'errors' }),
      el('span', { class: 'group segments', role: 'group', 'aria-label': 'zoom' },
        button('−', 'Zoom out (−)', () => zoomStep(1 / 1.5), { 'aria-label': 'zoom out' }),
        button('fit', 'The whole image (0)', resetView),
        button('1:1', 'One image pixel per screen pixel', () => { const v = view(); moveTo(v.x, v.y, 1 / (window.devicePixelRatio || 1)); }),
        button('+', 'Zoom in (+), or the wheel', () => zoomStep(1.5), { 'aria-label': 'zoom in' }),
      ),
      el('output', { id: 'zoomvalue', class: 'dim', 'aria-label': 'zoom' }),
      el('span', { class: 'spacer' }),
      button('Full screen', 'Full screen (f)', toggleFullscreen),
    ),
    el('div', { id: 'stage', tabindex: 0, role: 'group', 'aria-label': 'Image comparison: drag to move, wheel to zoom, click to place the crop box' },
      el('canvas', { id: 'canvas', role: 'img', 'aria-label': 'A left of the slider, B right of it' }),
      el('div', { id: 'tag-a', class: 'tag' }), el('div', { id: 'tag-b', class: 'tag' }),
      el('div', { id: 'handle', role: 'slider', tabindex: 0, 'aria-label': 'Slider between A and B', 'aria-valuemin': 0, 'aria-valuemax': 100 }),
      errorLegend(),
      el('div', { id: 'message', hidden: true }),
    ),
    el('div', { id: 'probe', 'aria-label': 'Pixel values' }),
    el('div', { class: 'bar', id: 'cropbar' }),
    el('div', { id: 'crops' }),
  ]);
  watch(['scene'], () => redraw(byId('viewscene'), select('scene', scenes.map((s) => [s, s]), state.scene,
    (s) => chooseScene(s, state.scope === 'all' ? {} : { scope: s }))));
  watch(['scene', 'frame', 'spp'], drawFrames);
  watch(['scene', 'a', 'b'], drawSides);
  watch(['scene', 'ev'], drawExposure);
  watch(['tone'], () => redraw(byId('tone'),
    select('tone map', Object.entries(TONES).map(([name, t]) => [name, t.label]), state.tone, (tone) => change({ tone }))));
  watch(['error'], () => redraw(byId('errors'),
    button('Error map', 'Error maps instead of images (e)', () => change({ error: !state.error }), { 'aria-pressed': state.error })));
  watch(['scene', 'frame', 'spp', 'a', 'b'], loadStage);
  watch(['split', 'zoom', 'x', 'y', 'ev', 'tone', 'error', 'boxX', 'boxY', 'boxSize'], paintStage);
  watch(['ev', 'tone', 'error', 'zoom', 'x', 'y', 'boxX', 'boxY', 'boxSize', 'metric'], drawCrops);
}

function drawFrames() {
  const frames = framesOf(state.scene);
  const text = (f) => `${f}${hasImages(state.scene, f, state.spp) ? '' : ' (no image)'}`;
  redraw(byId('frames'),
    sppChoices.length > 1 ? select('spp', sppChoices.map((s) => [String(s), String(s)]), String(state.spp), (s) => change({ spp: Number(s) })) : '',
    select('frame', frames.map((f) => [String(f), text(f)]), String(state.frame), (f) => change({ frame: Number(f) })),
    ...(frames.length > 1 ? [
      button('◂', 'Frame before (←)', () => stepFrame(-1), { 'aria-label': 'frame before' }),
      button('▸', 'Next frame (→)', () => stepFrame(1), { 'aria-label': 'next frame' }),
      button(playing ? 'Stop' : 'Play', 'Play the shot (p)', togglePlay, { id: 'play', 'aria-label': 'play', 'aria-pressed': playing }),
    ] : []),
  );
}

async function togglePlay() {
  playing = !playing;
  drawFrames();
  while (playing) {
    stepFrame(1);
    await new Promise((next) => setTimeout(next, 1000 / 12));
    // Slow decoding slows the shot down instead of piling up.
    const { scene, frame, spp } = state;
    await Promise.all([state.a, state.b].map((m) => getImage(findImage(scene, frame, spp, m)))).catch(() => {});
  }
  drawFrames();
}

function drawSides() {
  const names = viewable(state.scene);
  const options = names.map((name, i) => [name, `${i + 1}  ${labelOf(name)}`]);
  if (!names.length) return byId('sides').replaceChildren();
  redraw(byId('sides'),
    select('A', options, state.a, (a) => change({ a })),
    button('⇄', 'Swap A and B (space)', flip, { 'aria-label': 'swap A and B' }),
    select('B', options, state.b, (b) => change({ b })),
  );
}

const flip = () => change({ a: state.b, b: state.a });

function setExposure(ev) {
  if (Number.isFinite(ev)) change({ ev: clamp(Math.round(ev * 100) / 100, -40, 40) });
}

function drawExposure() {
  const box = byId('exposure');
  const middle = Math.round(autoEv());
  let range = box.querySelector('[type=range]');
  let field = box.querySelector('[type=number]');
  if (!range) {
    range = el('input', { type: 'range', step: 0.1, 'aria-label': 'exposure', oninput: () => setExposure(Number(range.value)) });
    field = el('input', { type: 'number', step: 0.5, 'aria-label': 'exposure in EV', onchange: () => setExposure(Number(field.value)) });
    box.replaceChildren(el('label', { class: 'field', title: 'Exposure in stops ([ and ])' }, el('span', {}, 'exposure'), range), field,
      el('span', { class: 'dim' }, 'EV'),
      button('auto', 'The exposure that suits this scene, the same for all of its images (\\)', () => change({ ev: null }), { id: 'autoev' }));
  }
  Object.assign(range, { min: middle - 10, max: middle + 10 });
  range.value = exposure();
  field.value = Number(exposure().toFixed(2));
  byId('autoev').setAttribute('aria-pressed', String(state.ev === null));
}

function toggleFullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else byId('viewer').requestFullscreen?.();
}

function probeAt(sx, sy) {
  if (sx === null) probed = null;
  else {
    const [x, y] = toImage(view(), sx, sy);
    probed = [Math.floor(x), Math.floor(y)];
  }
  drawProbe();
}

function drawProbe() {
  const box = byId('probe');
  const image = anyShown();
  const inside = probed && image && probed[0] >= 0 && probed[1] >= 0 && probed[0] < image.w && probed[1] < image.h;
  const values = (rgb) => (rgb ? rgb.map((v) => el('span', { class: 'v' }, Number.isFinite(v) ? number(v) : String(v))) : [el('span', { class: 'dim' }, '–')]);
  const line = (tag, name, it) => {
    const rgb = inside ? pixelAt(it, ...probed) : null;
    const error = inside && it && it !== shown.reference && sameSize(it, shown.reference)
      ? pixelError(it, shown.reference, probed[1] * it.w + probed[0]) : null;
    return el('div', { class: 'probed', 'data-side': tag },
      el('kbd', {}, tag), el('span', { class: 'swatch', style: { background: rgb ? cssColor(rgb) : 'transparent' } }),
      values(rgb), isNumber(error) && el('span', { class: 'dim' }, `error ${number(error)}`),
      it?.entry.bad > 0 && el('span', { class: 'warn' }, `${it.entry.bad} NaN px`));
  };
  box.replaceChildren(
    el('span', { class: 'where' }, inside ? `x ${probed[0]}  y ${probed[1]}` : image ? `${image.w}×${image.h} px${page.factors[state.scene] > 1 ? `, 1/${page.factors[state.scene]} of full size` : ''}` : ''),
    line('A', state.a, shown.a), line('B', state.b, shown.b), shown.reference ? line('R', REFERENCE, shown.reference) : el('span', { class: 'dim' }, 'no reference image'),
  );
}

function cssColor(rgb) {
  if (!rgb.every(Number.isFinite)) return 'rgb(255 0 255)';
  const { map } = TONES[state.tone];
  return `rgb(${rgb.map((v) => Math.round(255 * map(Math.max(0, v * 2 ** exposure())))).join(' ')})`;
}
