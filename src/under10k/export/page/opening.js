// Pictures opened, turned and cut.

/** @param {FileList | undefined} files */
async function openFiles(files) {
  if (!files?.length) return tell(say("no_picture"));
  const mine = ++changes;
  const start = performance.now();
  try {
    const image = await decode(files[0]);
    if (mine !== changes) return;
    addPicture(image, start);
    if (files.length > 1) tell(say("one_picture", { name: files[0].name }));
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
  tell(say(byKeys ? "crop_keys" : "crop_drag"));
  if (!byKeys) return;
  paper.cut?.outline();
  byId("paper").focus();
  paper.show();
}

function leaveCropping() {
  setCropping(false);
  tell("");
  paper.show();
  speak(say("picture_whole"));
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
  if (Math.min(right - left, bottom - top) < SMALLEST_DIGIT) return tell(say("too_small"));
  const part = makeCanvas(right - left, bottom - top);
  contextOf(part, { willReadFrequently: true }).drawImage(image, -left, -top);
  addPicture(part, start);
}
