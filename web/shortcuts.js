/**
 * Keys to commands. Nothing fires while the person types, nor on keys that a focused control needs itself.
 *
 * @typedef {"include" | "exclude" | "undo" | "redo" | "new" | "remove" | "hide" | "solo" | "freeze" | "cancel" | "help"
 *   | "stats" | "compare" | "instant" | "pip" | "full" | "record" | "snapshot" | "move" | "select" | "mode" | "corner"} Command
 * @typedef {{command: Command, amount?: number, dx?: number, dy?: number}} Order
 */

/** What the help shows: [keys, words]. @type {[string[], string][]} */
export const SHORTCUTS = [
  [["Click"], "Include a part"],
  [["Right click", "Shift click"], "Exclude a part"],
  [["Drag"], "Draw a box"],
  [["Press and hold"], "Freeze while you look"],
  [["Space"], "Freeze, go on"],
  [["N"], "New object"],
  [["1 … 9"], "Select an object"],
  [["Del"], "Remove it"],
  [["H"], "Hide it"],
  [["O"], "Show only it"],
  [["Ctrl Z"], "Undo"],
  [["Ctrl Shift Z"], "Redo"],
  [["← ↑ ↓ →"], "Move the crosshair; with Shift faster"],
  [["Enter", "−"], "Include, exclude at the crosshair"],
  [["B"], "A corner of a box at the crosshair"],
  [["M"], "Next output"],
  [["C"], "Before and after"],
  [["I"], "Instant view"],
  [["S"], "Live numbers"],
  [["F"], "Full screen"],
  [["P"], "Picture in picture"],
  [["G"], "Save a picture"],
  [["R"], "Record"],
  [["Esc"], "Cancel"],
];

/** @type {Record<string, Order>} anywhere on the page */
const KEYS = {
  n: { command: "new" },
  delete: { command: "remove" },
  backspace: { command: "remove" },
  h: { command: "hide" },
  o: { command: "solo" },
  " ": { command: "freeze" },
  escape: { command: "cancel" },
  "?": { command: "help" },
  s: { command: "stats" },
  c: { command: "compare" },
  i: { command: "instant" },
  p: { command: "pip" },
  f: { command: "full" },
  r: { command: "record" },
  g: { command: "snapshot" },
  m: { command: "mode" },
  "-": { command: "exclude" },
  "−": { command: "exclude" },
  b: { command: "corner" },
};

/** @type {Record<string, [dx: number, dy: number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param {KeyboardEvent} event
 * @param {{typing: boolean, control: boolean, picture: boolean}} focus where the keyboard is: in a text field,
 *   on a button or list, on the picture
 * @returns {Order | null}
 */
export function orderOf(event, focus) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (focus.typing) return null;
  if (event.ctrlKey || event.metaKey) return undoOrder(event, key);
  if (event.altKey) return null;
  if (key in ARROWS && (focus.picture || !focus.control)) {
    const [dx, dy] = ARROWS[key];
    return { command: "move", dx, dy, amount: event.shiftKey ? 10 : 1 };
  }
  if (key === "Enter") return focus.control ? null : { command: "include" };
  if (key === " " && focus.control) return null;
  if (/^[1-9]$/.test(key)) return { command: "select", amount: Number(key) };
  return KEYS[key.toLowerCase()] ?? null;
}

/** @param {KeyboardEvent} event @param {string} key @returns {Order | null} */
function undoOrder(event, key) {
  if (key === "z") return { command: event.shiftKey ? "redo" : "undo" };
  return key === "y" ? { command: "redo" } : null;
}

/** @param {Element | null} element */
export function focusOf(element) {
  const typing = element instanceof HTMLElement && element.matches("input:not([type=checkbox],[type=range],[type=radio]), textarea, select, [contenteditable]");
  const picture = element?.id === "overlay";
  const control = !picture && element instanceof HTMLElement && element.matches("button, summary, input, select, a, [role=radio]");
  return { typing, control, picture };
}
