/**
 * Where a picture lies on the screen, and back: letterbox, CSS scale, mirror, quarter turns.
 *
 * Pictures are measured in 0..1 of the source (origin top left); the box in CSS pixels.
 *
 * @typedef {{x: number, y: number}} Spot
 * @typedef {{width: number, height: number}} Size
 * @typedef {{x: number, y: number, width: number, height: number}} Rect
 * @typedef {0 | 90 | 180 | 270} Turn
 */

/**
 * The largest place for a picture that keeps its shape (CSS `object-fit: contain`).
 *
 * @param {Size} picture
 * @param {Size} box
 * @returns {Rect}
 */
export function contain(picture, box) {
  if (!(picture.width > 0 && picture.height > 0)) return { x: 0, y: 0, width: 0, height: 0 };
  const scale = Math.min(box.width / picture.width, box.height / picture.height);
  const width = picture.width * scale;
  const height = picture.height * scale;
  return { x: (box.width - width) / 2, y: (box.height - height) / 2, width, height };
}

/** @param {number} value */
export const clamp01 = (value) => Math.min(1, Math.max(0, value));

export class View {
  /** @type {Rect} where the turned picture lies in the box, CSS pixels */
  rect;
  /** @type {Turn} */
  turn;
  /** @type {boolean} */
  mirror;
  /** @type {Size} */
  picture;

  /**
   * @param {Size} picture source pixels
   * @param {Size} box CSS pixels
   * @param {{mirror?: boolean, turn?: Turn}} [how] the picture is turned clockwise, then mirrored left to right
   */
  constructor(picture, box, { mirror = false, turn = 0 } = {}) {
    const upright = turn % 180 === 0;
    this.picture = picture;
    this.turn = turn;
    this.mirror = mirror;
    this.rect = contain(upright ? picture : { width: picture.height, height: picture.width }, box);
  }

  /**
   * @param {Spot} spot CSS pixels from the box's top left
   * @returns {Spot & {inside: boolean}} 0..1 of the source picture
   */
  toPicture({ x, y }) {
    const { rect } = this;
    let u = rect.width ? (x - rect.x) / rect.width : 0;
    let v = rect.height ? (y - rect.y) / rect.height : 0;
    const inside = rect.width > 0 && u >= 0 && u <= 1 && v >= 0 && v <= 1;
    if (this.mirror) u = 1 - u;
    [u, v] = unturn(u, v, this.turn);
    return { x: u, y: v, inside };
  }

  /**
   * @param {Spot} spot 0..1 of the source picture
   * @returns {Spot} CSS pixels from the box's top left
   */
  toBox({ x, y }) {
    let [u, v] = applyTurn(x, y, this.turn);
    if (this.mirror) u = 1 - u;
    return { x: this.rect.x + u * this.rect.width, y: this.rect.y + v * this.rect.height };
  }

  /**
   * The canvas transform under which (0, 0)-(1, 1) is the source picture.
   *
   * @param {number} [scale] device pixels for each CSS pixel
   * @returns {[number, number, number, number, number, number]}
   */
  matrix(scale = 1) {
    const origin = this.toBox({ x: 0, y: 0 });
    const right = this.toBox({ x: 1, y: 0 });
    const down = this.toBox({ x: 0, y: 1 });
    return [
      (right.x - origin.x) * scale,
      (right.y - origin.y) * scale,
      (down.x - origin.x) * scale,
      (down.y - origin.y) * scale,
      origin.x * scale,
      origin.y * scale,
    ];
  }
}

/** @param {number} u @param {number} v @param {Turn} turn @returns {[number, number]} */
function applyTurn(u, v, turn) {
  if (turn === 90) return [1 - v, u];
  if (turn === 180) return [1 - u, 1 - v];
  if (turn === 270) return [v, 1 - u];
  return [u, v];
}

/** @param {number} u @param {number} v @param {Turn} turn @returns {[number, number]} */
function unturn(u, v, turn) {
  return applyTurn(u, v, /** @type {Turn} */ ((360 - turn) % 360));
}

/** @param {Spot} a @param {Spot} b */
export const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
