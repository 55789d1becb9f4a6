// Error over samples and over time, both axes logarithmic where the metric is an error.

const MARGIN = { left: 64, right: 158, top: 14, bottom: 44 };
const CHART_HEIGHT = 340;

function drawCurves() {
  fill(byId('curves'), {}, [
    el('div', { class: 'bar' }, el('h2', {}, 'Curves'), el('span', { id: 'metric' }), el('span', { class: 'dim small', id: 'curvenote' })),
    el('div', { id: 'charts' }, el('div', { id: 'chart-spp', class: 'chart' }), el('div', { id: 'chart-time', class: 'chart' })),
    el('details', {}, el('summary', {}, 'Figures behind the curves'), el('div', { class: 'scroll' }, el('table', { id: 'curvetable' }))),
  ]);
  watch(['metric'], () => redraw(byId('metric'),
    select('metric', metrics.map((m) => [m.name, metricLabel(m)]), state.metric, (metric) => change({ metric }))));
  watch(['metric', 'scope'], drawCharts);
  let width = 0;
  new ResizeObserver(() => {
    if (byId('charts').clientWidth !== width) drawCharts();
    width = byId('charts').clientWidth;
  }).observe(byId('charts'));
}

/** Per method its points: spp, seconds per frame, value, spread. */
function curveSeries() {
  const at = spps.length ? [...spps, 0] : [0];
  return methods.map((m, index) => ({
    name: m.name, index,
    points: at.filter((spp) => spp || list(sppOf.get(m.name)).some((r) => !r.spp)).map((spp) => {
      const c = spp && effectiveSpp(m.name, spp) === 0 ? { value: null } : cell(state.scope, spp, m.name, state.metric);
      return { spp, wall: timing(state.scope, spp, m.name).wall, ...c };
    }).filter((p) => p.value !== null),
  })).filter((s) => s.points.length);
}

function drawCharts() {
  const metric = metricOf(state.metric);
  const series = curveSeries();
  const log = metric.better !== 'higher';
  const plotted = metric.better === 'zero' ? Math.abs : (v) => v;
  const levels = references.filter(inScope(state.scope)).map((r) => r.noise).filter((n) => isNumber(n) && n > 0);
  const noise = ['relmse', 'trimmed_relmse'].includes(metric.name) && levels.length ? mean(levels) : null;
  const label = `${metric.better === 'zero' ? `|${metricLabel(metric)}|` : metricLabel(metric)}${metric.name === 'psnr' ? ', dB' : ''}`;
  const common = { series, log, plotted, noise, metric, label };
  chart(byId('chart-spp'), { ...common, xLabel: 'samples per pixel', xOf: (p) => p.spp, ticks: spps, none: 'Samples per pixel are unknown.' });
  chart(byId('chart-time'), { ...common, xLabel: 'wall time per frame, s', xOf: (p) => p.wall, ticks: null, none: 'Times are unknown.' });
  byId('curvenote').textContent = `${state.scope === 'all' && scenes.length > 1 ? 'Mean over all scenes' : state.scope === 'all' ? scenes[0] || '' : state.scope}; ${DIRECTIONS[metric.better] || ''}.`
    + (series.some((s) => s.points.some((p) => p.noise)) ? ' Hollow markers: within the reference’s noise.' : '');
  byId('curvetable').replaceChildren(
    el('thead', {}, el('tr', {}, ['method', 'spp', metricLabel(metric), 's per frame'].map((t) => el('th', { scope: 'col' }, t)))),
    el('tbody', {}, series.flatMap((s) => s.points.map((p) => el('tr', {},
      el('th', { scope: 'row', class: 'method' }, labelOf(s.name)), el('td', {}, p.spp || 'unknown'),
      el('td', {}, metricNumber(metric, p.value), isNumber(p.spread) ? ` ± ${shortNumber(p.spread)}` : ''), el('td', {}, seconds(p.wall)))))));
}

/** A scale from [low, high] to pixels, with room at both ends; a single value gets an axis too. */
function scale(values, from, to, log) {
  const f = log ? Math.log10 : (v) => v;
  let low = Math.min(...values.map(f));
  let high = Math.max(...values.map(f));
  const room = high > low ? 0.06 * (high - low) : log ? 0.3 : Math.abs(high) * 0.1 || 1;
  low -= room;
  high += room;
  const at = (v) => from + ((f(v) - low) / (high - low)) * (to - from);
  return Object.assign(at, { low: log ? 10 ** low : low, high: log ? 10 ** high : high });
}

function logTicks(low, high) {
  const decades = Math.log10(high / low);
  const steps = decades > 3.5 ? [1] : decades > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  const ticks = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) for (const s of steps) ticks.push(s * 10 ** e);
  return ticks.filter((t) => t >= low && t <= high);
}

function linearTicks(low, high) {
  const raw = (high - low) / 6;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((s) => s * unit >= raw);
  const ticks = [];
  for (let t = Math.ceil(low / step); t * step <= high; t++) ticks.push(Number((t * step).toPrecision(6)));
  return ticks;
}

const tickText = (t) => (t !== 0 && (Math.abs(t) < 1e-4 || Math.abs(t) >= 1e5) ? t.toExponential(0) : String(Number(t.toPrecision(3))));

function chart(holder, { series, log, plotted, noise, metric, label, xLabel, xOf, ticks, none }) {
  const lines = series.map((s) => ({
    ...s,
    points: s.points.filter((p) => xOf(p) > 0 && (!log || plotted(p.value) > 0)).sort((p, q) => xOf(p) - xOf(q)),
  })).filter((s) => s.points.length);
  if (!lines.length) return holder.replaceChildren(el('p', { class: 'dim' }, none));
  const width = Math.max(320, holder.clientWidth);
  const all = lines.flatMap((s) => s.points);
  const ys = all.map((p) => plotted(p.value));
  const lowest = Math.min(...ys);
  const inRange = noise !== null && noise > lowest / 30 && noise < 3 * Math.max(...ys);
  const x = scale(all.map(xOf), MARGIN.left, width - MARGIN.right, true);
  const y = scale(inRange ? [...ys, noise] : ys, CHART_HEIGHT - MARGIN.bottom, MARGIN.top, log);
  const plot = svg('svg', { width, height: CHART_HEIGHT, role: 'img', 'aria-label': `${label} over ${xLabel}; the figures stand in the table below` });
  axes(plot, { x, y, width, log, label, xLabel, ticks });
  if (inRange) {
    plot.append(svg('line', { class: 'noiseline', x1: MARGIN.left, x2: width - MARGIN.right, y1: y(noise), y2: y(noise) }),
      svg('text', { class: 'noisetext', x: MARGIN.left + 6, y: y(noise) - 5 }, 'reference’s own noise'));
  }
  for (const s of lines) drawLine(plot, s, (p) => x(xOf(p)), (p) => y(plotted(p.value)), y, plotted, log);
  lineLabels(plot, lines, (p) => x(xOf(p)), (p) => y(plotted(p.value)), width);
  const tip = el('div', { class: 'tip', hidden: true });
  const ring = svg('circle', { class: 'ring', r: 8, visibility: 'hidden' });
  plot.append(ring);
  const spots = lines.flatMap((s) => s.points.map((p) => ({ s, p, px: x(xOf(p)), py: y(plotted(p.value)) })));
  plot.addEventListener('pointermove', (event) => hover(event, plot, spots, tip, ring, metric));
  plot.addEventListener('pointerleave', () => { tip.hidden = true; ring.setAttribute('visibility', 'hidden'); });
  holder.replaceChildren(plot, tip);
}

function axes(plot, { x, y, width, log, label, xLabel, ticks }) {
  const bottom = CHART_HEIGHT - MARGIN.bottom;
  let last = -Infinity;
  for (const t of ticks || logTicks(x.low, x.high)) {
    plot.append(svg('line', { class: 'grid', x1: x(t), x2: x(t), y1: MARGIN.top, y2: bottom }));
    if (x(t) - last < 34) continue;
    last = x(t);
    plot.append(svg('text', { class: 'tick', x: x(t), y: bottom + 17, 'text-anchor': 'middle' }, tickText(t)));
  }
  last = Infinity;
  for (const t of log ? logTicks(y.low, y.high) : linearTicks(y.low, y.high)) {
    plot.append(svg('line', { class: 'grid', x1: MARGIN.left, x2: width - MARGIN.right, y1: y(t), y2: y(t) }));
    if (last - y(t) < 16) continue;
    last = y(t);
    plot.append(svg('text', { class: 'tick', x: MARGIN.left - 8, y: y(t) + 4, 'text-anchor': 'end' }, tickText(t)));
  }
  plot.append(
    svg('path', { class: 'axis', d: `M${MARGIN.left},${MARGIN.top}V${bottom}H${width - MARGIN.right}` }),
    svg('text', { class: 'axislabel', x: (MARGIN.left + width - MARGIN.right) / 2, y: CHART_HEIGHT - 8, 'text-anchor': 'middle' }, xLabel),
    svg('text', { class: 'axislabel', transform: `translate(14 ${(MARGIN.top + bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle' }, label));
}

function drawLine(plot, s, px, py, y, plotted, log) {
  const { color, dash, marker } = seriesStyle(s.index);
  if (s.points.length > 1) {
    plot.append(svg('path', { class: 'line', d: 'M' + s.points.map((p) => `${px(p)},${py(p)}`).join('L'), stroke: color, 'stroke-dasharray': dash }));
  }
  for (const p of s.points) {
    if (p.spread > 0) {
      const low = plotted(p.value) - p.spread;
      plot.append(svg('line', { class: 'spreadline', stroke: color, x1: px(p), x2: px(p), y1: y(plotted(p.value) + p.spread), y2: y(log ? Math.max(low, y.low) : low) }));
    }
    const hollow = p.noise || !marker.endsWith('Z');
    plot.append(svg('path', { class: 'dot', d: marker, transform: `translate(${px(p)} ${py(p)}) scale(5)`, fill: hollow ? '#2b2b2b' : color, stroke: color }));
  }
}

/** Names at the ends of the lines, pushed apart, each joined to its line. */
function lineLabels(plot, lines, px, py, width) {
  const gap = 17;
  const labels = lines.map((s) => {
    const end = s.points[s.points.length - 1];
    return { s, fromX: px(end), fromY: py(end), y: py(end) };
  }).sort((a, b) => a.y - b.y);
  const floor = CHART_HEIGHT - MARGIN.bottom;
  labels.forEach((l, i) => { if (i) l.y = Math.max(l.y, labels[i - 1].y + gap); });
  for (let i = labels.length - 1; i >= 0; i--) labels[i].y = Math.min(labels[i].y, i === labels.length - 1 ? floor : labels[i + 1].y - gap);
  const left = width - MARGIN.right + 14;
  for (const l of labels) {
    const { color, marker } = seriesStyle(l.s.index);
    const name = labelOf(l.s.name);
    plot.append(
      svg('path', { class: 'leader', stroke: color, d: `M${l.fromX + 8},${l.fromY}L${left - 4},${l.y}` }),
      svg('path', { class: 'dot', d: marker, transform: `translate(${left + 4} ${l.y}) scale(4)`, fill: marker.endsWith('Z') ? color : 'none', stroke: color }),
      svg('text', { class: 'linelabel', x: left + 14, y: l.y + 4, fill: color }, svg('title', {}, name), name.length > 20 ? name.slice(0, 19) + '…' : name));
  }
}

function hover(event, plot, spots, tip, ring, metric) {
  const box = plot.getBoundingClientRect();
  const [mx, my] = [event.clientX - box.left, event.clientY - box.top];
  const distance = (s) => Math.hypot(s.px - mx, s.py - my);
  const near = spots.reduce((best, s) => (distance(s) < distance(best) ? s : best), spots[0]);
  const far = distance(near) > 40;
  tip.hidden = far;
  ring.setAttribute('visibility', far ? 'hidden' : 'visible');
  if (far) return;
  const { p } = near;
  ring.setAttribute('cx', near.px);
  ring.setAttribute('cy', near.py);
  tip.replaceChildren(el('b', {}, labelOf(near.s.name)), el('div', {}, `${sppLabel(p.spp)}, ${seconds(p.wall)} per frame`),
    el('div', {}, `${metricLabel(metric)} ${metricNumber(metric, p.value)}`, isNumber(p.spread) ? ` ± ${shortNumber(p.spread)}` : ''),
    p.noise ? el('div', {}, '≈ reference noise') : '');
  tip.style.setProperty('left', `${Math.min(near.px + 14, box.width - 200)}px`);
  tip.style.setProperty('top', `${Math.max(0, near.py - 70)}px`);
}
