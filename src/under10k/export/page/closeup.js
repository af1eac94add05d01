// Up close: one number of one map, what it was computed from, and what it sees of the frame.

/** How long the paper rests before the numbers follow it, in milliseconds. */
const CLOSE_UP_AFTER = 100;

/** Side of its two pictures, in pixels; a frame's pixels are as many each as fit. */
const CLOSE_UP_SIDE = 8 * SIDE;

/**
 * A place of what a layer makes; layer -1 is the frame.
 * @typedef {Place & {layer: number}} Spot
 */

class CloseUp {
  /**
   * @param {HTMLElement} panel @param {Layer[]} layers
   * @param {(field: Box | null, spot: Spot | null) => void} onField is given what a place sees of the frame, in its pixels
   * @param {(words: string, after?: number) => void} announce for screen readers
   */
  constructor(panel, layers, onField, announce) {
    this.panel = panel;
    this.layers = layers;
    this.onField = onField;
    this.announce = announce;
    /** @param {string} name @returns {any} */
    const part = (name) => panel.querySelector(`.${name}`);
    this.parts = {
      layer: part("layer"), layerName: part("layer-name"), map: part("map"), mapName: part("map-name"), empty: part("empty"),
      body: part("body"), field: part("field"), picture: part("picture"), place: part("place"), numbers: part("sums"), close: part("close"),
    };
    this.parts.layer.max = layers.length;
    for (const canvas of [this.parts.field, this.parts.picture]) canvas.width = canvas.height = CLOSE_UP_SIDE;
    /** @type {Answer | null} */
    this.answer = null;
    /** @type {Spot} what was chosen */
    this.spot = { layer: -1, map: 0, y: 0, x: 0 };
    /** @type {Spot | null} what the mouse rests on */
    this.pointed = null;
    /** @type {Element | null} where the keyboard was before */
    this.opener = null;
    this.timer = 0;
    this.listen();
  }

  listen() {
    const { layer, map, picture, field, close } = this.parts;
    layer.addEventListener("input", () => this.choose(this.scaled(Number(layer.value) - 1)));
    map.addEventListener("input", () => this.choose({ ...this.spot, map: Number(map.value) - 1 }));
    picture.addEventListener("click", (/** @type {MouseEvent} */ event) => this.choose(this.spotIn(event)));
    picture.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => event.pointerType === "mouse" && this.point(this.spotIn(event)));
    picture.addEventListener("pointerleave", () => this.point(null));
    picture.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    field.addEventListener("click", (/** @type {MouseEvent} */ event) => this.choose({ layer: -1, map: 0, ...scaledPlace(placeIn(field, event), field, { height: SIDE, width: SIDE }) }));
    close.addEventListener("click", () => this.close());
    this.panel.addEventListener("keydown", ({ key }) => key === "Escape" && this.close());
  }

  /** @returns {boolean} */
  get isOpen() {
    return !this.panel.hidden;
  }

  /** @param {number} layer @returns {Maps} what it makes; of -1, the frame, from 0 to 1 */
  mapsOf(layer) {
    const { levels, outputs } = /** @type {Answer} */ (this.answer);
    return layer < 0 ? { channels: 1, height: SIDE, width: SIDE, values: Float64Array.from(levels, (level) => level / 255) } : outputs[layer];
  }

  /** @param {MouseEvent} event on the picture @returns {Spot} */
  spotIn(event) {
    const { picture } = this.parts;
    return { ...this.spot, ...scaledPlace(placeIn(picture, event), picture, this.mapsOf(this.spot.layer)) };
  }

  /** @param {number} layer @returns {Spot} the place in its maps that lies where the chosen one lies in its own */
  scaled(layer) {
    if (!this.answer) return { ...this.spot, layer };
    const to = this.mapsOf(layer);
    return { layer, map: Math.min(this.spot.map, to.channels - 1), ...scaledPlace(this.spot, this.mapsOf(this.spot.layer), to) };
  }

  // --- opening, choosing, closing ---

  /** Open with the largest number of a layer. @param {number} layer */
  openLayer(layer) {
    if (!this.answer) return this.open({ layer, map: 0, y: 0, x: 0 });
    const { height, width, values } = this.mapsOf(layer);
    const index = values.indexOf(range(values).most);
    this.open({ layer, map: Math.floor(index / (height * width)), y: Math.floor(index / width) % height, x: index % width });
  }

  /** @param {Spot} spot */
  open(spot) {
    if (!this.isOpen) this.opener = document.activeElement;
    this.panel.hidden = false;
    this.choose(spot);
    this.panel.scrollIntoView({ block: "nearest" });
    /** @type {HTMLElement} */ (this.answer ? this.parts.picture : this.parts.close).focus({ preventScroll: true });
  }

  close() {
    this.panel.hidden = true;
    this.onField(null, null);
    if (this.opener instanceof HTMLElement) this.opener.focus();
  }

  /** Close, and look into other layers from now on. @param {Layer[]} layers */
  use(layers) {
    this.opener = null; // the keyboard stays where it is
    this.close();
    this.layers = layers;
    this.parts.layer.max = layers.length;
  }

  /** @param {Spot} spot */
  choose(spot) {
    this.spot = spot;
    this.pointed = null;
    this.show();
  }

  /** Look at a place while the mouse rests on it. @param {Spot | null} spot */
  point(spot) {
    if (!this.isOpen || !this.answer || JSON.stringify(spot) === JSON.stringify(this.pointed)) return;
    this.pointed = spot;
    this.show();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const move = MOVES[event.key];
    if (!move || !this.answer || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { height, width } = this.mapsOf(this.spot.layer);
    const [y, x] = [this.spot.y + move[1], this.spot.x + move[0]];
    this.choose({ ...this.spot, y: Math.min(Math.max(y, 0), height - 1), x: Math.min(Math.max(x, 0), width - 1) });
    this.announce(this.parts.picture.getAttribute("aria-label"), 150);
  }

  /** Follow the paper, once it has rested. @param {Answer | null} answer */
  look(answer) {
    if (answer === this.answer) return;
    this.answer = answer;
    this.pointed = null;
    clearTimeout(this.timer);
    if (this.isOpen) this.timer = setTimeout(() => this.show(), CLOSE_UP_AFTER);
  }

  // --- showing ---

  /** Show the place in the page's current language and colours. */
  show() {
    if (!this.isOpen) return;
    const { layer, layerName, map, mapName, empty, body } = this.parts;
    const spot = this.pointed ?? this.spot;
    const name = spot.layer < 0 ? say("input") : this.layers[spot.layer].kind === "affine" ? say("affine") : describe(this.layers[spot.layer]);
    layer.value = spot.layer + 1;
    layerName.textContent = say("layer_of", { layer: spot.layer + 1, layers: this.layers.length, name });
    layer.setAttribute("aria-valuetext", layerName.textContent);
    empty.hidden = this.answer !== null;
    body.hidden = map.parentElement.hidden = this.answer === null;
    if (!this.answer) return this.onField(null, null);
    const { channels } = this.mapsOf(spot.layer);
    map.max = channels;
    map.value = spot.map + 1;
    map.disabled = channels === 1;
    mapName.textContent = say("map_of", { map: spot.map + 1, maps: channels });
    map.setAttribute("aria-valuetext", mapName.textContent);
    this.showPictures(spot, name);
    this.showNumbers(spot);
  }

  /** @param {Spot} spot @param {string} name of its layer */
  showPictures(spot, name) {
    const { field, picture, place } = this.parts;
    const tones = getComputedStyle(this.panel);
    const accent = tones.getPropertyValue("--accent");
    const maps = this.mapsOf(spot.layer);
    const seen = fieldOf(this.layers.slice(0, spot.layer + 1), spot);
    const one = { top: spot.y, left: spot.x, bottom: spot.y + 1, right: spot.x + 1 };
    drawMap(field, this.mapsOf(-1), 0, greys(), seen, accent);
    drawMap(picture, maps, spot.map, readPalette(tones), one, accent);
    const words = say("place", { row: spot.y + 1, column: spot.x + 1 });
    const value = writeNumber(maps.values[(spot.map * maps.height + spot.y) * maps.width + spot.x], 2);
    place.replaceChildren(words, " ", element("strong", "", value));
    picture.setAttribute("aria-label", say("map_label", { name, map: spot.map + 1, place: words, value }));
    field.setAttribute("aria-label", say("field_label", { top: seen.top + 1, bottom: seen.bottom, left: seen.left + 1, right: seen.right }));
    this.onField(seen, spot);
  }

  /** @param {Spot} spot */
  showNumbers(spot) {
    const { numbers } = this.parts;
    const answer = /** @type {Answer} */ (this.answer);
    const style = readTones(getComputedStyle(this.panel));
    if (spot.layer < 0) {
      const level = answer.levels[spot.y * SIDE + spot.x];
      numbers.replaceChildren(element("p", "", say("pixel", { level, value: writeNumber(level / 255, 2) })));
      return;
    }
    const origin = traceNumber(this.layers[spot.layer], this.mapsOf(spot.layer - 1), this.mapsOf(spot.layer), spot);
    const lines = writeOrigin(origin, spot.layer === 0, style);
    if (spot.layer === this.layers.length - 1) {
      const probability = softmax(this.mapsOf(spot.layer).values)[spot.map];
      lines.push(element("p", "", say("score", { digit: spot.map, probability: percent(probability) })));
    }
    numbers.replaceChildren(...lines, element("p", "small", say("rounded")));
  }
}

/**
 * @param {{y: number, x: number}} place @param {{height: number, width: number}} from @param {{height: number, width: number}} to
 * @returns {{y: number, x: number}} the place of `to` that lies where the other lies in `from`
 */
function scaledPlace({ y, x }, from, to) {
  return { y: Math.floor(((y + 0.5) * to.height) / from.height), x: Math.floor(((x + 0.5) * to.width) / from.width) };
}

/** @returns {Uint32Array} a palette that shows 0 to 1 as black to white */
function greys() {
  const bytes = new Uint8ClampedArray(4 * 255);
  for (let step = 0; step <= 127; step++) bytes.set([...new Array(3).fill((255 * step) / 127), 255], 4 * (step + 127));
  return new Uint32Array(bytes.buffer);
}

/**
 * Draw one map as large as a canvas, with some of its places outlined.
 * @param {HTMLCanvasElement} canvas @param {Maps} maps @param {number} map @param {Uint32Array} palette
 * @param {Box} box of places @param {string} colour
 */
function drawMap(canvas, { height, width, values }, map, palette, { top, left, bottom, right }, colour) {
  const small = makeCanvas(width, height);
  const image = contextOf(small).createImageData(width, height);
  colourMap(new Uint32Array(image.data.buffer), palette, values, map, 127 / largestSize(values));
  contextOf(small).putImageData(image, 0, 0);
  const context = contextOf(canvas);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  const [down, across] = [canvas.height / height, canvas.width / width];
  for (const [line, tone] of /** @type {[number, string][]} */ ([[6, "#fff"], [3, colour]])) {
    context.lineWidth = line;
    context.strokeStyle = tone;
    context.strokeRect(across * left + 3, down * top + 3, across * (right - left) - 6, down * (bottom - top) - 6);
  }
}
