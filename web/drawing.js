/**
 * Who draws the masks, and how. The server does, into the video that it sends back; but the browser does where
 * the server cannot: before and after, patterns, and the instant view over the browser's own picture.
 */
export class Drawing {
  #studio;
  #objects;
  #settings;
  #picture;
  #sent = "";
  #busy = false;

  instant = false;

  /**
   * @param {import("./studio.js").Studio} studio
   * @param {import("./objects.js").ObjectList} objects
   * @param {import("./settings.js").Settings} settings
   * @param {import("./picture.js").Picture} picture
   */
  constructor(studio, objects, settings, picture) {
    this.#studio = studio;
    this.#objects = objects;
    this.#settings = settings;
    this.#picture = picture;
  }

  /** The browser draws. */
  get here() {
    return this.instant || this.#picture.compare !== null || this.#settings.patterns;
  }

  /** @returns {import("./messages.js").Output} */
  get output() {
    return { mode: this.#settings.mode, hidden: this.#objects.undrawn() };
  }

  /** What a new connection asks for. @returns {{output: import("./messages.js").Output, applyMask: boolean}} */
  opening() {
    this.#sent = this.#wish();
    this.#picture.painting = this.here;
    return { output: this.output, applyMask: !this.here };
  }

  /** Tells the server, if it does not know yet; one message at a time, the newest wish last. */
  async sync() {
    const live = this.#studio.live;
    if (this.#busy || live?.state !== "live") return;
    if (!live.mayPrompt) {
      this.#picture.painting = this.here;
      return;
    }
    this.#busy = true;
    try {
      while (this.#sent !== this.#wish() && live === this.#studio.live) {
        const [wish, here] = [this.#wish(), this.here];
        if (!here) this.#picture.painting = false;
        await live.prompt({ apply_mask: !here, output: this.output });
        this.#picture.painting = here;
        this.#sent = wish;
      }
    } finally {
      this.#busy = false;
    }
  }

  #wish() {
    return JSON.stringify([this.here, this.output]);
  }
}
