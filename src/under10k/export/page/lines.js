// Straight thin lines of ink, and what of the ink in their course is theirs. src/under10k/pictures/lines.py does the same
// in Python.

/**
 * A straight line: along rows, from `first` to before `last`, or along columns if `upright`; and the number of the
 * connected ink that it belongs to.
 * @typedef {{upright: boolean, first: number, last: number, slope: number, offset: number, width: number, ink: number}} Line
 */

/**
 * How many pixels of ink lie in line with each, down and along; 0 where there is none.
 * @typedef {Pixels[]} Runs
 */

/**
 * Find the lines along rows and columns.
 * @param {Pixels} ink 1 or 0 @param {number} most width @returns {{runs: Runs, lines: Line[]}}
 */
function findLines(ink, most) {
  const runs = [runsOf(ink), turn(runsOf(turn(ink)))];
  const [down, along] = runs.map(({ values }) => values);
  const flat = makeMask(ink, (index) => ink.values[index] && down[index] <= most && along[index] >= FLAT * down[index]);
  const steep = makeMask(ink, (index) => ink.values[index] && along[index] <= most && down[index] >= FLAT * along[index]);
  const { labels } = label(dilate(ink, SMOOTHING), true);
  return { runs, lines: [...linesAlongRows(flat, labels, false), ...linesAlongRows(turn(steep), turn(labels), true)] };
}

/** @param {Pixels} pixels @returns {Pixels} with rows and columns exchanged */
function turn(pixels) {
  return changeAndTurn(pixels, pixels.width, (line, same) => same.set(line));
}

/** @param {Pixels} ink @returns {Pixels} for each pixel of ink how many there are in its vertical run, else 0 */
function runsOf(ink) {
  const { height, width, values } = ink;
  const runs = makePixels(height, width);
  for (let x = 0; x < width; x++) {
    for (let y = 0, length = 0; y <= height; y++) {
      if (y < height && values[y * width + x]) {
        length++;
        continue;
      }
      for (let step = 1; step <= length; step++) runs.values[(y - step) * width + x] = length;
      length = 0;
    }
  }
  return runs;
}

/**
 * A connected piece of thin ink: where it lies, the sums of its pixels' places and products, and its ink's number.
 * @typedef {{first: number, last: number, top: number, bottom: number, sums: number[], ink: number}} Piece
 */

/** @param {Pixels} thin @param {Pixels} inks @returns {Piece[]} */
function piecesOf(thin, inks) {
  const { count, labels } = label(thin, true);
  const { height, width, values } = labels;
  const pieces = Array.from({ length: count }, () => {
    return { first: width, last: 0, top: height, bottom: 0, sums: [0, 0, 0, 0, 0, 0], ink: 0 };
  });
  for (let y = 0, index = 0; y < height; y++) {
    for (let x = 0; x < width; x++, index++) {
      if (!values[index]) continue;
      const piece = pieces[values[index] - 1];
      piece.first = Math.min(piece.first, x);
      piece.last = Math.max(piece.last, x + 1);
      piece.top = Math.min(piece.top, y);
      piece.bottom = y + 1;
      piece.ink = inks.values[index];
      [1, x, y, x * x, x * y, y * y].forEach((value, place) => (piece.sums[place] += value));
    }
  }
  return pieces;
}

/**
 * Find lines along rows: a long straight piece, and all further pieces in its course.
 * @param {Pixels} thin @param {Pixels} inks numbers of connected ink @param {boolean} upright @returns {Line[]}
 */
function linesAlongRows(thin, inks, upright) {
  const shape = upright ? { height: thin.width, width: thin.height } : thin;
  const pieces = piecesOf(thin, inks);
  /** @param {Piece} piece */
  const lengthOf = ({ first, last }) => last - first;
  const free = new Set(pieces);
  const lines = [];
  let tried = 0;
  for (const seed of sortBy(pieces, (piece) => -lengthOf(piece))) {
    if (lengthOf(seed) < SHORTEST || tried === MOST_SEEDS) break;
    if (!free.has(seed)) continue;
    tried++;
    let fit = fitLine([seed]);
    const width = seed.sums[0] / lengthOf(seed);
    const straight = fit.variance <= (width * width) / UNIFORM + BEND * BEND && Math.abs(fit.slope) <= STEEPEST;
    if (!straight || lengthOf(seed) < SLENDER * width) continue;
    let { first, last } = seed;
    const held = new Set([seed]);
    for (;;) { // look as far again to either side, then fit anew: a short piece tells the slope but roughly
      const near = [...free].filter((piece) => {
        if (held.has(piece) || piece.first - last > last - first || first - piece.last > last - first) return false;
        const [pixels, x, y] = piece.sums;
        if (Math.abs(y / pixels - (fit.slope * x) / pixels - fit.offset) > width / 2 + NEAR_LINE) return false;
        return piece.bottom - piece.top <= width + Math.abs(fit.slope) * lengthOf(piece) + 2 * NEAR_LINE;
      });
      if (!near.length) break;
      for (const piece of near) held.add(piece);
      first = Math.min(first, ...near.map((piece) => piece.first));
      last = Math.max(last, ...near.map((piece) => piece.last));
      fit = fitLine([...held]);
    }
    for (const piece of held) free.delete(piece);
    const own = pieces.filter((piece) => held.has(piece));
    const line = lineOf(own, width, upright);
    if (isCrossing(line, shape)) {
      lines.push(line);
      continue;
    }
    const numbers = sortBy([...new Set(own.map(({ ink }) => ink))], (number) => number);
    const sides = numbers.map((number) => lineOf(own.filter(({ ink }) => ink === number), width, upright));
    lines.push(...sides.filter((side) => side.last - side.first >= SHORTEST)); // boxes that stand in a row: each its own
  }
  return lines;
}

/** @param {Piece[]} pieces @param {number} width @param {boolean} upright @returns {Line} */
function lineOf(pieces, width, upright) {
  const first = Math.min(...pieces.map((piece) => piece.first));
  const last = Math.max(...pieces.map((piece) => piece.last));
  const { slope, offset } = fitLine(pieces);
  return { upright, first, last, slope, offset, width, ink: pieces[0].ink };
}

/**
 * Fit a straight line by least squares.
 * @param {Piece[]} pieces @returns {{slope: number, offset: number, variance: number}} the variance is that around it
 */
function fitLine(pieces) {
  const sums = pieces[0].sums.map((_, place) => pieces.reduce((sum, piece) => sum + piece.sums[place], 0));
  const [pixels, x, y, xx, xy, yy] = sums;
  const spread = xx / pixels - (x / pixels) ** 2;
  const shared = xy / pixels - (x * y) / pixels ** 2;
  const slope = spread ? shared / spread : 0;
  return { slope, offset: (y - slope * x) / pixels, variance: yy / pixels - (y / pixels) ** 2 - slope * shared };
}

/** @param {Line} line @param {number} along @returns {number} where the line is, across its direction */
function courseOf({ slope, offset }, along) {
  return slope * along + offset;
}

// --- a line's ink ---

/**
 * @param {Pixels} ink @param {Pixels} darkness @param {Runs} runs @param {Line[]} lines
 * @param {number} [least] if given, all that is up to so many pixels thin in a line's course, strokes along it included
 * @returns {Pixels} the ink of lines: what is as thin as one, in its course, and where two cross without a stroke
 */
function paint(ink, darkness, runs, lines, least = 0) {
  const [high, wide] = runs.map(({ values }) => values);
  const [lying, standing] = [false, true].map((upright) => lines.filter((line) => line.upright === upright));
  const flat = bandsOf(runs[0], darkness, lying, standing, least).values;
  const steep = turn(bandsOf(turn(runs[1]), turn(darkness), standing, lying, least)).values;
  const painted = makeMask(ink, (index) => ink.values[index] && (high[index] <= flat[index] || wide[index] <= steep[index]));
  const rest = makeMask(ink, (index) => ink.values[index] && !painted.values[index]);
  const crossed = makeMask(rest, (index) => rest.values[index] && flat[index] && steep[index]).values;
  if (!crossed.includes(1)) return painted;
  const { labels } = label(rest, true);
  const beyond = new Set(valuesWhere(labels.values, (index) => rest.values[index] && !crossed[index]));
  return makeMask(ink, (index) => painted.values[index] || (crossed[index] && !beyond.has(labels.values[index])));
}

/**
 * @param {Pixels} runs of ink across the lines @param {Pixels} darkness @param {Line[]} lines @param {Line[]} crossing them
 * @param {number} least
 * @returns {Pixels} how much ink a line covers at most, across, in the stretch around each; 0 elsewhere
 */
function bandsOf(runs, darkness, lines, crossing, least) {
  const { height, width } = runs;
  const bands = makePixels(height, width);
  for (const line of lines) {
    const half = line.width / 2 + NEAR_LINE;
    const first = Math.max(line.first - CORNER, 0);
    const most = mostInk(line, crossing, runs, darkness, first, Math.min(line.last + CORNER, width), least);
    for (let place = 0; place < most.length; place++) {
      const centre = courseOf(line, first + place);
      const end = Math.min(Math.floor(centre + half) + 1, height);
      for (let across = Math.max(Math.ceil(centre - half), 0); across < end; across++) {
        const index = across * width + first + place;
        bands.values[index] = Math.max(bands.values[index], most[place]);
      }
    }
  }
  return bands;
}

/**
 * @param {Line} line @param {Line[]} crossing it @param {Pixels} runs @param {Pixels} darkness
 * @param {number} first @param {number} last @param {number} least
 * @returns {Float64Array} how much ink a line covers at most at each place along it: none where it is darker, as under a stroke
 */
function mostInk(line, crossing, { height, width, values }, darkness, first, last, least) {
  const count = last - first;
  const [covered, total, plain] = [0, 0, 0].map(() => new Float64Array(count));
  const middles = covered.map((_, place) => Math.floor(courseOf(line, first + place) + 0.5));
  for (let place = 0; place < count; place++) {
    covered[place] = values[Math.min(Math.max(middles[place], 0), height - 1) * width + first + place];
  }
  const usualRun = covered.some((run) => run > 0) ? quantiles(valuesWhere(covered, (place) => covered[place] > 0), [0.5])[0] : 0;
  const breadth = Math.max(line.width, Math.min(usualRun, 2 * line.width));
  const most = new Float64Array(count).fill(Math.max(breadth + ROUGHNESS, least));
  if (least) return most;
  const reach = Math.ceil(breadth / 2) + 1;
  for (let place = 0; place < count; place++) {
    const middle = middles[place];
    const inside = middle >= reach && middle + reach < height;
    if (!inside || !covered[place] || covered[place] > breadth + ROUGHNESS) continue;
    plain[place] = 1;
    for (let y = middle - reach; y <= middle + reach; y++) total[place] += darkness.values[y * width + first + place];
  }
  const usualTotals = valuesWhere(total, (place) => plain[place]);
  if (usualTotals.length < STRETCH) return most;
  const [normal] = quantiles(usualTotals, [0.5]);
  const excess = total.map((_, place) => {
    let [sum, number] = [0, 0];
    for (let near = Math.max(place - (STRETCH - 1) / 2, 0); near <= Math.min(place + (STRETCH - 1) / 2, count - 1); near++) {
      sum += plain[near] * (total[near] - normal);
      number += plain[near];
    }
    return sum / Math.max(number, 1);
  });
  const [deviation] = quantiles(valuesWhere(excess, (place) => plain[place]).map(Math.abs), [0.5]);
  const limit = Math.max((EXCESS * normal) / breadth, EXCESS_DEVIATIONS * deviation);
  const sure = new Uint8Array(count);
  for (let place = 0, start = 0; place <= count; place++) {
    if (place < count && plain[place] && excess[place] > limit) continue;
    if (place - start >= STRETCH) sure.fill(1, start, place);
    start = place + 1;
  }
  /** @param {number} place @returns {boolean} whether another line is there, which makes this one darker */
  const isCrossed = (place) => crossing.some((other) => {
    const meeting = courseOf(other, courseOf(line, courseOf(other, 0)));
    return Math.abs(first + place - meeting) <= other.width / 2 + NEAR_LINE;
  });
  for (let place = 0, start = 0, found = false; place <= count; place++) {
    const isStroke = place < count && (sure[place] || covered[place] > breadth + ROUGHNESS);
    const isPerhaps = place < count && (isStroke || (plain[place] && excess[place] > FADING * limit));
    if (isPerhaps && !isCrossed(place)) {
      found ||= Boolean(isStroke);
      continue;
    }
    if (found) most.fill(0, start, place);
    [start, found] = [place + 1, false];
  }
  return most;
}

// --- a line's ends ---

/** @param {Line} line @param {Pixels} shape @returns {boolean} whether it goes from edge to edge, and not along one */
function isCrossing(line, shape) {
  const reach = line.width + CORNER;
  const ends = line.first <= reach || line.last >= (line.upright ? shape.height : shape.width) - reach;
  return ends && isAtEdge(line, line.first, shape) && isAtEdge(line, line.last, shape);
}

/**
 * Tell whether a line's end lies at the picture's edge: it runs up to it, or slants out of the picture.
 * @param {Line} line @param {number} at @param {Pixels} shape @returns {boolean}
 */
function isAtEdge(line, at, shape) {
  const [length, breadth] = line.upright ? [shape.height, shape.width] : [shape.width, shape.height];
  const [reach, side] = [line.width + CORNER, line.width / 2 + 1];
  const across = courseOf(line, at);
  return at <= reach || at >= length - reach || across <= side || across >= breadth - side;
}
