/** Messages that wait for their answer, by `request_id`. */
import { LivemaskError } from "./messages.js";

const ANSWER_MS = 10000;
/** Requests whose preview may still come; on a busy server it comes after the answer. */
const PREVIEWS_AWAITED = 16;

/** @typedef {import("./messages.js").Ack} Ack */
/** @typedef {import("./messages.js").Preview} Preview */

export class Requests {
  #made = 0;
  /** @type {Map<string, {resolve: (ack: Ack) => void, reject: (why: LivemaskError) => void,
   * timer: number}>} */
  #waiting = new Map();
  /** @type {Map<string, (preview: Preview) => void>} oldest first */
  #foretold = new Map();

  /**
   * Gives the message an id and sends it.
   *
   * @param {object} message
   * @param {(message: object) => void} send may throw LivemaskError
   * @param {(preview: Preview) => void} [onPreview] what it will show, as a rule before its answer
   * @returns {Promise<Ack>}
   */
  make(message, send, onPreview) {
    const id = `r${++this.#made}`;
    if (onPreview) this.#await(id, onPreview);
    return new Promise((resolve, reject) => {
      const late = new LivemaskError("TIMEOUT", "the server did not answer");
      const timer = window.setTimeout(() => this.refused(id, late), ANSWER_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      try {
        send({ ...message, request_id: id });
      } catch (error) {
        this.refused(id, /** @type {LivemaskError} */ (error));
      }
    });
  }

  /** @param {Ack} ack */
  answered(ack) {
    this.#take(ack.request_id)?.resolve(ack);
  }

  /** @param {Preview} preview */
  previewed(preview) {
    this.#foretold.get(preview.request_id)?.(preview);
    this.#foretold.delete(preview.request_id);
  }

  /** @param {string} id @param {LivemaskError} why */
  refused(id, why) {
    this.#take(id)?.reject(why);
  }

  /** @param {LivemaskError} why */
  refuseAll(why) {
    this.#foretold.clear();
    for (const id of [...this.#waiting.keys()]) this.refused(id, why);
  }

  /** @param {string} id @param {(preview: Preview) => void} onPreview */
  #await(id, onPreview) {
    this.#foretold.set(id, onPreview);
    if (this.#foretold.size > PREVIEWS_AWAITED) this.#foretold.delete(this.#foretold.keys().next().value ?? "");
  }

  /** @param {string} id */
  #take(id) {
    const request = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(request?.timer);
    return request;
  }
}
