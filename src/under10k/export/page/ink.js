// A digit's ink, told from paper, shadows, faint lines and specks. src/under10k/pictures/ink.py does the same in
// Python. All constants that are named but not declared, here and in the other files, are Python's: the build writes them
// into the page.

/**
 * Pixels of a picture; the last two lie just outside.
 * @typedef {{top: number, left: number, bottom: number, right: number}} Box
 */

/**
 * Connected ink; its outline is the sum of the changes of darkness within it.
 * @typedef {{label: number, box: Box, outline: number, darkest: number, atEdge: boolean}} Part
 */

/**
 * A picture with its paper flattened, and the parts of its ink.
 * @typedef {{darkness: Pixels, smooth: Pixels, labels: Pixels, parts: Part[]}} Scan
 */

/**
 * A digit's ink, cut out: 0 is paper, 1 ink; where it lies, and whether no other ink in the picture is nearly as large.
 * @typedef {{ink: Pixels, box: Box, alone: boolean, cut?: boolean}} Found
 */

/**
 * Find the digit in a picture.
 * @param {Pixels} grey 0 is black, 1 white
 * @returns {Found | null} null where there is no ink
 */
function findDigit(grey) {
  return pickDigit(scanGrey(grey));
}

/**
 * Find all digits in a picture, in reading order; digits that touch each other count as one.
 * @param {Pixels} grey @returns {Found[]}
 */
function findDigits(grey) {
  return pickDigits(scanGrey(grey));
}

/**
 * Find the digits where there are several, and else the one that all ink that belongs together makes.
 * @param {Pixels} grey @returns {Found[]}
 */
function findOneOrMore(grey) {
  const scanned = scanGrey(grey);
  const digits = pickDigits(scanned);
  if (digits.length > 1) return digits;
  const found = pickDigit(scanned);
  return found ? [found] : [];
}

/** @param {Pixels} grey @returns {{scan: Scan, even: boolean}} */
function scanGrey(grey) {
  const even = isEven(grey);
  const paperUp = isInkLight(grey, even) ? mapPixels(grey, (level) => 1 - level) : grey;
  return { scan: scanFinely(paperUp, even), even };
}

/** @param {{scan: Scan, even: boolean}} scanned @returns {Found | null} */
function pickDigit({ scan, even }) {
  if (!scan.parts.length) return null;
  const group = gather(scan, even);
  const ink = cut(scan, group);
  if (Math.max(ink.height, ink.width) < SMALLEST_DIGIT) return null;
  return { ink, box: hull(group), alone: isAlone(scan, group) };
}

/** @param {{scan: Scan, even: boolean}} scanned @returns {Found[]} */
function pickDigits({ scan: whole, even }) {
  if (!whole.parts.length) return [];
  const heights = whole.parts.map(({ box }) => heightOf(box));
  const scan = cutLinks(whole, heights[usual(heights)]);
  const typical = scan.parts[usual(scan.parts.map((part) => part.outline))];
  const digits = joinParts(scan.parts.filter((part) => belongs(part, typical, even)));
  const sizes = digits.map((parts) => size(hull(parts)));
  const least = Math.max(LEAST_BESIDE * sizes[usual(sizes)], SMALLEST_DIGIT);
  return inReadingOrder(digits.filter((_, index) => sizes[index] >= least), hull).map((parts) => {
    return { ink: cut(scan, parts), box: hull(parts), alone: true };
  });
}

// --- paper and ink ---

/** @param {Pixels} grey @returns {boolean} whether most paper has one brightness, as in a drawing or a scan, not a photo */
function isEven({ height, width, values }) {
  const least = Math.min(height, width) > SMALL ? EVEN : EVEN_SMALL;
  const { middle } = range(values);
  const light = valuesWhere(values, (index) => values[index] >= middle);
  const dark = valuesWhere(values, (index) => values[index] < middle);
  for (const half of [light, dark]) {
    const commonest = Math.max(...countAround(half, TONES, TONE_REACH));
    if (commonest > LEAST_PAPER * values.length) return commonest > least * half.length;
  }
  return false;
}

/**
 * Count levels from 0 to 1 in bins, and return for each bin the sum of those around it.
 * @param {Float64Array} levels @param {number} steps from 0 to 1 @param {number} reach bins to either side
 * @returns {number[]}
 */
function countAround(levels, steps, reach) {
  const counts = new Array(steps + 1).fill(0);
  for (let index = 0; index < levels.length; index++) counts[roundHalfToEven(steps * levels[index])]++;
  return counts.map((_, bin) => counts.slice(Math.max(bin - reach, 0), bin + reach + 1).reduce((a, b) => a + b, 0));
}

/** @param {Pixels} grey @param {boolean} even @returns {boolean} whether ink, the rarer of the two, is lighter than paper */
function isInkLight(grey, even) {
  const windows = even ? [1] : UNEVEN_WINDOWS;
  const side = Math.max(grey.height, grey.width);
  return windows.reduce((sum, share) => sum + skewness(grey, odd(side * share)), 0) > 0;
}

/** @param {number} size @returns {number} the whole number below, or the odd one after it */
function odd(size) {
  return Math.floor(size) | 1;
}

/** @param {Pixels} grey @param {number} side @returns {number} of the differences from the mean of the square around each pixel */
function skewness(grey, side) {
  const rest = boxMean(grey, side);
  const { values } = rest;
  for (let index = 0; index < values.length; index++) {
    const mean = values[index];
    values[index] = (grey.values[index] - mean) / Math.sqrt(Math.max(mean * (1 - mean), 0) + FLATNESS);
  }
  const softened = smooth(rest).values;
  const count = softened.length;
  let [squares, cubes] = [0, 0];
  for (let index = 0; index < count; index++) {
    const value = softened[index];
    squares += value * value;
    cubes += value * value * value;
  }
  const variance = squares / count;
  return cubes / count / Math.max(variance * Math.sqrt(variance), TINY);
}

/** @param {Pixels} grey @returns {Pixels} the mean over a few pixels, unless strokes are hardly wider */
function smooth(grey) {
  return Math.min(grey.height, grey.width) > SMALL ? boxMean(grey, SMOOTHING) : grey;
}

/** @param {Pixels} paperUp @param {boolean} even @param {number} side @returns {Pixels} the paper's brightness */
function findPaper(paperUp, even, side) {
  if (!even) return mapPixels(fillGaps(smooth(paperUp), side), (level) => Math.max(level, DARKEST_PAPER));
  const { values } = paperUp;
  const { middle } = range(values);
  const counts = countAround(valuesWhere(values, (index) => values[index] >= middle), 255, PAPER_REACH);
  const commonest = counts.indexOf(Math.max(...counts));
  const paper = makePixels(paperUp.height, paperUp.width);
  paper.values.fill(Math.max(commonest, 1) / 255);
  return paper;
}

/** @param {Pixels} grey @param {number} side @returns {Pixels} without dark places narrower than a square */
function fillGaps(grey, side) {
  const margin = Math.min((side - 1) / 2, Math.min(grey.height, grey.width) - 1);
  return widen(erode(dilate(mirror(grey, margin), side), side), -margin);
}

/** @param {Pixels} paperUp @param {boolean} even @returns {Scan} */
function scanFinely(paperUp, even) {
  const side = odd(PAPER_WINDOW * Math.max(paperUp.height, paperUp.width));
  const blank = makePixels(paperUp.height, paperUp.width);
  if (range(paperUp.values).span < LEAST_RANGE) return { darkness: blank, smooth: blank, labels: blank, parts: [] };
  const first = scan(paperUp, even, side);
  if (even || !first.parts.length) return first;
  const narrower = Math.max(odd(PAPER_STROKES * darkestWidth(first, gather(first, even))), NARROWEST_WINDOW);
  const again = narrower < MUCH_NARROWER * side ? scan(paperUp, even, narrower) : first;
  return again.parts.length ? again : first;
}

/** @param {Pixels} paperUp @param {boolean} even @param {number} side @returns {Scan} */
function scan(paperUp, even, side) {
  const paper = findPaper(paperUp, even, side);
  const rough = makePixels(paperUp.height, paperUp.width);
  for (let index = 0; index < rough.values.length; index++) {
    rough.values[index] = 1 - paperUp.values[index] / paper.values[index];
  }
  const soft = smooth(rough);
  const [least, base] = even ? [0, 0] : quantiles(sample(soft, NOISE_STEP), NOISE_QUANTILES);
  const faintest = Math.max(FAINTEST, (NOISE_DEVIATIONS * (base - least)) / NOISE_SPAN);
  const [darkness, above] = even ? [rough, soft] : [add(rough, -base), add(soft, -base)];
  const { count, labels } = findStrokes(above, paper, faintest, even, side);
  return { darkness, smooth: above, labels, parts: leaveFrames(measureParts(above, labels, count), labels) };
}

/**
 * Find what is dark enough, as a share of the darkest point that it is connected with; in a photo, of that near by, as
 * pressure fades along a stroke.
 * @param {Pixels} smooth @param {Pixels} paper @param {number} faintest @param {boolean} even @param {number} side
 * @returns {{count: number, labels: Pixels}}
 */
function findStrokes(smooth, paper, faintest, even, side) {
  const [dark, bright] = [smooth.values, paper.values];
  const [usual] = quantiles(sample(paper, NOISE_STEP), [0.5]);
  const candidates = makeMask(smooth, (index) => dark[index] > faintest * Math.max(1, usual / bright[index]));
  const { count, labels } = label(candidates, true);
  const darkest = new Float64Array(count + 1);
  for (let index = 0; index < labels.values.length; index++) {
    const part = labels.values[index];
    if (part) darkest[part] = Math.max(darkest[part], dark[index]);
  }
  const limits = darkest.map((value) => (value < SURELY_INK * faintest ? Infinity : value));
  const near = even ? null : dilate(smooth, side).values;
  const ink = makeMask(smooth, (index) => {
    const limit = limits[labels.values[index]];
    if (!near) return dark[index] > OF_DARKEST_EVEN * limit;
    return limit < Infinity && dark[index] > OF_DARKEST * Math.min(limit, near[index]);
  });
  const printed = count ? findPrinted(ink, smooth) : null;
  if (!printed) return label(ink, true);
  const strokes = label(makeMask(ink, (index) => ink.values[index] && !printed.values[index]), true);
  printed.values.forEach((isPrinted, index) => isPrinted && (strokes.labels.values[index] = PRINTED));
  return strokes;
}

/** @param {Pixels} smooth @param {Pixels} labels @param {number} count @returns {Part[]} those with the most outline */
function measureParts(smooth, labels, count) {
  const { height, width, values } = labels;
  const parts = boxesOf(labels, count).map((box, index) => {
    const atEdge = box.top === 0 || box.left === 0 || box.bottom === height || box.right === width;
    return { label: index + 1, box, outline: 0, darkest: 0, atEdge };
  });
  for (let y = 0, index = 0; y < height; y++) {
    for (let x = 0; x < width; x++, index++) {
      if (values[index] <= 0) continue;
      const part = parts[values[index] - 1];
      part.outline += steepness(smooth, y, x);
      part.darkest = Math.max(part.darkest, smooth.values[index]);
    }
  }
  return parts.sort((a, b) => b.outline - a.outline).slice(0, MOST_PARTS);
}

/** @param {Part[]} parts @param {Pixels} labels where frames become printed @returns {Part[]} without them */
function leaveFrames(parts, labels) {
  const numbers = new Set(findSurrounding(parts, labels).map((part) => part.label));
  if (!numbers.size) return parts;
  for (let index = 0; index < labels.values.length; index++) {
    if (numbers.has(labels.values[index])) labels.values[index] = PRINTED;
  }
  return parts.filter((part) => !numbers.has(part.label));
}

/**
 * @param {Part[]} parts @param {Pixels} labels
 * @returns {Part[]} those that run all around another, as a box, a circle or a table does, and no digit
 */
function findSurrounding(parts, labels) {
  let left = MOST_SEARCHED * labels.values.length;
  return parts.filter((part) => {
    const within = parts.filter((other) => isAround(part.box, other.box) && other.darkest >= AS_DARK * part.darkest);
    if (!within.length) return false;
    left -= (part.box.bottom - part.box.top) * (part.box.right - part.box.left);
    return left >= 0 && encloses(part, within, labels);
  });
}

/** @param {Box} outer @param {Box} inner @returns {boolean} */
function isAround(outer, inner) {
  return outer.top < inner.top && outer.left < inner.left && inner.bottom < outer.bottom && inner.right < outer.right;
}

/**
 * @param {Part} part @param {Part[]} others within its box @param {Pixels} labels
 * @returns {boolean} whether one of them lies in a hole of the part's, and fills enough of it
 */
function encloses(part, others, labels) {
  const { top, left, bottom, right } = part.box;
  const cut = crop(labels, top, left, bottom, right);
  const { count, labels: regions } = label(makeMask(cut, (index) => cut.values[index] !== part.label), false);
  const boxes = boxesOf(regions, count);
  return others.some((other) => {
    const row = (other.box.top - top) * cut.width;
    const column = cut.values.subarray(row, row + cut.width).indexOf(other.label);
    const hole = boxes[regions.values[row + column] - 1];
    if (!hole.top || !hole.left || hole.bottom === cut.height || hole.right === cut.width) return false; // a bay
    return size(other.box) >= ENCLOSED * Math.min(hole.bottom - hole.top, hole.right - hole.left);
  });
}

/** @param {Pixels} labels @param {number} count @returns {Box[]} where each part lies */
function boxesOf({ height, width, values }, count) {
  const boxes = Array.from({ length: count }, () => ({ top: height, left: width, bottom: 0, right: 0 }));
  for (let y = 0, index = 0; y < height; y++) {
    for (let x = 0; x < width; x++, index++) {
      if (values[index] <= 0) continue;
      const box = boxes[values[index] - 1];
      box.top = Math.min(box.top, y);
      box.left = Math.min(box.left, x);
      box.bottom = Math.max(box.bottom, y + 1);
      box.right = Math.max(box.right, x + 1);
    }
  }
  return boxes;
}
