/**
 * What a client remembers of its objects, so that they come back in the next session: the last mask seen of each
 * becomes a mask prompt.
 *
 * @typedef {import("./messages.js").Prompt} Prompt
 */
import { maskDataUri } from "./mask-image.js";
import { area } from "./rle.js";

export class Recall {
  /** @type {Map<number, import("./rle.js").Rle>} */
  #masks = new Map();
  /** Objects of the session, as far as this client knows. @type {Set<number>} */
  #objects = new Set();

  /** @param {import("./messages.js").Result} result */
  readResult(result) {
    for (const { object_id, rle } of result.objects) if (rle && area(rle) > 0) this.#masks.set(object_id, rle);
  }

  /** @param {Iterable<number>} ids all the objects that there are */
  readObjects(ids) {
    this.#objects = new Set(ids);
  }

  /** @param {Prompt} message that was carried out */
  readPrompt(message) {
    if (message.reset) this.#masks.clear();
    for (const id of [message.remove ?? []].flat()) this.#masks.delete(id);
  }

  /** Whatever brings the objects back. @returns {AsyncGenerator<Prompt>} */
  async *prompts() {
    for (const id of this.#objects) {
      const rle = this.#masks.get(id);
      if (rle) yield { object_id: id, mask_url: await maskDataUri(rle) };
    }
  }
}
