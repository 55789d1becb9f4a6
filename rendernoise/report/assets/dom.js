// Building elements, and writing numbers. Text is always set as text: names and errors are data, never markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined) continue;
    if (name.startsWith('aria-')) node.setAttribute(name, String(value));
    else if (value === false) continue;
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'style') for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const isNumber = (x) => typeof x === 'number' && Number.isFinite(x);

/** Three digits, without an exponent where that stays short. */
function number(x) {
  if (!isNumber(x)) return '–';
  const size = Math.abs(x);
  if (size === 0) return '0';
  if (size >= 99999.5 || size < 0.0000995) return x.toExponential(1).replace('e+', 'e');
  if (size < 0.000995) return x.toPrecision(2);
  return size >= 99.95 ? x.toFixed(0) : x.toPrecision(3);
}

/** Two digits: enough for a spread. */
const shortNumber = (x) => (isNumber(x) && x >= 0.0001 && x < 99.5 ? x.toPrecision(2) : number(x));

function metricNumber(metric, x) {
  if (!isNumber(x)) return '–';
  if (metric.name === 'psnr') return x.toFixed(2);
  if (metric.name === 'ssim') return x.toFixed(4);
  return metric.better === 'zero' && x > 0 ? '+' + number(x) : number(x);
}

const seconds = (s) => (isNumber(s) ? `${s < 9.95 ? s.toPrecision(s < 0.1 ? 1 : 2) : s.toFixed(0)} s` : '–');
const sppLabel = (spp) => (spp ? `${spp} spp` : 'spp unknown');
const signed = (x) => (x < 0 ? '−' : '+') + Math.abs(x).toFixed(1);
const plural = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;

/** A labelled select; options are [value, text] pairs. */
function select(label, options, value, onchange) {
  const node = el('select', { 'aria-label': label, onchange: () => onchange(node.value) });
  for (const [option, text] of options) node.append(el('option', { value: option }, text));
  node.value = value;
  return el('label', { class: 'field' }, el('span', {}, label), node);
}

function button(text, title, onclick, more) {
  return el('button', { type: 'button', title, onclick, ...more }, text);
}

/** Put new controls in place of old ones; the one that a keyboard was using keeps the focus. */
function redraw(holder, ...nodes) {
  if (!holder) return;
  const name = (node) => node.getAttribute('aria-label') || node.textContent;
  const used = document.activeElement;
  const had = holder.contains(used) && used.matches(':focus-visible') ? name(used) : null;
  holder.replaceChildren(...nodes);
  if (had !== null) [...holder.querySelectorAll('button, select, input')].find((node) => name(node) === had)?.focus();
}

let toastTimer = 0;
function toast(text) {
  const node = byId('toast');
  node.textContent = text;
  node.classList.add('shown');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => node.classList.remove('shown'), 1800);
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The clipboard is refused to some pages that come from disk; the old way still works there.
    const area = el('textarea', { class: 'offscreen' });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast(`${what} copied`);
}
