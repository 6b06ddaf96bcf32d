/** Every button and every key of the page, to the same commands. */
import { button, need, press, setIcon } from "./dom.js";
import { focusOf, orderOf, SHORTCUTS } from "./shortcuts.js";

/** @type {[import("./messages.js").Mode, string, string][]} */
export const MODES = [
  ["overlay", "Overlay", "Colour over the picture"],
  ["cutout", "Cutout", "Objects on a plain colour"],
  ["blur", "Blur", "Background blurred"],
  ["mask", "Mask", "Masks only"],
  ["plain", "Plain", "The picture as it came"],
];

/**
 * @typedef {import("./shortcuts.js").Command | "clear" | "snapshot-alpha" | "theme" | "toggle-include" | "toggle-exclude"
 *   | "stop" | "turn" | "record-there"} AnyCommand
 * @typedef {(order: {command: AnyCommand, amount?: number, dx?: number, dy?: number}) => void} Carry
 */

/** @type {[string, AnyCommand][]} */
const BUTTONS = [
  ["include", "toggle-include"],
  ["exclude", "toggle-exclude"],
  ["undo", "undo"],
  ["redo", "redo"],
  ["freeze", "freeze"],
  ["compare", "compare"],
  ["instant", "instant"],
  ["pip", "pip"],
  ["full", "full"],
  ["snapshot", "snapshot"],
  ["snapshot-alpha", "snapshot-alpha"],
  ["record", "record"],
  ["stats", "stats"],
  ["help", "help"],
  ["theme", "theme"],
  ["new-object", "new"],
  ["reset-all", "clear"],
  ["stop", "stop"],
  ["turn", "turn"],
  ["record-there", "record-there"],
];

/** Buttons that make sense only with a picture. */
const NEED_PICTURE = ["include", "exclude", "freeze", "compare", "pip", "full", "record"];

export class Controls {
  /** @param {Carry} carry @param {(mode: import("./messages.js").Mode) => void} setMode */
  constructor(carry, setMode) {
    for (const [id, command] of BUTTONS) button(id).addEventListener("click", () => carry({ command }));
    this.#listShortcuts();
    this.#buildModes(setMode);
    this.#arrowsInRadioGroups();
    this.#menus();
    addEventListener("keydown", (event) => {
      if (need("shortcuts", HTMLDialogElement).open) return;
      const order = orderOf(event, focusOf(document.activeElement));
      if (!order) return;
      event.preventDefault();
      carry(order);
    });
  }

  /**
   * @param {object} facts
   * @param {boolean} facts.pictured
   * @param {boolean} facts.frozen
   * @param {0 | 1} facts.label
   * @param {import("./messages.js").Mode} facts.mode
   * @param {boolean} facts.compare
   * @param {boolean} facts.instant
   * @param {boolean} facts.ownPicture
   * @param {boolean} facts.recording
   * @param {boolean} facts.recordingThere
   * @param {boolean} facts.hud
   * @param {boolean} facts.canUndo
   * @param {boolean} facts.canRedo
   */
  render(facts) {
    for (const id of NEED_PICTURE) button(id).disabled = !facts.pictured;
    for (const mode of document.querySelectorAll("#modes button")) {
      check(mode, mode.id === `mode-${facts.mode}`);
    }
    check(button("include"), facts.label === 1);
    check(button("exclude"), facts.label === 0);
    press(button("freeze"), facts.frozen);
    setIcon(button("freeze"), facts.frozen ? "play" : "freeze");
    press(button("compare"), facts.compare);
    press(button("instant"), facts.instant);
    button("instant").disabled = !facts.pictured || !facts.ownPicture;
    press(button("record"), facts.recording);
    press(button("record-there"), facts.recordingThere);
    button("record-there").disabled = !facts.pictured;
    press(button("stats"), facts.hud);
    button("undo").disabled = !facts.canUndo;
    button("redo").disabled = !facts.canRedo;
    button("stop").disabled = !facts.pictured;
    need("snapshot-menu", HTMLElement).classList.toggle("off", !facts.pictured);
    need("compare-slider", HTMLElement).hidden = !facts.compare;
  }

  #listShortcuts() {
    const list = need("shortcut-list", HTMLElement);
    for (const [keys, words] of SHORTCUTS) {
      const [term, text] = [document.createElement("dt"), document.createElement("dd")];
      for (const key of keys) {
        const cap = document.createElement("kbd");
        cap.textContent = key;
        term.append(cap);
      }
      text.textContent = words;
      const row = document.createElement("div");
      row.append(term, text);
      list.append(row);
    }
  }

  /** @param {(mode: import("./messages.js").Mode) => void} setMode */
  #buildModes(setMode) {
    for (const [mode, word, title] of MODES) {
      const choice = document.createElement("button");
      choice.id = `mode-${mode}`;
      choice.role = "radio";
      choice.title = title;
      choice.textContent = word;
      choice.addEventListener("click", () => setMode(mode));
      need("modes", HTMLElement).append(choice);
    }
  }

  /** Arrow keys move within a group of choices (WAI-ARIA radio group pattern). */
  #arrowsInRadioGroups() {
    for (const group of document.querySelectorAll("[role=radiogroup]")) {
      group.addEventListener("keydown", (event) => {
        const { key } = /** @type {KeyboardEvent} */ (event);
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
        if (!step) return;
        event.preventDefault();
        event.stopPropagation();
        const choices = [...group.querySelectorAll("button")];
        const at = choices.indexOf(/** @type {any} */ (document.activeElement));
        const next = choices[(at + step + choices.length) % choices.length];
        next.focus();
        next.click();
      });
    }
  }

  /** Menus close on a choice, on Escape and on a click elsewhere. */
  #menus() {
    for (const menu of /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll("details.menu"))) {
      menu.addEventListener("click", (event) => {
        if (/** @type {Element} */ (event.target).closest("button")) menu.open = false;
      });
      menu.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !menu.open) return;
        event.stopPropagation();
        menu.open = false;
        menu.querySelector("summary")?.focus();
      });
      addEventListener("pointerdown", (event) => {
        if (!menu.contains(/** @type {Node} */ (event.target))) menu.open = false;
      });
    }
  }
}

/** @param {Element} radio @param {boolean} checked */
function check(radio, checked) {
  radio.ariaChecked = String(checked);
  /** @type {HTMLElement} */ (radio).tabIndex = checked ? 0 : -1;
}
