// What can be pressed, dropped, pasted and typed, and the start of it all.

// --- the lesson ---

/** Show what is asked for, and what can be pressed. */
function showLesson() {
  const teaching = byId("lesson").open;
  byId("task").textContent = lesson.task;
  byId("wanted").textContent = lesson.finished ? say("all_there") : say("write", { digit: lesson.asked });
  byId("wanted").hidden = !teaching;
  byId("free").hidden = teaching;
  byId("keep").disabled = !teaching || lesson.finished || paper.content() === null;
  byId("back").disabled = !lesson.kept.length;
  byId("download").disabled = lesson.kept.length < ENOUGH;
}

/** Keep the digit on the paper as the one that was asked for, and ask for the next. */
function keepDigit() {
  if (scheduled) readPaper();
  if (answers.length !== 1) return tell(say("write_one", { digit: lesson.asked }));
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

// --- the language ---

/** Put the page into the language of its address, such as `#de`, or else of the browser. */
function translate() {
  language = findLanguage([location.hash.slice(1), ...navigator.languages]);
  document.documentElement.lang = language;
  document.title = `${say("title")}: under10k`;
  const { parameters, side, limit } = document.body.dataset;
  const values = { parameters: Number(parameters), side: Number(side), limit: Number(limit) };
  for (const worded of document.querySelectorAll("[data-text]")) {
    worded.innerHTML = say(/** @type {HTMLElement} */ (worded).dataset.text ?? "", values);
  }
  for (const labelled of document.querySelectorAll("[data-label]")) {
    labelled.setAttribute("aria-label", say(/** @type {HTMLElement} */ (labelled).dataset.label ?? "", values));
  }
  byId("language").value = language;
  tell("");
  answers = answers.map((answer) => ({ ...answer, ...judge(answer.probabilities, answer) }));
  layerView.translate();
  lesson.show();
  show();
  closeUp.show();
}

// --- controls ---

/** @param {Spot | null} spot to look at up close */
function openPlace(spot) {
  if (spot && answers.length) closeUp.open(spot);
}

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
  closeUp.show();
});
byId("layers").addEventListener("click", (/** @type {MouseEvent} */ event) => openPlace(layerView.placeAt(event)));
byId("layers").addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
  if (event.pointerType === "mouse") closeUp.point(layerView.placeAt(event));
});
byId("layers").addEventListener("pointerleave", () => closeUp.point(null));
byId("frame").addEventListener("click", (/** @type {MouseEvent} */ event) => {
  openPlace({ layer: -1, map: 0, ...placeIn(byId("frame"), event) });
});
for (const tag of listLanguages()) {
  const choice = new Option(TEXTS.language_name[tag], tag);
  choice.lang = tag;
  byId("language").append(choice);
}
byId("language").addEventListener("change", () => location.replace(`#${byId("language").value}`)); // there, and nowhere else
addEventListener("hashchange", translate);
setPen();
translate();
whenIdle(() => rehearse());
