// The bundled networks beside the page's own: what each of them reads on the paper. Only a page that the server makes has
// this part: an exported one loads nothing.

/**
 * A network as the server describes it, and with its card; `seen` are the answers whose frames it has read last.
 * @typedef {{name: string, parameters: number, origin: string, own: boolean, layers: Array<Object<string, any>>}} Described
 * @typedef {{parameters: number, origin: string, own: boolean, layers: Layer[], card: Card, seen: Answer[] | null}} Network
 * @typedef {{label: HTMLElement, size: HTMLElement, digits: HTMLElement, sureness: HTMLElement}} Card
 */

/** How long the page rests before one network reads, in milliseconds: so that strokes are answered as fast as without. */
const COMPARE_AFTER = 16;

/** @type {Network[]} the one that has waited longest to read first */
const networks = [];
let asking = false;
let comparing = false;

/** Fetch the networks when they are first looked at. */
async function openNetworks() {
  if (!byId("networks").open || asking) return;
  if (!networks.length) {
    asking = true;
    /** @type {Described[] | null} */
    const found = await fetch("/networks").then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
    asking = false;
    byId("networks-missing").hidden = found !== null;
    networks.push(...(found ?? []).map(addNetwork));
  }
  compareSoon();
}

/** @param {Described} described @returns {Network} */
function addNetwork({ name, parameters, origin, own, layers: described }) {
  const [label, radio] = [element("label", "network"), document.createElement("input")];
  const [size, digits, sureness] = [element("span"), element("span", "digits"), element("span")];
  Object.assign(radio, { type: "radio", name: "network", checked: own });
  label.append(radio, element("strong", "", name), " ", size, " ", digits, " ", sureness);
  byId("networks-listed").append(label);
  const card = { label, size, digits, sureness };
  const network = { parameters, origin, own, layers: own ? layers : readLayers(described), card, seen: null };
  radio.addEventListener("change", () => useNetwork(network));
  return network;
}

/** Compare once the answer is on the screen. */
function compareSoon() {
  if (!comparing) setTimeout(compare, COMPARE_AFTER);
  comparing = true;
}

/** Have one network read what the page has read, and go on with the next. */
function compare() {
  comparing = false;
  const next = networks.findIndex(({ seen }) => seen !== answers);
  if (next < 0 || !byId("networks").open) return;
  const [network] = networks.splice(next, 1);
  networks.push(network);
  network.seen = answers;
  showReading(network);
  compareSoon();
}

/** @param {Network} network */
function showReading({ parameters, layers: itsLayers, card: { label, size, digits, sureness } }) {
  const found = itsLayers === layers ? answers : answers.map((answer) => answerOf(answer, itsLayers));
  size.textContent = say("numbers", { channels: parameters });
  digits.textContent = splitRows(found).map((row) => row.map(written).join("")).join(" ") || "\u2013";
  label.classList.toggle("many", found.length > 2); // they need a line of their own
  digits.classList.toggle("unsure", !found.length || found.some(({ confident }) => !confident));
  sureness.textContent = found.length ? percent(Math.min(...found.map(({ digit, probabilities }) => probabilities[digit]))) : "";
}

/** Have the page read with a network, and show its layers. @param {Network} network */
function useNetwork(network) {
  layers = network.layers;
  why.layers = layers;
  closeUp.use(shownOf(layers));
  layerView = showLayers();
  document.body.dataset.parameters = `${network.parameters}`;
  document.body.classList.toggle("another", !network.own);
  byId("origin").innerHTML = network.origin;
  answers = []; // those of the other network have other maps
  translate();
  readPaper();
}

byId("networks").addEventListener("toggle", openNetworks);
addEventListener("answer", compareSoon);
