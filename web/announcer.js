/** Tells people who do not see the picture what becomes of the objects. */
export class Announcer {
  #region;
  /** @type {Map<number, {name: string, state: string}>} */
  #known = new Map();

  /** @param {HTMLElement} region with `aria-live` */
  constructor(region) {
    this.#region = region;
  }

  /** @param {import("./objects.js").ObjectList} objects */
  read(objects) {
    const now = new Map(objects.all().map(({ id, name, state }) => [id, { name, state }]));
    const news = [];
    for (const [id, { name, state }] of now) {
      const before = this.#known.get(id)?.state;
      if (state !== before && state !== "new") news.push(`${name}: ${WORDS[state]}`);
    }
    for (const [id, { name, state }] of this.#known) {
      if (!now.has(id) && state !== "new") news.push(`${name}: removed`);
    }
    this.#known = now;
    if (news.length) this.#region.textContent = news.join(". ");
  }
}

/** @type {Record<import("./messages.js").ObjectState, string>} */
const WORDS = { tracking: "tracking", occluded: "hidden from view", lost: "lost" };
