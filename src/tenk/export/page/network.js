// The network: plain layers, batch norm folded into them, run one after the other on one picture.

/**
 * One picture's maps: `channels` of `height` by `width`, row by row, one after the other.
 * @typedef {{channels: number, height: number, width: number, values: Float64Array}} Maps
 */

/**
 * The kinds of layer that src/tenk/export/plain.py describes.
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
 * @typedef {Convolution | Affine | Pool | Skip} Layer
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
    if (layer.layers) read.layers = readLayers(layer.layers);
    return /** @type {Layer} */ (read);
  });
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
 * @returns {Maps[]} what comes out of each layer; of the last one, the ten logits
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
      return pool(maps, layer.side, -Infinity, Math.max);
    case "average pool":
      return pool(maps, layer.side, 0, (sum, value) => sum + value / layer.side ** 2);
    case "skip":
      return addSkipped(layer.layers.reduce((inner, part) => runLayer(part, inner), maps), maps);
  }
}

/** @param {number} channels @param {number} height @param {number} width @returns {Maps} */
function blankMaps(channels, height, width) {
  return { channels, height, width, values: new Float64Array(channels * height * width) };
}

/** @param {Convolution} layer @param {Maps} input @returns {Maps} */
function convolve({ shape, weights, bias, relu }, input) {
  const [outputs, inputs, rows, columns] = shape;
  const output = blankMaps(outputs, input.height - rows + 1, input.width - columns + 1);
  const area = output.height * output.width;
  for (let o = 0, weight = 0; o < outputs; o++) {
    output.values.fill(bias[o], o * area, (o + 1) * area);
    for (let i = 0; i < inputs; i++) {
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++, weight++) {
          addShifted(output, o, input, i, row, column, weights[weight]);
        }
      }
    }
  }
  if (relu) rectify(output);
  return output;
}

/**
 * Add one input map, moved by `row` and `column` and multiplied, to one output map.
 * @param {Maps} output @param {number} o @param {Maps} input @param {number} i
 * @param {number} row @param {number} column @param {number} weight
 */
function addShifted(output, o, input, i, row, column, weight) {
  const { height, width, values } = output;
  const source = input.values;
  for (let y = 0; y < height; y++) {
    let from = (i * input.height + y + row) * input.width + column;
    const start = (o * height + y) * width;
    for (let to = start; to < start + width; to++, from++) values[to] += weight * source[from];
  }
}

/**
 * Put rows and columns of zeros around each map, or, where `border` is negative, cut them off.
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
  for (let index = 0; index < output.values.length; index++) {
    const channel = Math.floor(index / area);
    output.values[index] = input.values[index] * scale[channel] + offset[channel];
  }
  if (relu) rectify(output);
  return output;
}

/**
 * Join the values of each square of `side` by `side`; the squares do not overlap.
 * @param {Maps} input @param {number} side @param {number} start
 * @param {(joined: number, value: number) => number} join
 * @returns {Maps}
 */
function pool(input, side, start, join) {
  const output = blankMaps(input.channels, Math.floor(input.height / side), Math.floor(input.width / side));
  output.values.fill(start);
  for (let channel = 0; channel < output.channels; channel++) {
    for (let y = 0; y < output.height * side; y++) {
      const from = (channel * input.height + y) * input.width;
      const to = (channel * output.height + Math.floor(y / side)) * output.width;
      for (let x = 0; x < output.width * side; x++) {
        const at = to + Math.floor(x / side);
        output.values[at] = join(output.values[at], input.values[from + x]);
      }
    }
  }
  return output;
}

/**
 * Add maps to those that layers have made of them: cut at the borders, as many channels as there are.
 * @param {Maps} output @param {Maps} input @returns {Maps}
 */
function addSkipped(output, input) {
  const cropped = pad(input, (output.width - input.width) / 2);
  cropped.values.forEach((value, index) => (output.values[index] += value));
  return output;
}

/** @param {Maps} maps */
function rectify({ values }) {
  for (let index = 0; index < values.length; index++) if (values[index] < 0) values[index] = 0;
}
