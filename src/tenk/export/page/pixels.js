// What is done to pictures' pixels, whatever they show; each function does what numpy's or scipy's of the same name does.

/**
 * Numbers in rows and columns: grey levels, distances, labels, or 1 and 0 for yes and no.
 * @typedef {{height: number, width: number, values: Float64Array}} Pixels
 */

/** @param {number} height @param {number} width @param {number} [value] @returns {Pixels} */
function makePixels(height, width, value = 0) {
  return { height, width, values: new Float64Array(height * width).fill(value) };
}

/** @param {Pixels} pixels @param {(value: number, index: number) => number | boolean} change @returns {Pixels} */
function mapPixels({ height, width, values }, change) {
  const changed = makePixels(height, width);
  for (let index = 0; index < values.length; index++) changed.values[index] = Number(change(values[index], index));
  return changed;
}

/** @param {Pixels} pixels @returns {Pixels} rows as columns */
function transpose({ height, width, values }) {
  const turned = makePixels(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) turned.values[x * height + y] = values[y * width + x];
  }
  return turned;
}

/**
 * Change each row by itself; all results must have one length.
 * @param {Pixels} pixels @param {(line: Float64Array) => Float64Array} change @returns {Pixels}
 */
function changeRows({ height, width, values }, change) {
  const lines = Array.from({ length: height }, (_, y) => change(values.subarray(y * width, (y + 1) * width)));
  const changed = makePixels(height, lines[0].length);
  lines.forEach((line, y) => changed.values.set(line, y * line.length));
  return changed;
}

/**
 * Change each row, then each column.
 * @param {Pixels} pixels @param {(line: Float64Array) => Float64Array} change
 * @param {(line: Float64Array) => Float64Array} [changeColumn] where columns are changed in another way
 * @returns {Pixels}
 */
function changeLines(pixels, change, changeColumn = change) {
  return transpose(changeRows(transpose(changeRows(pixels, change)), changeColumn));
}

/**
 * Cut out a part; what lies beyond the borders is `beyond`.
 * @param {Pixels} pixels @param {number} top @param {number} left @param {number} bottom @param {number} right
 * @param {number} [beyond]
 * @returns {Pixels}
 */
function crop({ height, width, values }, top, left, bottom, right, beyond = 0) {
  const part = makePixels(bottom - top, right - left, beyond);
  for (let y = Math.max(top, 0); y < Math.min(bottom, height); y++) {
    const row = values.subarray(y * width + Math.max(left, 0), y * width + Math.min(right, width));
    part.values.set(row, (y - top) * part.width + Math.max(-left, 0));
  }
  return part;
}

/**
 * Replace each value by the mean of the `size` by `size` around it; the borders' values go on beyond them.
 * @param {Pixels} pixels @param {number} size odd
 * @returns {Pixels}
 */
function uniformFilter(pixels, size) {
  const reach = (size - 1) / 2;
  return changeLines(pixels, (line) => {
    const last = line.length - 1;
    /** @param {number} index */
    const at = (index) => line[Math.min(Math.max(index, 0), last)];
    let sum = 0;
    for (let index = -reach; index <= reach; index++) sum += at(index);
    return line.map((_, index) => {
      const mean = sum / size;
      sum += at(index + reach + 1) - at(index - reach);
      return mean;
    });
  });
}

/**
 * Replace each value by the largest of the `size` by `size` around it, within the borders.
 * @param {Pixels} pixels @param {number} size odd
 * @returns {Pixels}
 */
function dilate(pixels, size) {
  const reach = (size - 1) / 2;
  return changeLines(pixels, (line) => {
    const largest = new Float64Array(line.length);
    /** Places of values that no later one within reach exceeds: the largest first. @type {number[]} */
    const queue = [];
    let first = 0;
    for (let next = 0; next < line.length + reach; next++) {
      if (next < line.length) {
        while (queue.length > first && line[queue[queue.length - 1]] <= line[next]) queue.pop();
        queue.push(next);
      }
      if (queue[first] < next - 2 * reach) first++;
      if (next >= reach) largest[next - reach] = line[queue[first]];
    }
    return largest;
  });
}

/** The same for the smallest. @param {Pixels} pixels @param {number} size odd @returns {Pixels} */
function erode(pixels, size) {
  return mapPixels(dilate(mapPixels(pixels, (value) => -value), size), (value) => -value);
}

/**
 * Number the connected parts of what is not 0.
 * @param {Pixels} mask
 * @param {boolean} diagonally whether corners connect
 * @returns {{count: number, labels: Pixels}} 0 for what is 0, the others from 1 on
 */
function label(mask, diagonally) {
  const { height, width, values } = mask;
  const labels = makePixels(height, width);
  /** @type {number[]} */
  const stack = [];
  let count = 0;
  /** @param {number} y @param {number} x */
  const visit = (y, x) => {
    const index = y * width + x;
    if (y < 0 || y >= height || x < 0 || x >= width || !values[index] || labels.values[index]) return;
    labels.values[index] = count;
    stack.push(index);
  };
  for (let start = 0; start < values.length; start++) {
    if (!values[start] || labels.values[start]) continue;
    count++;
    visit(Math.floor(start / width), start % width);
    while (stack.length) {
      const index = /** @type {number} */ (stack.pop());
      const [y, x] = [Math.floor(index / width), index % width];
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) if (diagonally || !dx || !dy) visit(y + dy, x + dx);
      }
    }
  }
  return { count, labels };
}

/**
 * Return the distance from each pixel that is not 0 to the nearest that is (P. F. Felzenszwalb and D. P. Huttenlocher,
 * "Distance transforms of sampled functions", 2012).
 * @param {Pixels} mask @returns {Pixels}
 */
function distanceTransform(mask) {
  const far = 4 * (mask.height + mask.width) ** 2;
  const squares = changeLines(mapPixels(mask, (inside) => (inside ? far : 0)), lowerEnvelope);
  return mapPixels(squares, Math.sqrt);
}

/**
 * Return, for each place on a line, the least of the parabolas that stand on all places at the given heights.
 * @param {Float64Array} heights @returns {Float64Array}
 */
function lowerEnvelope(heights) {
  const feet = new Int32Array(heights.length);
  const starts = new Float64Array(heights.length + 1);
  /** Where the parabola on `right` becomes lower than that on `left`. @param {number} left @param {number} right */
  const crossing = (left, right) =>
    (heights[right] + right * right - heights[left] - left * left) / (2 * (right - left));
  let last = 0;
  starts[0] = -Infinity;
  for (let place = 1; place < heights.length; place++) {
    while (crossing(feet[last], place) <= starts[last]) last--;
    starts[last + 1] = crossing(feet[last], place);
    feet[++last] = place;
  }
  starts[last + 1] = Infinity;
  let foot = 0;
  return heights.map((_, place) => {
    while (starts[foot + 1] < place) foot++;
    return (place - feet[foot]) ** 2 + heights[feet[foot]];
  });
}

/**
 * Return the value below which a share of all values lies, between the two nearest in proportion.
 * @param {ArrayLike<number>} values @param {number} share @returns {number}
 */
function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

/**
 * Scale a picture by area means, or bilinearly where it grows.
 * @param {Pixels} pixels @param {number} scale @returns {Pixels}
 */
function resize(pixels, scale) {
  /** @param {Float64Array} line @returns {Float64Array} */
  const resample = (line) => {
    const length = Math.max(1, roundHalfToEven(scale * line.length));
    const step = line.length / length;
    return Float64Array.from({ length }, (_, place) =>
      length > line.length
        ? valueAt(line, (place + 0.5) * step)
        : sumBetween(line, place * step, (place + 1) * step) / step,
    );
  };
  return changeLines(pixels, resample);
}

/** @param {Float64Array} line @param {number} from @param {number} to @returns {number} its area between two places */
function sumBetween(line, from, to) {
  let sum = 0;
  for (let index = Math.floor(from); index < Math.min(to, line.length); index++) {
    sum += line[index] * (Math.min(to, index + 1) - Math.max(from, index));
  }
  return sum;
}

/** @param {Float64Array} line @param {number} place its middle @returns {number} */
function valueAt(line, place) {
  const centre = Math.min(Math.max(place - 0.5, 0), line.length - 1);
  const below = Math.floor(centre);
  const above = Math.min(below + 1, line.length - 1);
  return line[below] + (centre - below) * (line[above] - line[below]);
}

/** Round as Python does. @param {number} value @returns {number} */
function roundHalfToEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}
