/** What the page says: the status line, the card over the picture, hints and passing notes. */
import { button, need, setIcon } from "./dom.js";
import { condition } from "./states.js";

const TOAST_MS = 6000;
const OFFER_MS = 15000;

/** @type {Record<import("./states.js").Action, string>} */
const BUTTONS = { camera: "start-camera", sample: "start-sample", screen: "start-screen", retry: "retry" };

export class Status {
  #line = need("status", HTMLElement);
  #word = need("status-word", HTMLElement);
  #pulse = need("pulse", HTMLElement);
  #card = need("card", HTMLElement);
  #toast = need("toast", HTMLElement);
  #hint = need("hint", HTMLElement);
  #name = "";
  #toastTimer = 0;

  /** @param {string} name of a condition @param {string} [detail] more words for the card */
  show(name, detail = "") {
    const { word, tone, icon = "mark", title, text = "", fine = "", actions = [], retryLabel = "Try again" } = condition(name);
    if (name !== this.#name) {
      this.#word.textContent = word;
      this.#line.dataset.state = tone;
      document.body.dataset.condition = name;
    }
    this.#name = name;
    this.#card.hidden = !title;
    need("stage", HTMLElement).dataset.empty = String(Boolean(title));
    if (!title) return;
    this.#card.dataset.tone = tone;
    setIcon(need("card-icon", SVGElement), icon);
    need("card-title", HTMLElement).textContent = title;
    need("card-text", HTMLElement).textContent = [text, detail].filter(Boolean).join(" ");
    const small = need("card-fine", HTMLElement);
    small.textContent = fine;
    small.hidden = !fine;
    for (const [action, id] of Object.entries(BUTTONS)) button(id).hidden = !actions.includes(/** @type {any} */ (action));
    need("retry", HTMLElement).querySelector("span")?.replaceChildren(retryLabel);
    need("key-field", HTMLElement).hidden = name !== "UNAUTHORIZED";
  }

  /** The quiet numbers beside the status. @param {string} text */
  pulse(text) {
    if (this.#pulse.textContent !== text) this.#pulse.textContent = text;
  }

  /** Words on the picture about how it is shown. @param {{text: string, name?: string}[]} chips */
  chips(chips) {
    const made = chips.map(({ text, name = "" }) => {
      const chip = document.createElement("span");
      chip.className = name;
      chip.textContent = text;
      return chip;
    });
    need("chips", HTMLElement).replaceChildren(...made);
  }

  /** @param {string} text @param {{words: string, act: () => void} | null} [offer] what can be done about it */
  toast(text, offer = null) {
    clearTimeout(this.#toastTimer);
    this.#toast.replaceChildren(text);
    if (offer) {
      const choice = document.createElement("button");
      choice.textContent = offer.words;
      choice.addEventListener("click", () => {
        this.#toast.hidden = true;
        offer.act();
      });
      this.#toast.append(choice);
    }
    this.#toast.hidden = false;
    this.#toastTimer = window.setTimeout(() => (this.#toast.hidden = true), offer ? OFFER_MS : TOAST_MS);
  }

  /** @param {string | null} text */
  hint(text) {
    this.#hint.hidden = text === null;
    need("hint-text", HTMLElement).textContent = text ?? "";
  }
}
