/**
 * When was the picture taken that this result is about? The server reads it in wall time from the sender reports
 * of this browser's own WebRTC, and the browser tells the capture times of its own video in page time
 * (`requestVideoFrameCallback`). Between the two lies one constant, a few milliseconds: the delay with which the
 * browser stamps its pictures. Many frames have to agree on it; without agreement there is no answer.
 */
const CAPTURES_KEPT = 240;
const RESULTS_KEPT = 60;
const NEEDED = 8;
/** Times as many results as would meet a capture by chance. On a busy machine many have none: neither side sees all. */
const ABOVE_CHANCE = 2;
const NEAR_MS = 2.5;
/** Of two constants that fit as well (a camera is as regular as a clock) the smaller one is it. */
const MOST_MS = 30;

export class CameraClock {
  /** Ascending, milliseconds of `performance.now()`. @type {number[]} */
  #captures = [];
  /** Of recent results, by wall time. @type {number[]} */
  #expected = [];
  /** Wall time at page time 0, milliseconds; null until it was read. @type {number | null} */
  #epoch = null;
  /** @type {number | null} */
  #delay = null;

  /** Another source. */
  reset() {
    this.#captures = [];
    this.#expected = [];
    this.#delay = null;
  }

  /** The browser's own video showed a picture. @param {number} captureTime */
  captured(captureTime) {
    push(this.#captures, captureTime, CAPTURES_KEPT);
  }

  /** @param {import("./messages.js").Result} result */
  readResult(result) {
    const expected = this.#expect(result);
    if (expected === null) return;
    push(this.#expected, expected, RESULTS_KEPT);
    if (this.#delay === null || !isNear(this.#captures, expected - this.#delay)) this.#delay = this.#findDelay();
  }

  /** @param {import("./messages.js").Result} result @returns {number | null} `performance.now()` of its capture */
  captureOf(result) {
    const expected = this.#expect(result);
    return expected === null || this.#delay === null ? null : expected - this.#delay;
  }

  /** @param {import("./messages.js").Result} result */
  #expect({ capture_time }) {
    if (capture_time === null) return null;
    // Like WebRTC's own, read when the first session runs: the wall clock may have been set since the page came.
    this.#epoch ??= readEpoch();
    return capture_time * 1000 - this.#epoch;
  }

  /** The delay under which most of the recent results meet a capture. */
  #findDelay() {
    const expected = this.#expected;
    const enough = Math.max(NEEDED, ABOVE_CHANCE * this.#chance());
    let best = this.#delay;
    let bestScore = 0;
    for (const delay of expected.flatMap((time) => this.#delaysOf(time))) {
      const hits = expected.filter((time) => isNear(this.#captures, time - delay)).length;
      const score = hits * (1 - Math.abs(delay) / (2 * MOST_MS));
      if (hits >= enough && score > bestScore) [best, bestScore] = [delay, score];
    }
    return best;
  }

  /** How many of the recent results meet a capture under any delay. */
  #chance() {
    const [first, last] = [this.#expected[0], this.#expected[this.#expected.length - 1]];
    const captures = this.#captures.filter((capture) => capture >= first && capture <= last).length;
    return (captures * this.#expected.length * 2 * NEAR_MS) / Math.max(1, last - first);
  }

  /** @param {number} time */
  #delaysOf(time) {
    return this.#captures.map((capture) => time - capture).filter((delay) => Math.abs(delay) <= MOST_MS);
  }
}

/** `Date.now()` counts whole milliseconds: the most by which it is ahead, within two of them. */
function readEpoch() {
  const until = performance.now() + 2;
  let epoch = -Infinity;
  for (let now = 0; now < until; now = performance.now()) epoch = Math.max(epoch, Date.now() - performance.now());
  return epoch;
}

/** @param {number[]} list @param {number} value @param {number} most */
function push(list, value, most) {
  list.push(value);
  if (list.length > most) list.shift();
}

/** One of ascending numbers is within reach. @param {number[]} list @param {number} value */
function isNear(list, value) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value - NEAR_MS) low = middle + 1;
    else high = middle;
  }
  return low < list.length && list[low] <= value + NEAR_MS;
}
