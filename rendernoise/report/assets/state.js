// What is looked at: one object, changed in one place, kept in the address so that a link shows the same view.

const primaryMetric = metrics[0]?.name || '';

function initialState() {
  const first = page.images[0];
  const scene = first?.scene ?? scenes[0] ?? '';
  const shown = page.images.find((i) => i.spp > 0);
  const middle = sppChoices[Math.floor((sppChoices.length - 1) / 2)];
  const names = viewable(scene);
  const a = names[0] ?? '';
  const others = names.filter((name) => name !== a);
  return {
    scope: scenes.length === 1 ? scenes[0] : 'all',
    scene,
    frame: first?.frame ?? framesOf(scene)[0] ?? 0,
    spp: shown?.spp ?? middle,
    a,
    b: others.includes('online') ? 'online' : others[0] ?? a,
    split: 0.5,
    zoom: null, // null: as large as fits
    x: null, // null: the middle of the image
    y: null,
    ev: null, // null: the scene's own exposure
    tone: 'srgb',
    error: false,
    boxX: null, // null: the middle of the view
    boxY: null,
    boxSize: 48,
    metric: primaryMetric,
  };
}

const DEFAULTS = initialState();
const state = { ...DEFAULTS };
const watchers = [];
const pending = new Set();
let frameRequested = false;

/** Call `act` once, before the next picture, when one of these parts of the state has changed. */
const watch = (names, act) => watchers.push({ names, act });

function change(patch) {
  for (const [name, value] of Object.entries(patch)) {
    if (state[name] === value) continue;
    state[name] = value;
    pending.add(name);
  }
  if (pending.size && !frameRequested) {
    frameRequested = true;
    requestAnimationFrame(flush);
  }
}

function flush() {
  frameRequested = false;
  const changed = new Set(pending);
  pending.clear();
  for (const { names, act } of watchers) if (names.some((name) => changed.has(name))) act();
  writeHash();
}

const autoEv = () => page.auto_ev[state.scene] ?? 0;
const exposure = () => state.ev ?? autoEv();

/** Another scene: its own frame and methods where the old ones are missing, and the whole picture. */
function chooseScene(scene, more) {
  const names = viewable(scene);
  const frames = framesOf(scene);
  const spp = more?.spp ?? state.spp;
  const frame = frames.includes(state.frame) && hasImages(scene, state.frame, spp)
    ? state.frame
    : frames.find((f) => hasImages(scene, f, spp)) ?? page.images.find((i) => i.scene === scene)?.frame ?? frames[0] ?? 0;
  const pick = (name, other) => (names.includes(name) ? name : names.find((n) => n !== other) ?? names[0] ?? '');
  const a = pick(state.a, state.b);
  change({ ...more, scene, frame, a, b: pick(state.b, a), zoom: null, x: null, y: null, boxX: null, boxY: null });
}

function chooseScope(scope) {
  if (scope === 'all' || scope === state.scene) change({ scope });
  else chooseScene(scope, { scope });
}

/** The next frame that has images at this spp, around the end. */
function stepFrame(by) {
  const all = framesOf(state.scene);
  const withImages = all.filter((f) => hasImages(state.scene, f, state.spp));
  const frames = withImages.length ? withImages : all;
  if (!frames.length) return;
  const at = frames.indexOf(state.frame);
  change({ frame: frames[at < 0 ? 0 : (at + by + frames.length) % frames.length] });
}

function stepSpp(by) {
  change({ spp: sppChoices[clamp(sppChoices.indexOf(state.spp) + by, 0, sppChoices.length - 1)] });
}

function hashOf() {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value === DEFAULTS[name]) continue;
    const text = value === null ? 'auto' : typeof value === 'number' ? String(Math.round(value * 1e4) / 1e4) : String(value);
    parts.set(name, text);
  }
  return parts.toString();
}

/** Take the state from the address. What it names must exist; anything else is passed over. */
function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  const next = { ...DEFAULTS };
  const numbers = new Set(['frame', 'spp', 'split', 'zoom', 'x', 'y', 'ev', 'boxX', 'boxY', 'boxSize']);
  const nullable = new Set(['zoom', 'x', 'y', 'ev', 'boxX', 'boxY']);
  for (const [name, text] of given) {
    if (!Object.hasOwn(DEFAULTS, name)) continue;
    if (text === 'auto' && nullable.has(name)) next[name] = null;
    else if (numbers.has(name)) next[name] = text.trim() && Number.isFinite(Number(text)) ? Number(text) : next[name];
    else if (name === 'error') next.error = text === 'true';
    else next[name] = text;
  }
  if (!scenes.includes(next.scene)) next.scene = DEFAULTS.scene;
  if (next.scope !== 'all' && !scenes.includes(next.scope)) next.scope = DEFAULTS.scope;
  if (!framesOf(next.scene).includes(next.frame)) next.frame = framesOf(next.scene)[0] ?? 0;
  if (!sppChoices.includes(next.spp)) next.spp = DEFAULTS.spp;
  const names = viewable(next.scene);
  if (!names.includes(next.a)) next.a = names[0] ?? '';
  if (!names.includes(next.b)) next.b = names[1] ?? next.a;
  if (!Object.hasOwn(TONES, next.tone)) next.tone = DEFAULTS.tone;
  if (!metrics.some((m) => m.name === next.metric)) next.metric = DEFAULTS.metric;
  if (!BOX_SIZES.includes(next.boxSize)) next.boxSize = DEFAULTS.boxSize;
  next.split = clamp(next.split, 0, 1);
  if (next.zoom !== null) next.zoom = clamp(next.zoom, MIN_ZOOM, MAX_ZOOM);
  if (next.ev !== null) next.ev = clamp(next.ev, -40, 40);
  change(next);
}

const MIN_ZOOM = 1 / 16;
const MAX_ZOOM = 32;
const BOX_SIZES = [16, 32, 48, 64, 96];

let hashTimer = 0;
let ownHash = '';
// Browsers refuse to rewrite the address many times a second.
function writeHash() {
  clearTimeout(hashTimer);
  hashTimer = setTimeout(() => {
    ownHash = hashOf();
    history.replaceState(null, '', ownHash ? `#${ownHash}` : location.href.split('#')[0]);
  }, 250);
}

const link = () => `${location.href.split('#')[0]}#${hashOf()}`;
window.addEventListener('hashchange', () => {
  if (location.hash.slice(1) !== ownHash) readHash();
});
