// What the page shows next to the paper: the frame, ten bars, and the maps of each layer.

/** @param {string} tag @param {string} [name] class @param {string} [text] @returns {HTMLElement} */
function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

/** @param {number} share @returns {string} */
function percent(share) {
  return `${(100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 0 : 1)} %`;
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
 * One row of maps: the last layer of a group, and what shows each map; `colours` are the image's pixels, one number each.
 * @typedef {{context: CanvasRenderingContext2D, image: ImageData, colours: Uint32Array}} Tile
 * @typedef {{last: number, names: string[], tiles: Tile[]}} Row
 */

/** The output maps of the layers, one row per group of layers. */
class Layers {
  /** @param {HTMLElement} list @param {Layer[]} layers */
  constructor(list, layers) {
    this.list = list;
    this.palette = readPalette(getComputedStyle(list));
    /** @type {Maps[] | null} */
    this.outputs = null;
    const shapes = runNetwork(layers, new Float64Array(SIDE * SIDE));
    this.rows = groupLayers(layers).map((group) => this.addRow(group, shapes[group.last], group.last === layers.length - 1));
    this.show(null);
  }

  /** @param {{last: number, names: string[]}} group @param {Maps} shape @param {boolean} final @returns {Row} */
  addRow(group, { channels, height, width }, final) {
    const item = element("li");
    const size = height === 1 ? `${channels} numbers` : `${channels} maps of ${height}×${width}`;
    const name = element("span", "name", group.names.join(", "));
    name.append(element("span", "size", size));
    const maps = element("div", height < 4 ? "maps pixels small" : "maps pixels");
    maps.setAttribute("role", "img");
    maps.setAttribute("aria-label", `${group.names.join(", ")}: ${size}`);
    const tiles = Array.from({ length: channels }, (_, channel) => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      const tile = element("div");
      tile.append(canvas);
      if (final) tile.append(element("span", "", `${channel}`));
      maps.append(tile);
      const context = contextOf(canvas);
      const image = context.createImageData(width, height);
      return { context, image, colours: new Uint32Array(image.data.buffer) };
    });
    item.append(name, maps);
    this.list.append(item);
    return { ...group, tiles };
  }

  /** @param {Maps[] | null} outputs of each layer; null: the paper is blank */
  show(outputs) {
    this.outputs = outputs;
    for (const { last, tiles } of this.rows) {
      const values = outputs?.[last].values;
      const scale = values ? 127 / largestSize(values) : 0;
      tiles.forEach(({ context, image, colours }, channel) => {
        const first = channel * colours.length;
        for (let index = 0; index < colours.length; index++) {
          colours[index] = this.palette[values ? Math.round(scale * values[first + index]) + 127 : 127];
        }
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

/** @param {Float64Array} values @returns {number} the distance from 0 of the farthest; never 0 */
function largestSize(values) {
  const { least, most } = range(values);
  return Math.max(-least, most, 1e-9);
}

/**
 * Group layers for showing: a convolution goes with the normalisation before it and the max pool after it.
 * @param {Layer[]} layers @returns {Array<{last: number, names: string[]}>}
 */
function groupLayers(layers) {
  /** @type {Array<{last: number, names: string[]}>} */
  const groups = [];
  layers.forEach((layer, index) => {
    const names = layer.kind === "affine" ? [] : [describe(layer)];
    const open = groups[groups.length - 1];
    const joins = open && (layer.kind === "affine" || layer.kind === "max pool" || !open.names.length);
    if (joins) groups[groups.length - 1] = { last: index, names: [...open.names, ...names] };
    else groups.push({ last: index, names });
  });
  return groups;
}

/** @param {Layer} layer @returns {string} */
function describe(layer) {
  switch (layer.kind) {
    case "convolution":
      return `${layer.shape[2]}×${layer.shape[3]} convolution`;
    case "skip":
      return `${layer.layers.filter((part) => part.kind === "convolution").map(describe).join(", ")}, added to its input`;
    default:
      return layer.kind;
  }
}
