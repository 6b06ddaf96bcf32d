/**
 * What the person does to objects, told to the server and kept for undo. Coordinates are 0..1 of the picture.
 *
 * Undo speaks plain prompts: an object goes back by forgetting it and giving it again the clicks that it had,
 * where they are now; a removed one comes back by its last mask.
 *
 * @typedef {import("./objects.js").Mark} Mark
 * @typedef {import("./stage.js").Shown} Shown
 * @typedef {import("./geometry.js").Spot} Spot
 */
import { LivemaskError } from "./messages.js";
import { markNow } from "./objects.js";

export class Prompter {
  #objects;
  #history;
  #client;

  /**
   * @param {import("./objects.js").ObjectList} objects
   * @param {import("./history.js").History} history
   * @param {() => import("./livemask.js").Livemask | null} client
   */
  constructor(objects, history, client) {
    this.#objects = objects;
    this.#history = history;
    this.#client = client;
  }

  /** On the selected object, or on a new one. @param {Spot} spot @param {0 | 1} label @param {Shown} shown @returns {Promise<number>} the object's id */
  async click(spot, label, shown) {
    const { id, before } = this.#target();
    const mark = { ...spot, label, within: null };
    const send = () => this.#send({ prompts: [point(spot, label, shown, id)], ...seen(shown) });
    await this.#change(id, before, [...(before ?? []), mark], send);
    return id;
  }

  /** @param {Spot} from @param {Spot} to @param {Shown} shown @returns {Promise<number>} the object's id */
  async box(from, to, shown) {
    const { id, before } = this.#target();
    const box = {
      x_min: Math.min(from.x, to.x) * shown.width,
      y_min: Math.min(from.y, to.y) * shown.height,
      x_max: Math.max(from.x, to.x) * shown.width,
      y_max: Math.max(from.y, to.y) * shown.height,
      object_id: id,
    };
    await this.#change(id, before, [], () => this.#send({ box_prompts: [box], ...seen(shown) }));
    return id;
  }

  /** @param {number} id @param {Mark} mark */
  async deleteMark(id, mark) {
    const object = this.#objects.get(id);
    if (!object) return;
    const before = object.marks;
    const after = before.filter((other) => other !== mark);
    await this.#restore(id, after);
    this.#history.push({ undo: () => this.#restore(id, before), redo: () => this.#restore(id, after) });
  }

  /** @param {number} id */
  async remove(id) {
    const object = this.#objects.get(id);
    if (!object) return;
    const rle = this.#live().lastMask(id);
    const kept = { ...object };
    const away = async () => {
      await this.#forget(id);
      this.#objects.delete(id);
    };
    const back = async () => {
      if (!rle) throw new LivemaskError("NO_MASK", `${kept.name} had no mask to come back with`);
      this.#objects.ensure(id);
      this.#objects.update(id, { ...kept, state: "new" });
      await this.#live().mask(id, rle);
    };
    await away();
    this.#history.push({ undo: back, redo: away });
  }

  /** Forgets what an object looks like, keeps its name and place for the next click. @param {number} id */
  async startAgain(id) {
    this.#objects.update(id, { kept: true });
    await this.#forget(id);
    this.#objects.update(id, { state: "new", box: null, score: 0, marks: [], pinned: false });
    this.#objects.select(id);
  }

  /** @param {number} id */
  async pin(id) {
    await this.#send({ pin: true, object_id: id });
    this.#objects.update(id, { pinned: true });
  }

  async reset() {
    await this.#live().reset();
    this.#objects.clear();
    this.#history.clear();
  }

  #live() {
    const live = this.#client();
    if (!live) throw new LivemaskError("NOT_CONNECTED", "start a camera first");
    return live;
  }

  /** @param {import("./messages.js").Prompt} prompt */
  async #send(prompt) {
    const ack = await this.#live().prompt(prompt);
    const [refused] = ack.rejected;
    if (refused) throw new LivemaskError(refused.error, refused.reason);
  }

  /** The object that a prompt is for, made if need be; `before` is null for one that the server does not know. */
  #target() {
    const selected = this.#objects.get(this.#objects.selected);
    if (selected) return { id: selected.id, before: selected.state === "new" && !selected.marks.length ? null : selected.marks };
    const id = this.#objects.nextId();
    this.#objects.ensure(id);
    this.#objects.select(id);
    return { id, before: null };
  }

  /** @param {number} id @param {Mark[] | null} before @param {Mark[]} after @param {() => Promise<void>} send */
  async #change(id, before, after, send) {
    this.#objects.update(id, { marks: after });
    try {
      await send();
    } catch (error) {
      if (before) this.#objects.update(id, { marks: before });
      else if (!this.#objects.get(id)?.kept) this.#objects.delete(id);
      throw error;
    }
    this.#objects.update(id, { kept: false });
    const undo = before ? () => this.#restore(id, before) : () => this.#undoFirst(id);
    this.#history.push({ undo, redo: () => this.#restore(id, after) });
  }

  /** @param {number} id */
  async #undoFirst(id) {
    await this.#forget(id);
    this.#objects.update(id, { state: "new", marks: [] });
    this.#objects.delete(id);
  }

  /** The object anew from these clicks, or from where it is now if it has none. @param {number} id @param {Mark[]} marks */
  async #restore(id, marks) {
    const shown = { width: 1000, height: 1000 };
    const object = this.#objects.ensure(id);
    const known = object.state !== "new";
    const now = marks.map((mark) => ({ ...mark, ...inPicture(markNow(mark, object.box) ?? mark) }));
    const prompts = now.map((mark) => point(mark, mark.label, shown, id));
    const rle = this.#live().lastMask(id);
    if (marks.some((mark) => mark.label === 1)) {
      await this.#send({ ...(known ? { remove: id } : {}), prompts, width: shown.width, height: shown.height });
    } else if (rle) {
      await this.#live().mask(id, rle);
    }
    this.#objects.update(id, { marks: now });
  }

  /** @param {number} id */
  async #forget(id) {
    await this.#live()
      .remove(id)
      .catch((error) => {
        if (error.code !== "UNKNOWN_OBJECT") throw error;
      });
  }
}

/** @param {Spot} spot */
const inPicture = ({ x, y }) => ({ x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y)) });

/** @param {Spot} spot @param {0 | 1} label @param {{width: number, height: number}} size @param {number} id */
function point({ x, y }, label, { width, height }, id) {
  return { x: x * width, y: y * height, label, object_id: id };
}

/** The frame that the person saw. @param {Shown} shown */
function seen({ width, height, rtp }) {
  return { width, height, ...(rtp === null ? {} : { rtp_timestamp: rtp }) };
}
