// The network: plain layers with batch norm folded in, run one after the other on one picture.

/**
 * One picture's maps: `channels` of `height` by `width`, one after the other, row by row.
 * @typedef {{channels: number, height: number, width: number, values: Float64Array}} Maps
 */

/**
 * The kinds of layer that src/under10k/export/plain.py describes.
 * @typedef {{
 *   kind: "convolution",
 *   shape: [outputs: number, inputs: number, height: number, width: number],
 *   padding: number,
 *   relu: boolean,
 *   weights: Float64Array,
 *   bias: Float64Array,
 * }} Convolution
 * @typedef {{kind: "affine", relu: boolean, scale: Float64Array, offset: Float64Array}} Affine
 * @typedef {{kind: "max pool" | "average pool", side: number}} Pool
 * @typedef {{kind: "skip", layers: Layer[]}} Skip
 * @typedef {{kind: "views", shifts: [down: number, right: number][], layers: Layer[]}} Views a whole network
 * @typedef {Convolution | Affine | Pool | Skip | Views} Layer
 */

/**
 * Decode the layers' numbers: float32, little-endian, in base64.
 * @param {Array<Object<string, any>>} layers
 * @returns {Layer[]}
 */
function readLayers(layers) {
  return layers.map((layer) => {
    const read = { ...layer };
    for (const name of ["weights", "bias", "scale", "offset"]) {
      if (name in layer) read[name] = readNumbers(layer[name]);
    }
    if (layer.kind === "convolution") read.weights = withZeros(read.weights, layer.shape);
    if (layer.layers) read.layers = readLayers(layer.layers);
    return /** @type {Layer} */ (read);
  });
}

/**
 * Of a depthwise convolution, one filter for each map is written down: all others are zeros.
 * @param {Float64Array} weights @param {[outputs: number, inputs: number, height: number, width: number]} shape
 * @returns {Float64Array} all of them
 */
function withZeros(weights, [outputs, inputs, height, width]) {
  const size = height * width;
  if (weights.length === outputs * inputs * size) return weights;
  const whole = new Float64Array(outputs * inputs * size);
  for (let o = 0; o < outputs; o++) whole.set(weights.subarray(o * size, (o + 1) * size), (o * inputs + o) * size);
  return whole;
}

/** @param {string} text @returns {Float64Array} */
function readNumbers(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 4 }, (_, index) => view.getFloat32(4 * index, true));
}

/**
 * Run a network on a frame.
 * @param {Layer[]} layers
 * @param {ArrayLike<number>} frame 28 x 28 grey levels in 0..255, white on black
 * @returns {Maps[]} the output of each layer; the last one's are the ten logits
 */
function runNetwork(layers, frame) {
  const side = Math.sqrt(frame.length);
  /** @type {Maps} */
  let maps = { channels: 1, height: side, width: side, values: Float64Array.from(frame, (level) => level / 255) };
  return layers.map((layer) => (maps = runLayer(layer, maps)));
}

/**
 * Turn logits into probabilities.
 * @param {ArrayLike<number>} logits
 * @returns {number[]}
 */
function softmax(logits) {
  const scores = Array.from(logits);
  const largest = Math.max(...scores);
  const powers = scores.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** @param {Layer} layer @param {Maps} maps @returns {Maps} */
function runLayer(layer, maps) {
  switch (layer.kind) {
    case "convolution":
      return convolve(layer, pad(maps, layer.padding));
    case "affine":
      return rescale(layer, maps);
    case "max pool":
    case "average pool":
      return pool(layer, maps);
    case "skip":
      return addSkipped(runLayers(layer.layers, maps), maps);
    case "views":
      return average(layer.shifts.map(([down, right]) => runLayers(layer.layers, shift(maps, down, right))));
  }
}

/** @param {Layer[]} layers @param {Maps} maps @returns {Maps} the output of the last one */
function runLayers(layers, maps) {
  return layers.reduce((inner, layer) => runLayer(layer, inner), maps);
}

/** @param {number} channels @param {number} height @param {number} width @returns {Maps} */
function blankMaps(channels, height, width) {
  return { channels, height, width, values: new Float64Array(channels * height * width) };
}

/**
 * Slide filters over padded maps. An output map is summed at the input's width, so that each weight meets one unbroken
 * stretch of numbers; the ends of its rows are then left out.
 * @param {Convolution} layer @param {Maps} input @returns {Maps}
 */
function convolve({ shape, weights, bias, relu }, input) {
  const [outputs, inputs, rows, columns] = shape;
  const output = blankMaps(outputs, input.height - rows + 1, input.width - columns + 1);
  const sums = new Float64Array((output.height - 1) * input.width + output.width);
  for (let o = 0, weight = 0; o < outputs; o++) {
    sums.fill(bias[o]);
    for (let i = 0; i < inputs; i++, weight += rows * columns) {
      if (isZero(weights, weight, rows * columns)) continue;
      if (rows === 3 && columns === 3) addFilter3x3(sums, input, i, weights, weight);
      else addFilter(sums, input, i, weights, weight, rows, columns);
    }
    takeRows(sums, input.width, output, o, relu ? 0 : -Infinity);
  }
  return output;
}

/** @param {Float64Array} weights @param {number} first @param {number} count @returns {boolean} */
function isZero(weights, first, count) {
  for (let next = first; next < first + count; next++) if (weights[next]) return false;
  return true;
}

/**
 * Add one input map to the sums, from as many places on as the filter has weights, times these.
 * @param {Float64Array} sums @param {Maps} input @param {number} i
 * @param {Float64Array} weights @param {number} first of the filter @param {number} rows @param {number} columns
 */
function addFilter(sums, { height, width, values }, i, weights, first, rows, columns) {
  for (let row = 0, next = first; row < rows; row++) {
    for (let column = 0; column < columns; column++, next++) {
      const weight = weights[next];
      const from = (i * height + row) * width + column;
      for (let place = 0; place < sums.length; place++) sums[place] += weight * values[from + place];
    }
  }
}

/**
 * Do the same with all nine weights at once, which takes a third of the time: nearly all filters are of this size.
 * Six of the nine numbers that a place needs, the next one needs too.
 * @param {Float64Array} sums @param {Maps} input @param {number} i @param {Float64Array} weights @param {number} first
 */
function addFilter3x3(sums, { height, width, values }, i, weights, first) {
  const [a, b, c] = [weights[first], weights[first + 1], weights[first + 2]];
  const [d, e, f] = [weights[first + 3], weights[first + 4], weights[first + 5]];
  const [g, h, k] = [weights[first + 6], weights[first + 7], weights[first + 8]];
  const top = i * height * width;
  const middle = top + width;
  const bottom = middle + width;
  let [top0, middle0, bottom0] = [values[top], values[middle], values[bottom]];
  let [top1, middle1, bottom1] = [values[top + 1], values[middle + 1], values[bottom + 1]];
  for (let place = 0; place < sums.length; place++) {
    const top2 = values[top + place + 2];
    const middle2 = values[middle + place + 2];
    const bottom2 = values[bottom + place + 2];
    sums[place] +=
      a * top0 + b * top1 + c * top2 + d * middle0 + e * middle1 + f * middle2 + g * bottom0 + h * bottom1 + k * bottom2;
    top0 = top1;
    top1 = top2;
    middle0 = middle1;
    middle1 = middle2;
    bottom0 = bottom1;
    bottom1 = bottom2;
  }
}

/**
 * Copy rows that lie `stride` apart into an output map; no value is less than `least`.
 * @param {Float64Array} sums @param {number} stride @param {Maps} output @param {number} o @param {number} least
 */
function takeRows(sums, stride, { height, width, values }, o, least) {
  for (let y = 0; y < height; y++) {
    const to = (o * height + y) * width;
    for (let x = 0; x < width; x++) values[to + x] = Math.max(sums[y * stride + x], least);
  }
}

/**
 * Put rows and columns of zeros around each map, or, if `border` is negative, cut rows and columns off.
 * @param {Maps} maps @param {number} border @returns {Maps}
 */
function pad(maps, border) {
  if (!border) return maps;
  const output = blankMaps(maps.channels, maps.height + 2 * border, maps.width + 2 * border);
  const cut = Math.max(-border, 0);
  for (let channel = 0; channel < maps.channels; channel++) {
    for (let y = cut; y < maps.height - cut; y++) {
      const from = (channel * maps.height + y) * maps.width;
      const to = (channel * output.height + y + border) * output.width + border + cut;
      output.values.set(maps.values.subarray(from + cut, from + maps.width - cut), to);
    }
  }
  return output;
}

/** @param {Affine} layer @param {Maps} input @returns {Maps} */
function rescale({ scale, offset, relu }, input) {
  const output = blankMaps(input.channels, input.height, input.width);
  const area = input.height * input.width;
  const least = relu ? 0 : -Infinity;
  for (let channel = 0, index = 0; channel < input.channels; channel++) {
    for (const end = index + area; index < end; index++) {
      output.values[index] = Math.max(input.values[index] * scale[channel] + offset[channel], least);
    }
  }
  return output;
}

/**
 * Keep the largest value or the mean of each square of `side` by `side`; the squares do not overlap.
 * @param {Pool} layer @param {Maps} input @returns {Maps}
 */
function pool({ kind, side }, input) {
  const output = blankMaps(input.channels, Math.floor(input.height / side), Math.floor(input.width / side));
  const joined = kind === "max pool" ? largestIn : meanIn;
  for (let channel = 0, at = 0; channel < output.channels; channel++) {
    for (let y = 0; y < output.height; y++) {
      const row = (channel * input.height + y * side) * input.width;
      for (let x = 0; x < output.width; x++, at++) output.values[at] = joined(input, row + x * side, side);
    }
  }
  return output;
}

/** @param {Maps} maps @param {number} corner where a square begins @param {number} side @returns {number} */
function largestIn({ width, values }, corner, side) {
  let largest = -Infinity;
  for (let row = corner; row < corner + side * width; row += width) {
    for (let index = row; index < row + side; index++) largest = Math.max(largest, values[index]);
  }
  return largest;
}

/** @param {Maps} maps @param {number} corner @param {number} side @returns {number} */
function meanIn({ width, values }, corner, side) {
  let sum = 0;
  for (let row = corner; row < corner + side * width; row += width) {
    for (let index = row; index < row + side; index++) sum += values[index];
  }
  return sum / side ** 2;
}

/**
 * Add the input of layers to their output: cropped at the borders, as many channels as it has.
 * @param {Maps} output @param {Maps} input @returns {Maps}
 */
function addSkipped(output, input) {
  const cropped = pad(input, (output.width - input.width) / 2);
  for (let index = 0; index < cropped.values.length; index++) output.values[index] += cropped.values[index];
  return output;
}

/** Move maps down and to the right; zeros come in. @param {Maps} maps @param {number} down @param {number} right @returns {Maps} */
function shift({ channels, height, width, values }, down, right) {
  const output = blankMaps(channels, height, width);
  output.values.forEach((_, index) => {
    const [y, x] = [(Math.floor(index / width) % height) - down, (index % width) - right];
    if (y >= 0 && y < height && x >= 0 && x < width) output.values[index] = values[index - down * width - right];
  });
  return output;
}

/** @param {Maps[]} several of one shape @returns {Maps} their mean */
function average(several) {
  const values = several[0].values.map((_, index) => several.reduce((sum, maps) => sum + maps.values[index], 0) / several.length);
  return { ...several[0], values };
}
