/**
 * Masks over a picture, painted by the browser, in the server's five ways (`engine/render.py`). Used wherever
 * the picture is not the server's: the instant view, before and after, patterns, previews, transparent pictures.
 *
 * @typedef {object} Look
 * @property {import("./messages.js").Mode} mode
 * @property {(id: number) => string} colorOf `#rrggbb`
 * @property {Set<number>} undrawn ids that are left out
 * @property {boolean} patterns
 */
import { maskCanvas } from "./mask-image.js";
import { lineOf, rgb } from "./palette.js";

const TINT = 0.5;
const BACKGROUND = "#20232a";
const BLUR_PART = 1 / 40;

/** @type {WeakMap<import("./rle.js").Rle, OffscreenCanvas>} decoded once, however often it is painted */
const decoded = new WeakMap();

export class Painter {
  #canvas = new OffscreenCanvas(1, 1);
  #layer = new OffscreenCanvas(1, 1);
  #edge = new OffscreenCanvas(1, 1);

  /**
   * @param {{picture: CanvasImageSource, width: number, height: number}} shown
   * @param {import("./messages.js").ObjectResult[]} objects
   * @param {Look} look
   * @returns {OffscreenCanvas} of the picture's size; valid until the next call
   */
  paint(shown, objects, look) {
    const { width, height } = shown;
    const context = fresh(this.#canvas, width, height);
    const masks = this.#masks(objects, look);
    if (look.mode === "overlay" || look.mode === "plain") context.drawImage(shown.picture, 0, 0, width, height);
    if (look.mode === "mask") fill(context, "#000");
    if (look.mode === "cutout") fill(context, BACKGROUND);
    if (look.mode === "blur") drawBlurred(context, shown);
    if (look.mode === "cutout" || look.mode === "blur") context.drawImage(this.#objectsOnly(shown, masks), 0, 0);
    if (look.mode === "overlay") for (const mask of masks) this.#drawOverlay(context, mask, TINT, look.patterns);
    if (look.mode === "mask") for (const mask of masks) this.#drawOverlay(context, mask, 1, look.patterns);
    return this.#canvas;
  }

  /**
   * The objects on nothing.
   *
   * @param {{picture: CanvasImageSource, width: number, height: number}} shown
   * @param {import("./messages.js").ObjectResult[]} objects
   * @param {Look} look
   */
  cutOut(shown, objects, look) {
    return this.#objectsOnly(shown, this.#masks(objects, look));
  }

  /** @param {import("./messages.js").ObjectResult[]} objects @param {Look} look */
  #masks(objects, { undrawn, colorOf }) {
    return objects.flatMap(({ object_id, rle }) => {
      if (!rle || undrawn.has(object_id)) return [];
      const mask = decoded.get(rle) ?? maskCanvas(rle);
      decoded.set(rle, mask);
      return [{ mask, color: colorOf(object_id), id: object_id }];
    });
  }

  /** @param {{picture: CanvasImageSource, width: number, height: number}} shown @param {{mask: OffscreenCanvas}[]} masks */
  #objectsOnly({ picture, width, height }, masks) {
    const context = fresh(this.#layer, width, height);
    for (const { mask } of masks) context.drawImage(mask, 0, 0, width, height);
    context.globalCompositeOperation = "source-in";
    context.drawImage(picture, 0, 0, width, height);
    return this.#layer;
  }

  /**
   * @param {OffscreenCanvasRenderingContext2D} context
   * @param {{mask: OffscreenCanvas, color: string, id: number}} object
   * @param {number} strength of the colour, 0..1
   * @param {boolean} patterns
   */
  #drawOverlay(context, { mask, color, id }, strength, patterns) {
    const { width, height } = this.#canvas;
    const layer = fresh(this.#layer, width, height);
    layer.drawImage(mask, 0, 0, width, height);
    layer.globalCompositeOperation = "source-in";
    fill(layer, color);
    if (patterns) {
      layer.globalCompositeOperation = "source-atop";
      drawPattern(layer, id, Math.max(6, Math.round(height / 48)));
    }
    context.globalAlpha = patterns ? Math.max(strength, 0.65) : strength;
    context.drawImage(this.#layer, 0, 0);
    context.globalAlpha = 1;
    const line = Math.max(1, height / 360);
    this.#drawContour(context, mask, "#000", line * 2);
    this.#drawContour(context, mask, lineOf(color), line * 1.2);
  }

  /** A ring around the mask, `radius` wide. @param {OffscreenCanvasRenderingContext2D} context @param {OffscreenCanvas} mask @param {string} color @param {number} radius */
  #drawContour(context, mask, color, radius) {
    const { width, height } = this.#canvas;
    const edge = fresh(this.#edge, width, height);
    for (let i = 0; i < 8; i++) {
      const angle = (i * Math.PI) / 4;
      edge.drawImage(mask, Math.cos(angle) * radius, Math.sin(angle) * radius, width, height);
    }
    edge.globalCompositeOperation = "source-in";
    fill(edge, color);
    edge.globalCompositeOperation = "destination-out";
    edge.drawImage(mask, 0, 0, width, height);
    context.drawImage(this.#edge, 0, 0);
  }
}

/** @param {OffscreenCanvas} canvas @param {number} width @param {number} height */
function fresh(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.globalCompositeOperation = "source-over";
  context.globalAlpha = 1;
  context.clearRect(0, 0, width, height);
  return context;
}

/** @param {OffscreenCanvasRenderingContext2D} context @param {string} color */
function fill(context, color) {
  context.fillStyle = color;
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
}

/** @param {OffscreenCanvasRenderingContext2D} context @param {{picture: CanvasImageSource, width: number, height: number}} shown */
function drawBlurred(context, { picture, width, height }) {
  context.filter = `blur(${Math.round(height * BLUR_PART)}px)`;
  context.drawImage(picture, 0, 0, width, height);
  context.filter = "none";
}

/** Stripes, dots, a grid, bars: a second mark beside the colour. @param {OffscreenCanvasRenderingContext2D} context @param {number} id @param {number} step */
function drawPattern(context, id, step) {
  const { width, height } = context.canvas;
  const kind = (id - 1) % 4;
  context.strokeStyle = context.fillStyle = "rgb(255 255 255 / 0.75)";
  context.lineWidth = step / 4;
  context.beginPath();
  if (kind === 0) for (let x = -height; x < width; x += step) line(context, x, height, x + height, 0);
  if (kind === 1) for (let y = 0; y < height; y += step) dotRow(context, y, step);
  if (kind === 2 || kind === 3) for (let y = 0; y < height; y += step) line(context, 0, y, width, y);
  if (kind === 2) for (let x = 0; x < width; x += step) line(context, x, 0, x, height);
  if (kind === 1) context.fill();
  else context.stroke();
}

/** @param {OffscreenCanvasRenderingContext2D} context @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
function line(context, x0, y0, x1, y1) {
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
}

/** @param {OffscreenCanvasRenderingContext2D} context @param {number} y @param {number} step */
function dotRow(context, y, step) {
  for (let x = 0; x < context.canvas.width; x += step) {
    context.moveTo(x + step / 5, y);
    context.arc(x, y, step / 5, 0, 2 * Math.PI);
  }
}

/** A colour with transparency, for the overlay. @param {string} hex @param {number} alpha */
export function withAlpha(hex, alpha) {
  const [r, g, b] = rgb(hex);
  return `rgb(${r} ${g} ${b} / ${alpha})`;
}
