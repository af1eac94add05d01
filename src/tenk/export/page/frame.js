// The frame: a digit's ink brought to the size, the place and the stroke width that MNIST's digits have.
// src/tenk/stroke.py and src/tenk/preprocess.py do the same in Python, and explain each number.

const SIDE = 28;
const BOX = 20;
const THRESHOLD = 0.02;
const [THINNEST, THICKEST] = [2, 4];
const FINENESS = 6;
const MARGIN = 12;
const HALF = 0.5;

/**
 * Bring strokes that are too thin or too thick to a width that MNIST has.
 * @param {Pixels} ink 0 to 1 @returns {Pixels} the same, at another size where something had to be changed
 */
function adjustStrokes(ink) {
  const fine = resize(ink, (BOX * FINENESS) / Math.max(ink.height, ink.width));
  const padded = crop(fine, -MARGIN, -MARGIN, fine.height + MARGIN, fine.width + MARGIN);
  const shape = mapPixels(padded, (level) => level > HALF);
  const width = strokeWidth(shape);
  const wanted = Math.min(Math.max(width, THINNEST), THICKEST);
  return wanted === width ? ink : redraw(shape, (FINENESS * (wanted - width)) / 2);
}

/** @param {Pixels} shape @returns {number} the mean width of its strokes, in pixels of the frame */
function strokeWidth(shape) {
  let [sum, count] = [0, 0];
  for (const depth of distanceTransform(shape).values) {
    if (!depth) continue;
    sum += depth - 0.5;
    count++;
  }
  return count ? (4 * sum) / count / FINENESS : 0;
}

/**
 * Move a shape's edges, or by the largest share of that which leaves its build as it is.
 * @param {Pixels} shape @param {number} outwards pixels @returns {Pixels} ink
 */
function redraw(shape, outwards) {
  const inside = distanceTransform(shape);
  const outside = distanceTransform(mapPixels(shape, (value) => !value));
  const distance = mapPixels(shape, (value, index) => (value ? inside.values[index] - 0.5 : 0.5 - outside.values[index]));
  /** @param {number} share @returns {Pixels} */
  const move = (share) => mapPixels(distance, (value) => value + share * outwards);
  const kept = [1, 0.75, 0.5, 0.25].map(move).find((moved) => isBuildKept(shape, moved, outwards > 0)) ?? distance;
  return mapPixels(kept, (value) => Math.min(Math.max(value + 0.5, 0), 1));
}

/** @param {Pixels} before @param {Pixels} moved distances @param {boolean} grown @returns {boolean} */
function isBuildKept(before, moved, grown) {
  const after = mapPixels(moved, (value) => value > 0);
  return countHoles(after) === countHoles(before) && (grown || label(after, true).count === label(before, true).count);
}

/** @param {Pixels} shape @returns {number} */
function countHoles(shape) {
  return label(mapPixels(shape, (value) => !value), false).count;
}

/**
 * Scale and centre a digit as MNIST's are.
 * @param {Pixels} ink 0 to 1
 * @returns {Pixels} 28 x 28, 0 to 1; blank where there is no ink
 */
function frame(ink) {
  const [across, down] = [measure(transpose(ink)), measure(ink)];
  if (!down.high) return makePixels(SIDE, SIDE);
  const scale = BOX / Math.max(across.high - across.low, down.high - down.low);
  const framed = changeLines(ink, placeLine(across, scale), placeLine(down, scale));
  return mapPixels(framed, (level) => Math.min(Math.max(level, 0), 1));
}

/**
 * Where the ink of a picture lies from top to bottom: the edges of what is visible, and the ink of each row.
 * @typedef {{low: number, high: number, mass: Float64Array}} Extent
 */

/** @param {Pixels} ink @returns {Extent} 0 to 0 where nothing is visible */
function measure({ height, width, values }) {
  const mass = new Float64Array(height);
  let [low, high] = [0, 0];
  for (let y = 0; y < height; y++) {
    const row = values.subarray(y * width, (y + 1) * width);
    mass[y] = row.reduce((sum, level) => sum + level, 0);
    if (!row.some((level) => level > THRESHOLD)) continue;
    if (!high) low = y;
    high = y + 1;
  }
  return { low, high, mass };
}

/**
 * Return what turns a line of a picture into one of the frame: each pixel the mean of its own stretch.
 * @param {Extent} extent along the line @param {number} scale
 * @returns {(line: Float64Array) => Float64Array}
 */
function placeLine({ low, high, mass }, scale) {
  let [held, moment] = [0, 0];
  for (let place = low; place < high; place++) {
    held += mass[place];
    moment += mass[place] * (place + 0.5);
  }
  const centred = Math.max(Math.ceil(SIDE / 2 - (moment / held - low) * scale - 1e-3), 0);
  const start = Math.min(centred, Math.floor(SIDE - (high - low) * scale + 1e-3));
  /** @param {number} edge @returns {number} */
  const source = (edge) => Math.min(Math.max(low + (edge - start) / scale, low), high);
  return (line) =>
    Float64Array.from({ length: SIDE }, (_, pixel) => scale * sumBetween(line, source(pixel), source(pixel + 1)));
}
