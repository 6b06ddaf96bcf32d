/**
 * What can be undone. A deed has already been done when it is pushed.
 *
 * @typedef {{undo: () => Promise<void>, redo: () => Promise<void>}} Deed
 */
const KEPT = 100;

export class History extends EventTarget {
  /** @type {Deed[]} */
  #done = [];
  /** @type {Deed[]} */
  #undone = [];
  #busy = false;

  get canUndo() {
    return this.#done.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  /** @param {Deed} deed */
  push(deed) {
    this.#done.push(deed);
    if (this.#done.length > KEPT) this.#done.shift();
    this.#undone = [];
    this.#changed();
  }

  undo() {
    return this.#move(this.#done, this.#undone, (deed) => deed.undo());
  }

  redo() {
    return this.#move(this.#undone, this.#done, (deed) => deed.redo());
  }

  clear() {
    this.#done = [];
    this.#undone = [];
    this.#changed();
  }

  /** One at a time; a deed that fails is dropped. @param {Deed[]} from @param {Deed[]} to @param {(deed: Deed) => Promise<void>} carryOut */
  async #move(from, to, carryOut) {
    const deed = this.#busy ? undefined : from.pop();
    if (!deed) return;
    this.#busy = true;
    try {
      await carryOut(deed);
      to.push(deed);
    } finally {
      this.#busy = false;
      this.#changed();
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
