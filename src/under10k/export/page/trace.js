// Where a number of a map comes from: the numbers that go into it, and the pixels of the frame that it depends on.

/**
 * What one map gives to a number of a convolution: numbers seen, row by row, the filter's weights for them, and the sum
 * of the products.
 * @typedef {{map: number, seen: Float64Array, weights: Float64Array, sum: number}} Part
 *
 * How a number comes about; with `relu`, a negative `total` becomes 0.
 * @typedef {{relu: boolean, total: number, value: number}} Cutting
 * @typedef {{kind: "convolution", columns: number, parts: Part[], sum: number, bias: number} & Cutting
 *   | {kind: "affine", input: number, scale: number, offset: number} & Cutting
 *   | {kind: "max pool" | "average pool", columns: number, seen: Float64Array, value: number}
 *   | {kind: "skip", inner: number, input: number, value: number}} Origin
 *
 * A place of a map.
 * @typedef {{map: number, y: number, x: number}} Place
 */

/**
 * @param {Layer} layer @param {Maps} input @param {Maps} output @param {Place} place of the output @returns {Origin}
 */
function traceNumber(layer, input, output, { map, y, x }) {
  const value = output.values[(map * output.height + y) * output.width + x];
  switch (layer.kind) {
    case "convolution":
      return traceConvolution(layer, input, { map, y, x }, value);
    case "affine": {
      const [before] = cutPatch(input, map, y, x, 1, 1);
      const [scale, offset] = [layer.scale[map], layer.offset[map]];
      return { kind: "affine", input: before, scale, offset, total: before * scale + offset, relu: layer.relu, value };
    }
    case "skip": {
      const cropped = (input.width - output.width) / 2;
      const before = map < input.channels ? cutPatch(input, map, y + cropped, x + cropped, 1, 1)[0] : 0;
      return { kind: "skip", inner: value - before, input: before, value };
    }
    default: {
      const { kind, side } = layer;
      return { kind, columns: side, seen: cutPatch(input, map, y * side, x * side, side, side), value };
    }
  }
}

/** @param {Convolution} layer @param {Maps} input @param {Place} place @param {number} value @returns {Origin} */
function traceConvolution({ shape, padding, relu, weights, bias }, input, { map, y, x }, value) {
  const [, inputs, rows, columns] = shape;
  const parts = Array.from({ length: inputs }, (_, from) => {
    const first = (map * inputs + from) * rows * columns;
    const filter = weights.slice(first, first + rows * columns);
    const seen = cutPatch(input, from, y - padding, x - padding, rows, columns);
    return { map: from, seen, weights: filter, sum: seen.reduce((sum, number, index) => sum + number * filter[index], 0) };
  });
  const sum = parts.reduce((total, part) => total + part.sum, 0);
  return { kind: "convolution", columns, parts, sum, bias: bias[map], total: sum + bias[map], relu, value };
}

/**
 * @param {Maps} maps @param {number} map @param {number} top @param {number} left @param {number} rows @param {number} columns
 * @returns {Float64Array} the numbers there, row by row; 0 beyond the map's edges
 */
function cutPatch({ height, width, values }, map, top, left, rows, columns) {
  return Float64Array.from({ length: rows * columns }, (_, index) => {
    const [y, x] = [top + Math.floor(index / columns), left + (index % columns)];
    return y >= 0 && y < height && x >= 0 && x < width ? values[(map * height + y) * width + x] : 0;
  });
}

/**
 * Find a place's receptive field.
 * @param {Layer[]} layers those up to the place's own @param {{y: number, x: number}} place
 * @returns {Box} the frame's pixels that it depends on
 */
function fieldOf(layers, { y, x }) {
  const { top, left, bottom, right } = spread(layers, { top: y, left: x, bottom: y + 1, right: x + 1 });
  return { top: Math.max(top, 0), left: Math.max(left, 0), bottom: Math.min(bottom, SIDE), right: Math.min(right, SIDE) };
}

/** @param {Layer[]} layers @param {Box} box of places after them @returns {Box} of the places before them that count */
function spread(layers, box) {
  return layers.reduceRight(spreadOnce, box);
}

/** @param {Box} box @param {Layer} layer @returns {Box} */
function spreadOnce(box, layer) {
  const { top, left, bottom, right } = box;
  switch (layer.kind) {
    case "convolution": {
      const [, , rows, columns] = layer.shape;
      const { padding } = layer;
      return { top: top - padding, left: left - padding, bottom: bottom - padding + rows - 1, right: right - padding + columns - 1 };
    }
    case "affine":
      return box;
    case "skip":
      return spread(layer.layers, box); // its input at the same place lies in the middle of this
    default:
      return { top: layer.side * top, left: layer.side * left, bottom: layer.side * bottom, right: layer.side * right };
  }
}
