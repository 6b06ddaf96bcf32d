/** The list of objects beside the picture. */
import { inkOn } from "./palette.js";

/**
 * @typedef {import("./objects.js").LiveObject} LiveObject
 * @typedef {"hide" | "solo" | "pin" | "again" | "remove"} ObjectAction
 * @typedef {object} PanelEvents
 * @property {(id: number) => void} select
 * @property {(id: number, action: ObjectAction) => void} act
 * @property {(id: number, name: string) => void} rename
 */

/** @type {[ObjectAction, string, string][]} action, icon, words */
const ACTIONS = [
  ["hide", "eye", "Hide"],
  ["solo", "solo", "Show only this"],
  ["pin", "pin", "Remember this view"],
  ["again", "reset", "Forget and start again from here"],
  ["remove", "trash", "Remove"],
];

export class Panel {
  #list;
  #on;
  /** @type {Map<number, Card>} */
  #cards = new Map();

  /** @param {HTMLElement} list @param {PanelEvents} events */
  constructor(list, events) {
    this.#list = list;
    this.#on = events;
  }

  /** @param {import("./objects.js").ObjectList} objects */
  render(objects) {
    const all = objects.all();
    const known = new Set(all.map(({ id }) => id));
    for (const [id, card] of this.#cards) {
      if (known.has(id)) continue;
      this.#keepFocus(card, all);
      card.element.remove();
      this.#cards.delete(id);
    }
    all.forEach((object, i) => {
      let card = this.#cards.get(object.id);
      if (!card) {
        card = new Card(object.id, this.#on);
        this.#cards.set(object.id, card);
      }
      if (this.#list.children[i] !== card.element) this.#list.insertBefore(card.element, this.#list.children[i] ?? null);
      card.render(object, objects.selected === object.id, objects.solo === object.id);
    });
  }

  /** @param {import("./objects.js").ObjectList} objects @param {number} now */
  tick(objects, now) {
    for (const object of objects.all()) this.#cards.get(object.id)?.tick(object, now);
  }

  /** @param {number} id @returns {HTMLCanvasElement | null} */
  thumbnail(id) {
    return this.#cards.get(id)?.thumbnail ?? null;
  }

  /** @param {number} id */
  editName(id) {
    this.#cards.get(id)?.name.focus();
  }

  /** The keyboard is not left on a card that goes away. @param {Card} card @param {LiveObject[]} all */
  #keepFocus(card, all) {
    if (!card.element.contains(document.activeElement)) return;
    const next = all.find(({ id }) => id > card.id) ?? all.at(-1);
    const target = next && this.#cards.get(next.id)?.pick;
    (target ?? document.getElementById("new-object"))?.focus();
  }
}

class Card {
  #buttons = new Map();
  #state = make("span", "state");
  #badge = make("span", "badge");

  /** @param {number} id @param {PanelEvents} on */
  constructor(id, on) {
    this.id = id;
    this.element = make("li", "object");
    this.pick = /** @type {HTMLButtonElement} */ (make("button", "pick"));
    this.pick.addEventListener("click", () => on.select(id));
    this.thumbnail = /** @type {HTMLCanvasElement} */ (make("canvas", "thumbnail"));
    this.thumbnail.width = this.thumbnail.height = 96;
    this.#badge.textContent = String(id);
    this.pick.append(this.thumbnail, this.#badge);
    this.name = /** @type {HTMLInputElement} */ (make("input", "name"));
    this.name.ariaLabel = `Name of object ${id}`;
    this.name.maxLength = 40;
    this.name.spellcheck = false;
    this.name.autocomplete = "off";
    this.name.addEventListener("change", () => on.rename(id, this.name.value));
    this.name.addEventListener("keydown", (event) => (event.key === "Enter" || event.key === "Escape") && this.name.blur());
    this.element.addEventListener("click", (event) => event.target === this.element && on.select(id));
    const tools = make("div", "object-tools");
    for (const [action, icon, words] of ACTIONS) {
      const button = iconButton(icon, words);
      button.addEventListener("click", () => on.act(id, action));
      this.#buttons.set(action, button);
      tools.append(button);
    }
    const words = make("div", "object-words");
    words.append(this.name, this.#state);
    this.element.append(this.pick, words, tools);
  }

  /** @param {LiveObject} object @param {boolean} selected @param {boolean} solo */
  render(object, selected, solo) {
    this.element.style.setProperty("--object", object.color);
    this.element.style.setProperty("--object-ink", inkOn(object.color));
    this.element.dataset.state = object.state;
    this.element.classList.toggle("selected", selected);
    this.element.classList.toggle("undrawn", object.hidden);
    this.pick.ariaPressed = String(selected);
    this.pick.ariaLabel = `Select ${object.name}`;
    if (document.activeElement !== this.name) this.name.value = object.name;
    this.#press("hide", object.hidden, object.hidden ? "eye-off" : "eye", object.hidden ? "Show" : "Hide");
    this.#press("solo", solo, "solo", solo ? "Show all" : "Show only this");
    this.#press("pin", object.pinned, "pin", object.pinned ? "View remembered" : "Remember this view");
    this.tick(object, performance.now());
  }

  /** @param {LiveObject} object @param {number} now */
  tick(object, now) {
    this.#state.textContent = stateWords(object, now);
  }

  /** @param {ObjectAction} action @param {boolean} pressed @param {string} icon @param {string} words */
  #press(action, pressed, icon, words) {
    const button = this.#buttons.get(action);
    button.ariaPressed = String(pressed);
    button.title = words;
    button.querySelector("use").setAttribute("href", `#i-${icon}`);
    button.querySelector(".sr").textContent = words;
  }
}

/** @param {LiveObject} object @param {number} now */
export function stateWords({ state, score, since }, now) {
  const seconds = Math.floor((now - since) / 1000);
  if (state === "new") return "Looking…";
  if (state === "tracking") return `Tracking · ${Math.round(score * 100)} %`;
  const ago = seconds < 1 ? "" : seconds < 90 ? ` for ${seconds} s` : ` for ${Math.round(seconds / 60)} min`;
  return state === "occluded" ? `Hidden from view${ago}` : `Lost${ago}`;
}

/** @param {string} tag @param {string} className */
function make(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

/** @param {string} icon @param {string} words */
function iconButton(icon, words) {
  const button = /** @type {HTMLButtonElement} */ (make("button", "icon small"));
  button.title = words;
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${icon}`);
  picture.append(use);
  const label = make("span", "sr");
  label.textContent = words;
  button.append(picture, label);
  return button;
}
