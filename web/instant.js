/**
 * The instant view: the browser's own pictures, each shown when its masks arrive, with no way back for the video.
 * Where pictures and results cannot be matched, the newest of both are shown, and said to be unmatched.
 */
import { copyOf, release } from "./stage.js";

const KEPT_MS = 1500;
const NEAR_MS = 3;
/** Results in a row that no picture is known for, until the newest one has to do. */
const PATIENCE = 5;

/** @typedef {import("./stage.js").Shown & {capture: number}} Taken */

export class Instant {
  #video;
  #clock;
  #stage;
  #watching = 0;
  /** @type {Taken[]} oldest first */
  #taken = [];
  #on = false;
  #misses = PATIENCE;

  /**
   * @param {HTMLVideoElement} video of the browser's own picture
   * @param {import("./camera-clock.js").CameraClock} clock
   * @param {import("./stage.js").Stage} stage
   */
  constructor(video, clock, stage) {
    this.#video = video;
    this.#clock = clock;
    this.#stage = stage;
  }

  /** Every picture on the screen belongs to the masks over it, as far as this browser can tell. */
  get matched() {
    return this.#misses < PATIENCE;
  }

  /** @param {MediaStream | null} stream */
  setSource(stream) {
    const watch = ++this.#watching;
    this.#forget();
    this.#video.srcObject = stream;
    if (!stream) return;
    this.#video.play().catch(() => {});
    this.#next(watch);
  }

  /** @param {boolean} on */
  toggle(on) {
    this.#on = on;
    this.#misses = PATIENCE;
    this.#stage.fromVideo = !on;
    if (!on) this.#forget();
  }

  /**
   * Shows the picture that the result is about. One that was not taken, or not in time, is left out.
   *
   * @param {import("./messages.js").Result} result
   * @returns {number | null} milliseconds since its capture, where one was shown
   */
  show(result) {
    if (!this.#on || this.#stage.frozen) return null;
    const capture = this.#clock.captureOf(result);
    if (capture === null) return ++this.#misses < PATIENCE ? null : this.#showNewest();
    const index = this.#taken.findIndex((taken) => Math.abs(taken.capture - capture) < NEAR_MS);
    const [taken] = index < 0 ? [] : this.#taken.splice(index, 1);
    if (!taken) return null;
    this.#misses = 0;
    for (const older of this.#taken.splice(0, index)) release(older);
    return this.#present({ ...taken, rtp: result.rtp_timestamp });
  }

  #showNewest() {
    const newest = this.#taken.at(-1);
    return newest ? this.#present({ ...newest, picture: copyOf(newest), rtp: null }) : null;
  }

  /** @param {Taken} taken */
  #present(taken) {
    const now = performance.now();
    this.#stage.show({ ...taken, at: now });
    return now - taken.capture;
  }

  /** @param {number} watch */
  #next(watch) {
    this.#video.requestVideoFrameCallback((now, metadata) => {
      if (watch !== this.#watching) return;
      this.#next(watch);
      const capture = metadata.captureTime ?? now;
      this.#clock.captured(capture);
      if (this.#on) this.#take(capture, metadata.mediaTime, watch);
    });
  }

  /**
   * A copy, for a camera has few buffers and stops when they are kept from it.
   *
   * @param {number} capture of the picture that `mediaTime` belongs to
   * @param {number} mediaTime
   * @param {number} watch
   */
  async #take(capture, mediaTime, watch) {
    const frame = frameOf(this.#video);
    // A newer one may be up by now: its own time says which.
    const ahead = frame ? frame.timestamp / 1000 - mediaTime * 1000 : 0;
    const picture = await createImageBitmap(frame ?? this.#video).catch(() => null);
    frame?.close();
    if (!picture) return;
    const taken = { picture, capture: capture + ahead, rtp: null, width: picture.width, height: picture.height, at: capture };
    if (!this.#on || watch !== this.#watching) return release(taken);
    this.#taken.push(taken);
    while (this.#taken[0].capture < capture - KEPT_MS) release(/** @type {Taken} */ (this.#taken.shift()));
  }

  #forget() {
    for (const taken of this.#taken.splice(0)) release(taken);
  }
}

/** @param {HTMLVideoElement} video @returns {VideoFrame | null} null where the browser has none */
function frameOf(video) {
  try {
    return new VideoFrame(video);
  } catch {
    return null;
  }
}
