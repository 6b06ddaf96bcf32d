/**
 * Results by the picture they belong to. The key is the RTP timestamp: what a displayed frame says of itself
 * (`requestVideoFrameCallback`), what a result names, and what a prompt gives back.
 */
const KEPT = 120;

export class Frames {
  /** @type {Map<number, import("./messages.js").Result>} oldest first */
  #results = new Map();
  /** @type {import("./messages.js").Result | null} */
  #newest = null;

  /** @param {import("./messages.js").Result} result */
  add(result) {
    this.#results.set(result.rtp_timestamp, result);
    if (this.#results.size > KEPT) this.#results.delete(this.#results.keys().next().value ?? 0);
    if (!this.#newest || result.frame_index >= this.#newest.frame_index) this.#newest = result;
  }

  get newest() {
    return this.#newest;
  }

  /**
   * The result of the picture with this timestamp; where its message was lost, that of the picture before it.
   *
   * @param {number | null} rtp
   * @param {number} [patience] how old the stand-in may be, in 90 kHz ticks
   * @returns {import("./messages.js").Result | null}
   */
  of(rtp, patience = 9000) {
    if (rtp === null) return this.#newest;
    const exact = this.#results.get(rtp);
    if (exact) return exact;
    let best = null;
    let bestAge = patience;
    for (const result of this.#results.values()) {
      const age = ticksBetween(result.rtp_timestamp, rtp);
      if (age >= 0 && age <= bestAge) [best, bestAge] = [result, age];
    }
    return best;
  }

  /** The result of this very picture. @param {number} rtp */
  exactly(rtp) {
    return this.#results.get(rtp) ?? null;
  }

  clear() {
    this.#results.clear();
    this.#newest = null;
  }
}

/** Signed distance of two 32-bit timestamps that wrap. @param {number} from @param {number} to */
export function ticksBetween(from, to) {
  return (to - from) | 0;
}
