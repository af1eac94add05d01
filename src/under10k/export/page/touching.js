// Digits that touch, cut apart where the network reads the pieces for sure and the whole not.
// src/under10k/pictures/touching.py does the same in Python.

/**
 * Frame digits, those that touch each other as several, in reading order.
 * @param {Found[]} digits @param {Layer[]} layers @returns {Framed[]}
 */
function frameDigits(digits, layers) {
  const framed = digits.map(frameInk);
  /** @param {Framed} one @returns {number} probability of the likeliest digit */
  const sureness = ({ levels }) => Math.max(...softmax(runNetwork(layers, levels).slice(-1)[0].values));
  const heights = digits.map(({ box }) => heightOf(box));
  const typical = heights[usual(heights)];
  const parted = digits.flatMap((found, index) => {
    const cuts = cutDigit(found, () => sureness(framed[index]), typical);
    const pieces = cuts ? bestPieces(cuts, (piece) => sureness(frameInk(piece))) : [];
    return pieces.length > 1 ? pieces.map(frameInk) : [framed[index]];
  });
  return parted.length > digits.length ? inReadingOrder(parted, ({ box }) => box) : framed;
}

/**
 * Ink that may be several digits, from each place to each later one; joints join two rows, and are no digit.
 * @typedef {{least: number, places: number, pieces: {first: number, last: number, piece: Found | null}[]}} Cuts
 */

/** @param {Found} found @param {() => number} sure computes its probability @param {number} typical height @returns {Cuts | null} */
function cutDigit(found, sure, typical) {
  const { box } = found;
  const [height, width] = [heightOf(box), box.right - box.left];
  if (height > TALLEST * typical && height > width) return cutAlong(found, typical, LIKELY_PIECE, true);
  if (width > TOO_WIDE * typical) return cutAlong(found, height, LIKELY_PIECE, false);
  if (width > WIDE * height && sure() < UNSURE_WHOLE) return cutAlong(found, height, SURE_PIECE, false);
  return null;
}

/**
 * Cut ink into columns, or into rows if `upright`.
 * @param {Found} found @param {number} height of digits @param {number} least @param {boolean} upright @returns {Cuts}
 */
function cutAlong(found, height, least, upright) {
  const mass = columnSums(upright ? turn(found.ink) : found.ink);
  const places = [0, ...placesToCut(mass, height), mass.length];
  const narrowest = (upright ? LOWEST : NARROWEST) * height;
  /** @param {number} start @param {number} end @returns {number} */
  const sum = (start, end) => mass.subarray(start, end).reduce((total, value) => total + value, 0);
  /** @type {{first: number, last: number, piece: Found | null}[]} */
  const pieces = [];
  for (let last = 1; last < places.length; last++) {
    for (let first = 0; first < last; first++) {
      const [start, end] = [places[first], places[last]];
      if (upright && last === first + 1 && sum(start, end) <= SLIVER * sum(0, mass.length)) {
        pieces.push({ first, last, piece: null });
      } else if (last - first < places.length - 1 && narrowest <= end - start && end - start <= WIDEST * height) {
        pieces.push({ first, last, piece: takePiece(found, start, end, upright) });
      }
    }
  }
  return { least, places: places.length, pieces };
}

/** @param {Pixels} ink @returns {Float64Array} */
function columnSums({ height, width, values }) {
  const sums = new Float64Array(width);
  for (let index = 0; index < height * width; index++) sums[index % width] += values[index];
  return sums;
}

/** @param {Float64Array} mass @param {number} height @returns {number[]} places with no more ink than any near them */
function placesToCut(mass, height) {
  const reach = Math.max(1, Math.floor(APART * height));
  const low = [...mass.keys()].filter((place) => {
    return place > 0 && mass[place] <= Math.min(...mass.subarray(Math.max(0, place - reach), place + reach + 1));
  });
  const ends = low.filter((place) => !low.includes(place - 1) || !low.includes(place + 1));
  return sortBy(sortBy(ends, (place) => mass[place]).slice(0, MOST_CUTS), (place) => place);
}

/**
 * Take the digit between two cuts, without slivers of its neighbours.
 * @param {Found} found @param {number} first @param {number} last @param {boolean} upright @returns {Found}
 */
function takePiece(found, first, last, upright) {
  const { height, width } = found.ink;
  const ink = upright ? crop(found.ink, first, 0, last, width) : crop(found.ink, 0, first, height, last);
  const { count, labels } = label(makeMask(ink, (index) => ink.values[index] > HALF), true);
  if (!count) return { ...found, ink: makePixels(ink.height, ink.width) };
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
  const top = Math.max(0, found.box.top - HALO) + (upright ? first : 0);
  const left = Math.max(0, found.box.left - HALO) + (upright ? 0 : first);
  const box = { top: top + down.low, left: left + across.low, bottom: top + down.high, right: left + across.high };
  return { ...found, ink: clean, box };
}

/**
 * Return the pieces, end to end, whose probabilities have the largest product, each likely enough; none if there are none.
 * @param {Cuts} cuts @param {(piece: Found) => number} sureness @returns {Found[]}
 */
function bestPieces({ least, places, pieces }, sureness) {
  /** @type {({score: number, taken: Found[]} | null)[]} */
  const best = [{ score: 0, taken: [] }, ...new Array(places - 1).fill(null)];
  const leadOn = new Set([places - 1]); // places from which pieces reach the end: what ends elsewhere need not be read
  for (const { first, last } of [...pieces].reverse()) if (leadOn.has(last)) leadOn.add(first);
  for (const { first, last, piece } of pieces) {
    const before = best[first];
    if (!before || !leadOn.has(last)) continue;
    const probability = piece ? sureness(piece) : 1;
    if (probability < least) continue;
    const score = before.score + Math.log(probability);
    const now = best[last];
    if (!now || score > now.score) best[last] = { score, taken: piece ? [...before.taken, piece] : before.taken };
  }
  return best[places - 1]?.taken ?? [];
}
