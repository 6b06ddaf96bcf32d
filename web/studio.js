/**
 * The source and the session: opens pictures, keeps the client connected, knows what is the case.
 *
 * @typedef {"camera" | "screen" | "sample" | "server"} SourceKind
 * @typedef {import("./server-cameras.js").Remote} Remote
 */
import { openCamera, openScreen } from "./camera.js";
import { Livemask } from "./livemask.js";
import { LivemaskError } from "./messages.js";
import { judge } from "./states.js";

const STALL_MS = 3000;
const KEY_ITEM = "livemask-key";

export class Studio extends EventTarget {
  /** @type {Livemask | null} */
  #live = null;
  /** @type {MediaStream | null} the browser's own picture */
  #source = null;
  /** @type {SourceKind | null} */
  #kind = null;
  /** @type {"sample" | Remote} the picture of the server, where there is none of the browser */
  #remote = "sample";
  #silent = false;
  #asking = false;
  #lost = false;
  /** @type {LivemaskError | null} */
  #why = null;
  /** @type {number | null} `performance.now()` of the next try */
  #retryAt = null;
  #starts = 0;
  #picturedAt = 0;
  #watchedAt = 0;
  #conf;

  /** @param {() => Omit<import("./livemask.js").LivemaskConf, "source" | "onState">} conf for each new connection */
  constructor(conf) {
    super();
    this.#conf = conf;
  }

  get live() {
    return this.#live;
  }

  get source() {
    return this.#source;
  }

  get kind() {
    return this.#kind;
  }

  get remote() {
    return this.#remote;
  }

  /** The access key that was entered. */
  get key() {
    return sessionStorage.getItem(KEY_ITEM);
  }

  /** Whether the server's camera gives no picture. @param {boolean} silent */
  set silent(silent) {
    if (silent === this.#silent) return;
    this.#silent = silent;
    this.#changed();
  }

  /** A camera that looks at the person, whose picture people expect as in a mirror. */
  get selfView() {
    return this.#kind === "camera" && this.#source?.getVideoTracks()[0]?.getSettings().facingMode !== "environment";
  }

  /** Seconds to the next try, rounded up; null when none is planned. */
  get retryIn() {
    return this.#retryAt === null ? null : Math.max(0, Math.ceil((this.#retryAt - performance.now()) / 1000));
  }

  get reason() {
    return this.#why?.message ?? "";
  }

  /** @param {boolean} frozen @returns {string} the name of a condition */
  condition(frozen) {
    const silent = performance.now() - Math.max(this.#picturedAt, this.#watchedAt) > STALL_MS;
    return judge({
      connection: this.#live?.state ?? "closed",
      why: this.#why?.code ?? null,
      asking: this.#asking,
      frozen,
      stalled: silent && document.visibilityState === "visible",
      pictured: this.#picturedAt > 0,
      lost: this.#lost,
      silent: this.#silent,
    });
  }

  pictured() {
    const first = this.#picturedAt === 0;
    this.#picturedAt = performance.now();
    if (first) this.#changed();
  }

  /** A hidden page gets no pictures; the silence counts from here. */
  watched() {
    this.#watchedAt = performance.now();
  }

  /** @param {SourceKind} kind @param {import("./camera.js").CameraWish} wish @param {"sample" | Remote} [remote] */
  async start(kind, wish, remote = "sample") {
    const turn = ++this.#starts;
    let stream = null;
    try {
      stream = kind === "sample" || kind === "server" ? null : await this.#ask(kind, wish);
    } catch (error) {
      if (turn === this.#starts) this.#refused(/** @type {LivemaskError} */ (error));
      return;
    }
    if (turn !== this.#starts) return stopTracks(stream);
    this.#adopt(kind, stream, remote);
    await this.#connect();
  }

  /** Tries the connection again now. @param {string} [key] */
  async retry(key) {
    if (key) sessionStorage.setItem(KEY_ITEM, key);
    if (this.#live && this.#live.state !== "closed") return this.#live.retryNow();
    if (this.#kind) await this.#connect();
  }

  stop() {
    this.#starts++;
    this.#live?.close();
    this.#live = null;
    stopTracks(this.#source);
    this.#source = this.#kind = this.#why = this.#retryAt = null;
    this.#lost = this.#asking = this.#silent = false;
    this.#picturedAt = 0;
    this.#changed();
  }

  /** @param {"camera" | "screen"} kind @param {import("./camera.js").CameraWish} wish */
  async #ask(kind, wish) {
    this.#asking = true;
    this.#changed();
    try {
      return await (kind === "camera" ? openCamera(wish) : openScreen(wish));
    } finally {
      this.#asking = false;
    }
  }

  /** A refusal leaves a running session as it is. @param {LivemaskError} error */
  #refused(error) {
    const running = this.#live !== null && this.#live.state !== "closed" && !this.#lost;
    if (running || error.code === "SCREEN_REFUSED") this.dispatchEvent(new CustomEvent("note", { detail: error.message }));
    else this.#why = error;
    this.#changed();
  }

  /** @param {SourceKind} kind @param {MediaStream | null} stream @param {"sample" | Remote} remote */
  #adopt(kind, stream, remote) {
    stopTracks(this.#source);
    this.#kind = kind;
    this.#source = stream;
    this.#remote = remote;
    this.#lost = false;
    this.#why = null;
    const track = stream?.getVideoTracks()[0];
    track?.addEventListener("ended", () => {
      if (this.#source !== stream) return;
      this.#lost = true;
      this.#changed();
    });
    this.dispatchEvent(new Event("source"));
  }

  async #connect() {
    const before = this.#live;
    if (before && before.state !== "closed" && before.sendsVideo && this.#source) {
      await before.replaceSource(this.#source);
      return this.#changed();
    }
    before?.close();
    this.#picturedAt = 0;
    this.#silent = false;
    this.#why = null;
    const live = new Livemask({
      ...this.#conf(),
      source: this.#source ?? this.#remote,
      key: this.key,
      onState: (state, { why, retryIn }) => {
        if (live !== this.#live) return;
        this.#why = why ?? (state === "closed" ? this.#why : null);
        this.#retryAt = retryIn === null ? null : performance.now() + retryIn * 1000;
        this.#changed();
      },
    });
    this.#live = live;
    this.#changed();
    await live.start().catch((error) => {
      if (live !== this.#live) return;
      this.#why = error;
      this.#changed();
    });
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {MediaStream | null} stream */
function stopTracks(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
