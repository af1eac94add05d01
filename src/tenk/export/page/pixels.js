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
  const to = changed.values;
  for (let index = 0; index < to.length; index++) to[index] = /** @type {number} */ (change(values[index], index));
  return changed;
}

/** @param {number} value @returns {number} the nearest from 0 to 1 */
function clamp(value) {
  return Math.min(Math.max(value, 0), 1);
}

/** @param {ArrayLike<number>} values @returns {{span: number, middle: number}} of the least and the largest */
function range(values) {
  let [least, most] = [Infinity, -Infinity];
  for (let index = 0; index < values.length; index++) {
    if (values[index] < least) least = values[index];
    if (values[index] > most) most = values[index];
  }
  return { span: most - least, middle: (least + most) / 2 };
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
  const first = change(values.subarray(0, width));
  const changed = makePixels(height, first.length);
  changed.values.set(first);
  for (let y = 1; y < height; y++) {
    changed.values.set(change(values.subarray(y * width, (y + 1) * width)), y * first.length);
  }
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
 * Add a border that goes on as the picture does inside, turned about the outermost value.
 * @param {Pixels} pixels @param {number} border @returns {Pixels}
 */
function mirror(pixels, border) {
  return changeLines(pixels, (line) => {
    const last = line.length - 1;
    const longer = new Float64Array(line.length + 2 * border);
    longer.set(line, border);
    for (let step = 1; step <= border; step++) {
      longer[border - step] = 2 * line[0] - line[step];
      longer[border + last + step] = 2 * line[last] - line[last - step];
    }
    return longer;
  });
}

/**
 * Replace each value by the mean of the `size` by `size` around it; the borders' values go on beyond them.
 * @param {Pixels} pixels @param {number} size odd
 * @returns {Pixels}
 */
function boxMean(pixels, size) {
  const reach = (size - 1) / 2;
  return changeLines(pixels, (line) => {
    const last = line.length - 1;
    /** @param {number} index */
    const at = (index) => line[Math.min(Math.max(index, 0), last)];
    let sum = 0;
    for (let index = -reach; index <= reach; index++) sum += at(index);
    const means = new Float64Array(line.length);
    for (let index = 0; index <= last; index++) {
      means[index] = sum / size;
      sum += at(index + reach + 1) - at(index - reach);
    }
    return means;
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
function label({ height, width, values }, diagonally) {
  const labels = makePixels(height, width);
  const stack = new Int32Array(values.length);
  let count = 0;
  for (let start = 0; start < values.length; start++) {
    if (!values[start] || labels.values[start]) continue;
    labels.values[start] = ++count;
    stack[0] = start;
    for (let depth = 1; depth > 0; ) {
      const index = stack[--depth];
      const [y, x] = [Math.floor(index / width), index % width];
      for (let dy = y > 0 ? -1 : 0; dy <= (y < height - 1 ? 1 : 0); dy++) {
        for (let dx = x > 0 ? -1 : 0; dx <= (x < width - 1 ? 1 : 0); dx++) {
          const next = index + dy * width + dx;
          if (!values[next] || labels.values[next] || (!diagonally && dx && dy)) continue;
          labels.values[next] = count;
          stack[depth++] = next;
        }
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
  const far = 2 * (mask.height + mask.width); // farther than any pixel is from another
  const distances = changeLines(mask, (line) => squaredDistances(line, far), lowerEnvelope);
  for (let index = 0; index < distances.values.length; index++) {
    distances.values[index] = Math.sqrt(distances.values[index]);
  }
  return distances;
}

/**
 * Return the squared distance from each place on a line to the nearest that is 0.
 * @param {Float64Array} line @param {number} far the distance where none is
 * @returns {Float64Array}
 */
function squaredDistances(line, far) {
  const squares = new Float64Array(line.length);
  for (let place = 0, distance = far; place < line.length; place++) {
    distance = line[place] ? distance + 1 : 0;
    squares[place] = distance;
  }
  for (let place = line.length - 1, distance = far; place >= 0; place--) {
    distance = line[place] ? distance + 1 : 0;
    squares[place] = Math.min(squares[place], distance) ** 2;
  }
  return squares;
}

/**
 * Return, for each place on a line, the least of the parabolas that stand on all places at the given heights.
 * @param {Float64Array} heights @returns {Float64Array}
 */
function lowerEnvelope(heights) {
  const feet = new Int32Array(heights.length); // of the parabolas that are the least somewhere
  const starts = new Float64Array(heights.length + 1); // from where on each of them is
  let last = 0;
  starts[0] = -Infinity;
  for (let place = 1; place < heights.length; place++) {
    for (;;) {
      const foot = feet[last];
      const crossing = (heights[place] + place * place - heights[foot] - foot * foot) / (2 * (place - foot));
      if (crossing > starts[last]) {
        starts[++last] = crossing;
        feet[last] = place;
        break;
      }
      last--;
    }
  }
  starts[last + 1] = Infinity;
  let foot = 0;
  const least = new Float64Array(heights.length);
  for (let place = 0; place < heights.length; place++) {
    while (starts[foot + 1] < place) foot++;
    least[place] = (place - feet[foot]) ** 2 + heights[feet[foot]];
  }
  return least;
}

/**
 * Return how fast values change along rows and along columns, added up: half the difference of both neighbours.
 * @param {Pixels} pixels @returns {Float64Array}
 */
function steepness({ height, width, values }) {
  const steep = new Float64Array(values.length);
  for (let y = 0, index = 0; y < height; y++) {
    const [up, down] = [y > 0 ? 1 : 0, y < height - 1 ? 1 : 0];
    for (let x = 0; x < width; x++, index++) {
      const [left, right] = [x > 0 ? 1 : 0, x < width - 1 ? 1 : 0];
      const along = (values[index + right] - values[index - left]) / (left + right || 1);
      const across = (values[index + down * width] - values[index - up * width]) / (up + down || 1);
      steep[index] = Math.abs(along) + Math.abs(across);
    }
  }
  return steep;
}

/** @param {Pixels} pixels @param {number} step @returns {Float64Array} every so many-th value of every so many-th row */
function sample({ height, width, values }, step) {
  const taken = new Float64Array(Math.ceil(height / step) * Math.ceil(width / step));
  for (let y = 0, next = 0; y < height; y += step) {
    for (let x = 0; x < width; x += step) taken[next++] = values[y * width + x];
  }
  return taken;
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
 * Scale a picture, each axis on its own: by area means where it shrinks, by straight lines between centres where it grows.
 * @param {Pixels} pixels @param {number} height @param {number} width @returns {Pixels}
 */
function resize(pixels, height, width) {
  return changeLines(pixels, resampling(pixels.width, width), resampling(pixels.height, height));
}

/** @param {number} source @param {number} target @returns {(line: Float64Array) => Float64Array} */
function resampling(source, target) {
  const step = source / target;
  return (line) => {
    const resampled = new Float64Array(target);
    for (let place = 0; place < target; place++) {
      resampled[place] =
        target > source ? valueAt(line, (place + 0.5) * step) : sumBetween(line, place * step, (place + 1) * step) / step;
    }
    return resampled;
  };
}

/**
 * Shrink a picture, keeping its shape, until its larger side has at most so many pixels.
 * @param {Pixels} pixels @param {number} side @returns {Pixels}
 */
function fit(pixels, side) {
  const larger = Math.max(pixels.height, pixels.width);
  if (larger <= side) return pixels;
  /** @param {number} length @returns {number} */
  const shrunk = (length) => Math.max(1, roundHalfToEven((length * side) / larger));
  return resize(pixels, shrunk(pixels.height), shrunk(pixels.width));
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
