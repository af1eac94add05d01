// The page's words: all stand in texts.json, a table of languages. Texts with markup are for elements that have a
// `data-text`; into those go numbers alone, never what a user or a file says.

/** The language that the page speaks: one of the table's. */
let language = "en";

/** @param {string} key of the table @param {Record<string, string | number>} [values] for its braces @returns {string} */
function say(key, values = {}) {
  /** @param {string} _ @param {string} name @returns {string} */
  const fill = (_, name) => (typeof values[name] === "number" ? writeNumber(values[name]) : values[name]);
  return TEXTS[key][language].replace(/\{(\w+)\}/g, fill);
}

/** @returns {string[]} the languages that the table has */
function listLanguages() {
  return Object.keys(TEXTS.title);
}

/** @param {readonly string[]} wanted language tags, the best first @returns {string} the first one that the table has */
function findLanguage(wanted) {
  const known = listLanguages();
  return wanted.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => known.includes(tag)) ?? "en";
}

/** @type {Map<string, Intl.NumberFormat>} made once each: it takes longer than using them */
const numberFormats = new Map();

/**
 * Write a number as the page's language does.
 * @param {number} value @param {number} [digits] after the point; without it, as many as it takes, up to three
 * @param {"decimal" | "percent"} [style] @returns {string}
 */
function writeNumber(value, digits, style = "decimal") {
  const key = `${language} ${digits} ${style}`;
  let format = numberFormats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(language, { style, minimumFractionDigits: digits, maximumFractionDigits: digits });
    numberFormats.set(key, format);
  }
  const isZero = digits !== undefined && Math.abs(value) < 0.5 / 10 ** (style === "percent" ? digits + 2 : digits);
  return format.format(isZero ? 0 : value); // and not -0.00
}

/** @param {number} share @returns {string} */
function percent(share) {
  return writeNumber(share, share > 0.9995 || share < 0.0005 ? 0 : 1, "percent");
}

/** @param {number} share @returns {string} */
function wholePercent(share) {
  return writeNumber(share, 0, "percent");
}
