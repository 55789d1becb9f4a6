// The summary: one row per method, one column per metric.

let sortBy = null; // A metric's name, 'time', or null for the order of the results.

const ARROWS = { lower: '↓', higher: '↑', zero: '→0' };
const DIRECTIONS = { lower: 'lower is better', higher: 'higher is better', zero: 'closer to 0 is better' };

function drawSummary() {
  const scopes = [['all', 'all scenes'], ...scenes.map((s) => [s, s])];
  fill(byId('summary'), {}, [
    el('div', { id: 'sentences', class: 'panel' }),
    el('div', { class: 'bar' },
      el('h2', {}, 'Summary'),
      scenes.length > 1 && el('span', { id: 'scope' }),
      sppChoices.some((s) => s) && el('span', { id: 'spp', class: 'segments', role: 'group', 'aria-label': 'samples per pixel' }),
      button('Copy table', 'As tab-separated text, for a spreadsheet', copyTable),
      el('span', { id: 'references', class: 'dim' }),
    ),
    el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Summary table' }, el('table', { id: 'table' })),
    el('p', { id: 'legend', class: 'dim small' }),
  ]);
  const drawScope = () =>
    redraw(byId('scope'), select('scene', scopes, state.scope, chooseScope));
  const drawSpp = () =>
    redraw(byId('spp'), ...sppChoices.map((s) =>
      button(s ? `${s} spp` : '?', 'samples per pixel (, and .)', () => change({ spp: s }), { 'aria-pressed': s === state.spp }),
    ));
  watch(['scope'], drawScope);
  watch(['spp'], drawSpp);
  watch(['scope'], drawReferences);
  watch(['scope', 'spp', 'metric'], drawSentences);
  watch(['scope', 'spp'], drawTable);
}

/** The figures of the table: per method its cells, time and troubles. */
function tableData() {
  const { scope, spp } = state;
  const lines = methods.map((m) => ({
    name: m.name,
    cells: metrics.map((metric) => cell(scope, spp, m.name, metric.name)),
    time: timing(scope, spp, m.name),
    bad: nonfinite(scope, spp, m.name),
    spp: effectiveSpp(m.name, spp),
    failures: failures.filter((f) => f.method === m.name && inScope(scope)(f)),
    skipped: list(results.skipped).find((s) => s.method === m.name),
  }));
  for (const s of list(results.skipped)) {
    if (!methodIndex.has(s.method)) lines.push({ name: s.method, cells: metrics.map(() => cell('', -1, '', '')), time: { parts: [] }, bad: { pixels: 0 }, failures: [], skipped: s });
  }
  metrics.forEach((metric, i) => rank(lines.map((l) => l.cells[i]), metric));
  if (sortBy !== null) {
    const column = metrics.findIndex((m) => m.name === sortBy);
    const value = (l) => (sortBy === 'time' ? l.time.wall ?? Infinity : l.cells[column].value === null ? Infinity : score(metrics[column], l.cells[column].value));
    lines.sort((x, y) => (value(x) === value(y) ? 0 : value(x) - value(y)));
  }
  return lines;
}

function drawTable() {
  const lines = tableData();
  const longest = Math.max(...lines.map((l) => l.time.wall || 0));
  const sorter = (name, text, title, more) => {
    const sort = () => {
      sortBy = sortBy === name ? null : name;
      drawTable();
      byId('table').querySelector(`th[data-name="${CSS.escape(name ?? '')}"] button`)?.focus();
    };
    return el('th', { scope: 'col', 'data-name': name, 'aria-sort': sortBy === name ? 'ascending' : null },
      button(text, title, sort), more);
  };
  byId('table').replaceChildren(
    el('thead', {}, el('tr', {},
      el('th', { scope: 'col', class: 'method' }, 'method'),
      metrics.map((m) => sorter(m.name, `${metricLabel(m)} ${ARROWS[m.better] || ''}`,
        `${DIRECTIONS[m.better] || ''}${m.about ? ': ' + m.about : ''}. Click: sort, best first`)),
      sorter('time', 's per frame ↓', 'Wall time per frame: rendering, training and denoising charged. Click: sort'),
    )),
    el('tbody', {}, lines.map((line) => tableRow(line, longest))),
  );
  const any = (test) => lines.some((l) => l.cells.some(test));
  const where = state.scope === 'all' && scenes.length > 1 ? 'Means over scenes of the means over their frames' : 'Means over frames';
  byId('legend').replaceChildren(...[
    `${where}${list(results.seeds).length > 1 ? ', ± the standard deviation of the seeds’ means' : ''}. ★ best of its column. `,
    any((c) => c.noise) && '≈ noise: the error is within 3 times the reference’s own noise, so it is not ranked. ',
    any((c) => c.partial) && '◐ lacks frames that other methods have, so it is not ranked. ',
    lines.some((l) => l.time.parts.some(isNumber)) && el('span', { class: 'key' },
      'Bars: ', el('i', { class: 'render' }), ' rendering ', el('i', { class: 'train' }), ' training ', el('i', { class: 'denoise' }), ' denoising.'),
  ].filter(Boolean));
}

function tableRow(line, longest) {
  const where = (f) => [state.scope === 'all' && f.scene, isNumber(f.frame) && `frame ${f.frame}`, f.spp > 0 && `${f.spp} spp`,
    list(results.seeds).length > 1 && isNumber(f.seed) && `seed ${f.seed}`].filter(Boolean).join(', ');
  const index = methodIndex.get(line.name);
  const empty = line.cells.every((c) => c.value === null);
  const failedHere = line.failures.filter((f) => !isNumber(f.spp) || f.spp === state.spp || f.spp === line.spp);
  const remarks = [
    line.bad.pixels > 0 && el('div', { class: 'warn' },
      `${line.bad.pixels} NaN px${line.bad.images > 1 ? ` in ${line.bad.images} images` : ''}, scored as black`),
    !empty && failedHere.map((f) => el('div', { class: 'warn', title: f.error }, `failed: ${where(f)}: ${f.error}`)),
    line.spp === 0 && state.spp !== 0 && !empty && el('div', { class: 'dim small' }, 'spp unknown'),
  ];
  const head = el('th', { scope: 'row', class: 'method' },
    el('div', { class: 'name', title: methods[index]?.about || null }, index !== undefined && markerSymbol(index, 12), ' ', labelOf(line.name)),
    remarks);
  if (empty) {
    const text = line.failures.length
      ? line.failures.map((f) => el('div', { class: 'warn' }, `failed: ${[where(f), f.error].filter(Boolean).join(': ')}`))
      : line.skipped ? el('div', { class: 'dim' }, `skipped: ${line.skipped.reason}`)
      : el('div', { class: 'dim' }, `not measured${state.spp ? ` at ${state.spp} spp` : ''}`);
    return el('tr', { 'data-method': line.name, class: 'empty' }, head, el('td', { colspan: metrics.length + 1 }, text));
  }
  return el('tr', { 'data-method': line.name }, head,
    line.cells.map((c, i) => tableCell(c, metrics[i])),
    el('td', { class: 'time' }, timeBar(line.time, longest)));
}

function tableCell(c, metric) {
  if (c.value === null) return el('td', { class: 'dim' }, '–');
  const spread = isNumber(c.spread) ? el('span', { class: 'spread' }, `± ${shortNumber(c.spread)}`) : null;
  const value = metricNumber(metric, c.value);
  const title = [`${metricLabel(metric)} ${c.value}`, plural(c.covers.size, 'value')].join(', ');
  if (c.noise) return el('td', { class: 'noise', title, 'data-metric': metric.name }, el('span', {}, '≈ noise'), el('small', {}, value, spread));
  return el('td', { class: c.best ? 'best' : c.partial ? 'partial' : null, title, 'data-metric': metric.name },
    c.best && el('span', { class: 'star', 'aria-label': 'best' }, '★'),
    c.partial && el('span', { class: 'star', title: 'not all frames', 'aria-label': 'not all frames' }, '◐'),
    value, spread);
}

function timeBar(time, longest) {
  const names = ['render', 'train', 'denoise'];
  const words = ['rendering', 'training', 'denoising'];
  const title = time.parts.map((s, i) => isNumber(s) && `${words[i]} ${seconds(s)}`).filter(Boolean).join(' + ');
  const bar = el('span', { class: 'timebar', 'aria-hidden': 'true' });
  if (longest > 0) time.parts.forEach((s, i) => s > 0 && bar.append(el('i', { class: names[i], style: { width: `${(100 * s) / longest}%` } })));
  return el('div', { title, 'aria-label': `${seconds(time.wall)}${title ? ': ' + title : ''}` }, el('span', {}, seconds(time.wall)), bar);
}

function copyTable() {
  const head = ['method', 'spp', ...metrics.map((m) => m.name), 's per frame', 'rendering s', 'training s', 'denoising s'];
  const text = (x) => (isNumber(x) ? String(x) : '');
  const lines = tableData().map((l) => [labelOf(l.name).replace(/\s+/g, ' '), l.spp ?? '', ...l.cells.map((c) => text(c.value)), text(l.time.wall), ...l.time.parts.map(text)]);
  copy([head, ...lines].map((line) => line.join('\t')).join('\n'), 'Table');
}
