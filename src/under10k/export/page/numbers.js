// Numbers as a person reads them: how one of a map comes about, written out.

/** How strong the strongest colour behind a number is, so that it can still be read. */
const BEHIND = 0.35;

/** @typedef {ReturnType<typeof readTones>} Tones */

/** @param {Origin} origin @param {boolean} first whether it comes from the frame @param {Tones} tones @returns {HTMLElement[]} */
function writeOrigin(origin, first, tones) {
  const value = writeNumber(origin.value, 2);
  /** @param {string} key @param {Record<string, number | string>} values @returns {HTMLElement} */
  const line = (key, values) => {
    const written = Object.entries(values).map(([name, each]) => [name, typeof each === "number" ? writeNumber(each, 2) : each]);
    return element("p", "", say(key, Object.fromEntries(written)));
  };
  switch (origin.kind) {
    case "convolution":
      return [element("p", "", say("multiply")), writeParts(origin, first, tones), line("add_up", origin), ...writeCut(origin)];
    case "affine":
      return [line("scale", origin), ...writeCut(origin)];
    case "skip":
      return [line("add_input", origin)];
    default:
      return [writeGrid(origin.seen, origin.columns, tones), line(origin.kind === "max pool" ? "largest" : "mean", { value })];
  }
}

/** @param {Cutting} origin @returns {HTMLElement[]} what becomes of negative numbers, where that is done */
function writeCut({ relu, total, value }) {
  return relu ? [element("p", "", say(total < 0 ? "cut_off" : "kept_as_is", { value: writeNumber(value, 2) }))] : [];
}

/**
 * @param {{columns: number, parts: Part[]}} origin @param {boolean} first @param {Tones} tones
 * @returns {HTMLElement} a row a map: what is seen times the filter is the sum
 */
function writeParts({ columns, parts }, first, tones) {
  const list = element("div", "parts");
  list.tabIndex = 0;
  list.setAttribute("role", "group");
  list.setAttribute("aria-label", say("sums"));
  for (const { map, seen, weights, sum } of sortBy(parts, (part) => -Math.abs(part.sum))) {
    const row = element("div", "part");
    const name = first ? say("input") : say("from_map", { map: map + 1 });
    row.append(element("span", "from", name), writeGrid(seen, columns, tones, `${name}: ${say("seen")}`), element("span", "", "×"));
    row.append(writeGrid(weights, columns, tones, say("filter")), element("span", "", "="), element("strong", "", writeNumber(sum, 2)));
    list.append(row);
  }
  return list;
}

/**
 * @param {Float64Array} values @param {number} columns @param {Tones} tones @param {string} [label]
 * @returns {HTMLElement} numbers, each on a colour that shows its size beside the others
 */
function writeGrid(values, columns, tones, label = say("seen")) {
  const grid = element("div", "grid");
  const scale = BEHIND / largestSize(values);
  grid.style.setProperty("grid-template-columns", `repeat(${columns}, auto)`);
  grid.setAttribute("role", "img");
  grid.setAttribute("aria-label", `${label}: ${[...values].map((value) => writeNumber(value, 2)).join("; ")}`);
  for (const value of values) {
    const cell = element("span", "", value ? writeNumber(value, 2) : "0");
    const tone = mix(tones.blank, value < 0 ? tones.against : tones.for, scale * Math.abs(value)).map(Math.round);
    cell.style.setProperty("background", `rgb(${tone.join(" ")})`);
    grid.append(cell);
  }
  return grid;
}
