/**
 * From gestures and the crosshair to prompts. A press freezes the picture under the pointer, so that a click
 * means what the person saw; the stream goes on behind it. The picture stays a moment after the release, with
 * the mask that the server foretells on it, until the mask has come to the moving picture.
 *
 * @typedef {import("./geometry.js").Spot} Spot
 */
import { clamp01 } from "./geometry.js";
import { Pointer } from "./pointer.js";

const STEP = 1 / 160;
/** How long a clicked picture waits for its effect at most. */
const LINGER_MS = 500;

export class Clicking {
  #stage;
  #picture;
  #objects;
  #prompter;
  #fail;
  #pointer;
  /** Frozen until the person says so, not only while pressing. */
  #kept = false;
  /** The server was asked to keep the frozen picture. */
  #asked = false;
  /** Prompts that have not been answered. */
  #open = 0;
  #linger = 0;
  /** The first corner of a box made with the keyboard, 0..1. @type {Spot | null} */
  #corner = null;

  /** What a plain click does. @type {0 | 1} */
  label = 1;
  /** A prompt was carried out. @type {(first: boolean) => void} `first`: it made its object */
  onPrompt = () => {};
  onFreeze = () => {};

  /**
   * @param {import("./stage.js").Stage} stage
   * @param {import("./picture.js").Picture} picture
   * @param {import("./objects.js").ObjectList} objects
   * @param {import("./prompter.js").Prompter} prompter
   * @param {(error: Error, again: () => void) => void} fail `again`: does it on the newest picture instead
   */
  constructor(stage, picture, objects, prompter, fail) {
    this.#stage = stage;
    this.#picture = picture;
    this.#objects = objects;
    this.#prompter = prompter;
    this.#fail = fail;
    this.#pointer = new Pointer(stage.canvas, (event) => stage.spotOf(event), {
      press: (spot) => this.#press(spot),
      hold: () => this.onFreeze(),
      drag: (from, to) => this.#drag(from, to),
      click: (spot, exclude) => this.#clickAt(spot, exclude),
      box: (from, to) => this.#boxAt(from, to),
      hover: (spot) => this.#hover(spot),
      end: () => this.#end(),
    });
  }

  get frozen() {
    return this.#kept;
  }

  /** The person holds the picture. */
  get holding() {
    return this.#kept || this.#pointer.pressed;
  }

  /** @param {boolean} kept */
  setFrozen(kept) {
    this.#kept = kept && this.#stage.shown !== null;
    if (this.#kept) {
      this.#stage.freeze();
      this.#askToKeep();
    } else this.#thaw();
    this.onFreeze();
  }

  /** Gives up what is half done. @returns {boolean} there was something */
  cancel() {
    const busy = this.#pointer.pressed || this.#corner !== null || this.#kept || this.#picture.crosshair !== null;
    this.#pointer.cancel();
    this.#corner = this.#picture.crosshair = this.#picture.dragging = null;
    if (this.#kept) this.setFrozen(false);
    this.#stage.draw();
    return busy;
  }

  /** @param {number} dx @param {number} dy @param {number} steps */
  moveCrosshair(dx, dy, steps) {
    const { view } = this.#stage;
    const at = this.#picture.crosshair ?? { x: 0.5, y: 0.5 };
    const { x, y } = view.toBox(at);
    const step = STEP * steps * Math.max(view.rect.width, view.rect.height);
    const next = view.toPicture({ x: x + dx * step, y: y + dy * step });
    this.#picture.crosshair = { x: clamp01(next.x), y: clamp01(next.y) };
    if (this.#corner) this.#picture.dragging = [view.toBox(this.#corner), view.toBox(this.#picture.crosshair)];
    this.#stage.draw();
  }

  /** At the crosshair. @param {0 | 1} label */
  clickCrosshair(label) {
    const spot = this.#picture.crosshair;
    if (!spot) return this.moveCrosshair(0, 0, 0);
    if (this.#corner) return this.markCorner();
    const mark = label === 1 ? this.#picture.markAt(this.#stage.view.toBox(spot)) : null;
    if (mark) return this.#removeMark(mark);
    return this.#click(spot, label);
  }

  markCorner() {
    const spot = this.#picture.crosshair;
    if (!spot) return this.moveCrosshair(0, 0, 0);
    const from = this.#corner;
    this.#corner = from ? null : spot;
    this.#picture.dragging = null;
    if (from) this.#box(from, spot);
    this.#stage.draw();
  }

  /** @param {import("./messages.js").Preview} preview shown only on the very picture that it is about */
  #preview(preview) {
    if (!this.#stage.frozen || preview.rtp_timestamp !== this.#stage.shown?.rtp) return;
    for (const object of preview.objects) this.#picture.previews.set(object.object_id, object);
    this.#stage.draw();
  }

  /** @param {Spot} spot */
  #press(spot) {
    if (!this.#stage.shown || !this.#stage.view.toPicture(spot).inside) return false;
    this.#stage.canvas.focus({ preventScroll: true });
    clearTimeout(this.#linger);
    this.#picture.crosshair = null;
    this.#stage.freeze();
    return true;
  }

  #end() {
    this.#picture.dragging = null;
    if (this.#open) this.#linger = window.setTimeout(() => this.#release(), LINGER_MS);
    else this.#release();
    this.#stage.draw();
    this.onFreeze();
  }

  /** Unless the person holds it. */
  #release() {
    if (!this.holding) this.#thaw();
  }

  #thaw() {
    clearTimeout(this.#linger);
    this.#picture.previews.clear();
    this.#stage.thaw();
    if (!this.#asked) return;
    this.#asked = false;
    this.#prompter.keep(null);
  }

  /** It may be frozen for longer than the server keeps pictures by itself. */
  #askToKeep() {
    if (this.#asked || this.#stage.shown?.rtp == null) return;
    this.#asked = true;
    this.#prompter.keep(this.#stage.shown);
  }

  /** @param {Spot | null} spot */
  #hover(spot) {
    const hot = spot ? this.#picture.markAt(spot) : null;
    this.#stage.canvas.classList.toggle("on-mark", hot !== null);
    if (hot === this.#picture.hot) return;
    this.#picture.hot = hot;
    this.#stage.draw();
  }

  /** @param {Spot} from @param {Spot} to */
  #drag(from, to) {
    this.#askToKeep();
    this.#picture.dragging = [from, to];
    this.#stage.draw();
  }

  /** @param {Spot} spot @param {boolean} exclude */
  #clickAt(spot, exclude) {
    const mark = this.#picture.markAt(spot);
    if (mark) return void this.#removeMark(mark);
    const { x, y } = this.#stage.view.toPicture(spot);
    return void this.#click({ x: clamp01(x), y: clamp01(y) }, exclude ? 0 : this.label);
  }

  /** @param {import("./objects.js").Mark} mark of the selected object */
  async #removeMark(mark) {
    const { selected } = this.#objects;
    if (selected === null) return;
    this.#picture.hot = null;
    await this.#carryOut(() => this.#prompter.deleteMark(selected, mark));
  }

  /** @param {Spot} from @param {Spot} to CSS pixels */
  #boxAt(from, to) {
    const { view } = this.#stage;
    const [a, b] = [view.toPicture(from), view.toPicture(to)];
    this.#box({ x: clamp01(a.x), y: clamp01(a.y) }, { x: clamp01(b.x), y: clamp01(b.y) });
  }

  /** @param {Spot} spot @param {0 | 1} label */
  async #click(spot, label) {
    const { shown } = this.#stage;
    if (!shown) return;
    this.#picture.ripple(spot);
    await this.#carryOut((way) => this.#prompter.click(spot, label, shown, way));
  }

  /** @param {Spot} from @param {Spot} to */
  async #box(from, to) {
    const { shown } = this.#stage;
    if (!shown || from.x === to.x || from.y === to.y) return;
    await this.#carryOut((way) => this.#prompter.box(from, to, shown, way));
  }

  /** @param {(way: import("./prompter.js").Way) => Promise<void>} prompt @param {boolean} [reanchor] */
  async #carryOut(prompt, reanchor = false) {
    const first = this.#objects.selected === null;
    this.#open++;
    try {
      await prompt({ reanchor, onPreview: (preview) => this.#preview(preview) });
      this.onPrompt(first);
    } catch (error) {
      this.#fail(/** @type {Error} */ (error), () => {
        this.setFrozen(false);
        void this.#carryOut(prompt, true);
      });
    } finally {
      if (--this.#open === 0) this.#release();
    }
  }
}
