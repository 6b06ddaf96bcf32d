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
  /** The last of those that wait for each other. @type {Promise<unknown>} */
  #turn = Promise.resolve();

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
    return this.#move("undo", id);
  }

  redo() {
    return this.#move("redo");
  }

  clear() {
    this.#done = [];
    this.#undone = [];
    this.#changed();
  }

  /**
   * One after the other, in the order asked for; a deed that fails is dropped.
   *
   * @param {"undo" | "redo"} way @param {number} [id]
   */
  #move(way, id) {
    const turn = this.#turn.then(async () => {
      const [from, to] = way === "undo" ? [this.#done, this.#undone] : [this.#undone, this.#done];
      const at = from.findLastIndex((deed) => id === undefined || deed.id === id);
      if (at < 0) return false;
      const [deed] = from.splice(at, 1);
      try {
        await deed[way]();
        to.push(deed);
      } finally {
        this.#changed();
      }
      return true;
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
