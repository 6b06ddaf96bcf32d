/**
 * COCO compressed run lengths, as the results channel carries them.
 *
 * Runs alternate background, foreground, background, ... down the columns of the picture (column-major).
 * Format: pycocotools `maskApi.c`, `rleToString` / `rleFrString`.
 *
 * @typedef {{size: [height: number, width: number], counts: string}} Rle
 */

const FIRST_CHARACTER = 48;
const MORE = 0x20;
const SIGN = 0x10;

/**
 * @param {string} text
 * @returns {number[]} run lengths, background first
 */
export function runs(text) {
  const counts = [];
  let at = 0;
  while (at < text.length) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      const bits = text.charCodeAt(at++) - FIRST_CHARACTER;
      if (!(bits >= 0 && bits < 64)) throw new RangeError(`not a COCO run length at character ${at - 1}`);
      value += (bits & 0x1f) * 2 ** shift;
      shift += 5;
      more = (bits & MORE) !== 0;
      if (!more && bits & SIGN) value -= 2 ** shift;
    }
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

/**
 * @param {Rle} rle
 * @returns {Uint8Array} height x width, row-major, 1 inside the mask
 */
export function decode({ size: [height, width], counts }) {
  const mask = new Uint8Array(width * height);
  let position = 0;
  let inside = false;
  for (const length of runs(counts)) {
    const end = position + length;
    if (length < 0 || end > mask.length) throw new RangeError(`runs leave the ${width} x ${height} picture`);
    if (inside) paintColumns(mask, width, height, position, end);
    position = end;
    inside = !inside;
  }
  return mask;
}

/**
 * @param {Uint8Array} mask
 * @param {number} width
 * @param {number} height
 * @param {number} start
 * @param {number} end
 */
function paintColumns(mask, width, height, start, end) {
  let x = Math.floor(start / height);
  let y = start - x * height;
  for (let n = start; n < end; n++) {
    mask[y * width + x] = 1;
    if (++y === height) {
      y = 0;
      x++;
    }
  }
}

/**
 * @param {Uint8Array} mask height x width, row-major
 * @param {number} width
 * @param {number} height
 * @returns {Rle}
 */
export function encode(mask, width, height) {
  const lengths = [];
  let inside = 0;
  let length = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const value = mask[y * width + x] ? 1 : 0;
      if (value !== inside) {
        lengths.push(length);
        inside = value;
        length = 0;
      }
      length++;
    }
  }
  lengths.push(length);
  return { size: [height, width], counts: text(lengths) };
}

/** @param {number[]} lengths */
function text(lengths) {
  let out = "";
  lengths.forEach((length, i) => {
    let value = i > 2 ? length - lengths[i - 2] : length;
    let more = true;
    while (more) {
      let bits = value & 0x1f;
      value >>= 5;
      more = bits & SIGN ? value !== -1 : value !== 0;
      if (more) bits |= MORE;
      out += String.fromCharCode(bits + FIRST_CHARACTER);
    }
  });
  return out;
}

/** @param {Rle} rle @returns {number} pixels inside */
export function area(rle) {
  return runs(rle.counts).reduce((sum, length, i) => sum + (i % 2 ? length : 0), 0);
}
