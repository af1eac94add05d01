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
const why = new Why(byId("why"), layers, showWhy);
const paper = new Paper(byId("paper"), paperChanged, speak);
const lesson = new Lesson(byId("sheet"));
const raster = contextOf(makeCanvas(RASTER, RASTER), { willReadFrequently: true });

/** Counts the paper's changes: a picture that is decoded after the next change is dropped. */
let changes = 0;
let scheduled = false;
let speaking = 0;

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
  setCropping(false);
  tell("");
  if (!scheduled) requestAnimationFrame(readPaper);
  scheduled = true;
}

function readPaper() {
  scheduled = false;
  const start = performance.now();
  const content = paper.content();
  answers = content ? digitsOf(content).map(answerOf) : [];
  chosen = Math.min(chosen, Math.max(answers.length - 1, 0));
  show();
  byId("time").textContent = answers.length ? timeTaken(content, performance.now() - start) : "";
  if (content && !answers.length) tell("No digit found: nothing there looks like ink.");
}

/** @param {Framed} found @returns {Answer} */
function answerOf(found) {
  const outputs = runNetwork(layers, found.levels);
  return { ...found, ...judge(softmax(outputs[outputs.length - 1].values), found), outputs };
}

/** @param {Stroke[] | Picture | null} content @param {number} milliseconds since it was there @returns {string} in words */
function timeTaken(content, milliseconds) {
  const isPicture = content !== null && !Array.isArray(content);
  const all = milliseconds + (isPicture ? content.milliseconds : 0);
  return `Read in ${all.toFixed(1)} ms, from ${isPicture ? "opening the file" : "the last stroke"} to this answer.`;
}

/** @param {Stroke[] | Picture} content @returns {Framed[]} */
function digitsOf(content) {
  return Array.isArray(content) ? frameDigits(findOneOrMore(greyOf(content)), layers) : content.digits;
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
  byId("verdict").textContent = answer ? `${several ? `${answer.digit}: ` : ""}${answer.words}` : "what it reads";
  byId("hint").hidden = content !== null;
  byId("undo").disabled = !paper.steps.length;
  byId("redo").disabled = !paper.undone.length;
  byId("clear").disabled = content === null;
  byId("crop").hidden = byId("turn").hidden = !isPicture;
  byId("pen").hidden = isPicture;
  paper.boxes = isPicture || several ? answers.map(({ box }, index) => ({ box: onPaper(box, content), chosen: several && index === chosen })) : [];
  showWhy();
  showLesson();
  speak(several ? spoken(rows) : answer ? `${answer.likely ? `Read as ${answer.digit}` : "Not read"}, ${answer.words}.` : byId("lesson").open ? lesson.task : "Nothing to read.", SPEAK_AFTER);
}

/** Tint the drawing by what speaks for its answer, if that is wanted, and draw the paper anew. */
function showWhy() {
  const wanted = byId("why-tint").getAttribute("aria-pressed") === "true";
  const content = paper.content();
  const found = wanted ? why.overlay(Array.isArray(content)) : null;
  paper.tint = found && { image: found.image, box: frameOnPaper(found.ink, onPaper(answers[chosen].box, content)) };
  paper.show();
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
  const unsure = answers.filter(({ confident }) => !confident).length;
  const digits = rows.map((row) => row.map(({ digit }) => digit).join(" ")).join(", ");
  return `Read as ${digits}.${unsure ? ` Unsure of ${unsure}.` : ""}`;
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
  digitsOf([REHEARSED[times % REHEARSED.length]]).forEach(answerOf);
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
  const mine = ++changes;
  const start = performance.now();
  try {
    const image = await decode(files[0]);
    if (mine !== changes) return;
    addPicture(image, start);
    if (files.length > 1) tell(`One picture at a time: this is ${files[0].name}.`);
  } catch (error) {
    if (mine !== changes) return;
    paper.clear(); // what was read before is no answer to this file
    tell(/** @type {Error} */ (error).message);
  }
}

/** @param {HTMLCanvasElement} image @param {number} start when its making began */
function addPicture(image, start) {
  const pixels = contextOf(image).getImageData(0, 0, image.width, image.height);
  const digits = frameDigits(findOneOrMore(toGrey(pixels)), layers);
  paper.add({ kind: "picture", image, digits, milliseconds: performance.now() - start });
}

/** Turn the picture clockwise by a quarter. */
function turnPicture() {
  const { image } = /** @type {Picture} */ (paper.content());
  const start = performance.now();
  const turned = makeCanvas(image.height, image.width);
  const context = contextOf(turned, { willReadFrequently: true });
  context.translate(image.height, 0);
  context.rotate(Math.PI / 2);
  context.drawImage(image, 0, 0);
  addPicture(turned, start);
}

/** @param {boolean} on whether a box over the picture cuts out a part @param {boolean} [byKeys] */
function setCropping(on, byKeys = false) {
  byId("crop").setAttribute("aria-pressed", `${on}`);
  paper.cut = on ? new Cut(placeOf(/** @type {Picture} */ (paper.content()).image), cutPicture, leaveCropping, speak) : null;
  if (!on) return;
  tell(byKeys ? "Arrow keys move the box, with Shift they size it. Enter takes it, Escape leaves it." : "Drag a box around what is to be read.");
  if (!byKeys) return;
  paper.cut?.outline();
  byId("paper").focus();
  paper.show();
}

function leaveCropping() {
  setCropping(false);
  tell("");
  paper.show();
  speak("The picture is whole.");
  byId("crop").focus();
}

/** @param {Box} box in shares of the paper */
function cutPicture(box) {
  const { image } = /** @type {Picture} */ (paper.content());
  const start = performance.now();
  const place = placeOf(image);
  const scale = image.width / (place.right - place.left);
  /** @param {number} share @param {number} first @param {number} most @returns {number} */
  const pixel = (share, first, most) => Math.min(Math.max(Math.round(scale * (share - first)), 0), most);
  const [left, right] = [box.left, box.right].map((share) => pixel(share, place.left, image.width));
  const [top, bottom] = [box.top, box.bottom].map((share) => pixel(share, place.top, image.height));
  if (Math.min(right - left, bottom - top) < SMALLEST_DIGIT) return tell("Too small a part. Take a larger box.");
  const part = makeCanvas(right - left, bottom - top);
  contextOf(part, { willReadFrequently: true }).drawImage(image, -left, -top);
  addPicture(part, start);
}

// --- the lesson ---

/** Show what is asked for, and what can be pressed. */
function showLesson() {
  const teaching = byId("lesson").open;
  byId("task").textContent = lesson.task;
  byId("wanted").textContent = lesson.finished ? "All are there" : `Write ${lesson.wanted}`;
  byId("wanted").hidden = !teaching;
  byId("free").hidden = teaching;
  byId("keep").disabled = !teaching || lesson.finished || paper.content() === null;
  byId("back").disabled = !lesson.kept.length;
  byId("download").disabled = lesson.kept.length < ENOUGH;
}

/** Keep the digit on the paper as the one that was asked for, and ask for the next. */
function keepDigit() {
  if (scheduled) readPaper();
  if (answers.length !== 1) return tell(`Write one digit: ${lesson.wanted}.`);
  lesson.keep(answers[0].levels);
  paper.clear();
}

function takeBack() {
  lesson.takeBack();
  showLesson();
  speak(lesson.task);
}

function downloadDigits() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (lesson.zip())], { type: "application/zip" }));
  link.download = "my-digits.zip";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // once the browser has saved it
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
byId("turn").addEventListener("click", turnPicture);
byId("crop").addEventListener("click", (/** @type {MouseEvent} */ event) => {
  if (paper.cut) leaveCropping();
  else setCropping(true, !event.detail); // a key clicks no number of times
});
byId("clear").addEventListener("click", () => paper.clear());
byId("why-tint").addEventListener("click", () => {
  const tint = byId("why-tint");
  tint.setAttribute("aria-pressed", `${tint.getAttribute("aria-pressed") !== "true"}`);
  showWhy();
});
byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", () => {
  openFiles(byId("file").files);
  byId("file").value = ""; // so that the same file can be chosen again
});
byId("width").addEventListener("input", setPen);
byId("lesson").addEventListener("toggle", showLesson);
byId("keep").addEventListener("click", keepDigit);
byId("back").addEventListener("click", takeBack);
byId("download").addEventListener("click", downloadDigits);
byId("paper").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key === "Enter" && !event.defaultPrevented && !byId("keep").disabled) keepDigit();
});
document.addEventListener("keydown", shortcut);
document.addEventListener("paste", (event) => openFiles(event.clipboardData?.files));
for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, /** @type {EventListener} */ (drag));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  why.repaint();
  showWhy();
  layerView.repaint();
});
setPen();
tell("");
show();
whenIdle(() => rehearse());
