/** Hints for the first minutes. Each is shown once, one at a time, and goes away when it is followed. */

/** @typedef {"click" | "refine" | "exclude" | "more" | "freeze"} HintName */

/** @type {[HintName, string][]} in the order in which they come */
const HINTS = [
  ["click", "Click an object, or drag a box around it."],
  ["refine", "Not quite? Click what is missing. Right click, or Shift and click, takes away."],
  ["more", "Press N for another object."],
  ["freeze", "Too fast to hit? Press and hold: the picture waits for you."],
];

export class Hints {
  #seen;
  #show;
  /** @type {HintName | null} */
  #current = null;

  /** @param {string[]} seen names of hints that were followed or dismissed @param {(text: string | null) => void} show */
  constructor(seen, show) {
    this.#seen = new Set(seen);
    this.#show = show;
  }

  get seen() {
    return [...this.#seen];
  }

  /** The moment has come for this hint, if those before it have gone. @param {HintName} name */
  offer(name) {
    if (this.#current || this.#seen.has(name)) return;
    this.#current = name;
    this.#show(HINTS.find(([known]) => known === name)?.[1] ?? null);
  }

  /** The person did it, or does not want to know. @param {HintName} [name] the one on show by default */
  done(name = this.#current ?? undefined) {
    if (!name) return;
    this.#seen.add(name);
    if (this.#current === name) this.clear();
  }

  clear() {
    this.#current = null;
    this.#show(null);
  }
}
