// Files made in the page: grey PNG pictures, and a zip of files, both stored without compression.

/** @param {Uint8Array} bytes @returns {number} the checksum of PNG and zip */
function crc32(bytes) {
  let sum = -1;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (0xedb88320 & -(sum & 1));
  }
  return ~sum >>> 0;
}

/** @param {Uint8Array} bytes @returns {number} the checksum of zlib */
function adler32(bytes) {
  let [low, high] = [1, 0];
  for (const byte of bytes) {
    low = (low + byte) % 65521;
    high = (high + low) % 65521;
  }
  return high * 65536 + low;
}

/** @param {number} size in bytes @param {number} value @param {boolean} [bigEndian] @returns {number[]} */
function bytesOf(size, value, bigEndian = false) {
  const bytes = Array.from({ length: size }, (_, index) => Math.floor(value / 256 ** index) % 256);
  return bigEndian ? bytes.reverse() : bytes;
}

/** @param {string} text ASCII @returns {number[]} */
const lettersOf = (text) => Array.from(text, (letter) => letter.charCodeAt(0));

/**
 * Write a square picture as PNG, one stored block of at most 65,535 bytes.
 * @param {ArrayLike<number>} levels grey, 0 to 255 @param {number} side in pixels @returns {Uint8Array}
 */
function writePng(levels, side) {
  const rows = Uint8Array.from({ length: side * (side + 1) }, (_, index) => {
    const column = index % (side + 1);
    return column ? levels[Math.floor(index / (side + 1)) * side + column - 1] : 0; // each row begins with its filter, none
  });
  const [size, sides] = [bytesOf(2, rows.length), bytesOf(4, side, true)];
  const stored = [0x78, 0x01, 1, ...size, ...size.map((byte) => 255 - byte), ...rows, ...bytesOf(4, adler32(rows), true)];
  /** @param {string} name @param {number[]} content @returns {number[]} */
  const chunk = (name, content) => {
    const named = [...lettersOf(name), ...content];
    return [...bytesOf(4, content.length, true), ...named, ...bytesOf(4, crc32(Uint8Array.from(named)), true)];
  };
  const head = [...sides, ...sides, 8, 0, 0, 0, 0]; // 8 bits of grey
  return Uint8Array.from([137, ...lettersOf("PNG\r\n\x1a\n"), ...chunk("IHDR", head), ...chunk("IDAT", stored), ...chunk("IEND", [])]);
}

/**
 * Write a zip; equal files make equal bytes, since each is dated 1 January 1980.
 * @param {Array<{name: string, content: Uint8Array}>} files with ASCII names @returns {Uint8Array}
 */
function writeZip(files) {
  /** @type {number[]} */
  const [zip, directory] = [[], []];
  for (const { name, content } of files) {
    const sizes = [...bytesOf(4, crc32(content)), ...bytesOf(4, content.length), ...bytesOf(4, content.length)];
    const shared = [20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0, ...sizes, ...bytesOf(2, name.length), 0, 0];
    directory.push(...lettersOf("PK\x01\x02"), 20, 0, ...shared, ...bytesOf(10, 0), ...bytesOf(4, zip.length), ...lettersOf(name));
    zip.push(...lettersOf("PK\x03\x04"), ...shared, ...lettersOf(name), ...content);
  }
  const count = bytesOf(2, files.length);
  const end = [...bytesOf(4, 0), ...count, ...count, ...bytesOf(4, directory.length), ...bytesOf(4, zip.length), 0, 0];
  return Uint8Array.from([...zip, ...directory, ...lettersOf("PK\x05\x06"), ...end]);
}
