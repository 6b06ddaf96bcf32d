/**
 * The objects as the page knows them: what the server says (state, score, colour) and what the person gave
 * (name, clicks, hidden, solo). No DOM, no network.
 *
 * @typedef {import("./messages.js").ObjectState} ObjectState
 * @typedef {import("./messages.js").Box} Box
 * @typedef {{x: number, y: number, label: 0 | 1}} Click 0..1 of the picture
 * @typedef {Click & {within: {x: number, y: number} | null, open: boolean}} Mark a click, where it was in the
 *   object's box, and whether its answer is still to come
 *
 * @typedef {object} LiveObject
 * @property {number} id
 * @property {string} name
 * @property {string} color
 * @property {ObjectState | "new"} state `new`: no result yet
 * @property {number} since `performance.now()` of the last change of state
 * @property {number} score
 * @property {Box | null} box of the newest mask, normalised
 * @property {Mark[]} marks
 * @property {boolean} hidden
 * @property {boolean} pinned
 */
import { objectColor } from "./palette.js";

export class ObjectList extends EventTarget {
  /** @type {Map<number, LiveObject>} */
  #objects = new Map();
  /** @type {number | null} null: the next click makes a new object */
  #selected = null;
  /** @type {number | null} */
  #solo = null;
  /** Of the newest result; results may come out of order. */
  #frame = -1;

  /** @returns {LiveObject[]} ascending by id */
  all() {
    return [...this.#objects.values()].sort((a, b) => a.id - b.id);
  }

  /** @param {number | null} id */
  get(id) {
    return id === null ? null : (this.#objects.get(id) ?? null);
  }

  get size() {
    return this.#objects.size;
  }

  get selected() {
    return this.#selected;
  }

  get solo() {
    return this.#solo;
  }

  /** The lowest number that is free. */
  nextId() {
    let id = 1;
    while (this.#objects.has(id)) id++;
    return id;
  }

  /** @param {number} id @returns {LiveObject} the object, made if it is not there */
  ensure(id) {
    const known = this.#objects.get(id);
    if (known) return known;
    /** @type {LiveObject} */
    const made = {
      id,
      name: `Object ${id}`,
      color: objectColor(id),
      state: "new",
      since: performance.now(),
      score: 0,
      box: null,
      marks: [],
      hidden: false,
      pinned: false,
    };
    this.#objects.set(id, made);
    this.#changed();
    return made;
  }

  /** @param {number | null} id */
  select(id) {
    if (id !== null && !this.#objects.has(id)) return;
    this.#selected = id;
    this.#changed();
  }

  /** @param {number} id */
  delete(id) {
    if (!this.#objects.delete(id)) return;
    if (this.#selected === id) this.#selected = null;
    if (this.#solo === id) this.#solo = null;
    this.#changed();
  }

  /** A new session counts its frames from 0. */
  newSession() {
    this.#frame = -1;
  }

  clear() {
    this.#objects.clear();
    this.#selected = this.#solo = null;
    this.#changed();
  }

  /** @param {number} id @param {Partial<LiveObject>} part */
  update(id, part) {
    const object = this.#objects.get(id);
    if (!object) return;
    Object.assign(object, part);
    this.#changed();
  }

  /** @param {number | null} id */
  setSolo(id) {
    this.#solo = id;
    this.#changed();
  }

  /** Objects that are not to be drawn: the hidden ones, or all but the solo one. @returns {number[]} */
  undrawn() {
    const solo = this.#solo;
    return this.all()
      .filter((object) => (solo === null ? object.hidden : object.id !== solo))
      .map((object) => object.id);
  }

  /**
   * What the server says of its objects. Objects it does not name are kept while they wait for their first
   * result, and forgotten otherwise.
   *
   * @param {import("./messages.js").StateMessage} message
   */
  readState(message) {
    const named = new Set();
    for (const info of message.objects) {
      named.add(info.object_id);
      const object = this.ensure(info.object_id);
      object.color = info.color ?? object.color;
      this.#readObject(object, info.state, info.score);
    }
    for (const { id, state } of this.all()) if (state !== "new" && !named.has(id)) this.delete(id);
    this.#changed();
  }

  /** @param {import("./messages.js").Result} result */
  readResult(result) {
    if (result.frame_index <= this.#frame) return;
    this.#frame = result.frame_index;
    for (const { object_id, state, score, box } of result.objects) {
      const object = this.#objects.get(object_id);
      if (!object) continue;
      object.box = box;
      for (const mark of object.marks) if (!mark.within && !mark.open && box) mark.within = inBox(mark, box);
      if (this.#readObject(object, state, score)) this.#changed();
    }
  }

  /**
   * Where the new clicks lie in their object, on the very picture that was clicked.
   *
   * @param {import("./messages.js").Preview} preview
   */
  readPreview(preview) {
    for (const { object_id, box } of preview.objects) {
      for (const mark of this.#objects.get(object_id)?.marks ?? []) {
        if (!mark.within && box) mark.within = inBox(mark, box);
      }
    }
  }

  /** The clicks on an object have been answered; from here on the newest box will do. @param {number} id */
  settleMarks(id) {
    for (const mark of this.#objects.get(id)?.marks ?? []) mark.open = false;
  }

  /** @param {LiveObject} object @param {ObjectState} state @param {number} score @returns {boolean} changed state */
  #readObject(object, state, score) {
    object.score = score;
    if (object.state === state) return false;
    object.state = state;
    object.since = performance.now();
    return true;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {{x: number, y: number}} spot @param {Box} box */
function inBox({ x, y }, [cx, cy, w, h]) {
  return { x: (x - cx) / Math.max(w, 1e-3), y: (y - cy) / Math.max(h, 1e-3) };
}

/**
 * Where a clicked point is now: it goes with the object's box.
 *
 * @param {Mark} mark @param {Box | null} box
 * @returns {{x: number, y: number} | null} 0..1 of the picture; null while the object is not to be seen
 */
export function markNow(mark, box) {
  if (!mark.within) return mark;
  if (!box) return null;
  const [cx, cy, w, h] = box;
  return { x: cx + mark.within.x * w, y: cy + mark.within.y * h };
}
