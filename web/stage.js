/**
 * The picture on the screen. One canvas shows it, so that what the person sees, what a freeze holds and what a
 * click names are the same frame: each picture comes as a `VideoFrame` that carries its own RTP timestamp.
 *
 * @typedef {import("./geometry.js").Size} Size
 * @typedef {object} Shown
 * @property {CanvasImageSource} picture
 * @property {number | null} rtp null where the browser does not tell
 * @property {number} width
 * @property {number} height
 * @property {number} at `performance.now()` when it is on the screen, as well as the browser knows
 */
import { View } from "./geometry.js";

const MAX_PIXEL_RATIO = 2;

export class Stage {
  #canvas;
  #context;
  #video;
  /** @type {Shown | null} */
  #shown = null;
  #frozen = false;
  #drawing = false;
  #watching = 0;
  /** @type {Size} CSS pixels */
  #box = { width: 1, height: 1 };
  /** @type {{mirror: boolean, turn: import("./geometry.js").Turn}} */
  #how = { mirror: false, turn: 0 };

  view = new View({ width: 0, height: 0 }, this.#box);
  /** @type {(context: CanvasRenderingContext2D, view: View, shown: Shown | null) => void} */
  paint = () => {};
  /** The picture has another place on the screen. @type {(view: View) => void} */
  onPlace = () => {};
  /** @type {(shown: Omit<Shown, "picture">) => void} each new picture of the video, also while frozen */
  onPicture = () => {};

  /** @param {HTMLCanvasElement} canvas @param {HTMLVideoElement} video */
  constructor(canvas, video) {
    this.#canvas = canvas;
    this.#video = video;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  get shown() {
    return this.#shown;
  }

  get frozen() {
    return this.#frozen;
  }

  get canvas() {
    return this.#canvas;
  }

  get pixelRatio() {
    return this.#canvas.width / Math.max(1, this.#box.width);
  }

  /** @param {MediaStream | null} stream */
  setStream(stream) {
    const watch = ++this.#watching;
    this.#video.srcObject = stream;
    if (!stream) return;
    this.#video.play().catch(() => {});
    this.#next(watch);
  }

  /** Pictures of another source than the video (the instant view). @param {Shown} shown */
  show(shown) {
    if (this.#frozen) return;
    this.#replace(shown);
  }

  /** The picture stays; the video goes on behind it. */
  freeze() {
    if (this.#frozen || !this.#shown) return;
    this.#replace({ ...this.#shown, picture: copyOf(this.#shown) });
    this.#frozen = true;
  }

  thaw() {
    this.#frozen = false;
    this.draw();
  }

  clear() {
    this.#frozen = false;
    this.#replace(null);
  }

  /** @param {{mirror?: boolean, turn?: import("./geometry.js").Turn}} how */
  orient(how) {
    this.#how = { ...this.#how, ...how };
    this.#place();
    this.draw();
  }

  /** Paints at the next screen refresh, once however often it is asked. */
  draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.paint(this.#context, this.view, this.#shown);
    });
  }

  /** @param {PointerEvent | MouseEvent} event @returns {import("./geometry.js").Spot} CSS pixels in the canvas */
  spotOf(event) {
    const { left, top } = this.#canvas.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  /** Takes pictures from the video instead of `show`. */
  fromVideo = true;

  /** @param {number} watch */
  #next(watch) {
    this.#video.requestVideoFrameCallback((now, metadata) => {
      if (watch !== this.#watching) return;
      this.#next(watch);
      const shown = pictureOf(this.#video, metadata, now);
      if (!shown) return;
      if (this.fromVideo && !this.#frozen) this.#replace(shown);
      else release(shown);
      this.onPicture(shown);
    });
  }

  /** @param {Shown | null} shown */
  #replace(shown) {
    const before = this.#shown;
    this.#shown = shown;
    if (before?.width !== shown?.width || before?.height !== shown?.height) this.#place();
    if (before) release(before);
    this.draw();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    const ratio = Math.min(MAX_PIXEL_RATIO, devicePixelRatio || 1);
    this.#box = { width: clientWidth, height: clientHeight };
    this.#canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.#canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    this.#place();
    this.draw();
  }

  #place() {
    const { width = 0, height = 0 } = this.#shown ?? {};
    this.view = new View({ width, height }, this.#box, this.#how);
    this.onPlace(this.view);
  }
}

/**
 * @param {HTMLVideoElement} video
 * @param {VideoFrameCallbackMetadata} metadata
 * @param {number} now
 * @returns {Shown | null}
 */
export function pictureOf(video, metadata, now) {
  const at = metadata.expectedDisplayTime ?? now;
  const fallback = { width: video.videoWidth, height: video.videoHeight, at, rtp: metadata.rtpTimestamp ?? null };
  if (!fallback.width) return null;
  try {
    const picture = new VideoFrame(video);
    // The frame's own timestamp: a newer frame than the one of `metadata` may be up by now.
    const own = /** @type {any} */ (picture).metadata?.().rtpTimestamp;
    return { ...fallback, picture, width: picture.displayWidth, height: picture.displayHeight, rtp: own ?? fallback.rtp };
  } catch {
    return { ...fallback, picture: copyOf({ ...fallback, picture: video }) };
  }
}

/** @param {Shown} shown @returns {OffscreenCanvas} */
export function copyOf({ picture, width, height }) {
  const copy = new OffscreenCanvas(width, height);
  copy.getContext("2d")?.drawImage(picture, 0, 0, width, height);
  return copy;
}

/** @param {Shown} shown */
export function release({ picture }) {
  if (picture instanceof VideoFrame || picture instanceof ImageBitmap) picture.close();
}
