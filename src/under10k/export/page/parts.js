// Parts of ink joined into digits, in reading order. src/under10k/pictures/parts.py does the same in Python.

/** @param {Scan} scan @param {boolean} even @returns {Part} the one with the most and darkest outline, near the middle */
function mainPart({ labels: { height, width }, parts }, even) {
  /** @param {Part} part @returns {number} */
  const weight = ({ box, outline, darkest, atEdge }) => {
    const away = ((box.top + box.bottom) / height - 1) ** 2 + ((box.left + box.right) / width - 1) ** 2;
    return outline * darkest * (1 - OFF_CENTRE * away) * (atEdge && !even ? AT_THE_EDGE : 1);
  };
  return parts.reduce((best, part) => (weight(part) > weight(best) ? part : best));
}

/** @param {Part} part @param {Part} main @param {boolean} even @returns {boolean} whether it may be of a digit */
function belongs(part, main, even) {
  if (part.outline < SMALLEST_PART * main.outline) return false;
  return even || ((main.atEdge || !part.atEdge) && part.darkest >= AS_DARK * main.darkest);
}

/** @param {Scan} scan @param {boolean} even @returns {Part[]} the main part, all parts near it, all near those, and so on */
function gather(scan, even) {
  const main = mainPart(scan, even);
  const group = [main];
  let rest = scan.parts.filter((part) => part !== main && belongs(part, main, even));
  for (;;) {
    const box = hull(group);
    const picture = Math.max(scan.labels.height, scan.labels.width);
    const reach = Math.max(REACH * size(box), (even ? REACH_EVEN : REACH_UNEVEN) * picture);
    const near = rest.filter((part) => gap(part.box, box) <= mostGap(part, main, reach, even));
    if (!near.length) return group;
    group.push(...near);
    rest = rest.filter((part) => !near.includes(part));
  }
}

/**
 * @param {Part} part @param {Part} main @param {number} reach of the digit @param {boolean} even
 * @returns {number} how far the part may lie from it: less if it is a speck, or fainter in a photo
 */
function mostGap(part, main, reach, even) {
  const most = part.outline < SPECK * main.outline ? Math.min(reach, size(part.box)) : reach;
  return even ? most : most * Math.min(1, (part.darkest / main.darkest - AS_DARK) / (1 - AS_DARK));
}

/**
 * Join parts into digits: a part much lower than the others is a piece of the digit nearest to it. What is much taller than
 * the others, and slender, is a bar or a bracket, and left out.
 * @param {Part[]} parts those with the most outline first @returns {Part[][]}
 */
function joinParts(parts) {
  const typical = usualHeight(parts);
  const digits = new Map(parts.map((part) => [part, [part]]));
  const owner = new Map(parts.map((part) => [part, part]));
  for (const { piece, other } of pairUp(parts, typical)) {
    const [first, second] = [piece, other].map((part) => /** @type {Part} */ (owner.get(part)));
    if (first === second) continue;
    const [one, two] = [first, second].map((part) => /** @type {Part[]} */ (digits.get(part)));
    const lower = Math.min(heightOf(hull(one)), heightOf(hull(two)));
    if (lower >= FRAGMENT * typical || heightOf(hull([...one, ...two])) > JOINED * typical) continue;
    digits.set(first, [...one, ...two]);
    digits.delete(second);
    for (const part of two) owner.set(part, first);
  }
  return [...digits.values()].filter((joined) => !isBar(hull(joined), typical));
}

/** @param {Part[]} parts @returns {number} usual height of digits: two parts close together count as one */
function usualHeight(parts) {
  const heights = parts.map((part) => {
    const joined = parts.map((other) => (part === other || isStacked(part.box, other.box) ? heightOf(hull([part, other])) : 0));
    return Math.max(...joined);
  });
  return heights[usual(heights)];
}

/** @param {Box} a @param {Box} b @returns {boolean} whether one stands closely above the other, as the pieces of a broken digit do */
function isStacked(a, b) {
  const both = hull([{ box: a }, { box: b }]);
  const down = Math.max(a.top, b.top) - Math.min(a.bottom, b.bottom);
  const beside = Math.max(a.left, b.left) >= Math.min(a.right, b.right);
  return !beside && down <= STACKED * heightOf(both) && heightOf(both) <= SLIMMEST * (both.right - both.left);
}

/**
 * Pair low parts with others near them, the nearest first. What lies beside counts twice what lies above: digits are
 * written side by side.
 * @param {Part[]} parts @param {number} typical height @returns {{away: number, piece: Part, other: Part}[]}
 */
function pairUp(parts, typical) {
  const pairs = [];
  for (const piece of parts) {
    if (heightOf(piece.box) >= FRAGMENT * typical) continue;
    const reach = REACH * Math.max(size(piece.box), typical);
    for (const other of parts) {
      if (other === piece) continue;
      const down = Math.max(piece.box.top, other.box.top) - Math.min(piece.box.bottom, other.box.bottom);
      const across = Math.max(piece.box.left, other.box.left) - Math.min(piece.box.right, other.box.right);
      const away = Math.max(BESIDE * across, down, 0);
      if (away <= reach) pairs.push({ away, piece, other });
    }
  }
  return sortBy(pairs, ({ away }) => away);
}

/** @param {Box} box @param {number} typical height @returns {boolean} */
function isBar(box, typical) {
  const height = heightOf(box);
  return height > TALLEST * typical && box.right - box.left <= SLENDER_BAR * height;
}

/** @param {number[]} values @returns {number} place of a quantile, each counted as often as it is large: specks hardly count */
function usual(values) {
  const order = sortBy([...values.keys()], (index) => values[index]);
  const wanted = USUAL * order.reduce((sum, index) => sum + values[index], 0);
  let sum = 0;
  return order.find((index) => (sum += values[index]) >= wanted) ?? order[order.length - 1];
}

/** @param {Box} box @returns {number} */
function heightOf({ top, bottom }) {
  return bottom - top;
}

/**
 * Sort digits row by row, top to bottom, each from left to right.
 * @template T @param {T[]} digits @param {(digit: T) => Box} boxOf @returns {T[]}
 */
function inReadingOrder(digits, boxOf) {
  /** @type {T[][]} */
  const rows = [];
  for (const digit of sortBy(digits, (each) => boxOf(each).top)) {
    const { top, bottom } = boxOf(digit);
    const row = rows.find((others) => {
      const all = hull(others.map((other) => ({ box: boxOf(other) })));
      const shared = Math.min(bottom, all.bottom) - Math.max(top, all.top);
      return shared > 0.5 * Math.min(bottom - top, all.bottom - all.top);
    });
    if (row) row.push(digit);
    else rows.push([digit]);
  }
  return rows.flatMap((row) => sortBy(row, (each) => boxOf(each).left));
}

/**
 * Split digits in reading order into rows: a digit further right and not below the one before it stands in its row.
 * @template {{box: Box}} T @param {T[]} digits @returns {T[][]}
 */
function splitRows(digits) {
  /** @type {T[][]} */
  const rows = [];
  for (const digit of digits) {
    const row = rows[rows.length - 1];
    const before = row?.[row.length - 1].box;
    if (before && digit.box.left >= before.left && digit.box.top < before.bottom) row.push(digit);
    else rows.push([digit]);
  }
  return rows;
}

/** @template T @param {T[]} items @param {(item: T) => number} key @returns {T[]} */
function sortBy(items, key) {
  return [...items].sort((a, b) => key(a) - key(b));
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

/** @param {{box: Box}[]} parts @returns {Box} */
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
