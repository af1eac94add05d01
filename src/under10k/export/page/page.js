// The page: what is on the paper goes to the network, and its answer is shown.

/** @param {string} id @returns {any} the element, of whatever kind */
const byId = (id) => document.getElementById(id);

/** How long the paper rests before the answer is spoken, in milliseconds. */
const SPEAK_AFTER = 600;

/**
 * Drawings that are read before the first real one: browsers compile a program as it runs, and the first answers would
 * take ten times as long. A thin ring and a thick bar take both ways of redrawing strokes, so that nothing is left out.
 * @type {Stroke[]}
 */
const REHEARSED = [
  { kind: "stroke", width: 0.03, points: [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7], [0.3, 0.3]] },
  { kind: "stroke", width: 0.1, points: [[0.5, 0.4], [0.5, 0.6]] },
];
const REHEARSALS = 8;

let layers = readLayers(JSON.parse(byId("network").textContent));
const bars = new Bars(byId("bars"));
const frameView = new Frame(byId("frame"));
let layerView = showLayers();
const closeUp = new CloseUp(byId("close-up"), shownOf(layers), showField, speak);
const why = new Why(byId("why"), layers, showWhy);
const paper = new Paper(byId("paper"), paperChanged, speak);
const lesson = new Lesson(byId("sheet"));
const raster = contextOf(makeCanvas(RASTER, RASTER), { willReadFrequently: true });

/** Counts the paper's changes: a picture that is decoded after the next change is dropped. */
let changes = 0;
let scheduled = false;
let speaking = 0;
/** What the last reading took. */
let milliseconds = 0;

/**
 * A digit and what was read: its frame, how likely it is, and what each layer makes of it.
 * @typedef {Framed & ReturnType<typeof judge> & {outputs: Maps[]}} Answer
 */

/** @type {Answer[]} in reading order */
let answers = [];
/** The one whose frame, bars and layers are shown. */
let chosen = 0;

// --- reading ---

/** Read the paper before the next frame is drawn: once, however many events there were. */
function paperChanged() {
  changes++;
  paper.field = null;
  setCropping(false);
  tell("");
  if (!scheduled) requestAnimationFrame(readPaper);
  scheduled = true;
}

function readPaper() {
  scheduled = false;
  const start = performance.now();
  const content = paper.content();
  answers = content ? digitsOf(content).map((found) => answerOf(found)) : [];
  chosen = Math.min(chosen, Math.max(answers.length - 1, 0));
  milliseconds = performance.now() - start;
  show();
  if (content && !answers.length) tell(say("no_digit"));
}

/** @param {Framed} found @param {Layer[]} [network] the page's, unless another is named @returns {Answer} */
function answerOf(found, network = layers) {
  const shown = shownOf(network);
  const outputs = runNetwork(shown, found.levels);
  const [logits] = (network === shown ? outputs : runNetwork(network, found.levels)).slice(-1);
  return { ...found, ...judge(softmax(logits.values), found), outputs };
}

/** @param {Stroke[] | Picture | null} content @returns {string} how long reading it took, in words */
function timeTaken(content) {
  const isPicture = content !== null && !Array.isArray(content);
  const time = writeNumber(milliseconds + (isPicture ? content.milliseconds : 0), 1);
  return say(isPicture ? "time_opened" : "time_drawn", { time });
}

/** What the pen is drawing is not cut apart. @param {Stroke[] | Picture} content @returns {Framed[]} */
function digitsOf(content) {
  if (!Array.isArray(content)) return content.digits;
  const [x, y] = (paper.tip ?? [-1, -1]).map((share) => RASTER * share);
  /** @param {Found} found */
  const isDone = ({ box: { top, left, bottom, right } }) => x < left || x > right || y < top || y > bottom;
  return frameDigits(findOneOrMore(greyOf(content)), layers, isDone);
}

/** @param {Stroke[]} strokes @returns {Pixels} */
function greyOf(strokes) {
  raster.fillStyle = "white";
  raster.fillRect(0, 0, RASTER, RASTER);
  for (const stroke of strokes) drawStroke(raster, RASTER, stroke, "black");
  return toGrey(raster.getImageData(0, 0, RASTER, RASTER));
}

/** Show what was read: all digits as they are written, and of the chosen one all that is known. */
function show() {
  const content = paper.content();
  const isPicture = content !== null && !Array.isArray(content);
  const answer = answers[chosen] ?? null;
  const several = answers.length > 1;
  frameView.show(answer && answer.levels);
  layerView.show(answer && answer.outputs);
  bars.show(answer && answer.probabilities);
  why.explain(answer);
  const rows = splitRows(answers);
  if (several) byId("digit").replaceChildren(...rows.map(writeRow));
  else byId("digit").textContent = answer ? written(answer) : "\u2013";
  byId("digit").classList.toggle("unsure", !several && !answer?.confident);
  byId("reading").classList.toggle("several", several);
  byId("verdict").textContent = answer ? `${several ? `${answer.digit}: ` : ""}${answer.words}` : say("reads");
  byId("time").textContent = answer ? timeTaken(content) : "";
  byId("hint").hidden = content !== null;
  byId("undo").disabled = !paper.steps.length;
  byId("redo").disabled = !paper.undone.length;
  byId("clear").disabled = content === null;
  byId("crop").hidden = byId("turn").hidden = !isPicture;
  byId("pen").hidden = isPicture;
  paper.boxes = isPicture || several ? answers.map(({ box }, index) => ({ box: onPaper(box, content), chosen: several && index === chosen })) : [];
  showWhy();
  showLesson();
  closeUp.look(answer);
  speak(answer ? spoken(rows) : byId("lesson").open ? lesson.task : say("nothing_to_read"), SPEAK_AFTER);
  dispatchEvent(new Event("answer")); // for networks.js
}

/** @param {Layer[]} network @returns {Layer[]} those shown: of a network with several views, they look at the frame as it is */
function shownOf(network) {
  return network[0].kind === "views" ? network[0].layers : network;
}

/** Make a row of maps for each of the network's layers. @returns {Layers} */
function showLayers() {
  byId("views-help").hidden = layers === shownOf(layers);
  return new Layers(byId("layers"), shownOf(layers), (layer) => closeUp.openLayer(layer));
}

/** Tint the drawing by what speaks for its answer, if that is wanted, and draw the paper anew. */
function showWhy() {
  const wanted = byId("why-tint").getAttribute("aria-pressed") === "true";
  const content = paper.content();
  const found = wanted ? why.overlay(Array.isArray(content)) : null;
  paper.tint = found && { image: found.image, box: frameOnPaper(found.ink, onPaper(answers[chosen].box, content)) };
  paper.show();
}

/**
 * Outline on the drawing what a place up close sees of it, and the map that it is on.
 * @param {Box | null} field in the frame's pixels @param {Spot | null} spot
 */
function showField(field, spot) {
  layerView.mark(spot);
  const answer = answers[chosen];
  const whole = field && answer && frameOnPaper(inkBox(answer.levels), onPaper(answer.box, paper.content()));
  paper.field = whole && boxWithin(whole, field);
  paper.show();
}

/** @param {Box} whole of the frame, in shares of the paper @param {Box} part in the frame's pixels @returns {Box} in shares */
function boxWithin(whole, { top, left, bottom, right }) {
  const pixel = (whole.bottom - whole.top) / SIDE;
  return { top: whole.top + pixel * top, left: whole.left + pixel * left, bottom: whole.top + pixel * bottom, right: whole.left + pixel * right };
}

/** @param {Answer[]} row @returns {HTMLElement} a button for each digit, which shows what is known of it */
function writeRow(row) {
  const line = element("div", "row");
  for (const answer of row) {
    const glyph = element("button", answer.confident ? "glyph" : "glyph unsure", `${answer.digit}`);
    glyph.setAttribute("type", "button");
    glyph.setAttribute("aria-pressed", `${answer === answers[chosen]}`);
    glyph.title = answer.words;
    glyph.addEventListener("click", () => {
      chosen = answers.indexOf(answer);
      show();
      /** @type {HTMLElement} */ (document.querySelectorAll(".glyph")[chosen]).focus();
    });
    line.append(glyph);
  }
  return line;
}

/** @param {Answer[][]} rows @returns {string} */
function spoken(rows) {
  const [{ digit, likely, words }, ...others] = answers;
  if (!others.length) return say(likely ? "read_as" : "not_read", { digit, words });
  const count = answers.filter(({ confident }) => !confident).length;
  const digits = rows.map((row) => row.map((each) => each.digit).join(" ")).join(", ");
  return [say("read_row", { digits }), ...(count ? [say("unsure_of", { count })] : [])].join(" ");
}

/** @param {Box} box of ink @param {Stroke[] | Picture | null} content @returns {Box} in shares of the paper's side */
function onPaper({ top, left, bottom, right }, content) {
  if (!content || Array.isArray(content)) {
    return { top: top / RASTER, left: left / RASTER, bottom: bottom / RASTER, right: right / RASTER };
  }
  const place = placeOf(content.image);
  const most = Math.max(content.image.width, content.image.height);
  const share = (0.94 / most) * Math.max(1, most / WORKING_SIDE);
  return {
    top: place.top + share * top,
    left: place.left + share * left,
    bottom: place.top + share * bottom,
    right: place.left + share * right,
  };
}

/** @param {Answer} answer @returns {string} its digit, unless there may be none */
function written(answer) {
  return answer.likely ? `${answer.digit}` : "?";
}

/**
 * Have a screen reader say something, unless something newer comes first.
 * @param {string} words @param {number} [after] milliseconds
 */
function speak(words, after = 0) {
  clearTimeout(speaking);
  speaking = setTimeout(() => (byId("spoken").textContent = words), after);
}

/** Read drawings while the browser is idle, until there is a real one. @param {number} [times] */
function rehearse(times = REHEARSALS) {
  if (!times || changes) return;
  digitsOf([REHEARSED[times % REHEARSED.length]]).forEach((found) => answerOf(found));
  whenIdle(() => rehearse(times - 1));
}

/** @param {() => void} act */
function whenIdle(act) {
  if ("requestIdleCallback" in window) requestIdleCallback(act);
  else setTimeout(act, 50); // Safari
}

/** @param {string} words to show; empty to clear */
function tell(words) {
  byId("message").textContent = words;
}
