/** Messages that wait for their answer, by `request_id`. */
import { LivemaskError } from "./messages.js";

const ANSWER_MS = 10000;

/** @typedef {import("./messages.js").Ack} Ack */
/** @typedef {import("./messages.js").Preview} Preview */

export class Requests {
  #made = 0;
  /** @type {Map<string, {resolve: (ack: Ack) => void, reject: (why: LivemaskError) => void,
   * timer: number, onPreview: (preview: Preview) => void}>} */
  #waiting = new Map();

  /**
   * Gives the message an id and sends it.
   *
   * @param {object} message
   * @param {(message: object) => void} send may throw LivemaskError
   * @param {(preview: Preview) => void} [onPreview] what it will show, before its answer
   * @returns {Promise<Ack>}
   */
  make(message, send, onPreview = () => {}) {
    const id = `r${++this.#made}`;
    return new Promise((resolve, reject) => {
      const late = new LivemaskError("TIMEOUT", "the server did not answer");
      const timer = window.setTimeout(() => this.refused(id, late), ANSWER_MS);
      this.#waiting.set(id, { resolve, reject, timer, onPreview });
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
    this.#waiting.get(preview.request_id)?.onPreview(preview);
  }

  /** @param {string} id @param {LivemaskError} why */
  refused(id, why) {
    this.#take(id)?.reject(why);
  }

  /** @param {LivemaskError} why */
  refuseAll(why) {
    for (const id of [...this.#waiting.keys()]) this.refused(id, why);
  }

  /** @param {string} id */
  #take(id) {
    const request = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(request?.timer);
    return request;
  }
}
