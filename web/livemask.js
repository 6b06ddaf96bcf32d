/**
 * The network client of Livemask. Importable from anywhere, without the page:
 *
 *     import { Livemask } from "/livemask.js";
 *     const source = await navigator.mediaDevices.getUserMedia({ video: true });
 *     const live = await Livemask.connect({ source, onResult: (result) => console.log(result.objects) });
 *     video.srcObject = live.stream;
 *     await live.prompt({ prompts: [{ x: 320, y: 240, object_id: 1 }] });
 *
 * It reconnects by itself and then brings the objects back: the last mask of each becomes a mask prompt.
 *
 * @typedef {import("./messages.js").Result} Result
 * @typedef {import("./messages.js").Ack} Ack
 * @typedef {import("./messages.js").Prompt} Prompt
 * @typedef {import("./server-cameras.js").Remote} Remote
 * @typedef {"connecting" | "live" | "reconnecting" | "closed"} ConnectionState
 * @typedef {{why: LivemaskError | null, retryIn: number | null}} StateDetail `retryIn`: seconds to the next try
 *
 * @typedef {object} LivemaskConf
 * @property {MediaStream | MediaStreamTrack | "sample" | Remote} source a camera, the server's built-in clip, a camera
 *   of the server, or a running session to watch
 * @property {string} [url] base address of the server; the page's own by default
 * @property {string | null} [key] access key, where the server demands one
 * @property {import("./messages.js").Output} [output]
 * @property {boolean} [applyMask] false: the picture comes back as it went
 * @property {"vp8" | "h264" | null} [codec]
 * @property {(result: Result) => void} [onResult] each processed frame
 * @property {(state: ConnectionState, detail: StateDetail) => void} [onState]
 * @property {(stream: MediaStream) => void} [onStream] the masked video, again after each reconnection
 * @property {(message: import("./messages.js").StateMessage) => void} [onObjects] the object list has changed
 * @property {(stats: import("./messages.js").Stats) => void} [onStats] once a second
 */
import { Backoff } from "./backoff.js";
import { maskDataUri } from "./mask-image.js";
import { LivemaskError } from "./messages.js";
import { Recall } from "./recall.js";
import { Requests } from "./requests.js";
import { Session } from "./session.js";
import { sourceOf, videoTrack } from "./sources.js";

export { LivemaskError };

/** Trying again does not help with these. */
const FINAL = new Set(["UNAUTHORIZED", "FORBIDDEN", "NOT_ALLOWED", "NOT_FOUND", "INVALID_INPUT", "TOO_LARGE", "CLOSED"]);

export class Livemask {
  #conf;
  /** @type {MediaStreamTrack | "sample" | Remote} */
  #source;
  /** @type {ConnectionState} */
  #state = "connecting";
  /** @type {Session | null} */
  #session = null;
  #backoff = new Backoff();
  #requests = new Requests();
  #recall = new Recall();
  /** @type {import("./messages.js").Output} */
  #output;
  #applyMask;
  /** The newest of this session. @type {import("./messages.js").StateMessage | null} */
  #stateMessage = null;
  /** @type {(() => void) | null} cuts the wait before the next try short */
  #wake = null;

  /** The masked video. @type {MediaStream} */
  stream = new MediaStream();

  /**
   * Resolves when the first session is live; rejects where trying again would not help, and after close().
   *
   * @param {LivemaskConf} conf
   */
  static async connect(conf) {
    const live = new Livemask(conf);
    await live.start();
    return live;
  }

  /** @param {LivemaskConf} conf */
  constructor(conf) {
    this.#conf = conf;
    this.#source = sourceOf(conf.source);
    this.#output = conf.output ?? { mode: "overlay", hidden: [] };
    this.#applyMask = conf.applyMask ?? true;
    addEventListener("online", this.retryNow);
    addEventListener("pagehide", this.close);
  }

  get state() {
    return this.#state;
  }

  /** The server takes prompts from here; false for a view that may only watch. */
  get mayPrompt() {
    return this.#session?.mayPrompt ?? true;
  }

  /** Which model the server runs, and why. */
  get model() {
    return this.#session?.model ?? null;
  }

  /** Whether this connection carries a picture of the browser's own, which `replaceSource` can change. */
  get sendsVideo() {
    return this.#source instanceof MediaStreamTrack;
  }

  /** Opens the connection; `connect` has done it already. */
  async start() {
    for (;;) {
      try {
        return await this.#openSession();
      } catch (error) {
        const why = /** @type {LivemaskError} */ (error);
        if (this.#isClosed()) throw why;
        if (FINAL.has(why.code)) {
          this.close();
          throw why;
        }
        await this.#pause(why);
        if (this.#isClosed()) throw new LivemaskError("CLOSED", "closed while connecting");
      }
    }
  }

  /**
   * One input object (docs/protocol.md, section 5). Resolves with the server's answer once the frame with its
   * effect has left; rejects with LivemaskError where the server refuses it.
   *
   * @param {Prompt} message
   * @param {(preview: import("./messages.js").Preview) => void} [onPreview] with `preview: true`: what it will show on
   *   the frame that it names, before its effect has come all the way to now
   * @returns {Promise<Ack>}
   */
  async prompt(message, onPreview) {
    const session = this.#session;
    if (this.#state !== "live" || !session) throw new LivemaskError("NOT_CONNECTED", "not connected to the server");
    if (message.output) this.#output = { ...this.#output, ...message.output };
    if (message.apply_mask !== undefined) this.#applyMask = message.apply_mask;
    const ack = await this.#request(session, message, onPreview);
    this.#recall.readObjects(ack.object_ids);
    this.#recall.readPrompt(message);
    return ack;
  }

  /** @param {number | number[]} ids */
  remove(ids) {
    return this.prompt({ remove: ids });
  }

  reset() {
    return this.prompt({ reset: true });
  }

  /** @param {number} objectId @param {import("./rle.js").Rle} rle */
  async mask(objectId, rle) {
    return this.prompt({ object_id: objectId, mask_url: await maskDataUri(rle) });
  }

  /** Another camera over the same session, where the session sends one. @param {MediaStream | MediaStreamTrack} source */
  async replaceSource(source) {
    this.#source = videoTrack(source);
    await this.#session?.replaceTrack(this.#source);
  }

  /** Starts or ends a recording on the server. @param {boolean} on */
  async record(on) {
    await this.#session?.record(on);
  }

  /** The browser's own numbers of the connection, null without one. */
  async report() {
    return this.#session ? this.#session.stats() : null;
  }

  /** Cuts the wait before the next try short. */
  retryNow = () => this.#wake?.();

  /** Safe at any time, any number of times. */
  close = () => {
    if (this.#isClosed()) return;
    removeEventListener("online", this.retryNow);
    removeEventListener("pagehide", this.close);
    this.#setState("closed", null, null);
    this.#dropSession(new LivemaskError("CLOSED", "the connection was closed"));
    this.#wake?.();
  };

  async #openSession() {
    const { url = document.baseURI, key = null, codec = null } = this.#conf;
    /** @type {Session} */
    const session = new Session({
      url,
      key,
      codec,
      source: this.#source,
      output: this.#output,
      applyMask: this.#applyMask,
      onTrack: (track) => this.#replaceStream(session, track),
      onMessage: (message) => session === this.#session && this.#dispatch(message),
      onLost: (why) => session === this.#session && this.#reconnect(why),
    });
    this.#session = session;
    this.#stateMessage = null;
    await session.open();
    this.#backoff.reset();
    await this.#bringBack(session);
    if (this.#isClosed()) throw new LivemaskError("CLOSED", "closed while connecting");
    this.#setState("live", null, null);
    if (this.#stateMessage) this.#readState(this.#stateMessage);
  }

  /** Brings the objects of the session before back; one that is only watched has its own. @param {Session} session */
  async #bringBack(session) {
    if (typeof this.#source === "object" && "watch" in this.#source) return;
    for await (const message of this.#recall.prompts()) {
      const { object_id } = message;
      await this.#request(session, message).catch((why) => console.warn(`object ${object_id} did not come back: ${why.message}`));
    }
  }

  /** @param {LivemaskError} why */
  async #reconnect(why) {
    this.#dropSession(why);
    await this.#pause(why);
    if (this.#isClosed()) return;
    await this.start().catch((error) => this.#setState("closed", error, null));
  }

  /** @param {LivemaskError} why */
  async #pause(why) {
    this.#dropSession(why);
    const seconds = this.#backoff.next(why.retryAfter);
    this.#setState(this.#state === "connecting" ? "connecting" : "reconnecting", why, seconds);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
    this.#wake = null;
  }

  /** @param {LivemaskError} why */
  #dropSession(why) {
    this.#session?.close();
    this.#session = null;
    this.#requests.refuseAll(why);
  }

  /** @param {Session} session @param {object} message @param {(preview: import("./messages.js").Preview) => void} [onPreview] */
  #request(session, message, onPreview) {
    return this.#requests.make(message, (numbered) => session.send(numbered), onPreview);
  }

  /** @param {any} message */
  #dispatch(message) {
    if (message.type === "result") {
      this.#recall.readResult(message);
      this.#conf.onResult?.(message);
    } else if (message.type === "ack") this.#requests.answered(message);
    else if (message.type === "preview") this.#requests.previewed(message);
    else if (message.type === "x-fal-error") {
      this.#requests.refused(message.request_id, new LivemaskError(message.error, message.reason));
    } else if (message.type === "state") this.#readState(message);
    else if (message.type === "stats") this.#conf.onStats?.(message);
  }

  /** While objects are being brought back the list is not complete. @param {import("./messages.js").StateMessage} message */
  #readState(message) {
    this.#stateMessage = message;
    if (this.#state !== "live") return;
    this.#recall.readObjects(message.objects.map(({ object_id }) => object_id));
    this.#conf.onObjects?.(message);
  }

  /** @param {Session} session @param {MediaStreamTrack} track */
  #replaceStream(session, track) {
    if (session !== this.#session) return;
    this.stream = new MediaStream([track]);
    this.#conf.onStream?.(this.stream);
  }

  #isClosed() {
    return this.#state === "closed";
  }

  /** @param {ConnectionState} state @param {LivemaskError | null} why @param {number | null} retryIn */
  #setState(state, why, retryIn) {
    this.#state = state;
    this.#conf.onState?.(state, { why, retryIn });
  }
}
