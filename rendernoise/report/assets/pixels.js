// Radiance: from text to half floats, to numbers, to colours on a canvas.

const CODES = 1 << 13;
const KEEP_CODES = 80e6; // About 160 MB of decoded images; the oldest are dropped.
const decoded = new Map();

/** The value of every half float (IEEE 754 binary16). */
const HALF = (() => {
  const table = new Float32Array(65536);
  for (let code = 0; code < 65536; code++) {
    const exponent = (code >> 10) & 31;
    const mantissa = code & 1023;
    const size =
      exponent === 31 ? (mantissa ? NaN : Infinity)
      : exponent ? (1 + mantissa / 1024) * 2 ** (exponent - 15)
      : mantissa * 2 ** -24;
    table[code] = code & 0x8000 ? -size : size;
  }
  return table;
})();

async function inflate(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undo encoding.py: planes of half float codes, red, green, blue. */
function unpack(raw, { w, h, mode }) {
  const count = w * h;
  const codes = new Uint16Array(3 * count);
  for (let i = 0; i < codes.length; i++) codes[i] = raw[i] | (raw[codes.length + i] << 8);
  if (mode === 'left') {
    for (let row = 0; row < 3 * h; row++) {
      let value = 0;
      for (let i = row * w; i < (row + 1) * w; i++) {
        const z = codes[i];
        value = (value + (z & 1 ? -(z >> 1) - 1 : z >> 1)) & (CODES - 1);
        codes[i] = value;
      }
    }
    for (let i = 0; i < count; i++) {
      codes[i] = (codes[i] + codes[count + i]) & (CODES - 1);
      codes[2 * count + i] = (codes[2 * count + i] + codes[count + i]) & (CODES - 1);
    }
  }
  for (let i = 0; i < codes.length; i++) codes[i] <<= 3;
  return codes;
}

const documentRead = new Promise((resolve) => {
  if (document.readyState !== 'loading') resolve();
  else document.addEventListener('DOMContentLoaded', () => resolve(), { once: true });
});

async function decode(entry) {
  if (!byId(entry.id)) await documentRead;
  const raw = await inflate(byId(entry.id).textContent);
  return { entry, w: entry.w, h: entry.h, unit: 2 ** -entry.shift, codes: unpack(raw, entry), canvas: null, look: null };
}

/** A decoded image, kept for the next time; null stays null. */
function getImage(entry) {
  if (!entry) return Promise.resolve(null);
  let promise = decoded.get(entry.id);
  decoded.delete(entry.id);
  if (!promise) promise = decode(entry);
  decoded.set(entry.id, promise);
  let total = 0;
  for (const id of [...decoded.keys()].reverse()) {
    const { w, h } = page.images[Number(id.slice(1))];
    total += 3 * w * h;
    if (total > KEEP_CODES && id !== entry.id) decoded.delete(id);
  }
  return promise;
}

/** Linear RGB of a pixel; null outside. */
function pixelAt(image, x, y) {
  if (!image || x < 0 || y < 0 || x >= image.w || y >= image.h) return null;
  const at = y * image.w + x;
  const count = image.w * image.h;
  return [0, 1, 2].map((c) => HALF[image.codes[c * count + at]] * image.unit);
}

const encodeSrgb = (v) => (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055); // IEC 61966-2-1

const TONES = {
  srgb: { label: 'sRGB, clipped', map: (v) => encodeSrgb(Math.min(v, 1)) },
  reinhard: { label: 'T: Reinhard, gamma 2.2', map: (v) => (v / (1 + v)) ** (1 / 2.2) },
  // Narkowicz's fit of the ACES curve (2015).
  filmic: { label: 'filmic', map: (v) => encodeSrgb(clamp((v * (2.51 * v + 0.03)) / (v * (2.43 * v + 0.59) + 0.14), 0, 1)) },
};

const displayTables = new Map();

/** Display value 0..255 of every half float code at an exposure. */
function displayTable(ev, tone) {
  const name = `${ev} ${tone}`;
  let table = displayTables.get(name);
  if (!table) {
    table = new Uint8ClampedArray(65536);
    const { map } = TONES[tone];
    const gain = 2 ** ev;
    // Negative codes stay 0; not-a-number is marked where it is drawn.
    for (let code = 0; code < 0x7c00; code++) table[code] = 255 * map(HALF[code] * gain);
    if (displayTables.size > 12) displayTables.clear();
    displayTables.set(name, table);
  }
  return table;
}

const notANumber = (code) => (code & 0x7fff) >= 0x7c00;

// A look is how an image is coloured: `name` tells it from others, `color(i, out, o)` writes pixel i at out[o].

/** Draw a region of the image into the corner of a canvas, magenta where it is no number. */
function paintRegion(context, image, look, x0, y0, w, h) {
  const pixels = context.createImageData(w, h);
  const out = pixels.data;
  const count = image.w * image.h;
  const { codes } = image;
  for (let y = 0, o = 0; y < h; y++) {
    for (let i = (y0 + y) * image.w + x0, end = i + w; i < end; i++, o += 4) {
      if (notANumber(codes[i]) || notANumber(codes[count + i]) || notANumber(codes[2 * count + i])) {
        out[o] = 255;
        out[o + 2] = 255;
      } else look.color(i, out, o);
      out[o + 3] = 255;
    }
  }
  context.putImageData(pixels, 0, 0);
}

/** The whole image on a canvas of its own, kept until it looks different. */
function painted(image, look) {
  image.canvas ||= el('canvas', { width: image.w, height: image.h });
  if (image.look !== look.name) paintRegion(image.canvas.getContext('2d'), image, look, 0, 0, image.w, image.h);
  image.look = look.name;
  return image.canvas;
}

/** The image at an exposure. */
function displayLook(image, ev, tone) {
  const table = displayTable(ev - image.entry.shift, tone);
  const count = image.w * image.h;
  const color = (i, out, o) => {
    out[o] = table[image.codes[i]];
    out[o + 1] = table[image.codes[count + i]];
    out[o + 2] = table[image.codes[2 * count + i]];
  };
  return { name: `${ev} ${tone}`, color };
}

/** Squared relative error of pixel i, mean over channels. */
function pixelError(image, reference, i) {
  const count = image.w * image.h;
  let sum = 0;
  for (let c = 0; c < 3; c++) {
    const r = HALF[reference.codes[c * count + i]] * reference.unit;
    const d = HALF[image.codes[c * count + i]] * image.unit - r;
    sum += (d * d) / (r * r + 0.01);
  }
  return sum / 3;
}

const sameSize = (a, b) => a && b && a.w === b.w && a.h === b.h;

/** The error map against a reference of the same size. */
function errorLook(image, reference) {
  const color = (i, out, o) => {
    const step = 3 * errorStep(pixelError(image, reference, i));
    out[o] = RAMP[step];
    out[o + 1] = RAMP[step + 1];
    out[o + 2] = RAMP[step + 2];
  };
  return { name: `error ${reference.entry.id}`, color };
}

/** Mean squared relative error in a box, pixels that are no numbers counted as black; null without a reference. */
function boxError(image, reference, x0, y0, size) {
  if (!sameSize(image, reference)) return null;
  let sum = 0;
  let n = 0;
  for (let y = Math.max(0, y0); y < Math.min(image.h, y0 + size); y++) {
    for (let x = Math.max(0, x0); x < Math.min(image.w, x0 + size); x++, n++) {
      const error = pixelError(image, reference, y * image.w + x);
      if (Number.isFinite(error)) sum += error;
      else sum += mean(pixelAt(reference, x, y).map((r) => (r * r) / (r * r + 0.01)));
    }
  }
  return n ? sum / n : null;
}
