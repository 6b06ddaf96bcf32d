/**
 * Gestures on the picture: press, click, drag. It knows CSS pixels and nothing of objects or servers.
 *
 * @typedef {import("./geometry.js").Spot} Spot
 * @typedef {object} Gestures
 * @property {(spot: Spot) => boolean} press false: nothing to press on here
 * @property {(spot: Spot) => void} hold the press lasts: no drag is meant
 * @property {(from: Spot, to: Spot) => void} drag
 * @property {(spot: Spot, exclude: boolean) => void} click
 * @property {(from: Spot, to: Spot) => void} box
 * @property {(spot: Spot | null) => void} hover
 * @property {() => void} end after each gesture, however it ended
 */
import { distance } from "./geometry.js";

const DRAG_PX = 6;
const HOLD_MS = 250;

export class Pointer {
  #canvas;
  #spotOf;
  #on;
  /** @type {{id: number, from: Spot, exclude: boolean, dragging: boolean, held: boolean, timer: number} | null} */
  #press = null;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(event: PointerEvent) => Spot} spotOf
   * @param {Gestures} gestures
   */
  constructor(canvas, spotOf, gestures) {
    this.#canvas = canvas;
    this.#spotOf = spotOf;
    this.#on = gestures;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("pointerleave", () => this.#on.hover(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  get pressed() {
    return this.#press !== null;
  }

  cancel() {
    if (!this.#press) return;
    clearTimeout(this.#press.timer);
    this.#press = null;
    this.#on.end();
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (this.#press || event.button > 2 || event.button === 1) return;
    const from = this.#spotOf(event);
    if (!this.#on.press(from)) return;
    this.#canvas.setPointerCapture(event.pointerId);
    const exclude = event.button === 2 || event.shiftKey || event.altKey || (event.ctrlKey && event.button === 0);
    this.#press = {
      id: event.pointerId,
      from,
      exclude,
      dragging: false,
      held: false,
      timer: window.setTimeout(() => this.#hold(), HOLD_MS),
    };
  }

  #hold() {
    const press = this.#press;
    if (!press || press.dragging) return;
    press.held = true;
    this.#on.hold(press.from);
    this.#on.click(press.from, press.exclude);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const spot = this.#spotOf(event);
    const press = this.#press;
    if (!press) return this.#on.hover(spot);
    if (press.id !== event.pointerId) return;
    if (!press.dragging && distance(press.from, spot) > DRAG_PX) {
      press.dragging = true;
      clearTimeout(press.timer);
    }
    if (press.dragging) this.#on.drag(press.from, spot);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const press = this.#press;
    if (!press || press.id !== event.pointerId) return;
    clearTimeout(press.timer);
    this.#press = null;
    if (press.dragging) this.#on.box(press.from, this.#spotOf(event));
    else if (!press.held) this.#on.click(press.from, press.exclude);
    this.#on.end();
  }
}
