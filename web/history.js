/**
 * What can be undone. A deed has already been done when it is pushed.
 *
 * @typedef {{id: number, undo: () => Promise<void>, redo: () => Promise<void>}} Deed `id`: of its object
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

  /** The last deed, or the last on one object. @param {number} [id] @returns {Promise<boolean>} there was one */
  undo(id) {
    return this.#move(this.#done, this.#undone, (deed) => deed.undo(), id);
  }

  redo() {
    return this.#move(this.#undone, this.#done, (deed) => deed.redo());
  }

  clear() {
    this.#done = [];
    this.#undone = [];
    this.#changed();
  }

  /**
   * One at a time; a deed that fails is dropped.
   *
   * @param {Deed[]} from @param {Deed[]} to @param {(deed: Deed) => Promise<void>} carryOut @param {number} [id]
   */
  async #move(from, to, carryOut, id) {
    const at = this.#busy ? -1 : from.findLastIndex((deed) => id === undefined || deed.id === id);
    if (at < 0) return false;
    const [deed] = from.splice(at, 1);
    this.#busy = true;
    try {
      await carryOut(deed);
      to.push(deed);
    } finally {
      this.#busy = false;
      this.#changed();
    }
    return true;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
