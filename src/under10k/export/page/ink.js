// A digit's ink, told from paper, shadows, faint lines and specks. src/under10k/pictures/ink.py and parts.py do the same in
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
 * A digit's ink, cut out: 0 is paper, 1 ink; and whether no other ink in the picture is nearly as large.
 * @typedef {{ink: Pixels, alone: boolean}} Found
 */

/**
 * Find the digit in a picture.
 * @param {Pixels} grey 0 is black, 1 white
 * @returns {Found | null} null where there is no ink
 */
function findDigit(grey) {
  const even = isEven(grey);
  const paperUp = isInkLight(grey, even) ? mapPixels(grey, (level) => 1 - level) : grey;
  const scan = scanFinely(paperUp, even);
  if (!scan.parts.length) return null;
  const group = gather(scan, even);
  const ink = cut(scan, group);
  return Math.max(ink.height, ink.width) >= SMALLEST_DIGIT ? { ink, alone: isAlone(scan, group) } : null;
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
  const { count, labels } = findStrokes(above, paper, faintest, even ? OF_DARKEST_EVEN : OF_DARKEST);
  return { darkness, smooth: above, labels, parts: measureParts(above, labels, count) };
}

/**
 * Find what is dark enough, as a share of the darkest point that it is connected with.
 * @param {Pixels} smooth @param {Pixels} paper @param {number} faintest @param {number} share
 * @returns {{count: number, labels: Pixels}}
 */
function findStrokes(smooth, paper, faintest, share) {
  const [dark, bright] = [smooth.values, paper.values];
  const [usual] = quantiles(sample(paper, NOISE_STEP), [0.5]);
  const candidates = makeMask(smooth, (index) => dark[index] > faintest * Math.max(1, usual / bright[index]));
  const { count, labels } = label(candidates, true);
  const darkest = new Float64Array(count + 1);
  for (let index = 0; index < labels.values.length; index++) {
    const part = labels.values[index];
    if (part) darkest[part] = Math.max(darkest[part], dark[index]);
  }
  const limits = darkest.map((value) => (value < SURELY_INK * faintest ? Infinity : share * value));
  return label(makeMask(smooth, (index) => dark[index] > limits[labels.values[index]]), true);
}

/** @param {Pixels} smooth @param {Pixels} labels @param {number} count @returns {Part[]} those with the most outline */
function measureParts(smooth, labels, count) {
  const { height, width, values } = labels;
  const parts = Array.from({ length: count }, (_, index) => {
    const box = { top: height, left: width, bottom: 0, right: 0 };
    return { label: index + 1, box, outline: 0, darkest: 0, atEdge: false };
  });
  for (let y = 0, index = 0; y < height; y++) {
    for (let x = 0; x < width; x++, index++) {
      if (!values[index]) continue;
      const part = parts[values[index] - 1];
      part.outline += steepness(smooth, y, x);
      part.darkest = Math.max(part.darkest, smooth.values[index]);
      part.atEdge ||= y === 0 || x === 0 || y === height - 1 || x === width - 1;
      part.box.top = Math.min(part.box.top, y);
      part.box.left = Math.min(part.box.left, x);
      part.box.bottom = Math.max(part.box.bottom, y + 1);
      part.box.right = Math.max(part.box.right, x + 1);
    }
  }
  return parts.sort((a, b) => b.outline - a.outline).slice(0, MOST_PARTS);
}

// --- parts and digits ---

/** @param {Scan} scan @param {boolean} even @returns {Part} the one with the most and darkest outline, near the middle */
function mainPart({ labels: { height, width }, parts }, even) {
  /** @param {Part} part @returns {number} */
  const weight = ({ box, outline, darkest, atEdge }) => {
    const away = ((box.top + box.bottom) / height - 1) ** 2 + ((box.left + box.right) / width - 1) ** 2;
    return outline * darkest * (1 - OFF_CENTRE * away) * (atEdge && !even ? AT_THE_EDGE : 1);
  };
  return parts.reduce((best, part) => (weight(part) > weight(best) ? part : best));
}

/** @param {Scan} scan @param {boolean} even @returns {Part[]} the main part, all parts near it, all near those, and so on */
function gather(scan, even) {
  const main = mainPart(scan, even);
  const group = [main];
  /** @param {Part} part @returns {boolean} */
  const belongs = (part) =>
    part.outline >= SMALLEST_PART * main.outline &&
    (even || ((main.atEdge || !part.atEdge) && part.darkest >= AS_DARK * main.darkest));
  let rest = scan.parts.filter((part) => part !== main && belongs(part));
  for (;;) {
    const box = hull(group);
    const picture = Math.max(scan.labels.height, scan.labels.width);
    const reach = Math.max(REACH * size(box), (even ? REACH_EVEN : REACH_UNEVEN) * picture);
    const near = rest.filter((part) => gap(part.box, box) <= reach);
    if (!near.length) return group;
    group.push(...near);
    rest = rest.filter((part) => !near.includes(part));
  }
}

/** @param {Scan} scan @param {Part[]} group @returns {Pixels} ink; the larger it is, the sharper its edges are made */
function cut(scan, group) {
  const box = hull(group);
  const darkness = clampAll(around(scan.darkness, box, HALO));
  const labels = around(scan.labels, box, HALO);
  const kept = choose(labels, group);
  const near = dilate(kept, 2 * HALO + 1);
  const full = Math.max(quantileWhere(kept, darkness, FULL_INK), LEAST_INK);
  const gain = Math.min(Math.max(size(box) / BOX, 1), LARGEST_GAIN);
  const ink = makePixels(darkness.height, darkness.width);
  for (let index = 0; index < ink.values.length; index++) {
    const counts = near.values[index] && (kept.values[index] || !labels.values[index]);
    const share = counts ? clamp(darkness.values[index] / full) : 0;
    ink.values[index] = clamp((share - 0.5) * gain + 0.5);
  }
  return ink;
}

/** @param {Scan} scan @param {Part[]} group @returns {boolean} whether no other part has nearly as much outline */
function isAlone({ parts }, group) {
  const outline = group.reduce((sum, part) => sum + part.outline, 0);
  return parts.every((part) => group.includes(part) || part.atEdge || part.outline < RIVAL * outline);
}

/** @param {Scan} scan @param {Part[]} group @returns {number} the mean width of a digit's darkest strokes, in pixels */
function darkestWidth(scan, group) {
  const kept = choose(scan.labels, group);
  const limit = DARKEST_STROKES * Math.max(...group.map(({ darkest }) => darkest));
  const { top, left, bottom, right } = hull(group);
  const dark = makeMask(kept, (index) => kept.values[index] && scan.smooth.values[index] > limit);
  return strokeWidth(distanceTransform(widen(crop(dark, top, left, bottom, right), 1)));
}

/** @param {Pixels} inside distances of a shape's points from what is outside @returns {number} mean width of its strokes */
function strokeWidth(inside) {
  let [sum, count] = [0, 0];
  for (let index = 0; index < inside.values.length; index++) {
    const depth = inside.values[index];
    if (!depth) continue;
    sum += depth - 0.5;
    count++;
  }
  return count ? Math.max(1, (DEPTHS * sum) / count) : 0;
}

/** @param {Pixels} labels @param {Part[]} group @returns {Pixels} 1 where a part of the group is */
function choose(labels, group) {
  const chosen = new Set(group.map((part) => part.label));
  return makeMask(labels, (index) => labels.values[index] && chosen.has(labels.values[index]));
}

/** @param {Pixels} mask @param {Pixels} pixels @param {number} share @returns {number} */
function quantileWhere(mask, pixels, share) {
  return quantiles(valuesWhere(pixels.values, (index) => mask.values[index]), [share])[0];
}

/** @param {Pixels} pixels @param {Box} box @param {number} margin @returns {Pixels} the part inside, as far as the picture goes */
function around(pixels, { top, left, bottom, right }, margin) {
  const [lowest, rightmost] = [Math.min(bottom + margin, pixels.height), Math.min(right + margin, pixels.width)];
  return crop(pixels, Math.max(top - margin, 0), Math.max(left - margin, 0), lowest, rightmost);
}

/** @param {Part[]} parts @returns {Box} */
function hull(parts) {
  return {
    top: Math.min(...parts.map(({ box }) => box.top)),
    left: Math.min(...parts.map(({ box }) => box.left)),
    bottom: Math.max(...parts.map(({ box }) => box.bottom)),
    right: Math.max(...parts.map(({ box }) => box.right)),
  };
}

/** @param {Box} box @returns {number} its larger side */
function size({ top, left, bottom, right }) {
  return Math.max(bottom - top, right - left);
}

/** @param {Box} a @param {Box} b @returns {number} how far they are apart, along the axis on which they are farther apart */
function gap(a, b) {
  const down = Math.max(a.top, b.top) - Math.min(a.bottom, b.bottom);
  const across = Math.max(a.left, b.left) - Math.min(a.right, b.right);
  return Math.max(down, across, 0);
}
