/** What the person chose, kept in this browser. */

/**
 * @typedef {object} Settings
 * @property {"auto" | "light" | "dark"} theme
 * @property {boolean} hud
 * @property {boolean} patterns
 * @property {boolean} numbers
 * @property {boolean} glyphs
 * @property {boolean} mirror
 * @property {import("./geometry.js").Turn} turn
 * @property {import("./messages.js").Mode} mode
 * @property {string} size
 * @property {number} rate
 * @property {string[]} hintsSeen
 */
const KEY = "livemask";

/** @type {Settings} */
const DEFAULTS = {
  theme: "auto",
  hud: false,
  patterns: false,
  numbers: true,
  glyphs: true,
  mirror: true,
  turn: 0,
  mode: "overlay",
  size: "640x480",
  rate: 30,
  hintsSeen: [],
};

/** @returns {Settings} */
export function loadSettings() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    return { ...DEFAULTS };
  }
}

/** @param {Settings} settings */
export function saveSettings(settings) {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // A browser that keeps nothing (private windows) works all the same.
  }
}
