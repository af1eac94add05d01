// Runs the page's program under Node: JSON with the program, its network and pictures on standard input; on standard output
// the logits of each picture as it is, and what is read in it. No part of the page.
const fs = require("fs");

const READ = `
const layers = readLayers(JSON.parse(given.network));
const logitsOf = (levels) => [...runNetwork(layers, levels).at(-1).values];
return JSON.stringify(given.pictures.map(({ width, height, rgba }) => {
  const data = Uint8ClampedArray.from(atob(rgba), (letter) => letter.charCodeAt(0));
  const levels = data.filter((_, index) => index % 4 === 0);
  const logits = width === SIDE && height === SIDE ? logitsOf(levels) : null;
  const grey = toGrey({ width, height, data });
  const found = makeFrame(grey);
  const answer = found && judge(softmax(logitsOf(found.levels)), found);
  const read = (found) => ({ ...judge(softmax(logitsOf(found.levels)), found), box: found.box, levels: [...found.levels] });
  const rows = splitRows(frameDigits(findDigits(grey), layers)).map((row) => row.map(read));
  return { logits, answer: answer && { ...answer, levels: [...found.levels] }, rows };
}))`;

const given = JSON.parse(fs.readFileSync(0, "utf8"));
// a function's own scope: in a context of "vm", each call of a function of the program would be looked up in C++
process.stdout.write(new Function("given", given.program + READ)(given));
