// Pictures, decoded by the browser, in grey. src/under10k/pictures/grey.py does the same in Python.

/** @param {number} width @param {number} height @returns {HTMLCanvasElement} */
function makeCanvas(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/** @param {HTMLCanvasElement} canvas @param {CanvasRenderingContext2DSettings} [settings] @returns {CanvasRenderingContext2D} */
function contextOf(canvas, settings) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", settings));
}

/**
 * Decode a picture, upright; if it is larger than twice the working side, shrink it to about that.
 * @param {File} file @returns {Promise<HTMLCanvasElement>}
 */
async function decode(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" }).catch(() => {
    throw new Error(say("not_picture", { name: file.name }));
  });
  const larger = Math.max(bitmap.width, bitmap.height);
  if (larger > MAXIMUM_SIDE || bitmap.width * bitmap.height > MAXIMUM_PIXELS) {
    throw new Error(say("too_large", { name: file.name, side: MAXIMUM_SIDE, all: MAXIMUM_PIXELS }));
  }
  const block = Math.max(1, Math.floor(larger / (2 * WORKING_SIDE)));
  const image = makeCanvas(Math.ceil(bitmap.width / block), Math.ceil(bitmap.height / block));
  const context = contextOf(image, { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, image.width, image.height);
  return image;
}

/**
 * Return brightness, or the one of red, green and blue that shows the picture much better.
 * @param {ImageData} image @returns {Pixels} 0 is black, 1 white; its larger side at most the working side
 */
function toGrey(image) {
  const colours = layOnPaper(image);
  const grey = luminance(colours);
  const spans = colours.map((colour) => range(colour).span);
  const most = Math.max(...spans);
  const values = most > MORE_CONTRAST * range(grey).span ? colours[spans.indexOf(most)] : grey;
  return fit({ height: image.height, width: image.width, values }, WORKING_SIDE);
}

/** @param {Float64Array[]} colours red, green and blue @returns {Float64Array} */
function luminance([red, green, blue]) {
  const grey = new Float64Array(red.length);
  for (let index = 0; index < grey.length; index++) {
    grey[index] = LUMINANCE[0] * red[index] + LUMINANCE[1] * green[index] + LUMINANCE[2] * blue[index];
  }
  return grey;
}

/**
 * Fill what is transparent with the drawn paper's colour, or, if only ink is drawn, with black or white, whichever is
 * farther from it.
 * @param {ImageData} image @returns {Float64Array[]} red, green and blue, 0 to 1
 */
function layOnPaper({ data }) {
  const colours = [0, 1, 2].map((channel) => readChannel(data, channel));
  if (isOpaque(data)) return colours;
  const opacity = readChannel(data, 3);
  for (const colour of colours) opacity.forEach((share, index) => (colour[index] *= share));
  const paper = findHiddenPaper(colours, opacity);
  return colours.map((colour, channel) => colour.map((level, index) => level + (1 - opacity[index]) * paper[channel]));
}

/** @param {Uint8ClampedArray} data @returns {boolean} whether no pixel lets paper through */
function isOpaque(data) {
  for (let index = 3; index < data.length; index += 4) if (data[index] < 255) return false;
  return true;
}

/** @param {Uint8ClampedArray} data @param {number} channel red, green, blue or opacity @returns {Float64Array} 0 to 1 */
function readChannel(data, channel) {
  const values = new Float64Array(data.length / 4);
  for (let index = 0; index < values.length; index++) values[index] = data[4 * index + channel] / 255;
  return values;
}

/** @param {Float64Array[]} colours multiplied by opacity @param {Float64Array} opacity @returns {number[]} */
function findHiddenPaper(colours, opacity) {
  /** @param {Float64Array} values @returns {number} */
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const grey = luminance(colours);
  if (!sum(opacity)) return [1, 1, 1];
  const seen = valuesWhere(grey, (index) => opacity[index] > 0.5);
  const mean = sum(seen) / seen.length;
  const deviation = Math.sqrt(sum(seen.map((level) => (level - mean) ** 2)) / seen.length);
  if (2 * seen.length > grey.length && deviation > ONE_TONE) {
    return colours.map((colour) => quantiles(valuesWhere(colour, (index) => opacity[index] > 0.5), [0.5])[0]);
  }
  return new Array(3).fill(sum(grey) / sum(opacity) < 0.5 ? 1 : 0);
}
