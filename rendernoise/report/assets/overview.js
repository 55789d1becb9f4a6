// Above the table: what was measured, where, and the sentence that people want. Below the page: the rest.

function drawHeader() {
  const tool = results.tool || {};
  const machine = results.machine || {};
  const created = new Date(results.created);
  const when = Number.isNaN(created.getTime())
    ? results.created
    : created.toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric' });
  const seeds = list(results.seeds);
  const facts = [
    [tool.name, tool.version, tool.commit && `(${String(tool.commit).slice(0, 10)})`].filter(Boolean).join(' '),
    when,
    [
      machine.cpu,
      machine.cores && plural(machine.cores, 'core'),
      machine.memory_gib && `${Math.round(machine.memory_gib)} GiB`,
      'gpu' in machine && (machine.gpu || 'no GPU'),
      machine.os,
    ].filter(Boolean).join(', '),
    seeds.length && `seed${seeds.length > 1 ? 's' : ''} ${seeds.join(', ')}`,
  ].filter(Boolean);
  fill(byId('head'), {}, [
    el('div', { class: 'title' },
      el('h1', {}, 'rendernoise bench'),
      el('span', { class: 'what' }, scenes.join(', ')),
      el('span', { class: 'spacer' }),
      button('Copy link', 'A link to exactly this view (l)', () => copy(link(), 'Link')),
      button('Keys ?', 'Keyboard shortcuts (?)', showHelp),
    ),
    el('ul', { class: 'facts' }, facts.map((fact) => el('li', {}, fact))),
    results.command && el('p', { class: 'command' }, el('code', { title: 'The command that made this page' }, results.command)),
  ]);
}

const equalQuality = list(results.equal_quality);
const lowestSpp = (scene, method) => Math.min(...rows.filter((r) => r.scene === scene && r.method === method && r.spp > 0).map((r) => r.spp));
const highestSpp = (scene, method) => Math.max(...rows.filter((r) => r.scene === scene && r.method === method && r.spp > 0).map((r) => r.spp));

/** Children of one sentence: what the other methods need for the quality that a method has at some spp. */
function sentence(entries, withScene) {
  const { scene, method, spp } = entries[0];
  const clauses = entries.map((e, i) => {
    const baseline = labelOf(e.baseline);
    if (e.how === 'not reached' || (!isNumber(e.needs_spp) && e.how !== 'below')) {
      const up = highestSpp(scene, e.baseline);
      return [baseline, ' is not as good', Number.isFinite(up) ? ` at ${up} spp` : ''];
    }
    if (e.how === 'below') {
      const down = isNumber(e.needs_spp) ? e.needs_spp : lowestSpp(scene, e.baseline);
      return [baseline, ' is as good', Number.isFinite(down) ? ` at ${Math.round(down)} spp or fewer` : ' with fewer samples'];
    }
    const needs = e.needs_spp >= 9.5 ? Math.round(e.needs_spp) : Number(e.needs_spp.toPrecision(2));
    const how = e.how === 'extrapolated' ? ' (extrapolated)' : '';
    return [i ? `${baseline} needs about ` : `equals ${baseline} at about `, el('b', {}, `${needs} spp`), how];
  });
  // A sentence that starts with "equals" needs its subject before it; otherwise the subject is named as the measure.
  const starts = clauses[0][0].startsWith?.('equals') ? ' ' : ': ';
  return [
    withScene && el('span', { class: 'dim' }, `${scene}: `),
    el('b', {}, labelOf(method)), ` at ${spp} spp`, starts,
    clauses.flatMap((clause, i) => (i ? ['; ', ...clause] : clause)),
    '.',
  ];
}

function drawSentences() {
  const box = byId('sentences');
  box.replaceChildren();
  const metricNames = unique(equalQuality.map((e) => e.metric));
  const metric = metricNames.includes(state.metric) ? state.metric : metricNames[0];
  const order = (e) => (methodIndex.has(e.method) ? methodIndex.get(e.method) : 99);
  const chosen = equalQuality
    .filter((e) => e.metric === metric && e.spp === state.spp && inScope(state.scope)(e))
    // The method under test before the baselines that the others are compared with.
    .sort((x, y) => (x.method === 'online' ? -1 : order(x)) - (y.method === 'online' ? -1 : order(y)));
  if (!chosen.length) return;
  const known = (e) => (e.how === 'not reached' ? 1 : 0);
  const sentences = [...group(chosen, (e) => key(e.scene, e.method)).values()].map((entries) =>
    entries.sort((x, y) => known(x) - known(y)),
  );
  const several = unique(chosen.map((e) => e.scene)).length > 1;
  box.classList.toggle('several', several);
  const item = (entries) => el('li', {}, sentence(entries, several));
  const shown = several ? 4 : 3;
  fill(box, {}, [
    el('h2', {}, 'Equal quality', el('span', { class: 'dim' }, ` by ${metricLabel(metricOf(metric))}`)),
    el('ul', {}, sentences.slice(0, shown).map(item)),
    sentences.length > shown &&
      el('details', {}, el('summary', {}, `${sentences.length - shown} more`), el('ul', {}, sentences.slice(shown).map(item))),
  ]);
}

function drawReferences() {
  const box = byId('references');
  box.replaceChildren();
  const scope = scenes.filter((s) => state.scope === 'all' || s === state.scope);
  const parts = scope.map((scene) => {
    const of = references.filter((r) => r.scene === scene);
    if (!of.length) return null;
    const samples = unique(of.map((r) => r.spp).filter((s) => s > 0)).sort(ascending);
    const noise = of.map((r) => r.noise).filter(isNumber);
    return el('span', {},
      scene, ': ', samples.length ? `${samples.join(', ')} spp` : 'spp unknown', ', own noise ',
      noise.length ? el('b', {}, number(mean(noise))) : 'unknown');
  }).filter(Boolean);
  if (parts.length) fill(box, {}, [el('b', {}, 'References'), ' ', parts.flatMap((p, i) => (i ? [' · ', p] : [p])), ' (relMSE)']);
}

function drawDetails() {
  const skipped = list(results.skipped);
  const notes = [...list(results.notes), ...page.notes];
  const versions = Object.entries(results.versions || {}).filter(([, v]) => v);
  const pairs = (items) => el('dl', {}, items.flatMap(([term, text]) => [el('dt', {}, term), el('dd', {}, text)]));
  const known = metrics.filter((m) => m.about);
  const about = methods.filter((m) => m.about);
  fill(byId('details'), {}, [
    el('h2', {}, 'Details'),
    el('div', { class: 'columns' },
      notes.length > 0 && el('div', { id: 'notes' }, el('h3', {}, 'Notes'), el('ul', {}, notes.map((n) => el('li', {}, n)))),
      skipped.length > 0 && el('div', {}, el('h3', {}, 'Skipped'), pairs(skipped.map((s) => [labelOf(s.method), s.reason]))),
      about.length > 0 && el('div', {}, el('h3', {}, 'Methods'), pairs(about.map((m) => [m.label || m.name, m.about]))),
      known.length > 0 && el('div', {}, el('h3', {}, 'Metrics'), pairs(known.map((m) => [metricLabel(m), m.about]))),
      versions.length > 0 && el('div', {}, el('h3', {}, 'Versions'), pairs(versions.map(([k, v]) => [k, String(v)]))),
      el('div', {}, el('h3', {}, 'Images'), el('p', {},
        'Radiance is embedded as half floats rounded to 0.4 %. Error maps and the figures of boxes are computed here from ' +
        'those; the table is computed from the files. Magenta pixels are no numbers: the table scores them as black.')),
    ),
  ]);
}
