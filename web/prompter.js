/**
 * What the person does to objects, told to the server, and how each deed is taken back. The server keeps what
 * an object was; the page keeps what it alone knows: names and clicked points. Coordinates are 0..1.
 *
 * @typedef {import("./objects.js").Mark} Mark
 * @typedef {import("./objects.js").LiveObject} LiveObject
 * @typedef {import("./messages.js").Prompt} Prompt
 * @typedef {import("./messages.js").Preview} Preview
 * @typedef {import("./stage.js").Shown} Shown
 * @typedef {import("./geometry.js").Spot} Spot
 * @typedef {object} Way how a prompt on a picture is meant
 * @property {boolean} [reanchor] on the newest picture, should the server keep that one no more
 * @property {(preview: Preview) => void} [onPreview] what it will show on that picture, soon
 */
import { clamp01 } from "./geometry.js";
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

  /** On the selected object, or on a new one. @param {Spot} spot @param {0 | 1} label @param {Shown} shown @param {Way} [way] */
  async click(spot, label, shown, way) {
    const { id, before } = this.#target();
    const marks = [...(before?.marks ?? []), { ...spot, label, within: null, open: true }];
    await this.#place(id, before, marks, { prompts: [point(spot, label, shown, id)], ...seen(shown) }, way);
  }

  /** @param {Spot} from @param {Spot} to @param {Shown} shown @param {Way} [way] */
  async box(from, to, shown, way) {
    const { id, before } = this.#target();
    const box = {
      x_min: Math.min(from.x, to.x) * shown.width,
      y_min: Math.min(from.y, to.y) * shown.height,
      x_max: Math.max(from.x, to.x) * shown.width,
      y_max: Math.max(from.y, to.y) * shown.height,
      object_id: id,
    };
    await this.#place(id, before, [], { box_prompts: [box], ...seen(shown) }, way);
  }

  /**
   * Takes a click back: undoes what was done to the object since, and gives the later clicks again, where they
   * are now.
   *
   * @param {number} id @param {Mark} mark
   */
  async deleteMark(id, mark) {
    const before = this.#part(id);
    if (!before) return;
    const box = this.#objects.get(id)?.box ?? null;
    const later = before.marks.slice(before.marks.indexOf(mark) + 1);
    while (this.#objects.get(id)?.marks.includes(mark)) {
      if (await this.#history.undo(id)) continue;
      throw new LivemaskError("NOTHING_TO_UNDO", "That click lies too far back to be taken away.");
    }
    for (const each of later) await this.#giveAgain(id, before, each, markNow(each, box) ?? each);
  }

  /** @param {number} id */
  async remove(id) {
    const before = this.#part(id);
    if (!before) return;
    await this.#send({ remove: id });
    this.#objects.delete(id);
    this.#did(id, before, { restore: true, object_id: id }, { remove: id });
  }

  /** Forgets what the object looked like before this picture. @param {number} id @param {Shown | null} shown */
  async startAgain(id, shown) {
    await this.#tell(id, { restart: true, object_id: id, ...stamp(shown) }, { marks: [], pinned: false });
  }

  /** Remembers what the object looks like on this picture. @param {number} id @param {Shown | null} shown */
  async pin(id, shown) {
    await this.#tell(id, { pin: true, object_id: id, ...stamp(shown) }, { pinned: true });
  }

  /**
   * Asks the server not to let go of a picture while the person looks at it; null: of none any more. Whether it
   * does shows when the picture is clicked.
   *
   * @param {Shown | null} shown
   */
  keep(shown) {
    const live = this.#client();
    if (live?.state !== "live" || !live.mayPrompt) return;
    live.prompt(shown ? { keep: true, ...stamp(shown) } : { keep: false }).catch(() => {});
  }

  async reset() {
    await this.#live().reset();
    this.#objects.clear();
    this.#history.clear();
  }

  #live() {
    const live = this.#client();
    if (!live) throw new LivemaskError("NOT_CONNECTED", "Start a camera first.");
    return live;
  }

  /** @param {Prompt} prompt @param {(preview: Preview) => void} [onPreview] */
  async #send(prompt, onPreview) {
    const ack = await this.#live().prompt(prompt, onPreview);
    const [refused] = ack.rejected;
    if (refused) throw new LivemaskError(refused.error, refused.reason);
  }

  /** The object that a prompt is for, made if need be; `before` is null for a new one. */
  #target() {
    const { selected } = this.#objects;
    if (selected !== null) return { id: selected, before: this.#part(selected) };
    const id = this.#objects.nextId();
    this.#objects.ensure(id);
    this.#objects.select(id);
    return { id, before: null };
  }

  /**
   * @param {number} id
   * @param {LiveObject | null} before
   * @param {Mark[]} marks
   * @param {Prompt} message
   * @param {Way} [way]
   */
  async #place(id, before, marks, message, { reanchor = false, onPreview = () => {} } = {}) {
    this.#objects.update(id, { marks });
    try {
      await this.#send({ ...message, preview: true, reanchor }, (preview) => {
        this.#objects.readPreview(preview);
        onPreview(preview);
      });
    } catch (error) {
      if (before) this.#objects.update(id, { marks: before.marks });
      else this.#objects.delete(id);
      throw error;
    }
    this.#objects.settleMarks(id);
    this.#did(id, before, { undo: true, object_id: id }, { redo: true, object_id: id });
  }

  /** @param {number} id @param {LiveObject} before @param {Mark} mark @param {Spot} spot where it is now */
  async #giveAgain(id, before, { label }, spot) {
    const there = this.#part(id);
    if (!there && label === 0) return; // nothing is left to take it from
    if (!there) this.#put(id, { ...before, marks: [] });
    const size = { width: 1000, height: 1000 };
    const at = { x: clamp01(spot.x), y: clamp01(spot.y) };
    const marks = [...(there?.marks ?? []), { ...at, label, within: null, open: true }];
    await this.#place(id, there, marks, { prompts: [point(at, label, size, id)], ...size });
  }

  /** @param {number} id @param {Prompt} message @param {Partial<LiveObject>} change */
  async #tell(id, message, change) {
    const before = this.#part(id);
    if (!before) return;
    await this.#send(message);
    this.#objects.update(id, change);
    this.#did(id, before, { undo: true, object_id: id }, { redo: true, object_id: id });
  }

  /** @param {number} id @param {LiveObject | null} before @param {Prompt} back @param {Prompt} forth */
  #did(id, before, back, forth) {
    let after = this.#part(id);
    this.#history.push({
      id,
      undo: async () => {
        after = this.#part(id);
        await this.#go(id, before, back);
      },
      redo: async () => {
        before = this.#part(id);
        await this.#go(id, after, forth);
      },
    });
  }

  /** @param {number} id @param {LiveObject | null} part what the page knows of it then @param {Prompt} message */
  async #go(id, part, message) {
    const there = this.#objects.get(id) !== null;
    if (part && !there) this.#put(id, part);
    try {
      await this.#send(message);
    } catch (error) {
      if (!there) this.#objects.delete(id);
      throw error;
    }
    if (!part) this.#objects.delete(id);
    else this.#objects.update(id, { marks: part.marks, pinned: part.pinned });
  }

  /** @param {number} id @returns {LiveObject | null} */
  #part(id) {
    const object = this.#objects.get(id);
    return object && { ...object };
  }

  /** @param {number} id @param {LiveObject} part */
  #put(id, part) {
    this.#objects.ensure(id);
    this.#objects.update(id, { ...part, state: "new" });
    this.#objects.select(id);
  }
}

/** @param {Spot} spot @param {0 | 1} label @param {{width: number, height: number}} size @param {number} id */
function point({ x, y }, label, { width, height }, id) {
  return { x: x * width, y: y * height, label, object_id: id };
}

/** The picture that the person saw, and whose pixels are counted. @param {Shown} shown */
function seen(shown) {
  return { width: shown.width, height: shown.height, ...stamp(shown) };
}

/** @param {Shown | null} shown */
function stamp(shown) {
  return shown?.rtp == null ? {} : { rtp_timestamp: shown.rtp };
}
