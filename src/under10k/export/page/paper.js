// The paper: strokes and pictures, drawn with mouse, finger, pen or keyboard.

/** Side of the picture of the paper that goes to the network, in pixels. */
const RASTER = 100;

/** How far an arrow key moves the pen, as a share of the paper. */
const KEY_STEP = 0.02;
const LONG_KEY_STEP = 0.1;

/** @type {Record<string, [number, number]>} */
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * A line drawn with the pen; points and width are shares of the paper's side.
 * @typedef {{kind: "stroke", points: Array<[number, number]>, width: number}} Stroke
 *
 * A picture that was dropped, pasted or opened, and the time that it took to decode and frame.
 * @typedef {{kind: "picture", image: HTMLCanvasElement, digits: Framed[], milliseconds: number}} Picture
 *
 * @typedef {Stroke | Picture | {kind: "blank"}} Step
 */

class Paper {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} onChange called whenever the paper changes
   * @param {(words: string) => void} say announces what the pen does, for screen readers
   */
  constructor(canvas, onChange, say) {
    this.canvas = canvas;
    this.onChange = onChange;
    this.say = say;
    this.width = 0.07;
    /** @type {Step[]} what was done, oldest first; undo removes the last */
    this.steps = [];
    /** @type {Step[]} what was undone, the last at the end, until something else is done */
    this.undone = [];
    /** @type {{id: number, stroke: Stroke} | null} the current stroke, and the pointer that draws it */
    this.drawing = null;
    /** @type {{x: number, y: number, stroke: Stroke | null}} the pen that the arrow keys move */
    this.pen = { x: 0.5, y: 0.25, stroke: null };
    this.penShown = false;
    /** @type {Array<{box: Box, chosen: boolean}>} what is outlined, in shares of the paper's side */
    this.boxes = [];
    /** @type {{image: HTMLCanvasElement, box: Box} | null} what tints the ink, and where it lies */
    this.tint = null;
    /** @type {Box | null} what a place of a map sees of it */
    this.field = null;
    /** @type {Cut | null} what cuts out a part of the picture, while that is wanted */
    this.cut = null;
    this.listen();
    new ResizeObserver(() => this.show()).observe(canvas);
  }

  listen() {
    /** @param {string} name @param {(event: any) => void} listener */
    const on = (name, listener) => this.canvas.addEventListener(name, listener.bind(this));
    on("pointerdown", this.pointerDown);
    // a stroke is no swipe: or else the browser takes a tap right after it for the end of one, and the button misses it
    this.canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    on("pointermove", this.pointerMove);
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) on(name, this.pointerEnd);
    on("keydown", this.keyDown);
    on("focus", () => this.showPen(this.canvas.matches(":focus-visible")));
    on("blur", () => this.showPen(false));
  }

  // --- what is on it ---

  /** @returns {Stroke[] | Picture | null} strokes, a picture, or nothing */
  content() {
    const last = this.steps.at(-1);
    if (!last || last.kind === "blank") return null;
    if (last.kind === "picture") return last;
    const start = this.steps.findLastIndex((step) => step.kind !== "stroke") + 1;
    return /** @type {Stroke[]} */ (this.steps.slice(start));
  }

  /** @param {Step} step */
  add(step) {
    this.steps.push(step);
    this.undone = [];
    this.changed();
  }

  undo() {
    this.move(this.steps, this.undone);
  }

  redo() {
    this.move(this.undone, this.steps);
  }

  /** @param {Step[]} from @param {Step[]} to */
  move(from, to) {
    this.lift();
    const step = from.pop();
    if (!step) return;
    to.push(step);
    this.changed();
  }

  clear() {
    this.lift();
    if (this.content()) this.add({ kind: "blank" });
  }

  changed() {
    this.show();
    this.onChange();
  }

  /** @returns {number[] | null} where the pen is, in shares of the paper's side; null while it is up */
  get tip() {
    const stroke = this.drawing?.stroke ?? this.pen.stroke;
    return stroke ? stroke.points[stroke.points.length - 1].map(clamp) : null;
  }

  // --- mouse, finger and pen ---

  /** @param {PointerEvent} event */
  pointerDown(event) {
    if (this.drawing || event.button !== 0) return; // a palm beside the pen, or another button
    this.penShown = false;
    this.canvas.setPointerCapture(event.pointerId);
    if (this.cut) return this.cut.dragFrom(this.place(event));
    this.lift();
    const stroke = this.newStroke(this.place(event));
    this.drawing = { id: event.pointerId, stroke };
    this.add(stroke);
  }

  /** @param {PointerEvent} event */
  pointerMove(event) {
    if (this.cut) {
      this.cut.dragTo(this.place(event));
      this.show();
    }
    if (event.pointerId !== this.drawing?.id) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.drawing.stroke.points.push(this.place(each));
    this.changed();
  }

  /** @param {PointerEvent} event */
  pointerEnd(event) {
    if (event.pointerId === this.drawing?.id) this.lift();
    this.cut?.dragEnd(event.type === "pointerup");
    this.show();
  }

  /** @param {MouseEvent} event @returns {[number, number]} */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  /** @param {[number, number]} point @returns {Stroke} */
  newStroke(point) {
    return { kind: "stroke", points: [point], width: this.width };
  }

  // --- keyboard ---

  /** @param {KeyboardEvent} event */
  keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = MOVES[event.key];
    if (this.cut) {
      if (!this.cut.key(event)) return;
      this.show();
    } else if (move) this.movePen(move, event.shiftKey ? LONG_KEY_STEP : KEY_STEP);
    else if (event.key === " " && !event.repeat) this.turnPen();
    else if (event.key === "Escape") this.lift();
    else return;
    event.preventDefault();
  }

  /** @param {number[]} direction @param {number} step */
  movePen([x, y], step) {
    this.pen.x = Math.min(Math.max(this.pen.x + x * step, 0), 1);
    this.pen.y = Math.min(Math.max(this.pen.y + y * step, 0), 1);
    this.pen.stroke?.points.push([this.pen.x, this.pen.y]);
    this.showPen(true);
    if (this.pen.stroke) this.changed();
  }

  /** Put the keyboard's pen down, or lift it. */
  turnPen() {
    this.showPen(true);
    if (this.pen.stroke) {
      this.lift();
      this.say(say("pen_up"));
    } else {
      this.pen.stroke = this.newStroke([this.pen.x, this.pen.y]);
      this.add(this.pen.stroke);
      this.say(say("pen_down"));
    }
  }

  lift() {
    const wasDown = this.tip !== null;
    this.pen.stroke = null;
    this.drawing = null;
    this.show();
    if (wasDown) this.onChange();
  }

  // --- what it looks like ---

  /** @param {boolean} shown */
  showPen(shown) {
    this.penShown = shown;
    this.show();
  }

  /** Draw what is on the paper, at the screen's own resolution. */
  show() {
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (!side) return;
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    const context = contextOf(this.canvas);
    const colours = getComputedStyle(this.canvas);
    context.clearRect(0, 0, side, side);
    this.draw(context, side, colours.getPropertyValue("--ink"));
    if (this.tint) drawTint(context, side, this.tint);
    const accent = colours.getPropertyValue("--accent");
    for (const { box, chosen } of this.boxes) drawBox(context, side, box, accent, chosen ? 3 : 1);
    if (this.field) drawBox(context, side, this.field, accent, 2);
    if (this.cut?.box) drawBox(context, side, this.cut.box, accent, 2);
    if (this.penShown && !this.cut) drawPen(context, side, this.pen, this.width, colours.getPropertyValue("--accent"));
  }

  /** @param {CanvasRenderingContext2D} context @param {number} side @param {string} ink */
  draw(context, side, ink) {
    const content = this.content();
    if (Array.isArray(content)) for (const stroke of content) drawStroke(context, side, stroke, ink);
    else if (content) drawPicture(context, side, content.image);
  }
}

/**
 * Draw a stroke as one smooth line: curves from the middle between two points to the middle between the next two.
 * @param {CanvasRenderingContext2D} context @param {number} side of the paper, in pixels
 * @param {Stroke} stroke @param {string} ink
 */
function drawStroke(context, side, { points, width }, ink) {
  /** @type {Array<[number, number]>} */
  const at = points.map(([x, y]) => [x * side, y * side]);
  context.strokeStyle = context.fillStyle = ink;
  context.lineWidth = width * side;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  if (at.every(([x, y]) => x === at[0][0] && y === at[0][1])) { // a dot: a canvas draws no line of length 0
    context.arc(at[0][0], at[0][1], (width * side) / 2, 0, 2 * Math.PI);
    context.fill();
    return;
  }
  context.moveTo(...at[0]);
  for (let index = 1; index < at.length - 1; index++) {
    const [[x, y], [nextX, nextY]] = [at[index], at[index + 1]];
    context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  context.lineTo(...at[at.length - 1]);
  context.stroke();
}

/** @param {CanvasRenderingContext2D} context @param {number} side @param {Box} box @param {string} colour @param {number} width */
function drawBox(context, side, { top, left, bottom, right }, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width * devicePixelRatio;
  context.strokeRect(left * side, top * side, (right - left) * side, (bottom - top) * side);
}

/** @param {CanvasRenderingContext2D} context @param {number} side @param {{image: HTMLCanvasElement, box: Box}} tint */
function drawTint(context, side, { image, box: { top, left, bottom, right } }) {
  context.globalCompositeOperation = "source-atop"; // where something is drawn already
  context.imageSmoothingEnabled = true;
  context.drawImage(image, left * side, top * side, (right - left) * side, (bottom - top) * side);
  context.globalCompositeOperation = "source-over";
}

/**
 * Where a picture lies on the paper: in the middle, as large as fits.
 * @param {{width: number, height: number}} image @returns {Box} in shares of the paper's side
 */
function placeOf({ width, height }) {
  const scale = 0.47 / Math.max(width, height);
  const [across, down] = [width * scale, height * scale];
  return { top: 0.5 - down, left: 0.5 - across, bottom: 0.5 + down, right: 0.5 + across };
}

/** @param {CanvasRenderingContext2D} context @param {number} side @param {HTMLCanvasElement} image */
function drawPicture(context, side, image) {
  const { top, left, bottom, right } = placeOf(image);
  context.imageSmoothingEnabled = (right - left) * side < 4 * image.width; // show the pixels of a tiny picture
  context.drawImage(image, left * side, top * side, (right - left) * side, (bottom - top) * side);
}

/**
 * Draw the keyboard's pen: a ring, filled while the pen is down.
 * @param {CanvasRenderingContext2D} context @param {number} side
 * @param {{x: number, y: number, stroke: Stroke | null}} pen @param {number} width @param {string} colour
 */
function drawPen(context, side, pen, width, colour) {
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = side / 150;
  context.beginPath();
  context.arc(pen.x * side, pen.y * side, (width * side) / 2 + context.lineWidth, 0, 2 * Math.PI);
  if (pen.stroke) context.fill();
  context.stroke();
}
