// The digits that the network misreads, of the test set that the server found on this machine. Only a page that the server
// makes has this part: an exported one loads nothing.

/** How often the server is asked whether it has found them, and how long it is given between, in milliseconds. */
const GALLERY_TRIES = 120;
const GALLERY_WAIT = 500;

/**
 * @typedef {{label: number, digit: number, probability: number, levels: string}} MisreadDigit
 * @typedef {{ready: boolean, count: number, all: number, digits: MisreadDigit[]}} Misread
 */

/** @type {Misread | null} */
let misread = null;

/** @param {number} [tries] */
async function askForMisread(tries = GALLERY_TRIES) {
  /** @type {Misread | null} */
  const found = await fetch("/misread").then((answer) => (answer.ok ? answer.json() : null), () => null);
  if (found?.ready) {
    misread = found;
    showMisread();
  } else if (found && tries) setTimeout(() => askForMisread(tries - 1), GALLERY_WAIT);
}

/** Show them in the page's language. */
function showMisread() {
  byId("misread").hidden = !misread?.digits.length;
  if (!misread) return;
  const { count, all, digits } = misread;
  byId("misread-help").textContent = say("misread_help", { count, all });
  byId("misread-digits").replaceChildren(...digits.map(showMisreadDigit));
}

/** @param {MisreadDigit} shown @returns {HTMLElement} a button that puts it on the paper */
function showMisreadDigit({ label, digit, probability, levels }) {
  const frame = Uint8Array.from(atob(levels), (letter) => letter.charCodeAt(0));
  const image = makeCanvas(SIDE, SIDE);
  const pixels = contextOf(image).createImageData(SIDE, SIDE);
  frame.forEach((level, index) => pixels.data.set([level, level, level, 255], 4 * index));
  contextOf(image).putImageData(pixels, 0, 0);
  image.className = "pixels";
  const item = element("li");
  const button = element("button");
  button.setAttribute("type", "button");
  const seen = [element("span", "", `${label} → ${digit}`), element("span", "", percent(probability))];
  for (const text of seen) text.setAttribute("aria-hidden", "true");
  button.append(image, ...seen, element("span", "hidden", say("misread_one", { label, digit, probability: percent(probability) })));
  button.addEventListener("click", () => readMisread(image, frame));
  item.append(button);
  return item;
}

/** @param {HTMLCanvasElement} image @param {Uint8Array} levels of the same, read as they are */
function readMisread(image, levels) {
  paper.add({ kind: "picture", image, digits: [{ levels, box: inkBox(levels), alone: true }], milliseconds: 0 });
  byId("drop").scrollIntoView({ block: "nearest" });
  byId("reading").scrollIntoView({ block: "nearest" });
}

addEventListener("hashchange", showMisread);
whenIdle(() => askForMisread());
