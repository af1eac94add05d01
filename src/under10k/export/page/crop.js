// Cutting a part out of a picture: a box that is dragged, or moved and sized by keys.

/** How far a key moves or sizes the box, as a share of the paper. */
const CUT_STEP = 0.02;

class Cut {
  /**
   * @param {Box} bounds where the picture lies, in shares of the paper's side
   * @param {(box: Box) => void} take is given the part, in the same shares
   * @param {() => void} leave
   * @param {(words: string) => void} say announces what keys do, for screen readers
   */
  constructor(bounds, take, leave, say) {
    this.bounds = bounds;
    this.take = take;
    this.leave = leave;
    this.say = say;
    /** @type {Box | null} what is outlined */
    this.box = null;
    /** @type {[number, number] | null} where the current drag began */
    this.from = null;
  }

  /** @param {[number, number]} point */
  dragFrom(point) {
    this.from = point;
    this.dragTo(point);
  }

  /** @param {[number, number]} point */
  dragTo(point) {
    if (this.from) this.box = boxBetween(this.from, point);
  }

  /** @param {boolean} taken false: the drag was broken off */
  dragEnd(taken) {
    if (!this.from || !this.box) return;
    const box = this.box;
    this.from = this.box = null;
    if (taken) this.take(box);
  }

  /** Outline the middle of the picture, for keys to go on from. */
  outline() {
    const { top, left, bottom, right } = this.bounds;
    const [high, wide] = [(bottom - top) / 4, (right - left) / 4];
    this.box = { top: top + high, left: left + wide, bottom: bottom - high, right: right - wide };
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether the key means something here */
  key({ key, shiftKey }) {
    const move = MOVES[key];
    if (move) this.shift(move, shiftKey);
    else if (key === "Enter" && this.box) this.take(this.box);
    else if (key === "Escape") this.leave();
    else return key === " "; // which otherwise draws, or scrolls
    return true;
  }

  /** @param {number[]} direction @param {boolean} sizes whether only the right and lower edges are moved */
  shift([x, y], sizes) {
    if (!this.box) this.outline();
    const { box, bounds } = /** @type {{box: Box, bounds: Box}} */ (this);
    [box.left, box.right] = moved(box.left, box.right, x * CUT_STEP, bounds.left, bounds.right, sizes);
    [box.top, box.bottom] = moved(box.top, box.bottom, y * CUT_STEP, bounds.top, bounds.bottom, sizes);
    this.say(this.describe());
  }

  /** @returns {string} where the box lies on the picture */
  describe() {
    const { box, bounds } = /** @type {{box: Box, bounds: Box}} */ (this);
    /** @param {number} place @param {number} first @param {number} last @returns {string} */
    const share = (place, first, last) => `${Math.round((100 * (place - first)) / (last - first))}`;
    const [left, right] = [box.left, box.right].map((place) => share(place, bounds.left, bounds.right));
    const [top, bottom] = [box.top, box.bottom].map((place) => share(place, bounds.top, bounds.bottom));
    return say("box", { left, right, top, bottom });
  }
}

/**
 * @param {number} low @param {number} high edges of a box @param {number} step @param {number} least @param {number} most
 * @param {boolean} sizes whether only the high edge is moved
 * @returns {[number, number]} the edges, still in order and within bounds
 */
function moved(low, high, step, least, most, sizes) {
  if (sizes) return [low, Math.min(Math.max(high + step, Math.min(low + CUT_STEP, high)), most)];
  const way = Math.min(Math.max(step, least - low), most - high);
  return [low + way, high + way];
}

/** @param {[number, number]} a @param {[number, number]} b @returns {Box} with these corners */
function boxBetween([x, y], [u, v]) {
  return { top: Math.min(y, v), left: Math.min(x, u), bottom: Math.max(y, v), right: Math.max(x, u) };
}
