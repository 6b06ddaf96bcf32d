/** Hints for the first minutes. Each is shown once, one at a time, and goes away when it is followed. */

/** @typedef {"click" | "refine" | "more" | "freeze"} HintName */

/** @type {Record<HintName, {mouse: string, touch: string}>} */
const HINTS = {
  click: {
    mouse: "Click an object, or drag a box around it.",
    touch: "Tap an object, or drag a box around it.",
  },
  refine: {
    mouse: "Not quite? Click what is missing; right click takes away.",
    touch: "Tap what is missing, or use Exclude.",
  },
  more: { mouse: "Press N for another object.", touch: "Tap New object for another one." },
  freeze: {
    mouse: "Too fast to hit? Hold the button down: the picture waits.",
    touch: "Too fast to hit? Press and hold: the picture waits.",
  },
};
const SHOWN_MS = 12000;

export class Hints {
  #seen;
  #show;
  /** @type {HintName | null} */
  #current = null;
  #timer = 0;

  /** @param {string[]} seen names of hints that were followed or dismissed @param {(text: string | null) => void} show */
  constructor(seen, show) {
    this.#seen = new Set(seen);
    this.#show = show;
  }

  get seen() {
    return [...this.#seen];
  }

  /** The moment has come for this hint, if none is on show. @param {HintName} name */
  offer(name) {
    if (this.#current || this.#seen.has(name)) return;
    this.#current = name;
    this.#show(HINTS[name][matchMedia("(pointer: coarse)").matches ? "touch" : "mouse"]);
    // The first one waits for the first click; the others are by the way.
    if (name !== "click") this.#timer = setTimeout(() => this.done(name), SHOWN_MS);
  }

  /** The person did it, or does not want to know. @param {HintName} [name] the one on show by default */
  done(name = this.#current ?? undefined) {
    if (!name) return;
    this.#seen.add(name);
    if (this.#current === name) this.clear();
  }

  clear() {
    clearTimeout(this.#timer);
    this.#current = null;
    this.#show(null);
  }
}
