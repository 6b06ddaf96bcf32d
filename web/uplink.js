/**
 * When was the picture taken that this result is about? Exact where the browser lets us see the RTP timestamps
 * that leave (encoded transforms) and the capture times of its own video (`requestVideoFrameCallback`).
 *
 * Two constants are found by agreement of many frames: from the clock of the server's `pts` to the RTP clock of
 * the uplink, and from there to the capture clock of this page. Without agreement there is no answer.
 */
const KEPT = 240;
const NEEDED = 8;
const AGREEMENT = 0.8;
/** `pts` travels with four decimals, 4.5 ticks at worst; milliseconds are the grain of the RTP clock. */
const TICKS_NEAR = 20;
const MS_NEAR = 2.5;
const MAX_ENCODE_MS = 250;
const SETTLE_MS = 400;
const TICKS_PER_MS = 90;

export class Uplink {
  /** @type {Worker | null} */
  #worker = null;
  /** RTP timestamps that left, unwrapped, oldest first. @type {number[]} */
  #sent = [];
  /** The first ones of the session: one of them is the server's zero. @type {number[]} */
  #first = [];
  /** @type {number[]} */
  #arrivals = [];
  /** Capture times of the browser's own pictures, milliseconds of `performance.now()`. @type {number[]} */
  #captures = [];
  /** Of recent results, in ticks. @type {number[]} */
  #pts = [];
  /** @type {number | null} */
  #zero = null;
  /** Capture time minus RTP time, milliseconds. @type {number | null} */
  #offset = null;
  #sentSinceFit = 0;

  /** A new session's sender, before its first frame. @param {RTCRtpSender} sender */
  attach(sender) {
    this.reset();
    if (!("transform" in sender) || typeof RTCRtpScriptTransform === "undefined") return;
    this.#worker?.terminate();
    this.#worker = new Worker(new URL("./uplink-worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data: { rtp, at } }) => this.#left(rtp, at - performance.timeOrigin);
    sender.transform = new RTCRtpScriptTransform(this.#worker, {});
  }

  reset() {
    this.#sent = [];
    this.#first = [];
    this.#arrivals = [];
    this.#pts = [];
    this.#zero = this.#offset = null;
  }

  /** The browser's own video showed a picture. @param {number} captureTime */
  captured(captureTime) {
    push(this.#captures, captureTime);
  }

  /** @param {import("./messages.js").Result} result */
  readResult(result) {
    if (result.pts === null) return;
    push(this.#pts, Math.round(result.pts * 1000 * TICKS_PER_MS));
    const hit = this.#zero !== null && near(this.#sent, this.#zero + (this.#pts.at(-1) ?? 0), TICKS_NEAR) !== null;
    if (!hit) this.#zero = this.#findZero();
  }

  /** @param {import("./messages.js").Result} result @returns {number | null} `performance.now()` of its capture */
  captureOf(result) {
    if (this.#zero === null || this.#offset === null || result.pts === null) return null;
    const sent = near(this.#sent, this.#zero + Math.round(result.pts * 1000 * TICKS_PER_MS), TICKS_NEAR);
    return sent === null ? null : sent / TICKS_PER_MS + this.#offset;
  }

  /** @param {number} rtp @param {number} at */
  #left(rtp, at) {
    const last = this.#sent.at(-1);
    const unwrapped = last === undefined ? rtp : last + ((rtp - last) | 0);
    push(this.#sent, unwrapped);
    push(this.#arrivals, at);
    if (this.#first.length < 60) this.#first.push(unwrapped);
    const impossible = this.#offset !== null && unwrapped / TICKS_PER_MS + this.#offset > at + 1;
    if (this.#offset !== null && !impossible && ++this.#sentSinceFit < 30) return;
    this.#sentSinceFit = 0;
    this.#offset = this.#findOffset();
  }

  /** The RTP timestamp of the server's `pts` 0: the earliest that makes the results fall on what was sent. */
  #findZero() {
    const pts = this.#pts.slice(-20);
    if (pts.length < NEEDED) return null;
    let best = null;
    let most = AGREEMENT * pts.length - 0.5;
    for (const zero of this.#first) {
      const hits = pts.filter((ticks) => near(this.#sent, zero + ticks, TICKS_NEAR) !== null).length;
      if (hits > most) [best, most] = [zero, hits];
    }
    return best;
  }

  /**
   * Each picture was captured before it left: the quickest of all those kept bounds the difference of the clocks.
   * Below that bound, the nearest difference under which nearly all sent pictures meet a captured one is it.
   */
  #findOffset() {
    const lags = this.#arrivals.map((at, i) => at - this.#sent[i] / TICKS_PER_MS);
    const most = Math.min(...lags) + 1;
    // The browser's own video tells of a picture later than the encoder: look at those it must have told of.
    const settled = (this.#arrivals.at(-1) ?? 0) - SETTLE_MS;
    const recent = this.#sent.filter((_, i) => this.#arrivals[i] < settled).slice(-30);
    if (recent.length < NEEDED) return this.#offset;
    const last = recent[recent.length - 1] / TICKS_PER_MS;
    let best = null;
    let bestHits = AGREEMENT * recent.length - 0.5;
    for (const capture of this.#captures.toReversed()) {
      const offset = capture - last;
      if (offset > most || offset < most - MAX_ENCODE_MS) continue;
      const hits = recent.filter((rtp) => near(this.#captures, rtp / TICKS_PER_MS + offset, MS_NEAR) !== null);
      if (hits.length > bestHits) [best, bestHits] = [offset, hits.length];
    }
    return best ?? this.#offset;
  }
}

/** @param {number[]} list @param {number} value */
function push(list, value) {
  list.push(value);
  if (list.length > KEPT) list.shift();
}

/** The nearest of ascending numbers, within reach. @param {number[]} list @param {number} value @param {number} reach @returns {number | null} */
function near(list, value, reach) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1;
    else high = middle;
  }
  const candidates = [list[low - 1], list[low]].filter((other) => other !== undefined && Math.abs(other - value) <= reach);
  return candidates.length ? candidates.reduce((a, b) => (Math.abs(a - value) <= Math.abs(b - value) ? a : b)) : null;
}
