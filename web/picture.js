/**
 * What the canvas shows at this moment: the picture, masks where the browser paints them, and what lies over.
 *
 * @typedef {import("./geometry.js").Spot} Spot
 * @typedef {import("./stage.js").Shown} Shown
 * @typedef {import("./messages.js").ObjectResult} ObjectResult
 */
import { distance } from "./geometry.js";
import { markNow } from "./objects.js";
import { drawBox, drawCrosshair, drawGlyph, drawNumber, drawRipple, GLYPH_REACH } from "./overlay.js";
import { Painter } from "./painter.js";
import { objectColor } from "./palette.js";

const LETTERBOX = "#0b0d10";

export class Picture {
  #stage;
  #frames;
  #objects;
  #settings;
  #painter = new Painter();
  /** @type {{spot: Spot, color: string, at: number}[]} */
  #ripples = [];
  /** What was last known of a picture. @type {{rtp: number, result: import("./messages.js").Result} | null} */
  #last = null;

  /** The browser paints the masks; the server sends the picture as it came. */
  painting = false;
  /** Masks of prompts made on the frozen picture. @type {Map<number, ObjectResult>} */
  previews = new Map();
  /** @type {[Spot, Spot] | null} CSS pixels */
  dragging = null;
  /** @type {Spot | null} 0..1 of the picture */
  crosshair = null;
  /** @type {import("./objects.js").Mark | null} the mark that a click would delete */
  hot = null;
  /** Where the slider of before and after stands, 0..1 of the screen; null without one. @type {number | null} */
  compare = null;

  /**
   * @param {import("./stage.js").Stage} stage
   * @param {import("./frames.js").Frames} frames
   * @param {import("./objects.js").ObjectList} objects
   * @param {import("./settings.js").Settings} settings
   */
  constructor(stage, frames, objects, settings) {
    this.#stage = stage;
    this.#frames = frames;
    this.#objects = objects;
    this.#settings = settings;
    stage.paint = (context, view, shown) => this.#paint(context, view, shown);
  }

  /** The colour that a click would draw with. */
  get color() {
    const { selected } = this.#objects;
    return this.#objects.get(selected)?.color ?? objectColor(this.#objects.nextId());
  }

  /** @param {Spot} spot 0..1 of the picture */
  ripple(spot) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.#ripples.push({ spot, color: this.color, at: performance.now() });
    this.#stage.draw();
  }

  /** The clicked point under the pointer, of the selected object. @param {Spot} at CSS pixels */
  markAt(at) {
    const object = this.#objects.get(this.#objects.selected);
    if (!object || !this.#settings.glyphs) return null;
    const box = this.#boxOf(object.id);
    const near = (/** @type {import("./objects.js").Mark} */ mark) => {
      const spot = markNow(mark, box);
      return spot !== null && distance(this.#stage.view.toBox(spot), at) <= GLYPH_REACH;
    };
    return object.marks.findLast(near) ?? null;
  }

  /** The picture with its masks, as shown, without what lies over it. @returns {OffscreenCanvas | null} */
  snapshot() {
    const { shown } = this.#stage;
    if (!shown) return null;
    const canvas = new OffscreenCanvas(shown.width, shown.height);
    canvas.getContext("2d")?.drawImage(this.#composed(shown), 0, 0, shown.width, shown.height);
    return canvas;
  }

  /** The objects alone, on nothing. @returns {OffscreenCanvas | null} */
  snapshotObjects() {
    const { shown } = this.#stage;
    if (!shown) return null;
    const layer = this.#painter.cutOut(shown, this.#resultsOf(shown), this.#look());
    const canvas = new OffscreenCanvas(shown.width, shown.height);
    canvas.getContext("2d")?.drawImage(layer, 0, 0);
    return canvas;
  }

  /** @param {CanvasRenderingContext2D} context @param {import("./geometry.js").View} view @param {Shown | null} shown */
  #paint(context, view, shown) {
    const ratio = this.#stage.pixelRatio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = LETTERBOX;
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    if (!shown) return;
    context.imageSmoothingQuality = "high";
    context.setTransform(...view.matrix(ratio));
    context.drawImage(this.#composed(shown), 0, 0, 1, 1);
    if (this.compare !== null) this.#paintBefore(context, view, shown, this.compare);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#paintOver(context, view);
  }

  /** @param {Shown} shown @returns {CanvasImageSource} */
  #composed(shown) {
    if (this.painting) return this.#painter.paint(shown, this.#resultsOf(shown), this.#look());
    if (!this.previews.size) return shown.picture;
    return this.#painter.paint(shown, [...this.previews.values()], { ...this.#look(), mode: "overlay" });
  }

  /** @param {Shown} shown @returns {ObjectResult[]} */
  #resultsOf(shown) {
    const known = this.#resultOf(shown.rtp)?.objects ?? [];
    const others = known.filter(({ object_id }) => !this.previews.has(object_id));
    return [...others, ...this.previews.values()];
  }

  /** @returns {import("./painter.js").Look} */
  #look() {
    return {
      mode: this.#settings.mode,
      patterns: this.#settings.patterns,
      undrawn: new Set(this.#objects.undrawn()),
      colorOf: (id) => this.#objects.get(id)?.color ?? objectColor(id),
    };
  }

  /** @param {CanvasRenderingContext2D} context @param {import("./geometry.js").View} view @param {Shown} shown @param {number} part */
  #paintBefore(context, view, shown, part) {
    const ratio = this.#stage.pixelRatio;
    const { x, y, width, height } = view.rect;
    context.save();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.beginPath();
    context.rect(x, y, width * part, height);
    context.clip();
    context.setTransform(...view.matrix(ratio));
    context.drawImage(shown.picture, 0, 0, 1, 1);
    context.restore();
    context.save();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#fff";
    context.shadowColor = "rgb(0 0 0 / 0.6)";
    context.shadowBlur = 6;
    context.fillRect(x + width * part - 1, y, 2, height);
    context.restore();
  }

  /** @param {CanvasRenderingContext2D} context @param {import("./geometry.js").View} view */
  #paintOver(context, view) {
    const undrawn = new Set(this.#objects.undrawn());
    for (const object of this.#objects.all()) {
      const selected = object.id === this.#objects.selected;
      const box = this.#boxOf(object.id);
      if (this.#settings.numbers && box && !undrawn.has(object.id)) {
        drawNumber(context, topOf(view, box), object.id, object.color, selected);
      }
      if (!this.#settings.glyphs || !selected) continue;
      for (const mark of object.marks) {
        const spot = markNow(mark, box);
        if (spot) drawGlyph(context, view.toBox(spot), mark.label, object.color, mark === this.hot);
      }
    }
    if (this.dragging) drawBox(context, ...this.dragging, this.color);
    if (this.crosshair) drawCrosshair(context, view.toBox(this.crosshair), this.color);
    this.#paintRipples(context, view);
  }

  /** @param {CanvasRenderingContext2D} context @param {import("./geometry.js").View} view */
  #paintRipples(context, view) {
    const now = performance.now();
    this.#ripples = this.#ripples.filter(({ spot, color, at }) => drawRipple(context, view.toBox(spot), color, now - at));
    if (this.#ripples.length) setTimeout(() => this.#stage.draw());
  }

  /** Also of a picture that is frozen for so long that newer results have taken its place. @param {number | null} rtp */
  #resultOf(rtp) {
    const result = this.#frames.of(rtp);
    if (result && rtp !== null) this.#last = { rtp, result };
    return result ?? (this.#last?.rtp === rtp ? this.#last.result : null);
  }

  /** Where an object is on the picture that is shown. @param {number} id */
  #boxOf(id) {
    const result = this.#resultOf(this.#stage.shown?.rtp ?? null);
    return (this.previews.get(id) ?? result?.objects.find(({ object_id }) => object_id === id))?.box ?? null;
  }
}

/** The middle of the upper edge of a box, as it lies on the screen. @param {import("./geometry.js").View} view @param {import("./messages.js").Box} box @returns {Spot} */
function topOf(view, [cx, cy, w, h]) {
  const corners = [view.toBox({ x: cx - w / 2, y: cy - h / 2 }), view.toBox({ x: cx + w / 2, y: cy + h / 2 })];
  return { x: (corners[0].x + corners[1].x) / 2, y: Math.min(corners[0].y, corners[1].y) };
}
