// Why an answer was given: ink is wiped out square by square, and what the answer loses by it is shown (occlusion).

/** Side of the square that is wiped out, and its steps across the frame, in pixels. */
const WIPED = 5;
const WIPE_STEP = 3;

/** How long the paper rests before this is looked for, and how long it works at a stretch, in milliseconds. */
const WHY_AFTER = 200;
const WHY_STRETCH = 12;

/** How dark ink without effect is shown: its share of the text's colour. */
const NEUTRAL = 0.35;

/**
 * Find what each piece of ink does for some digits; pause after each run of the network.
 * @param {Layer[]} layers @param {Uint8Array} levels of a frame @param {number[]} digits
 * @returns {Generator<undefined, Float64Array[]>} for each digit and pixel, how far its log-probability falls without
 *     the ink there: the mean over all squares that hold the pixel
 */
function* findEffects(layers, levels, digits) {
  const whole = logProbabilities(layers, levels);
  const sums = digits.map(() => new Float64Array(levels.length));
  const counts = new Float64Array(levels.length);
  for (const square of squaresWithInk(levels)) {
    yield;
    const rest = levels.slice();
    for (const index of square) rest[index] = 0;
    const left = logProbabilities(layers, rest);
    for (const index of square) {
      counts[index]++;
      digits.forEach((digit, each) => (sums[each][index] += whole[digit] - left[digit]));
    }
  }
  return sums.map((sum) => sum.map((total, index) => total / Math.max(counts[index], 1)));
}

/** @param {Layer[]} layers @param {Uint8Array} levels of a frame @returns {number[]} of each digit */
function logProbabilities(layers, levels) {
  const logits = [...runNetwork(layers, levels)[layers.length - 1].values];
  const largest = Math.max(...logits);
  const sum = Math.log(logits.reduce((total, logit) => total + Math.exp(logit - largest), 0));
  return logits.map((logit) => logit - largest - sum);
}

/** @param {Uint8Array} levels of a frame @returns {number[][]} the indices of each square's pixels, where there is ink */
function squaresWithInk(levels) {
  /** @type {number[][]} */
  const squares = [];
  for (let top = 0; top < SIDE; top += WIPE_STEP) {
    for (let left = 0; left < SIDE; left += WIPE_STEP) {
      const square = [];
      for (let y = top; y < Math.min(top + WIPED, SIDE); y++) {
        for (let x = left; x < Math.min(left + WIPED, SIDE); x++) square.push(y * SIDE + x);
      }
      if (square.some((index) => levels[index] > 127)) squares.push(square);
    }
  }
  return squares;
}

/** @param {Uint8Array} levels of a frame @returns {Box} of its ink, in pixels */
function inkBox(levels) {
  const ink = makePixels(SIDE, SIDE);
  ink.values.forEach((_, index) => (ink.values[index] = levels[index] / 255));
  const { across, down } = measure(ink, THRESHOLD);
  return { top: down.low, left: across.low, bottom: down.high, right: across.high };
}

/** @param {Float64Array} effects of each pixel @returns {string} where the largest is, in words */
function strongestPlace(effects) {
  const place = effects.indexOf(range(effects).most);
  const [row, column] = [Math.floor(place / SIDE), place % SIDE].map((at) => Math.floor((3 * at) / SIDE));
  return say(`place_${3 * row + column}`);
}

/** A digit for or against which ink speaks. */
class Reason {
  /** @param {HTMLElement} figure with a canvas and a caption */
  constructor(figure) {
    this.canvas = /** @type {HTMLCanvasElement} */ (figure.querySelector("canvas"));
    this.caption = /** @type {HTMLElement} */ (figure.querySelector("figcaption"));
    this.context = contextOf(this.canvas);
    this.image = this.context.createImageData(SIDE, SIDE);
  }

  /** @param {Uint8ClampedArray | null} colours of each pixel @param {string} caption @param {string} label */
  show(colours, caption, label) {
    if (colours) this.image.data.set(colours);
    else this.image.data.fill(0);
    this.context.putImageData(this.image, 0, 0);
    this.caption.textContent = caption;
    this.canvas.setAttribute("aria-label", label);
  }
}

/** The panel that shows which ink speaks for the answer and for the runner-up. */
class Why {
  /**
   * @param {HTMLElement} panel with two figures
   * @param {Layer[]} layers
   * @param {() => void} onChange called when there is something else to show
   */
  constructor(panel, layers, onChange) {
    this.panel = panel;
    this.layers = layers;
    this.onChange = onChange;
    this.reasons = [...panel.querySelectorAll("figure")].map((figure) => new Reason(/** @type {HTMLElement} */ (figure)));
    /** What waits to be done next. */
    this.timer = 0;
    /** @type {Answer | null} */
    this.answer = null;
    /** @type {Float64Array[] | null} for the answer and for the runner-up */
    this.effects = null;
    this.tones = readTones(getComputedStyle(panel));
    this.repaint();
  }

  /** Look for the reasons of an answer, once there has been no other for a while. @param {Answer | null} answer */
  explain(answer) {
    if (answer === this.answer) return;
    clearTimeout(this.timer);
    this.answer = answer;
    this.effects = null;
    this.repaint();
    if (answer) this.timer = setTimeout(() => this.work(findEffects(this.layers, answer.levels, bestTwo(answer))), WHY_AFTER);
  }

  /** @param {Generator<undefined, Float64Array[]>} steps */
  work(steps) {
    const end = performance.now() + WHY_STRETCH;
    let step = steps.next();
    while (!step.done && performance.now() < end) step = steps.next();
    if (!step.done) {
      this.timer = setTimeout(() => this.work(steps));
      return;
    }
    this.effects = step.value;
    this.repaint();
    this.onChange();
  }

  /** Show the reasons in the page's current colours. */
  repaint() {
    this.tones = readTones(getComputedStyle(this.panel));
    const [answer, effects] = [this.answer, this.effects];
    this.reasons.forEach((reason, index) => {
      if (!answer || !effects) return reason.show(null, "\u2013", say("nothing_yet"));
      const digit = bestTwo(answer)[index];
      reason.show(this.colours(index), `${digit}, ${percent(answer.probabilities[digit])}`,
        say("speaks_for", { digit, place: strongestPlace(effects[index]) }));
    });
  }

  /** @param {number} index @returns {Uint8ClampedArray} RGBA: ink is grey, the stronger its effect the more coloured */
  colours(index) {
    const { levels } = /** @type {Answer} */ (this.answer);
    const effects = /** @type {Float64Array[]} */ (this.effects);
    const scale = 1 / largestSize(effects[index]);
    const pixels = new Uint8ClampedArray(4 * levels.length);
    levels.forEach((level, pixel) => {
      const { colour } = this.toneOf(scale * effects[index][pixel]);
      pixels.set([...mix(this.tones.blank, colour, level / 255), 255], 4 * pixel);
    });
    return pixels;
  }

  /** @param {number} value -1 to 1 @returns {{colour: number[], strength: number}} of ink with this effect */
  toneOf(value) {
    const { against, blank, for: most, text } = this.tones;
    const strength = Math.abs(value) ** 0.7; // makes small values easier to see
    return { colour: mix(mix(blank, text, NEUTRAL), value < 0 ? against : most, strength), strength };
  }

  /**
   * @param {boolean} opaque whether ink without effect is tinted, too
   * @returns {{image: HTMLCanvasElement, ink: Box} | null} what may be laid over the drawing, and where its ink is in it
   */
  overlay(opaque) {
    if (!this.answer || !this.effects) return null;
    const image = makeCanvas(SIDE, SIDE);
    const context = contextOf(image);
    const pixels = context.createImageData(SIDE, SIDE);
    const [effects] = this.effects;
    const scale = 1 / largestSize(effects);
    effects.forEach((effect, pixel) => {
      const { colour, strength } = this.toneOf(scale * effect);
      pixels.data.set([...colour, opaque ? 255 : 255 * strength], 4 * pixel);
    });
    context.putImageData(pixels, 0, 0);
    return { image, ink: inkBox(this.answer.levels) };
  }
}

/** @param {number[]} from @param {number[]} to @param {number} share @returns {number[]} a colour between the two */
function mix(from, to, share) {
  return from.map((part, channel) => part + share * (to[channel] - part));
}

/** @param {{probabilities: number[]}} answer @returns {number[]} the digit read, and the next likely */
function bestTwo({ probabilities }) {
  return sortBy([...probabilities.keys()], (digit) => -probabilities[digit]).slice(0, 2);
}

/**
 * @param {Box} ink in a frame, in pixels @param {Box} box of the same ink, in shares of the paper's side
 * @returns {Box} of the whole frame, in these shares
 */
function frameOnPaper(ink, box) {
  const [down, across] = [(box.bottom - box.top) / (ink.bottom - ink.top), (box.right - box.left) / (ink.right - ink.left)];
  const [top, left] = [box.top - down * ink.top, box.left - across * ink.left];
  return { top, left, bottom: top + down * SIDE, right: left + across * SIDE };
}
