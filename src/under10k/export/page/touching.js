// Digits that touch, cut apart where the network reads the pieces better than the whole.
// src/under10k/pictures/touching.py does the same in Python.

/**
 * Frame digits, those that touch each other as several, in reading order.
 * @param {Found[]} digits @param {Layer[]} layers @param {(found: Found) => boolean} [mayBeCut] @returns {Framed[]}
 */
function frameDigits(digits, layers, mayBeCut = () => true) {
  const framed = digits.map(frameInk);
  /** @param {Framed} one @returns {number} probability of the likeliest digit */
  const sureness = ({ levels }) => Math.max(...softmax(runNetwork(layers, levels).slice(-1)[0].values));
  const heights = digits.map(({ box }) => heightOf(box));
  const typical = heights[usual(heights)];
  /** @type {Map<Found, Framed>} */
  const frames = new Map();
  let count = 0;
  const parted = digits.flatMap((found, index) => {
    const cuts = count < MOST_PIECES && mayBeCut(found) ? cutDigit(found, () => sureness(framed[index]), typical) : null;
    if (!cuts) return [framed[index]];
    count += new Set(cuts.pieces.map(({ found }) => found)).size;
    const pieces = bestPieces(cuts, (piece) => {
      const one = frameInk(piece);
      frames.set(piece, one);
      return sureness(one);
    });
    return pieces.length > 1 ? pieces.map((piece) => /** @type {Framed} */ (frames.get(piece))) : [framed[index]];
  });
  const all = parted.length > digits.length ? inReadingOrder(parted, ({ box }) => box) : framed;
  return all.map((one) => ({ ...one, several: all.length > 1 }));
}

/**
 * What may be a digit, from one cut to a later one.
 * @typedef {{first: number, last: number, found: Found}} Slice
 */

/**
 * Ink that may be several digits: the score that pieces must exceed, what it costs a piece that it begins or ends at each
 * cut, the pieces, those that end earlier first, and which of them may stand before each.
 * @typedef {{size: number, upright: boolean, least: number, costs: number[], pieces: Slice[], before: number[][]}} Cuts
 */

/** @param {Found} found @param {() => number} read computes its probability @param {number} typical height @returns {Cuts | null} */
function cutDigit(found, read, typical) {
  const [height, width] = [heightOf(found.box), widthOf(found.box)];
  if (height > TALLEST * typical && height > width) return cutAlong(found, typical, -Infinity, true);
  if (width <= NARROW * height && width <= TOO_WIDE * typical) return null;
  const sure = read();
  const whole = scorePiece(found, sure, height, false);
  if (width > TOO_WIDE * typical) return cutAlong(found, height, whole, false);
  const wide = width > (sure < HARDLY_READ ? NARROW : WIDE) * height;
  return wide && sure < UNSURE_WHOLE ? cutAlong(found, height, whole + MUCH_BETTER, false) : null;
}

/**
 * Cut ink into columns, or into rows if `upright`.
 * @param {Found} found @param {number} height of digits @param {number} least @param {boolean} upright @returns {Cuts | null}
 */
function cutAlong(found, height, least, upright) {
  if (least >= -EACH_MORE) return null; // no two pieces are better, however sure
  const along = upright ? turn(found.ink) : found.ink;
  const ink = makeMask(along, (index) => along.values[index] > HALF);
  const { lines, costs } = cutLines(ink, height);
  /** @type {Slice[]} */
  const pieces = [];
  /** @type {Map<string, Found>} */
  const seen = new Map();
  for (let last = 1; last < lines.length; last++) {
    for (let first = 0; first < last; first++) {
      const lengths = lines[last].map((end, row) => end - lines[first][row]);
      if (Math.max(...lengths) < NARROWEST * height || Math.min(...lengths) > LONGEST * height) continue;
      if (last - first === lines.length - 1) continue;
      const piece = takePiece(found, along, lines[first], lines[last], upright);
      if (!piece || !mayBeDigit(piece, height, upright)) continue;
      const { top, left, bottom, right } = piece.box;
      const key = [top, left, bottom, right, piece.ink.values.filter((value) => value > HALF).length].join();
      if (!seen.has(key)) seen.set(key, piece);
      pieces.push({ first, last, found: /** @type {Found} */ (seen.get(key)) });
    }
  }
  const inked = lines.map((line) => countBefore(ink, line));
  /** @param {Slice} piece */
  const before = (piece) => [...pieces.keys()].filter((index) => mayFollow(pieces[index], piece, inked, height, upright));
  return { size: height, upright, least, costs, pieces, before: pieces.map(before) };
}

/** @param {Found} piece @param {number} height of digits @param {boolean} upright @returns {boolean} */
function mayBeDigit({ box }, height, upright) {
  const length = upright ? heightOf(box) : widthOf(box);
  const least = upright ? LOWEST : NARROWEST;
  return least * height <= length && length <= LONGEST * height && size(box) >= SMALLEST_PIECE * height;
}

/** @param {Pixels} ink @param {number[]} line @returns {number} pixels of ink left of a line */
function countBefore({ height, width, values }, line) {
  let count = 0;
  for (let y = 0; y < height; y++) for (let x = 0; x < line[y]; x++) count += values[y * width + x];
  return count;
}

/**
 * Find the lines along which ink is cut from top to bottom, with both its sides: in each row, the first column right of it.
 * @param {Pixels} ink @param {number} size height of digits @returns {{lines: number[][], costs: number[]}} costs: of each
 */
function cutLines(ink, size) {
  const { height, width, values } = ink;
  const middle = Math.floor(height / 2);
  const above = costsFrom(ink, [...Array(height).keys()]);
  const below = costsFrom(ink, [...Array(height).keys()].reverse());
  const through = above[middle].map((cost, x) => cost + below[middle][x] - INK_COST * values[middle * width + x]);
  const [lines, costs] = [[new Array(height).fill(0)], [0]];
  for (const place of placesToCut(through, size)) {
    const line = new Array(height).fill(place);
    for (let y = middle - 1; y >= 0; y--) line[y] = cheapestNear(above[y], line[y + 1]);
    for (let y = middle + 1; y < height; y++) line[y] = cheapestNear(below[y], line[y - 1]);
    if (line.every((x, y) => x === lines[lines.length - 1][y])) continue;
    lines.push(line);
    costs.push((CUT_COST * through[place]) / (INK_COST * size));
  }
  return { lines: [...lines, new Array(height).fill(width)], costs: [...costs, 0] };
}

/**
 * Compute what the cheapest line costs from the first of some rows to each pixel; it moves one column a row at most.
 * @param {Pixels} ink @param {number[]} rows in order @returns {number[][]} for each row of the picture
 */
function costsFrom({ width, values }, rows) {
  /** @type {number[][]} */
  const costs = [];
  /** @type {number[] | null} */
  let before = null;
  for (const y of rows) {
    /** @type {number[]} */
    const row = [];
    for (let x = 0; x < width; x++) {
      const near = before ? Math.min(before[x], (before[x - 1] ?? Infinity) + 1, (before[x + 1] ?? Infinity) + 1) : 0;
      row.push(near + INK_COST * values[y * width + x]);
    }
    costs[y] = before = row;
  }
  return costs;
}

/** @param {number[]} costs @param {number} x @returns {number} where a line to x was in the row before: straight on rather than aside */
function cheapestNear(costs, x) {
  let best = x;
  for (const near of [x - 1, x + 1]) {
    if (costs[near] + 1 < costs[best] + (best === x ? 0 : 1)) best = near;
  }
  return best;
}

/** @param {number[]} through @param {number} size @returns {number[]} the cheapest place in each step, of several alike the middle one */
function placesToCut(through, size) {
  const count = Math.min(Math.max(2, roundHalfToEven(through.length / (CUT_EVERY * size))), MOST_CUTS);
  const places = [];
  for (let number = 0; number < count; number++) {
    const first = Math.floor((number * through.length) / count);
    const step = through.slice(first, Math.floor(((number + 1) * through.length) / count));
    const cheapest = [...step.keys()].filter((index) => step[index] === Math.min(...step));
    if (step.length) places.push(first + cheapest[Math.floor(cheapest.length / 2)]);
  }
  return places.filter((place) => place > 0 && place < through.length - 1);
}

/**
 * Take the digit between two lines, without slivers of its neighbours.
 * @param {Found} found @param {Pixels} along its ink, turned if `upright`
 * @param {number[]} start @param {number[]} end @param {boolean} upright @returns {Found | null}
 */
function takePiece(found, along, start, end, upright) {
  const offset = Math.max(Math.min(...start) - HALO, 0);
  const between = crop(along, 0, offset, along.height, Math.min(Math.max(...end) + HALO, along.width));
  for (let y = 0; y < between.height; y++) {
    const row = between.values.subarray(y * between.width, (y + 1) * between.width);
    row.fill(0, 0, start[y] - offset);
    row.fill(0, end[y] - offset);
  }
  const ink = upright ? turn(between) : between;
  const { count, labels } = label(makeMask(ink, (index) => ink.values[index] > HALF), true);
  if (!count) return null;
  const sizes = new Array(count + 1).fill(0);
  for (const part of labels.values) if (part) sizes[part]++;
  const least = SLIVER * Math.max(...sizes);
  const kept = makeMask(ink, (index) => labels.values[index] && sizes[labels.values[index]] >= least);
  const near = dilate(kept, 2 * HALO + 1).values;
  const clean = makePixels(ink.height, ink.width);
  for (let index = 0; index < clean.values.length; index++) {
    const counts = near[index] && (kept.values[index] || !labels.values[index]);
    if (counts) clean.values[index] = ink.values[index];
  }
  const { down, across } = measure(kept, 0);
  const inside = { top: down.low, left: across.low, bottom: down.high, right: across.high };
  const top = Math.max(0, found.box.top - HALO) + (upright ? offset : 0);
  const left = Math.max(0, found.box.left - HALO) + (upright ? 0 : offset);
  const box = { top: top + inside.top, left: left + inside.left, bottom: top + inside.bottom, right: left + inside.right };
  return { ...found, ink: around(clean, inside, HALO), box, cut: true };
}

/**
 * Return the pieces, from the first cut to the last, with the largest score; none if it is too small.
 *
 * Few of them are read. The next to be read is always in the best row there could be: the one that would win if the
 * network were sure of all pieces that it has not read.
 * @param {Cuts} cuts @param {(piece: Found) => number} sureness @returns {Found[]}
 */
function bestPieces(cuts, sureness) {
  /** @type {Map<Found, number>} */
  const sure = new Map();
  for (;;) {
    const pieces = likeliestPieces(cuts, sure);
    const endsFirst = [...pieces.slice(0, 1), ...pieces.slice(-1), ...pieces];
    const unread = endsFirst.find((piece) => !sure.has(piece));
    if (!unread) return pieces;
    sure.set(unread, sureness(unread));
  }
}

/**
 * Return the pieces that are best if the network is sure of those it has not read. Pieces may share the ink between two cuts, as digits
 * that are written over each other do.
 * @param {Cuts} cuts @param {Map<Found, number>} sure of each that was read @returns {Found[]}
 */
function likeliestPieces({ size, upright, least, costs, pieces, before }, sure) {
  /** @type {{score: number, taken: Found[]}} */
  const none = { score: -Infinity, taken: [] };
  /** @type {(typeof none)[]} up to each piece */
  const ways = [];
  let best = none;
  pieces.forEach(({ first, last, found }, index) => {
    const { score, taken } = before[index].reduce((most, other) => (ways[other].score > most.score ? ways[other] : most), none);
    const probability = sure.get(found) ?? 1;
    const own = scorePiece(found, probability, size, upright) - costs[first] - costs[last];
    const way = { score: (first ? score - EACH_MORE : 0) + own, taken: [...taken, found] };
    ways.push(probability < LEAST_PIECE ? none : way);
    if (last === costs.length - 1 && ways[index].score > best.score) best = way;
  });
  return best.score > least ? best.taken : [];
}

/**
 * Tell whether one piece may be the next after another: with hardly any ink between them, or not much in both.
 * @param {Slice} piece @param {Slice} after @param {number[]} inked pixels of ink before each cut
 * @param {number} size @param {boolean} upright @returns {boolean}
 */
function mayFollow(piece, after, inked, size, upright) {
  if (piece.first >= after.first || piece.last >= after.last) return false;
  const skipped = inked[after.first] - inked[piece.last];
  const lesser = Math.min(inked[piece.last] - inked[piece.first], inked[after.last] - inked[after.first]);
  const mostShared = Math.min(SHARED * size ** 2, MOST_COMMON * lesser);
  return -mostShared <= skipped && skipped <= (upright ? SKIPPED * size ** 2 : 0);
}

/** @param {Found} piece @param {number} sure @param {number} size height of digits @param {boolean} upright @returns {number} */
function scorePiece({ box }, sure, size, upright) {
  const [height, width] = [heightOf(box) / size, widthOf(box) / size];
  if (upright) return Math.log(sure) - STRETCHED * Math.max(0, height - TALL);
  return Math.log(sure) - STRETCHED * Math.max(0, width - BROAD) - SHRUNK * Math.max(0, LOW - height);
}

/** @param {Box} box @returns {number} */
function widthOf({ left, right }) {
  return right - left;
}
