/** How long to wait before the next try: doubling, with a ceiling and a little chance against stampedes. */
export class Backoff {
  #attempt = 0;

  /** @param {{first?: number, most?: number, random?: () => number}} [conf] seconds */
  constructor({ first = 0.5, most = 8, random = Math.random } = {}) {
    this.first = first;
    this.most = most;
    this.random = random;
  }

  get attempt() {
    return this.#attempt;
  }

  /** @param {number | null} [atLeast] seconds that the server asked for @returns {number} seconds */
  next(atLeast = null) {
    const wait = Math.min(this.most, this.first * 2 ** this.#attempt++);
    return Math.max(wait * (0.75 + 0.5 * this.random()), atLeast ?? 0);
  }

  reset() {
    this.#attempt = 0;
  }
}
