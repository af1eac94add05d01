// Any picture of a digit brought into the frame that MNIST was made with; src/tenk/preprocess.py is the same in Python.

/**
 * A grey picture, row by row.
 * @typedef {{height: number, width: number, values: Float32Array}} Grey
 */

/** Probability from which the page calls itself sure. */
const SURE = 0.8;

/** Most pixels that a picture may have. */
const MOST_PIXELS = 25e6;

const SIDE = 28;
const BOX = 20;
const THRESHOLD = 0.02;

/**
 * @param {Grey} ink white on black, 0 to 1
 * @returns {Uint8ClampedArray | null} 28 x 28 grey levels, white on black; null where nothing is drawn
 */
function makeFrame(ink) {
  const rows = new Float64Array(ink.height);
  const columns = new Float64Array(ink.width);
  let [top, bottom, left, right] = [ink.height, 0, ink.width, 0];
  for (let y = 0; y < ink.height; y++) {
    for (let x = 0; x < ink.width; x++) {
      const value = ink.values[y * ink.width + x];
      rows[y] += value;
      columns[x] += value;
      if (value > THRESHOLD) {
        top = Math.min(top, y);
        bottom = Math.max(bottom, y + 1);
        left = Math.min(left, x);
        right = Math.max(right, x + 1);
      }
    }
  }
  if (!bottom) return null;
  const scale = BOX / Math.max(bottom - top, right - left);
  const down = resampling(rows, top, bottom, scale);
  const across = resampling(columns, left, right, scale);
  const frame = new Uint8ClampedArray(SIDE * SIDE);
  for (let v = 0; v < SIDE; v++) {
    const line = new Float64Array(ink.width);
    for (const [y, share] of down[v]) {
      for (let x = 0; x < ink.width; x++) line[x] += share * ink.values[y * ink.width + x];
    }
    for (let u = 0; u < SIDE; u++) {
      frame[v * SIDE + u] = 255 * across[u].reduce((sum, [x, share]) => sum + share * line[x], 0);
    }
  }
  return frame;
}

/** @returns {Array<Array<[number, number]>>} */
function resampling(mass, low, high, scale) {
  let held = 0, moment = 0;
  for (let at = low; at < high; at++) {
    held += mass[at];
    moment += mass[at] * (at + 0.5);
  }
  const centre = moment / held;
  let start = Math.max(0, Math.ceil(SIDE / 2 - (centre - low) * scale - 1e-3));
  start = Math.min(start, Math.floor(SIDE - (high - low) * scale + 1e-3));
  return Array.from({ length: SIDE }, (_, pixel) => {
    const from = Math.min(Math.max(low + (pixel - start) / scale, low), high);
    const to = Math.min(Math.max(low + (pixel + 1 - start) / scale, low), high);
    const shares = [];
    for (let at = Math.floor(from); at < to; at++) shares.push([at, (Math.min(at + 1, to) - Math.max(at, from)) * scale]);
    return shares;
  });
}

/** @param {ImageData} image opaque @returns {Grey} ink, 0 to 1 */
function toGrey({ data, height, width }) {
  const values = new Float32Array(height * width);
  for (let index = 0; index < values.length; index++) {
    const [red, green, blue] = data.subarray(4 * index, 4 * index + 3);
    values[index] = 1 - (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
  }
  return { height, width, values };
}

/** @param {number} width @param {number} height @returns {HTMLCanvasElement} */
function makeCanvas(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/**
 * Decode a picture and find the digit in it.
 * @param {File} file @returns {Promise<Picture>}
 */
async function readPicture(file) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`Not a picture: ${file.name}. Give a PNG, JPEG, WebP, GIF or BMP file.`);
  });
  if (bitmap.width * bitmap.height > MOST_PIXELS) throw new Error(`Picture too large: ${file.name}.`);
  const image = makeCanvas(bitmap.width, bitmap.height);
  const context = image.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return { kind: "picture", image, frame: makeFrame(toGrey(context.getImageData(0, 0, image.width, image.height))) };
}
