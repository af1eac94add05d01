// How far to trust an answer. src/under10k/pictures/prediction.py does the same in Python.

/**
 * @param {number[]} probabilities of each digit
 * @param {{levels: Uint8Array, alone: boolean}} found
 * @returns {{digit: number, probabilities: number[], likely: boolean, confident: boolean, words: string}} `likely`: that
 *     there is a digit at all
 */
function judge(probabilities, { levels, alone }) {
  const [digit, second] = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  const [best, next] = [probabilities[digit], probabilities[second]];
  const warnings = [];
  const filled = isFilled(levels);
  if (filled) warnings.push(FILLED);
  else if (best < LIKELY_PROBABILITY) warnings.push(`perhaps no digit: nothing is likelier than ${whole(best)}`);
  else if (best < SURE_PROBABILITY) {
    warnings.push(`unsure: ${digit} (${whole(best)}) or ${second} (${whole(next)})`);
  }
  if (!alone) warnings.push(OTHER_INK);
  const likely = best >= LIKELY_PROBABILITY && !filled;
  return { digit, probabilities, likely, confident: !warnings.length, words: warnings.join("; ") || `${percent(best)} sure` };
}

/** @param {Uint8Array} levels of a frame @returns {boolean} whether no pen can have left it */
function isFilled(levels) {
  const ink = makeMask(makePixels(SIDE, SIDE), (index) => levels[index] >= FILLED_LEVEL);
  return range(distanceTransform(widen(ink, 1)).values).most > FILLED_RADIUS;
}

/** @param {number} share @returns {string} */
function whole(share) {
  return `${Math.round(100 * share)}%`;
}
