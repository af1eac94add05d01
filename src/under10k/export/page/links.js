// Links between two rows of digits, such as the long tail of a 9 or a slip of the pen, taken out.
// src/under10k/pictures/links.py does the same in Python.

/**
 * Part what reaches over two rows and is linked by a thin stroke.
 * @param {Scan} scan @param {number} usualHeight of its parts as they are @returns {Scan}
 */
function cutLinks(scan, usualHeight) {
  const heights = new Float64Array(scan.parts.map(({ box }) => heightOf(box)));
  const [typical] = quantiles(valuesWhere(heights, (index) => heights[index] >= PIECE * usualHeight), [0.5]);
  const tall = scan.parts.filter(({ box }) => heightOf(box) >= SPAN * typical);
  if (!tall.length) return scan;
  const labels = { ...scan.labels, values: scan.labels.values.slice() };
  let { parts } = scan;
  let highest = range(labels.values).most;
  for (const part of tall) {
    const { top, left, bottom, right } = part.box;
    const own = choose(crop(labels, top, left, bottom, right), [part]);
    const middle = thinnestRow(own, typical);
    if (middle < 0 || !joinsRows(part, top + middle, scan.parts, typical)) continue;
    const above = withoutLink(crop(own, 0, 0, middle + 1, own.width), typical);
    const below = withoutLink(upsideDown(crop(own, middle, 0, own.height, own.width)), typical);
    if (!above || !below) continue;
    for (let index = 0; index < own.values.length; index++) {
      if (own.values[index]) labels.values[placeWithin(labels, own, index, top, left)] = PRINTED;
    }
    parts = parts.filter((other) => other !== part);
    for (const { half, first } of [{ half: above, first: top }, { half: upsideDown(below), first: top + middle }]) {
      highest++;
      const number = makePixels(labels.height, labels.width);
      for (let index = 0; index < half.values.length; index++) {
        if (!half.values[index]) continue;
        const place = placeWithin(labels, half, index, first, left);
        labels.values[place] = highest;
        number.values[place] = 1;
      }
      parts = [...parts, { ...measureParts(scan.smooth, number, 1)[0], label: highest }];
    }
  }
  return { ...scan, labels, parts: sortBy(parts, ({ outline }) => -outline) };
}

/**
 * @param {Pixels} pixels @param {Pixels} part of it @param {number} index in the part @param {number} top @param {number} left
 * @returns {number} the index in all pixels
 */
function placeWithin(pixels, part, index, top, left) {
  const y = Math.floor(index / part.width);
  return (top + y) * pixels.width + left + index - y * part.width;
}

/** @param {Pixels} pixels @returns {Pixels} */
function upsideDown({ height, width, values }) {
  const turned = makePixels(height, width);
  for (let y = 0; y < height; y++) {
    turned.values.set(values.subarray(y * width, (y + 1) * width), (height - 1 - y) * width);
  }
  return turned;
}

/**
 * @param {Part} part @param {number} middle @param {Part[]} parts @param {number} typical
 * @returns {boolean} whether other digits stand beside both halves of a part
 */
function joinsRows({ box: { top, bottom } }, middle, parts, typical) {
  const digits = parts.filter(({ box }) => heightOf(box) >= HALF_DIGIT * typical && heightOf(box) < SPAN * typical);
  const centres = digits.map(({ box }) => (box.top + box.bottom) / 2);
  /** @param {number} from @param {number} to */
  const isBetween = (from, to) => centres.some((centre) => from < centre && centre < to);
  return isBetween(top, middle) && isBetween(middle, bottom);
}

/**
 * @param {Pixels} own @param {number} typical
 * @returns {number} the row where a part is a single thin stroke: the thinnest far from its ends; -1 if there is none
 */
function thinnestRow(own, typical) {
  const least = Math.floor(HALF_DIGIT * typical);
  let best = { width: own.height, away: 0, row: -1 };
  for (let row = least; row < own.height - least; row++) {
    const runs = runsIn(own, row);
    if (runs.length !== 1) continue;
    const [width, away] = [runs[0].last - runs[0].first, Math.abs(2 * row - own.height)];
    const isThinner = width < best.width || (width === best.width && away < best.away);
    if (best.row < 0 || isThinner) best = { width, away, row };
  }
  return best.width <= LINK_WIDTH * typical ? best.row : -1;
}

/**
 * @param {Pixels} own @param {number} typical
 * @returns {Pixels | null} the digit from whose foot, in the last row, a link hangs; null if there is none
 */
function withoutLink(own, typical) {
  const digit = { ...own, values: own.values.slice() };
  let row = own.height - 1;
  let [run] = runsIn(own, row);
  const most = SWELLING * (run.last - run.first) + 1;
  for (;;) {
    digit.values.fill(0, row * own.width + run.first, row * own.width + run.last);
    row--;
    if (row < 0) return null;
    const met = runsIn(own, row).filter(({ first, last }) => first <= run.last && run.first <= last);
    if (met.length !== 1 || met[0].last - met[0].first > most) break;
    run = met[0];
  }
  let rows = rowsOf(digit);
  if (!rows.length) return null;
  if (rows[rows.length - 1] < WHOLE * typical) {
    const leg = Math.min(Math.floor(typical), own.height) * own.width; // the link goes on from the digit's leg
    digit.values.set(own.values.subarray(0, leg));
    rows = rowsOf(digit);
  }
  return rows[rows.length - 1] - rows[0] >= HALF_DIGIT * typical ? digit : null;
}

/** @param {Pixels} mask @returns {number[]} its rows that are not empty */
function rowsOf(mask) {
  return Array.from({ length: mask.height }, (_, row) => row).filter((row) => runsIn(mask, row).length);
}

/** @param {Pixels} mask @param {number} row @returns {{first: number, last: number}[]} where each run of ink begins and ends */
function runsIn({ width, values }, row) {
  const runs = [];
  for (let x = 0, first = -1; x <= width; x++) {
    const isInk = x < width && values[row * width + x];
    if (isInk && first < 0) first = x;
    if (isInk || first < 0) continue;
    runs.push({ first, last: x });
    first = -1;
  }
  return runs;
}
