// Printed lines, told from strokes: ruled and squared paper, boxes, tables. src/under10k/pictures/lines.py does the same in
// Python.

/**
 * A straight line: along rows, from `first` to before `last`, or along columns if `upright`; its pieces, and the number of
 * the connected ink that each belongs to.
 * @typedef {{upright: boolean, first: number, last: number, slope: number, offset: number, width: number,
 *     pieces: {first: number, last: number, ink: number}[]}} Line
 */

/**
 * Find printed lines, apart from the strokes that cross them.
 * @param {Pixels} ink 1 or 0 @returns {Pixels | null} null where there are none
 */
function findPrinted(ink) {
  const most = Math.max(LINE_WIDTH, Math.floor(LINE_SHARE * Math.max(ink.height, ink.width)));
  const high = runsOf(ink);
  const wide = turn(runsOf(turn(ink)));
  const [down, along] = [high.values, wide.values];
  const thin = [high, wide].map(({ values }) => makeMask(ink, (index) => ink.values[index] && values[index] <= most));
  const flat = makeMask(ink, (index) => thin[0].values[index] && along[index] >= FLAT * down[index]);
  const steep = makeMask(ink, (index) => thin[1].values[index] && down[index] >= FLAT * along[index]);
  const { labels } = label(dilate(ink, SMOOTHING), true);
  const lines = [...findLines(flat, labels, false), ...findLines(turn(steep), turn(labels), true)];
  if (!lines.length) return null;
  const crossing = lines.filter((line) => isCrossing(line, ink));
  const frames = findFrames(lines.filter((line) => !crossing.includes(line)), ink);
  const chosen = paint(ink, thin, [...crossing, ...frames.flat()]).values;
  const rest = boxesOf(makeMask(ink, (index) => ink.values[index] && !chosen[index]));
  const printed = frames.filter((frame) => holdsInk(frame, rest) || isEmptyBox(frame)).flat();
  const kept = [...pickPaper(crossing, rest), ...printed];
  if (!kept.length) return null;
  const painted = paint(ink, thin, kept);
  return painted.values.includes(1) ? painted : null;
}

// --- straight and thin ---

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
function findLines(thin, inks, upright) {
  const pieces = piecesOf(thin, inks);
  /** @param {Piece} piece */
  const lengthOf = ({ first, last }) => last - first;
  const seeds = sortBy(pieces, (piece) => -lengthOf(piece)).slice(0, MOST_SEEDS);
  const free = new Set(pieces);
  const lines = [];
  for (const seed of seeds) {
    if (lengthOf(seed) < SHORTEST) break;
    if (!free.has(seed)) continue;
    let fit = fitLine(seed.sums);
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
      const all = [...held];
      fit = fitLine(seed.sums.map((_, place) => all.reduce((sum, { sums }) => sum + sums[place], 0)));
    }
    for (const piece of held) free.delete(piece);
    const { slope, offset } = fit;
    lines.push({ upright, first, last, slope, offset, width, pieces: pieces.filter((piece) => held.has(piece)) });
  }
  return lines;
}

/**
 * Fit a straight line by least squares.
 * @param {number[]} sums @returns {{slope: number, offset: number, variance: number}} the variance is that around it
 */
function fitLine([pixels, x, y, xx, xy, yy]) {
  const spread = xx / pixels - (x / pixels) ** 2;
  const shared = xy / pixels - (x * y) / pixels ** 2;
  const slope = spread ? shared / spread : 0;
  return { slope, offset: (y - slope * x) / pixels, variance: yy / pixels - (y / pixels) ** 2 - slope * shared };
}

/** @param {Line} line @param {number} along @returns {number} where the line is, across its direction */
function courseOf({ slope, offset }, along) {
  return slope * along + offset;
}

/** @param {Line} line @param {number} along @returns {number} of the ink that the piece nearest to a place belongs to */
function inkAt({ pieces }, along) {
  /** @param {{first: number, last: number}} piece */
  const away = ({ first, last }) => Math.max(first - along, along - last);
  return pieces.reduce((best, piece) => (away(piece) < away(best) ? piece : best)).ink;
}

/**
 * @param {Pixels} ink @param {Pixels[]} thin along rows, along columns @param {Line[]} lines
 * @returns {Pixels} the ink of lines: what is thin along one, and where two meet
 */
function paint(ink, thin, lines) {
  const { height, width } = ink;
  const bands = [makePixels(height, width), makePixels(height, width)];
  for (const line of lines) {
    const [length, breadth] = line.upright ? [height, width] : [width, height];
    const band = bands[line.upright ? 1 : 0].values;
    const half = line.width / 2 + NEAR_LINE;
    const last = Math.min(line.last + CORNER, length);
    for (let along = Math.max(line.first - CORNER, 0); along < last; along++) {
      const centre = courseOf(line, along);
      const end = Math.min(Math.floor(centre + half) + 1, breadth);
      for (let across = Math.max(Math.ceil(centre - half), 0); across < end; across++) {
        band[line.upright ? along * width + across : across * width + along] = 1;
      }
    }
  }
  const [[flat, steep], [lying, standing]] = [bands, thin].map((both) => both.map(({ values }) => values));
  return makeMask(ink, (index) => {
    if (!ink.values[index]) return false;
    return (flat[index] && lying[index]) || (steep[index] && standing[index]) || (flat[index] && steep[index]);
  });
}

// --- across the picture ---

/**
 * Pick the lines across the picture that are paper's: several, or those that go on beyond the ink they touch.
 * @param {Line[]} lines @param {Box[]} rest @returns {Line[]}
 */
function pickPaper(lines, rest) {
  if (!rest.length) return [];
  return [false, true].flatMap((upright) => {
    const same = lines.filter((line) => line.upright === upright);
    return same.filter((line) => same.length >= RULED || goesOn(line, rest));
  });
}

/** @param {Line} line @param {Box[]} rest @returns {boolean} whether it goes on, at both ends, beyond all ink that touches it */
function goesOn(line, rest) {
  const most = Math.max(OVERHANG * (line.last - line.first), CORNER);
  const reach = line.width / 2 + CORNER;
  return !rest.some(({ top, left, bottom, right }) => {
    const [low, high, start, end] = line.upright ? [left, right, top, bottom] : [top, bottom, left, right];
    const course = [courseOf(line, start), courseOf(line, end)];
    if (low - reach > Math.max(...course) || Math.min(...course) > high + reach) return false;
    return start - line.first < most || line.last - end < most;
  });
}

// --- frames ---

/**
 * Group the lines whose ends meet others: closed boxes, tables, and boxes open on one side.
 * @param {Line[]} lines @param {Pixels} shape @returns {Line[][]}
 */
function findFrames(lines, shape) {
  const ends = lines.map((line) => [line.first, line.last].map((at) => meets(line, at, lines, shape)));
  const firm = lines.filter((_, index) => ends[index].every(({ met }) => met));
  const tied = lines.filter((line, index) => firm.includes(line) || ends[index].some(({ corner }) => corner));
  const sides = tied.filter((line) => firm.includes(line) || tied.some((other) => areAlike(line, other)));
  /** @type {Line[][]} */
  let groups = [];
  for (const line of sides) {
    const own = groups.filter((group) => group.some((other) => areTouching(line, other)));
    groups = [...groups.filter((group) => !own.includes(group)), [line, ...own.flat()]];
  }
  return groups.filter((group) => group.length > 2 && new Set(group.map(({ upright }) => upright)).size === 2);
}

/**
 * Tell whether a line's end meets another line or the picture's edge, and whether it forms a corner there.
 * @param {Line} line @param {number} at @param {Line[]} lines @param {Pixels} shape @returns {{met: boolean, corner: boolean}}
 */
function meets(line, at, lines, shape) {
  if (isAtEdge(line, at, shape)) return { met: true, corner: true };
  const place = courseOf(line, at);
  let [met, corner] = [false, false];
  for (const other of lines) {
    const reach = reachOf(line, other);
    if (other.upright === line.upright || Math.abs(courseOf(other, place) - at) > reach) continue;
    if (inkAt(other, place) !== inkAt(line, at)) continue;
    met ||= other.first - reach <= place && place <= other.last + reach;
    corner ||= Math.min(Math.abs(place - other.first), Math.abs(place - other.last)) <= reach;
  }
  return { met, corner };
}

/** @param {Line} a @param {Line} b @returns {number} */
function reachOf(a, b) {
  return (a.width + b.width) / 2 + CORNER;
}

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

/** @param {Line} a @param {Line} b @returns {boolean} whether both go the same way, over about the same stretch */
function areAlike(a, b) {
  if (a === b || a.upright !== b.upright) return false;
  const shared = Math.min(a.last, b.last) - Math.max(a.first, b.first);
  return shared >= ALIKE * Math.max(a.last - a.first, b.last - b.first);
}

/** @param {Line} a @param {Line} b @returns {boolean} */
function areTouching(a, b) {
  const [one, other] = [boxOf(a), boxOf(b)];
  const down = Math.max(one.top, other.top) - Math.min(one.bottom, other.bottom);
  const across = Math.max(one.left, other.left) - Math.min(one.right, other.right);
  return Math.max(down, across) <= reachOf(a, b);
}

/** @param {Line} line @returns {Box} */
function boxOf(line) {
  const course = [courseOf(line, line.first), courseOf(line, line.last)];
  const [low, high] = [Math.min(...course), Math.max(...course)];
  return line.upright
    ? { top: line.first, left: low, bottom: line.last, right: high }
    : { top: low, left: line.first, bottom: high, right: line.last };
}

/** @param {Line[]} frame @returns {Box} */
function frameBox(frame) {
  return hull(frame.map((line) => ({ box: boxOf(line) })));
}

/** @param {Line[]} frame @param {Box[]} rest @returns {boolean} whether there is ink within it */
function holdsInk(frame, rest) {
  const { top, left, bottom, right } = frameBox(frame);
  const least = Math.max(LEAST_WITHIN * Math.min(bottom - top, right - left), CORNER);
  return rest.some((box) => {
    const within = top <= box.top && left <= box.left && box.bottom <= bottom + 1 && box.right <= right + 1;
    return within && size(box) >= least;
  });
}

/** @param {Line[]} frame @returns {boolean} whether it is a box with thin and whole sides */
function isEmptyBox(frame) {
  const { top, left, bottom, right } = frameBox(frame);
  /** @param {boolean} upright @param {number} side @returns {boolean} */
  const isWhole = (upright, side) =>
    frame.filter((line) => line.upright === upright && line.last - line.first >= ALIKE * side).length > 1;
  const thickest = Math.max(...frame.map(({ width }) => width));
  return (
    isWhole(true, bottom - top) &&
    isWhole(false, right - left) &&
    thickest <= EMPTY_WIDTH * Math.min(bottom - top, right - left)
  );
}

/** @param {Pixels} ink @returns {Box[]} of its connected parts, but for specks */
function boxesOf(ink) {
  const { count, labels } = label(ink, true);
  return measureParts(ink, labels, count)
    .map(({ box }) => box)
    .filter((box) => size(box) > CORNER);
}
