// How far to trust an answer. src/under10k/pictures/prediction.py does the same in Python.

/**
 * @param {number[]} probabilities of each digit
 * @param {{levels: Uint8Array, alone: boolean, cut?: boolean, several?: boolean}} found
 * @returns {{digit: number, probabilities: number[], likely: boolean, confident: boolean, words: string}} `likely`: that
 *     there is a digit at all
 */
function judge(probabilities, { levels, alone, cut, several }) {
  const [digit, second] = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  const [best, next] = [probabilities[digit], probabilities[second]];
  const warnings = [];
  const filled = isFilled(levels);
  if (filled) warnings.push(say("filled"));
  else if (best < LIKELY_PROBABILITY) warnings.push(say("unlikely", { best: wholePercent(best) }));
  else if (best < (several ? SURE_AMONG_OTHERS : SURE_PROBABILITY)) {
    warnings.push(say("unsure", { digit, best: wholePercent(best), second, next: wholePercent(next) }));
  }
  if (cut) warnings.push(say("cut"));
  if (!alone) warnings.push(say("other_ink"));
  const words = warnings.join("; ") || say("sure", { probability: percent(best) });
  const likely = best >= LIKELY_PROBABILITY && !filled;
  return { digit, probabilities, likely, confident: !warnings.length, words };
}

/** @param {Uint8Array} levels of a frame @returns {boolean} whether no pen can have left it */
function isFilled(levels) {
  const ink = makeMask(makePixels(SIDE, SIDE), (index) => levels[index] >= FILLED_LEVEL);
  return range(distanceTransform(widen(ink, 1)).values).most > FILLED_RADIUS;
}
