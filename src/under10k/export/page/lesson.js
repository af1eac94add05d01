// The lesson: a person's own digits, asked for one by one, shown as framed, and kept for a download.

/** How often each digit is asked for. */
const EXAMPLES = 5;

/** From here on there are two of each digit, which a training needs. */
const ENOUGH = 2 * CLASSES;

/** Side of a frame's place on the sheet, in pixels. */
const PLACE = SIDE + 2;

class Lesson {
  /** @param {HTMLCanvasElement} sheet shows a row for each time that the ten digits are asked for */
  constructor(sheet) {
    this.sheet = sheet;
    [sheet.width, sheet.height] = [CLASSES * PLACE, EXAMPLES * PLACE];
    /** @type {Uint8Array[]} frames, from 0 to 9 and from 0 again */
    this.kept = [];
  }

  /** @returns {number} the digit that is asked for */
  get asked() {
    return this.kept.length % CLASSES;
  }

  /** @returns {boolean} whether all have been written */
  get finished() {
    return this.kept.length === EXAMPLES * CLASSES;
  }

  /** @returns {string} what to do next */
  get task() {
    const round = Math.floor(this.kept.length / CLASSES) + 1;
    return this.finished ? say("download_all") : say("task", { digit: this.asked, round, rounds: EXAMPLES });
  }

  /** @param {Uint8Array} levels of the frame of the digit asked for */
  keep(levels) {
    this.kept.push(levels);
    this.show();
  }

  /** Forget the last one, so that it is asked for again. */
  takeBack() {
    this.kept.pop();
    this.show();
  }

  show() {
    const context = contextOf(this.sheet);
    context.clearRect(0, 0, this.sheet.width, this.sheet.height);
    this.kept.forEach((levels, index) => {
      const image = context.createImageData(SIDE, SIDE);
      levels.forEach((level, pixel) => image.data.set([level, level, level, 255], 4 * pixel));
      context.putImageData(image, (index % CLASSES) * PLACE, Math.floor(index / CLASSES) * PLACE);
    });
    this.sheet.setAttribute("aria-label", this.kept.length ? say("kept", { kept: this.kept.length, all: EXAMPLES * CLASSES }) : say("none_kept"));
  }

  /** @returns {Uint8Array} a zip of a folder for each digit, as `under10k train --data` takes it */
  zip() {
    return writeZip(
      this.kept.map((levels, index) => ({
        name: `${index % CLASSES}/${Math.floor(index / CLASSES) + 1}.png`,
        content: writePng(levels, SIDE),
      })),
    );
  }
}
