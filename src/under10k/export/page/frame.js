// The frame: a digit's ink brought to the size, place and stroke width of MNIST's digits.
// src/under10k/pictures/strokes.py and src/under10k/data/framing.py do the same in Python.

/**
 * A digit in its frame: 28 x 28 grey levels, white on black; where it lies, whether there is no other, whether it was cut
 * off others, and whether it is read as one of several.
 * @typedef {{levels: Uint8Array, box: Box, alone: boolean, cut?: boolean, several?: boolean}} Framed
 */

/**
 * Bring the digit in a picture into MNIST's frame.
 * @param {Pixels} grey 0 is black, 1 white @returns {Framed | null} null if there is no ink
 */
function makeFrame(grey) {
  const found = findDigit(grey);
  return found && frameInk(found);
}

/** @param {Found} found @returns {Framed} */
function frameInk({ ink, box, alone, cut }) {
  const levels = Uint8Array.from(frame(adjustStrokes(ink)).values, (level) => roundHalfToEven(255 * level));
  return { levels, box, alone, cut };
}

/**
 * Bring strokes too thin or too thick for MNIST to its width.
 * @param {Pixels} ink 0 to 1 @returns {Pixels} the same; at another size if strokes were changed
 */
function adjustStrokes(ink) {
  const { across, down } = measure(ink, HALF);
  if (!down.high) return ink;
  const larger = Math.max(across.high - across.low, down.high - down.low);
  const scale = Math.max(1, Math.min((BOX * FINENESS) / larger, LARGEST / Math.max(ink.height, ink.width)));
  const unit = (scale * larger) / BOX;
  /** @param {number} side @returns {number} */
  const scaled = (side) => Math.max(1, roundHalfToEven(scale * side));
  const fine = resize(ink, scaled(ink.height), scaled(ink.width));
  const shape = makeMask(fine, (index) => fine.values[index] > HALF);
  const inside = distanceTransform(widen(shape, 1));
  const thickness = strokeWidth(inside) / unit;
  const wanted = Math.min(Math.max(thickness, THINNEST), THICKEST);
  if (wanted === thickness) return ink;
  return redraw(widen(inside, Math.floor(MARGIN * unit) - 1), unit, (unit * (wanted - thickness)) / 2);
}

/**
 * Move a shape's edges, or by the largest share of that which loses no hole and no part.
 * @param {Pixels} inside distances of its points from what is outside
 * @param {number} unit pixels for one of the frame @param {number} outwards pixels
 * @returns {Pixels} ink
 */
function redraw(inside, unit, outwards) {
  const least = SMALLEST * unit;
  const background = makeMask(inside, (index) => inside.values[index] === 0);
  const outside = distanceTransform(background, Math.max(least, outwards + 1));
  const distance = makePixels(inside.height, inside.width);
  for (let index = 0; index < distance.values.length; index++) {
    distance.values[index] = background.values[index] ? 0.5 - outside.values[index] : inside.values[index] - 0.5;
  }
  const holes = countRoomy(background, outside, least);
  const parts = outwards < 0 ? label(inside, false).count : 0; // a shape that grows is not torn
  /** @param {Pixels} moved @returns {boolean} */
  const isKept = ({ values }) => {
    if (holes > 1) { // the paper around it is one of them, and always has room
      const beyond = makeMask(inside, (index) => values[index] <= 0);
      if (countRoomy(beyond, distanceTransform(beyond, least), least) < holes) return false;
    }
    return outwards > 0 || label(makeMask(inside, (index) => values[index] > 0), false).count === parts;
  };
  /** @param {number} share @returns {Pixels} */
  const move = (share) => add(distance, share * outwards);
  const share = MOVE_SHARES.find((each) => isKept(move(each))) ?? 0;
  return clampAll(add(move(share), 0.5));
}

/**
 * @param {Pixels} shape @param {Pixels} depth distances of its points from what is outside @param {number} radius
 * @returns {number} of its parts with room for such a disc
 */
function countRoomy(shape, depth, radius) {
  const { count, labels } = label(shape, false);
  const radii = new Float64Array(count + 1);
  for (let index = 0; index < labels.values.length; index++) {
    const part = labels.values[index];
    if (depth.values[index] > radii[part]) radii[part] = depth.values[index];
  }
  return radii.subarray(1).filter((each) => each >= radius).length;
}

/**
 * Scale and centre a digit as MNIST's are.
 * @param {Pixels} ink 0 to 1
 * @returns {Pixels} 28 x 28, 0 to 1; blank if there is no ink
 */
function frame(ink) {
  const { across, down } = measure(ink, THRESHOLD);
  if (!down.high) return makePixels(SIDE, SIDE);
  const scale = BOX / Math.max(across.high - across.low, down.high - down.low);
  return clampAll(changeLines(ink, SIDE, SIDE, placeLine(across, scale), placeLine(down, scale)));
}

/**
 * Where a picture's ink lies along one axis: the edges of what is visible, and the sums of ink over the other axis.
 * @typedef {{low: number, high: number, mass: Float64Array}} Extent
 */

/**
 * @param {Pixels} ink @param {number} least ink that is visible
 * @returns {{down: Extent, across: Extent}} up to 0 where nothing is visible
 */
function measure({ height, width, values }, least) {
  const down = { low: height, high: 0, mass: new Float64Array(height) };
  const across = { low: width, high: 0, mass: new Float64Array(width) };
  for (let y = 0, index = 0; y < height; y++) {
    for (let x = 0; x < width; x++, index++) {
      const level = values[index];
      down.mass[y] += level;
      across.mass[x] += level;
      if (level <= least) continue;
      down.low = Math.min(down.low, y);
      down.high = y + 1;
      across.low = Math.min(across.low, x);
      across.high = Math.max(across.high, x + 1);
    }
  }
  return { down, across };
}

/**
 * Return the function that turns a line of a picture into one of the frame: each pixel the mean of its own stretch.
 * @param {Extent} extent along the line @param {number} scale @returns {ChangeLine}
 */
function placeLine({ low, high, mass }, scale) {
  let [held, moment] = [0, 0];
  for (let place = low; place < high; place++) {
    held += mass[place];
    moment += mass[place] * (place + 0.5);
  }
  const centred = Math.max(Math.ceil(SIDE / 2 - (moment / held - low) * scale - SLACK), 0);
  const start = Math.min(centred, Math.floor(SIDE - (high - low) * scale + SLACK));
  /** @param {number} edge @returns {number} */
  const source = (edge) => Math.min(Math.max(low + (edge - start) / scale, low), high);
  return (line, placed) => {
    for (let pixel = 0; pixel < SIDE; pixel++) placed[pixel] = scale * sumBetween(line, source(pixel), source(pixel + 1));
  };
}
