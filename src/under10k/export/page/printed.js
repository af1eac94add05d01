// Printed lines, told from strokes: ruled and squared paper, boxes, tables. src/under10k/pictures/printed.py does the same
// in Python.

/**
 * Find printed lines, apart from the strokes that cross them.
 * @param {Pixels} ink 1 or 0 @param {Pixels} darkness @returns {Pixels | null} null where there are none
 */
function findPrinted(ink, darkness) {
  const most = Math.max(LINE_WIDTH, Math.floor(LINE_SHARE * Math.max(ink.height, ink.width)));
  const found = findLines(ink, most);
  const paper = findPaperLines(ink, darkness, found, most);
  if (!paper) return findBoxes(ink, darkness, found, most);
  const rest = makeMask(ink, (index) => ink.values[index] && !paper.values[index]);
  const boxes = findBoxes(rest, darkness, findLines(rest, most), most);
  return boxes ? makeMask(ink, (index) => paper.values[index] || boxes.values[index]) : paper;
}

/**
 * @param {Pixels} ink @param {Pixels} darkness @param {{ runs: Runs, lines: Line[] }} found in the ink
 * @param {number} most @returns {Pixels | null} the lines across the picture
 */
function findPaperLines(ink, darkness, { runs, lines }, most) {
  const crossing = lines.filter((line) => isCrossing(line, ink));
  if (!crossing.length) return null;
  const across = [runs[0], turn(runs[1])];
  for (const [place, upright] of [false, true].entries()) {
    crossing.push(...findMissing(crossing.filter((line) => line.upright === upright), across[place]));
  }
  const sides = findFrames(lines.filter((line) => !isCrossing(line, ink)), ink).flat();
  const beside = boxesBeside(ink, darkness, runs, [...crossing, ...sides], most); // a box's side may cross the picture
  const kept = pickPaper(crossing, beside);
  return kept.length ? paint(ink, darkness, runs, kept) : null;
}

/**
 * @param {Pixels} ink @param {Pixels} darkness @param {{ runs: Runs, lines: Line[] }} found in the ink
 * @param {number} most @returns {Pixels | null} the sides of boxes and tables
 */
function findBoxes(ink, darkness, { runs, lines }, most) {
  const frames = findFrames(lines, ink);
  if (!frames.length) return null;
  const rest = boxesBeside(ink, darkness, runs, frames.flat(), most);
  const kept = frames.filter((frame) => holdsInk(frame, rest) || isEmptyBox(frame)).flat();
  return kept.length ? paint(ink, darkness, runs, kept) : null;
}

/**
 * @param {Pixels} ink @param {Pixels} darkness @param {Runs} runs @param {Line[]} lines @param {number} most
 * @returns {Box[]} of the ink beside lines and all that is thin in their course, but for specks
 */
function boxesBeside(ink, darkness, runs, lines, most) {
  const painted = paint(ink, darkness, runs, lines, most).values;
  const { count, labels } = label(makeMask(ink, (index) => ink.values[index] && !painted[index]), true);
  return measureParts(ink, labels, count)
    .map(({ box }) => box)
    .filter((box) => size(box) > CORNER);
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

/**
 * @param {Line[]} ruling lines that go the same way @param {Pixels} runs of ink across them
 * @returns {Line[]} those that lie where ruled paper has some, from line to line, and were not found on their own
 */
function findMissing(ruling, { height, width: length, values }) {
  if (ruling.length < RULED) return [];
  const ordered = sortBy(ruling, (line) => courseOf(line, length / 2));
  const middles = ordered.map((line) => courseOf(line, length / 2));
  const steps = middles.slice(1).map((middle, place) => middle - middles[place]);
  const [pitch] = quantiles(new Float64Array(steps), [0.5]);
  const [width] = quantiles(new Float64Array(ordered.map((line) => line.width)), [0.5]);
  if (pitch <= 2 * (width + NEAR_LINE)) return [];
  const wanted = steps.flatMap((step, place) => {
    const count = Math.floor(step / pitch + MISSING - 1);
    const between = Array.from({ length: Math.max(count - 1, 0) }, (_, number) => (step * (number + 1)) / count);
    return between.map((away) => ({ middle: middles[place] + away, slope: ordered[place].slope }));
  });
  const outside = [{ line: ordered[0], sign: -1 }, { line: ordered[ordered.length - 1], sign: 1 }];
  for (const { line, sign } of outside) {
    const middle = courseOf(line, length / 2);
    for (let number = 1; number < Math.ceil(height / pitch); number++) {
      wanted.push({ middle: middle + sign * pitch * number, slope: line.slope });
    }
  }
  const { upright, ink } = ruling[0];
  const lines = wanted.map(({ middle, slope }) => {
    return { upright, first: 0, last: length, slope, offset: middle - (slope * length) / 2, width, ink };
  });
  return lines.filter((line) => {
    let [inside, covered] = [0, 0];
    for (let along = 0; along < length; along++) {
      const across = Math.floor(courseOf(line, along) + 0.5);
      if (across < 0 || across >= height) continue;
      inside++;
      if (values[across * length + along]) covered++;
    }
    return inside >= SHORTEST && covered / inside >= COVERED;
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
 * Group the lines of the same ink whose ends meet others: closed boxes, tables, and boxes open on one side.
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
    if (other.ink !== line.ink || other.upright === line.upright || Math.abs(courseOf(other, place) - at) > reach) continue;
    met ||= other.first - reach <= place && place <= other.last + reach;
    corner ||= Math.min(Math.abs(place - other.first), Math.abs(place - other.last)) <= reach;
  }
  return { met, corner };
}

/** @param {Line} a @param {Line} b @returns {number} how far apart their ends may be that meet: less if they are short */
function reachOf(a, b) {
  const shorter = Math.min(a.last - a.first, b.last - b.first);
  return (a.width + b.width) / 2 + Math.min(CORNER, CORNER_SHARE * shorter);
}

/** @param {Line} a @param {Line} b @returns {boolean} whether both go the same way, over about the same stretch */
function areAlike(a, b) {
  if (a === b || a.ink !== b.ink || a.upright !== b.upright) return false;
  const shared = Math.min(a.last, b.last) - Math.max(a.first, b.first);
  return shared >= ALIKE * Math.max(a.last - a.first, b.last - b.first);
}

/** @param {Line} a @param {Line} b @returns {boolean} */
function areTouching(a, b) {
  if (a.ink !== b.ink) return false;
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
