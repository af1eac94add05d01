// What the page shows next to the paper: the frame, ten bars, and the maps of each layer.

/** @param {string} tag @param {string} [name] class @param {string} [text] @returns {HTMLElement} */
function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

/** Ten bars, one per digit. */
class Bars {
  /** @param {HTMLElement} list */
  constructor(list) {
    /** @type {Array<{item: HTMLElement, fill: HTMLElement, share: HTMLElement}>} */
    this.rows = Array.from({ length: CLASSES }, (_, digit) => {
      const [item, track] = [element("li"), element("span", "track")];
      const [fill, share] = [element("span", "fill"), element("span", "share")];
      track.append(fill);
      item.append(element("span", "", `${digit}`), track, share);
      list.append(item);
      return { item, fill, share };
    });
    this.show(null);
  }

  /** @param {number[] | null} probabilities null: the paper is blank */
  show(probabilities) {
    const best = probabilities ? Math.max(...probabilities) : NaN;
    this.rows.forEach(({ item, fill, share }, digit) => {
      const probability = probabilities?.[digit] ?? 0;
      item.classList.toggle("best", probability === best);
      fill.style.setProperty("--share", `${100 * probability}%`);
      share.textContent = probabilities ? percent(probability) : "";
    });
  }
}

/** The 28 x 28 frame that goes into the network. */
class Frame {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = contextOf(canvas);
    this.image = this.context.createImageData(canvas.width, canvas.height);
  }

  /** @param {ArrayLike<number> | null} frame grey levels in 0..255 */
  show(frame) {
    const { data } = this.image;
    for (let index = 0; 4 * index < data.length; index++) {
      data[4 * index] = data[4 * index + 1] = data[4 * index + 2] = frame ? frame[index] : 0;
      data[4 * index + 3] = 255;
    }
    this.context.putImageData(this.image, 0, 0);
  }
}

/** @param {CSSStyleDeclaration} style @returns {Record<"against" | "blank" | "for" | "text", number[]>} red, green and blue */
function readTones(style) {
  /** @param {string} name @returns {number[]} */
  const read = (name) => {
    const colour = parseInt(style.getPropertyValue(`--${name}`).trim().slice(1), 16);
    return [colour >> 16, (colour >> 8) & 255, colour & 255];
  };
  return { against: read("against"), blank: read("blank"), for: read("for"), text: read("text") };
}

/**
 * Colours for values from -1 to 1, as a canvas stores them: 255 steps from `against` through `blank` to `for`.
 * @param {CSSStyleDeclaration} style @returns {Uint32Array}
 */
function readPalette(style) {
  const { against, blank, for: most } = readTones(style);
  const bytes = new Uint8ClampedArray(4 * 255);
  for (let step = -127; step <= 127; step++) {
    const share = (Math.abs(step) / 127) ** 0.7; // makes small values easier to see
    const end = step < 0 ? against : most;
    bytes.set([...blank.map((level, index) => level + share * (end[index] - level)), 255], 4 * (step + 127));
  }
  return new Uint32Array(bytes.buffer);
}

/**
 * Colour one map.
 * @param {Uint32Array} colours one number a pixel, to be written @param {Uint32Array} palette
 * @param {Float64Array | null} values of all maps; null: none @param {number} map @param {number} scale to -127..127
 */
function colourMap(colours, palette, values, map, scale) {
  const first = map * colours.length;
  for (let index = 0; index < colours.length; index++) {
    colours[index] = palette[values ? Math.round(scale * values[first + index]) + 127 : 127];
  }
}

/**
 * One row of maps: the last layer of a group, what names it, and what shows each map; `colours` are the image's pixels,
 * one number each.
 * @typedef {{context: CanvasRenderingContext2D, image: ImageData, colours: Uint32Array}} Tile
 * @typedef {{last: number, layers: Layer[], name: HTMLElement, maps: HTMLElement, shape: Maps, tiles: Tile[]}} Row
 */

/** The output maps of the layers, one row per group of layers. */
class Layers {
  /**
   * @param {HTMLElement} list @param {Layer[]} layers
   * @param {(layer: number) => void} onName called with the last layer of a row whose name is pressed
   */
  constructor(list, layers, onName) {
    this.list = list;
    list.replaceChildren();
    this.palette = readPalette(getComputedStyle(list));
    /** @type {Maps[] | null} */
    this.outputs = null;
    /** @type {Map<EventTarget, {layer: number, map: number}>} what each canvas shows */
    this.shown = new Map();
    const shapes = runNetwork(layers, new Float64Array(SIDE * SIDE));
    this.rows = groupLayers(layers).map((group) => this.addRow(group, shapes[group.last], group.last === layers.length - 1));
    for (const { name, last } of this.rows) name.addEventListener("click", () => onName(last));
    this.translate();
    this.show(null);
  }

  /** @param {{last: number, layers: Layer[]}} group @param {Maps} shape @param {boolean} final @returns {Row} */
  addRow(group, shape, final) {
    const { channels, height, width } = shape;
    const item = element("li");
    const name = element("button", "name");
    name.setAttribute("type", "button");
    const maps = element("div", height < 4 ? "maps pixels small" : "maps pixels");
    maps.setAttribute("role", "img");
    const tiles = Array.from({ length: channels }, (_, map) => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      this.shown.set(canvas, { layer: group.last, map });
      const tile = element("div");
      tile.append(canvas);
      if (final) tile.append(element("span", "", `${map}`));
      maps.append(tile);
      const context = contextOf(canvas);
      const image = context.createImageData(width, height);
      return { context, image, colours: new Uint32Array(image.data.buffer) };
    });
    item.append(name, maps);
    this.list.append(item);
    return { ...group, name, maps, shape, tiles };
  }

  /** Name the rows in the page's language. */
  translate() {
    for (const { layers, name, maps, shape } of this.rows) {
      const { channels, height, width } = shape;
      const text = layers.filter(({ kind }) => kind !== "affine").map(describe).join(", ");
      const size = height === 1 ? say("numbers", { channels }) : say("maps", { channels, height, width });
      name.replaceChildren(element("span", "word", text), " ", element("span", "size", size));
      name.title = say("look_closer");
      maps.setAttribute("aria-label", `${text}: ${size}`);
    }
  }

  /** @param {MouseEvent} event @returns {{layer: number, map: number, y: number, x: number} | null} the place it points at */
  placeAt(event) {
    const found = event.target && this.shown.get(event.target);
    return found ? { ...found, ...placeIn(/** @type {HTMLCanvasElement} */ (event.target), event) } : null;
  }

  /** Outline the map that is looked at up close. @param {{layer: number, map: number} | null} spot */
  mark(spot) {
    for (const [canvas, { layer, map }] of this.shown) {
      /** @type {HTMLElement} */ (canvas).classList.toggle("looked-at", layer === spot?.layer && map === spot.map);
    }
  }

  /** @param {Maps[] | null} outputs of each layer; null: the paper is blank */
  show(outputs) {
    this.outputs = outputs;
    for (const { last, tiles } of this.rows) {
      const values = outputs && outputs[last].values;
      const scale = values ? 127 / largestSize(values) : 0;
      tiles.forEach(({ context, image, colours }, map) => {
        colourMap(colours, this.palette, values, map, scale);
        context.putImageData(image, 0, 0);
      });
    }
  }

  /** Show the same maps in the current colours. */
  repaint() {
    this.palette = readPalette(getComputedStyle(this.list));
    this.show(this.outputs);
  }
}

/** @param {HTMLCanvasElement} canvas @param {MouseEvent} event @returns {{y: number, x: number}} the pixel it points at */
function placeIn(canvas, { clientX, clientY }) {
  const box = canvas.getBoundingClientRect();
  /** @param {number} share @param {number} side @returns {number} */
  const pixel = (share, side) => Math.min(Math.max(Math.floor(share * side), 0), side - 1);
  return { y: pixel((clientY - box.top) / box.height, canvas.height), x: pixel((clientX - box.left) / box.width, canvas.width) };
}

/** @param {Float64Array} values @returns {number} the distance from 0 of the farthest; never 0 */
function largestSize(values) {
  const { least, most } = range(values);
  return Math.max(-least, most, 1e-9);
}

/**
 * Group layers for showing: a convolution goes with the normalisation before it and the max pool after it.
 * @param {Layer[]} layers @returns {Array<{last: number, layers: Layer[]}>}
 */
function groupLayers(layers) {
  /** @type {Array<{last: number, layers: Layer[]}>} */
  const groups = [];
  layers.forEach((layer, index) => {
    const open = groups[groups.length - 1];
    const joins = open && (layer.kind === "affine" || layer.kind === "max pool" || open.layers.every(({ kind }) => kind === "affine"));
    if (joins) groups[groups.length - 1] = { last: index, layers: [...open.layers, layer] };
    else groups.push({ last: index, layers: [layer] });
  });
  return groups;
}

/** @param {Layer} layer @returns {string} */
function describe(layer) {
  switch (layer.kind) {
    case "convolution":
      return say("convolution", { height: layer.shape[2], width: layer.shape[3] });
    case "skip":
      return say("skip", { layers: layer.layers.filter(({ kind }) => kind === "convolution").map(describe).join(", ") });
    default:
      return say(layer.kind.replace(" ", "_"));
  }
}
