// Operations on pixels that numpy and scipy provide in Python. They loop over one array: a function called for each number,
// or an array made for each line, takes several times as long.

/**
 * Numbers in rows and columns: grey levels, distances, labels, or 1 and 0 for yes and no.
 * @typedef {{height: number, width: number, values: Float64Array}} Pixels
 */

/** @param {number} height @param {number} width @returns {Pixels} all 0 */
function makePixels(height, width) {
  return { height, width, values: new Float64Array(height * width) };
}

/**
 * Change each number on its own: slow, and used for photos alone.
 * @param {Pixels} pixels @param {(value: number) => number} change @returns {Pixels}
 */
function mapPixels({ height, width, values }, change) {
  return { height, width, values: values.map(change) };
}

/** @param {Pixels} pixels @param {(index: number) => unknown} holds @returns {Pixels} 1 where something holds, else 0 */
function makeMask({ height, width }, holds) {
  const mask = makePixels(height, width);
  for (let index = 0; index < mask.values.length; index++) if (holds(index)) mask.values[index] = 1;
  return mask;
}

/** @param {Float64Array} values @param {(index: number) => unknown} holds @returns {Float64Array} those where something holds */
function valuesWhere(values, holds) {
  const kept = new Float64Array(values.length);
  let count = 0;
  for (let index = 0; index < values.length; index++) if (holds(index)) kept[count++] = values[index];
  return kept.subarray(0, count);
}

/** @param {Pixels} pixels @param {number} value @returns {Pixels} each number with this added */
function add({ height, width, values }, value) {
  const sums = makePixels(height, width);
  for (let index = 0; index < values.length; index++) sums.values[index] = values[index] + value;
  return sums;
}

/** @param {Pixels} pixels @returns {Pixels} each number brought within 0 to 1 */
function clampAll({ height, width, values }) {
  const clamped = makePixels(height, width);
  for (let index = 0; index < values.length; index++) clamped.values[index] = clamp(values[index]);
  return clamped;
}

/** @param {number} value @returns {number} brought within 0 to 1 */
function clamp(value) {
  return Math.min(Math.max(value, 0), 1);
}

/** @param {Float64Array} values @returns {{least: number, most: number, span: number, middle: number}} their range */
function range(values) {
  let [least, most] = [Infinity, -Infinity];
  for (let index = 0; index < values.length; index++) {
    if (values[index] < least) least = values[index];
    if (values[index] > most) most = values[index];
  }
  return { least, most, span: most - least, middle: (least + most) / 2 };
}

/**
 * Changes a line of pixels: it fills `changed`, whose length may differ. Both arrays are reused for the next line.
 * @typedef {(line: Float64Array, changed: Float64Array) => void} ChangeLine
 */

/**
 * Change each row on its own, and turn rows into columns.
 * @param {Pixels} pixels @param {number} length of the changed rows @param {ChangeLine} change @returns {Pixels}
 */
function changeAndTurn({ height, width, values }, length, change) {
  const turned = makePixels(length, height);
  const [line, changed] = [new Float64Array(width), new Float64Array(length)];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) line[x] = values[y * width + x];
    change(line, changed);
    for (let x = 0; x < length; x++) turned.values[x * height + y] = changed[x];
  }
  return turned;
}

/**
 * Change each row, then each column.
 * @param {Pixels} pixels @param {number} height then @param {number} width then
 * @param {ChangeLine} change @param {ChangeLine} [changeColumn] if columns are changed in another way
 * @returns {Pixels}
 */
function changeLines(pixels, height, width, change, changeColumn = change) {
  return changeAndTurn(changeAndTurn(pixels, width, change), height, changeColumn);
}

/**
 * Cut out a part; beyond the borders, values are 0.
 * @param {Pixels} pixels @param {number} top @param {number} left @param {number} bottom @param {number} right
 * @returns {Pixels}
 */
function crop({ height, width, values }, top, left, bottom, right) {
  const part = makePixels(bottom - top, right - left);
  for (let y = Math.max(top, 0); y < Math.min(bottom, height); y++) {
    const row = values.subarray(y * width + Math.max(left, 0), y * width + Math.min(right, width));
    part.values.set(row, (y - top) * part.width + Math.max(-left, 0));
  }
  return part;
}

/** @param {Pixels} pixels @param {number} border @returns {Pixels} with so many zeros added on each side, or so many numbers removed */
function widen(pixels, border) {
  return crop(pixels, -border, -border, pixels.height + border, pixels.width + border);
}

/**
 * Add a border that continues the picture with its slope: mirrored about the outermost value.
 * @param {Pixels} pixels @param {number} border @returns {Pixels}
 */
function mirror(pixels, border) {
  return changeLines(pixels, pixels.height + 2 * border, pixels.width + 2 * border, (line, longer) => {
    const last = line.length - 1;
    longer.set(line, border);
    for (let step = 1; step <= border; step++) {
      longer[border - step] = 2 * line[0] - line[step];
      longer[border + last + step] = 2 * line[last] - line[last - step];
    }
  });
}

/**
 * Replace each value by the mean of the `size` by `size` around it; beyond the borders, the outermost values are repeated.
 * @param {Pixels} pixels @param {number} size odd
 * @returns {Pixels}
 */
function boxMean(pixels, size) {
  const reach = (size - 1) / 2;
  return changeLines(pixels, pixels.height, pixels.width, (line, means) => {
    const last = line.length - 1;
    let sum = reach * line[0];
    for (let index = 0; index <= reach; index++) sum += line[Math.min(index, last)];
    for (let index = 0; index <= last; index++) {
      means[index] = sum / size;
      sum += line[Math.min(index + reach + 1, last)] - line[Math.max(index - reach, 0)];
    }
  });
}

/**
 * Replace each value by the largest of the `size` by `size` around it, within the borders.
 * @param {Pixels} pixels @param {number} size odd
 * @returns {Pixels}
 */
function dilate(pixels, size) {
  const reach = (size - 1) / 2;
  /** Indices of values that no later one within reach exceeds, from `first` to `end`: the largest first. */
  const queue = new Int32Array(Math.max(pixels.height, pixels.width));
  return changeLines(pixels, pixels.height, pixels.width, (line, largest) => {
    let [first, end] = [0, 0];
    for (let next = 0; next < line.length + reach; next++) {
      if (next < line.length) {
        while (end > first && line[queue[end - 1]] <= line[next]) end--;
        queue[end++] = next;
      }
      if (queue[first] < next - 2 * reach) first++;
      if (next >= reach) largest[next - reach] = line[queue[first]];
    }
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
  const numbers = labels.values;
  const waiting = new Int32Array(values.length);
  let count = 0;
  for (let start = 0; start < values.length; start++) {
    if (!values[start] || numbers[start]) continue;
    numbers[start] = ++count;
    waiting[0] = start;
    for (let left = 1; left > 0; ) {
      const place = waiting[--left];
      const y = Math.floor(place / width);
      const x = place - y * width;
      for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, height - 1); row++) {
        const reach = diagonally || row === y ? 1 : 0;
        for (let column = Math.max(x - reach, 0); column <= Math.min(x + reach, width - 1); column++) {
          const next = row * width + column;
          if (!values[next] || numbers[next]) continue;
          numbers[next] = count;
          waiting[left++] = next;
        }
      }
    }
  }
  return { count, labels };
}

/**
 * Return the distance from each pixel that is not 0 to the nearest that is.
 * @param {Pixels} mask
 * @param {number} [most] anything farther counts as this far: the smaller it is, the faster the search
 * @returns {Pixels}
 */
function distanceTransform(mask, most = mask.height + mask.width) {
  const { height, width } = mask;
  const squares = squaresAlongRows(mask, most);
  const distances = makePixels(height, width);
  for (let y = 0, place = 0; y < height; y++) {
    for (let x = 0; x < width; x++, place++) {
      let nearest = squares[place];
      for (let step = 1; step * step < nearest; step++) { // rows farther away cannot be nearer
        if (step <= y) nearest = Math.min(nearest, squares[place - step * width] + step * step);
        if (step < height - y) nearest = Math.min(nearest, squares[place + step * width] + step * step);
      }
      distances.values[place] = Math.sqrt(nearest);
    }
  }
  return distances;
}

/** @param {Pixels} mask @param {number} most @returns {Float64Array} squared distances to the nearest 0 of the same row */
function squaresAlongRows({ height, width, values }, most) {
  const squares = new Float64Array(values.length);
  for (let first = 0; first < height * width; first += width) {
    for (let place = first, distance = most; place < first + width; place++) {
      distance = values[place] ? Math.min(distance + 1, most) : 0;
      squares[place] = distance;
    }
    for (let place = first + width - 1, distance = most; place >= first; place--) {
      distance = values[place] ? Math.min(distance + 1, squares[place]) : 0;
      squares[place] = distance * distance;
    }
  }
  return squares;
}

/**
 * Return how fast values change along row and column, added up: half the difference of the two neighbours.
 * @param {Pixels} pixels @param {number} y @param {number} x @returns {number}
 */
function steepness({ height, width, values }, y, x) {
  const [up, down] = [Math.max(y - 1, 0), Math.min(y + 1, height - 1)];
  const [left, right] = [Math.max(x - 1, 0), Math.min(x + 1, width - 1)];
  const along = (values[y * width + right] - values[y * width + left]) / (right - left || 1);
  const across = (values[down * width + x] - values[up * width + x]) / (down - up || 1);
  return Math.abs(along) + Math.abs(across);
}

/** @param {Pixels} pixels @param {number} step @returns {Float64Array} the values at every `step`-th row and column */
function sample({ height, width, values }, step) {
  const taken = new Float64Array(Math.ceil(height / step) * Math.ceil(width / step));
  for (let y = 0, next = 0; y < height; y += step) {
    for (let x = 0; x < width; x += step) taken[next++] = values[y * width + x];
  }
  return taken;
}

/**
 * Return the quantiles of values, interpolated between the two nearest.
 * @param {Float64Array} values @param {number[]} shares @returns {number[]}
 */
function quantiles(values, shares) {
  const sorted = values.slice().sort();
  return shares.map((share) => valueAt(sorted, share * (sorted.length - 1) + 0.5));
}

/**
 * Scale a picture, each axis on its own: by area means where it shrinks, by linear interpolation where it grows.
 * @param {Pixels} pixels @param {number} height @param {number} width @returns {Pixels}
 */
function resize(pixels, height, width) {
  return changeLines(pixels, height, width, resampling(pixels.width, width), resampling(pixels.height, height));
}

/** @param {number} source @param {number} target @returns {ChangeLine} */
function resampling(source, target) {
  const step = source / target;
  if (target > source) return (line, longer) => {
    for (let place = 0; place < target; place++) longer[place] = valueAt(line, (place + 0.5) * step);
  };
  return (line, shorter) => {
    for (let place = 0; place < target; place++) shorter[place] = sumBetween(line, place * step, (place + 1) * step) / step;
  };
}

/**
 * Shrink a picture, keeping its shape, until its larger side has at most `side` pixels.
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
