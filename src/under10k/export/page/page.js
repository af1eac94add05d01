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

const layers = readLayers(JSON.parse(byId("network").textContent));
const bars = new Bars(byId("bars"));
const frameView = new Frame(byId("frame"));
const layerView = new Layers(byId("layers"), layers);
const paper = new Paper(byId("paper"), paperChanged, speak);
const raster = contextOf(makeCanvas(RASTER, RASTER), { willReadFrequently: true });

/** Counts the paper's changes: a picture that is decoded after the next change is dropped. */
let turn = 0;
let scheduled = false;
let speaking = 0;

// --- reading ---

/** Read the paper before the next frame is drawn: once, however many events there were. */
function paperChanged() {
  turn++;
  tell("");
  if (!scheduled) requestAnimationFrame(readPaper);
  scheduled = true;
}

function readPaper() {
  scheduled = false;
  const start = performance.now();
  const content = paper.content();
  const found = content && frameOf(content);
  const outputs = found && runNetwork(layers, found.levels);
  show(found, outputs);
  byId("time").textContent = outputs ? timeTaken(content, performance.now() - start) : "";
  if (content && !found) tell("No digit found: nothing there looks like ink.");
}

/** @param {Stroke[] | Picture | null} content @param {number} milliseconds since it was there @returns {string} in words */
function timeTaken(content, milliseconds) {
  const isPicture = content !== null && !Array.isArray(content);
  const all = milliseconds + (isPicture ? content.milliseconds : 0);
  return `Read in ${all.toFixed(1)} ms, from ${isPicture ? "opening the file" : "the last stroke"} to this answer.`;
}

/** @param {Stroke[] | Picture} content @returns {ReturnType<typeof makeFrame>} */
function frameOf(content) {
  if (!Array.isArray(content)) return content.frame;
  raster.fillStyle = "white";
  raster.fillRect(0, 0, RASTER, RASTER);
  for (const stroke of content) drawStroke(raster, RASTER, stroke, "black");
  return makeFrame(toGrey(raster.getImageData(0, 0, RASTER, RASTER)));
}

/**
 * @param {ReturnType<typeof makeFrame>} found @param {Maps[] | null} outputs of each layer
 * @returns {ReturnType<typeof judge> | null}
 */
function answerOf(found, outputs) {
  return found && outputs && judge(softmax(outputs[outputs.length - 1].values), found);
}

/** @param {ReturnType<typeof makeFrame>} found @param {Maps[] | null} outputs */
function show(found, outputs) {
  const answer = answerOf(found, outputs);
  frameView.show(found && found.levels);
  layerView.show(outputs);
  bars.show(answer && answer.probabilities);
  byId("digit").textContent = answer ? written(answer) : "\u2013";
  byId("digit").classList.toggle("unsure", !answer?.confident);
  byId("verdict").textContent = answer ? answer.words : "what it reads";
  byId("hint").hidden = paper.content() !== null;
  byId("undo").disabled = !paper.steps.length;
  byId("redo").disabled = !paper.undone.length;
  byId("clear").disabled = paper.content() === null;
  speak(answer ? `${answer.likely ? `Read as ${answer.digit}` : "Not read"}, ${answer.words}.` : "Nothing to read.", SPEAK_AFTER);
}

/** @param {ReturnType<typeof judge>} answer @returns {string} its digit, unless there may be none */
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
  if (!times || turn) return;
  const found = frameOf([REHEARSED[times % REHEARSED.length]]);
  answerOf(found, found && runNetwork(layers, found.levels));
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

// --- pictures ---

/** @param {FileList | undefined} files */
async function openFiles(files) {
  if (!files?.length) return tell("No picture there. Give a PNG, JPEG, WebP, GIF or BMP file.");
  const mine = ++turn;
  const start = performance.now();
  try {
    const image = await decode(files[0]);
    if (mine !== turn) return;
    const pixels = contextOf(image).getImageData(0, 0, image.width, image.height);
    const frame = makeFrame(toGrey(pixels));
    paper.add({ kind: "picture", image, frame, milliseconds: performance.now() - start });
    if (files.length > 1) tell(`One picture at a time: this is ${files[0].name}.`);
  } catch (error) {
    if (mine !== turn) return;
    paper.clear(); // what was read before is no answer to this file
    tell(/** @type {Error} */ (error).message);
  }
}

// --- controls ---

function setPen() {
  const hundredths = Number(byId("width").value);
  paper.width = hundredths / 100;
  byId("nib").style.setProperty("--nib", `${2 * hundredths}px`);
}

/** @param {KeyboardEvent} event */
function shortcut(event) {
  const key = event.key.toLowerCase();
  const command = event.ctrlKey || event.metaKey;
  if (command && key === "z" && !event.shiftKey) paper.undo();
  else if (command && (key === "z" || key === "y")) paper.redo();
  else if (event.key === "Delete" || event.key === "Backspace") paper.clear();
  else return;
  event.preventDefault();
}

/** @param {DragEvent} event */
function drag(event) {
  event.preventDefault(); // otherwise the browser opens the picture in place of the page
  byId("drop").classList.toggle("over", event.type === "dragover");
  if (event.type === "drop") openFiles(event.dataTransfer?.files);
}

byId("undo").addEventListener("click", () => paper.undo());
byId("redo").addEventListener("click", () => paper.redo());
byId("clear").addEventListener("click", () => paper.clear());
byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", () => {
  openFiles(byId("file").files);
  byId("file").value = ""; // so that the same file can be chosen again
});
byId("width").addEventListener("input", setPen);
document.addEventListener("keydown", shortcut);
document.addEventListener("paste", (event) => openFiles(event.clipboardData?.files));
for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, /** @type {EventListener} */ (drag));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  paper.show();
  layerView.repaint();
});
setPen();
tell("");
show(null, null);
whenIdle(() => rehearse());
