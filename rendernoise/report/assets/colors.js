// Colours that stay apart for the colour-blind, and never speak alone: each series has its own marker and dash too.

// Okabe and Ito's palette (2008), its black replaced by light grey on this dark page, its blue last and lightened.
const PALETTE = ['#d8d8d8', '#56b4e9', '#e69f00', '#2bb58a', '#f0e442', '#cc79a7', '#f0763b', '#6f9fe0'];
const DASHES = ['', '7 4', '2 4', '10 4 2 4', '', '7 4', '2 4', '10 4 2 4'];
// Outlines within [-1, 1]; closed ones are filled.
const MARKERS = [
  'M-1,0a1,1 0 1,0 2,0a1,1 0 1,0 -2,0Z',
  'M-.9,-.9H.9V.9H-.9Z',
  'M0,-1.1L1,.8H-1Z',
  'M0,-1.2L1.2,0L0,1.2L-1.2,0Z',
  'M0,1.1L1,-.8H-1Z',
  'M-1,-1L1,1M-1,1L1,-1',
  'M0,-1.2V1.2M-1.2,0H1.2',
  'M0,-1.2L.5,-.4L1.2,0L.5,.4L0,1.2L-.5,.4L-1.2,0L-.5,-.4Z',
];

/** Colour, dash and marker of the n-th method. After eight, colours return with another marker. */
function seriesStyle(n) {
  const round = Math.floor(n / PALETTE.length);
  return {
    color: PALETTE[n % PALETTE.length],
    dash: DASHES[n % DASHES.length],
    marker: MARKERS[(n + 3 * round) % MARKERS.length],
  };
}

function markerSymbol(n, size) {
  const { color, marker } = seriesStyle(n);
  const box = svg('svg', { width: size, height: size, viewBox: '-1.5 -1.5 3 3', 'aria-hidden': 'true', class: 'marker' });
  box.append(svg('path', { d: marker, fill: marker.endsWith('Z') ? color : 'none', stroke: color, 'stroke-width': 0.4 }));
  return box;
}

// A map that rises evenly in lightness, dark violet to yellow, readable with any colour vision (after viridis).
const RAMP_POINTS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
];

const RAMP = (() => {
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (RAMP_POINTS.length - 1);
    const k = Math.min(Math.floor(at), RAMP_POINTS.length - 2);
    for (let c = 0; c < 3; c++) table[3 * i + c] = RAMP_POINTS[k][c] + (at - k) * (RAMP_POINTS[k + 1][c] - RAMP_POINTS[k][c]);
  }
  return table;
})();

// One scale for all methods, frames and scenes: squared relative error, log10.
const ERROR_LOW = -4;
const ERROR_HIGH = 1;

/** Index into RAMP of a squared relative error. */
function errorStep(error) {
  if (!(error > 0)) return 0;
  return clamp(Math.round((255 * (Math.log10(error) - ERROR_LOW)) / (ERROR_HIGH - ERROR_LOW)), 0, 255);
}
