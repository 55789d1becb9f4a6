// The results: looking rows up, and averaging them.

const { results, page } = JSON.parse(byId('data').textContent);
const list = (x) => (Array.isArray(x) ? x : []);
const unique = (values) => [...new Set(values)];
const ascending = (a, b) => a - b;
const key = (...parts) => JSON.stringify(parts);
const REFERENCE = 'reference';

const rows = list(results.rows);
const timings = list(results.timings);
const failures = list(results.failures);
const references = list(results.references);
const scenes = unique([...list(results.scenes), ...rows.map((r) => r.scene), ...page.images.map((i) => i.scene)]);
const spps = unique([...list(results.spp), ...rows.map((r) => r.spp)]).filter((s) => isNumber(s) && s > 0).sort(ascending);
const sppChoices = spps.length ? spps : [0];
const metrics = (() => {
  const known = list(results.metrics);
  const names = new Set(known.map((m) => m.name));
  const others = unique(rows.map((r) => r.metric)).filter((name) => !names.has(name));
  return [...known, ...others.map((name) => ({ name, label: name, better: 'lower' }))];
})();
const metricOf = (name) => metrics.find((m) => m.name === name) || { name, label: name, better: 'lower' };
const metricLabel = (m) => m.label || m.name;

const methods = (() => {
  const known = list(results.methods);
  const names = new Set(known.map((m) => m.name));
  const others = unique([...rows, ...failures, ...page.images].map((r) => r.method));
  return [...known, ...others.filter((name) => name !== REFERENCE && !names.has(name)).map((name) => ({ name }))];
})();
const methodIndex = new Map(methods.map((m, i) => [m.name, i]));
const labelOf = (name) => (name === REFERENCE ? 'reference' : methods[methodIndex.get(name)]?.label || name);

const group = (items, keyOf) => {
  const groups = new Map();
  for (const item of items) {
    const k = keyOf(item);
    if (groups.has(k)) groups.get(k).push(item);
    else groups.set(k, [item]);
  }
  return groups;
};
const rowsOf = group(rows, (r) => key(r.spp, r.method, r.metric));
const sppOf = group(rows, (r) => r.method);
const inScope = (scope) => (item) => scope === 'all' || item.scene === scope;
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function deviation(values) {
  if (values.length < 2) return null;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (values.length - 1));
}

/** The spp under which a method's rows stand: those of images from elsewhere may be unknown (0) at every choice. */
function effectiveSpp(method, spp) {
  const own = list(sppOf.get(method));
  return spp && own.length && own.every((r) => !r.spp) ? 0 : spp;
}

/**
 * Mean over frames, then scenes, then seeds, with the standard deviation of the seeds' means.
 * `noise`: every row behind it is within the reference's noise. `covers`: the frames that have a value.
 */
function cell(scope, spp, method, metric) {
  const behind = list(rowsOf.get(key(effectiveSpp(method, spp), method, metric))).filter(inScope(scope));
  const valued = behind.filter((r) => isNumber(r.value));
  if (!valued.length) return { value: null, spread: null, noise: false, covers: new Set(), rows: behind };
  const bySeed = [...group(valued, (r) => r.seed).values()].map((ofSeed) =>
    mean([...group(ofSeed, (r) => r.scene).values()].map((ofScene) => mean(ofScene.map((r) => r.value)))),
  );
  return {
    value: mean(bySeed),
    spread: deviation(bySeed),
    noise: valued.every((r) => r.within_reference_noise === true),
    covers: new Set(valued.map((r) => key(r.scene, r.frame, r.seed))),
    rows: behind,
  };
}

/** Seconds per frame and their parts; what is unknown is null. */
function timing(scope, spp, method) {
  const at = effectiveSpp(method, spp);
  const of = timings.filter((t) => t.method === method && t.spp === at && inScope(scope)(t));
  const average = (name, from) => {
    const values = from.map((t) => t[name]).filter(isNumber);
    return values.length ? mean(values) : null;
  };
  const behind = rows.filter((r) => r.method === method && r.spp === at && inScope(scope)(r));
  const parts = ['render_s', 'train_s', 'denoise_s'].map((name) => average(name, of));
  return { wall: average('wall_s', of) ?? average('wall_s', behind), parts };
}

/** Pixels that were no numbers, over frames and seeds, and in how many images. */
function nonfinite(scope, spp, method) {
  const at = effectiveSpp(method, spp);
  const worst = new Map();
  for (const r of rows) {
    if (r.method !== method || r.spp !== at || !inScope(scope)(r) || !(r.nonfinite_px > 0)) continue;
    const k = key(r.scene, r.frame, r.seed);
    worst.set(k, Math.max(worst.get(k) || 0, r.nonfinite_px));
  }
  return { pixels: [...worst.values()].reduce((a, b) => a + b, 0), images: worst.size };
}

const score = (metric, value) => (metric.better === 'higher' ? -value : metric.better === 'zero' ? Math.abs(value) : value);

/**
 * The cells of a column with `best` and `partial` set. Cells within the reference's noise are not ranked, nor those
 * that lack frames others have; and nothing is called best while an unranked cell has a better value.
 */
function rank(column, metric) {
  const most = Math.max(0, ...column.map((c) => c.covers.size));
  for (const c of column) c.partial = c.covers.size > 0 && c.covers.size < most;
  const whole = column.filter((c) => c.value !== null && !c.partial);
  const top = Math.min(...whole.map((c) => score(metric, c.value)));
  const comparable = column.filter((c) => c.value !== null).length > 1;
  for (const c of column) {
    c.best = comparable && c.value !== null && !c.partial && !c.noise && score(metric, c.value) === top;
  }
  return column;
}

/** A method's figure for one frame, that of the seed whose images are shown. */
function frameValue(scene, frame, spp, method, metric) {
  const seed = list(results.seeds)[0] ?? 0;
  const behind = list(rowsOf.get(key(effectiveSpp(method, spp), method, metric)));
  const row = behind.find((r) => r.scene === scene && r.frame === frame && r.seed === seed);
  return row || null;
}

const imageOf = new Map(page.images.map((i) => [key(i.scene, i.frame, i.method === REFERENCE ? 0 : i.spp, i.method), i]));

/** The list entry of an image, or null. References, and images of unknown spp, answer for every spp. */
function findImage(scene, frame, spp, method) {
  const at = (s) => imageOf.get(key(scene, frame, s, method));
  return (method !== REFERENCE && at(spp)) || at(0) || null;
}

const framesOf = (scene) =>
  unique([
    ...list(results.frames?.[scene]),
    ...rows.filter((r) => r.scene === scene).map((r) => r.frame),
    ...page.images.filter((i) => i.scene === scene).map((i) => i.frame),
  ]).filter(isNumber).sort(ascending);

/** What can be looked at in a scene: the methods that have images, then the reference. */
function viewable(scene) {
  const present = new Set(page.images.filter((i) => i.scene === scene).map((i) => i.method));
  return [...methods.map((m) => m.name), REFERENCE].filter((name) => present.has(name));
}

const hasImages = (scene, frame, spp) =>
  page.images.some((i) => i.scene === scene && i.frame === frame && i.method !== REFERENCE && (i.spp === spp || i.spp === 0));
