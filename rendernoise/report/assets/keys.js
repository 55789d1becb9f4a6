// Keyboard shortcuts, and the overlay that lists them.

const SHORTCUTS = [
  ['1 … 9', 'this image as A'], ['Shift 1 … 9', 'this image as B'], ['space', 'flip A and B'],
  ['e', 'error maps, or images'], ['← →', 'frame'], [', .', 'fewer, more samples per pixel'],
  ['[ ]', 'exposure by half a stop'], ['\\', 'the scene’s own exposure'], ['t', 'next tone map'],
  ['+ −', 'zoom'], ['0', 'reset the view'], ['c', 'box to the view’s middle'], ['p', 'play the shot'], ['m', 'next metric'],
  ['f', 'full screen'], ['l', 'copy a link to this view'], ['?', 'these shortcuts'],
  ['drag, wheel, click', 'move, zoom, place the crop box'],
];

function showHelp() {
  const dialog = byId('help');
  if (dialog.open) return dialog.close();
  dialog.replaceChildren(
    el('h2', {}, 'Keyboard shortcuts'),
    el('dl', {}, SHORTCUTS.map(([k, text]) => [el('dt', {}, el('kbd', {}, k)), el('dd', {}, text)])),
    button('Close', 'Close (Esc)', () => dialog.close(), { autofocus: true }));
  dialog.showModal();
}

function next(choices, now) {
  return choices[(choices.indexOf(now) + 1) % choices.length];
}

const KEYS = {
  ' ': flip,
  e: () => change({ error: !state.error }),
  ArrowLeft: () => stepFrame(-1),
  ArrowRight: () => stepFrame(1),
  ',': () => stepSpp(-1),
  '.': () => stepSpp(1),
  '[': () => setExposure(exposure() - 0.5),
  ']': () => setExposure(exposure() + 0.5),
  '\\': () => change({ ev: null }),
  t: () => change({ tone: next(Object.keys(TONES), state.tone) }),
  '+': () => zoomStep(1.5),
  '=': () => zoomStep(1.5),
  '-': () => zoomStep(1 / 1.5),
  0: resetView,
  c: () => change({ boxX: null, boxY: null }),
  p: togglePlay,
  m: () => change({ metric: next(metrics.map((m) => m.name), state.metric) }),
  f: toggleFullscreen,
  l: () => copy(link(), 'Link'),
  '?': showHelp,
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (byId('help').open && event.key !== '?') return;
  const { target } = event;
  // Text fields and lists have keys of their own; buttons are pressed with the space bar.
  const range = target.closest('[type=range]');
  if (range ? /^(Arrow|Home|End|Page)/.test(event.key) : target.closest('select, textarea, input')) return;
  if (event.key === ' ' && target.closest('button, summary, a')) return;
  if (event.key.startsWith('Arrow') && target.closest('.scroll')) return;
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  let act = KEYS[event.key] || KEYS[event.key.toLowerCase()];
  if (digit && (event.shiftKey || /^[1-9]$/.test(event.key))) {
    const name = viewable(state.scene)[Number(digit[1]) - 1];
    act = name === undefined ? null : () => change(event.shiftKey ? { b: name } : { a: name });
  }
  if (!act) return;
  event.preventDefault();
  act();
}
