/**
 * Colours of objects, the same as the server's (`engine/palette.py`): told apart by people with any colour
 * vision. The server names an object's colour itself; this is for the moment before its first word.
 */
export const COLORS = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
  "#f0e442", "#870fff", "#6f270f", "#b7e79f", "#3f3f57", "#0fffe7",
];

/** @param {number} id */
export const objectColor = (id) => COLORS[(((id - 1) % COLORS.length) + COLORS.length) % COLORS.length];

/** @param {string} hex `#rrggbb` @returns {[number, number, number]} 0..255 */
export function rgb(hex) {
  const value = parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** The bright line around an object, as the server draws it (`engine/render.py`). @param {string} hex */
export function lineOf(hex) {
  return `rgb(${rgb(hex).map((value) => (value * 86 + 255 * 170) >> 8).join(" ")})`;
}

/** Black or white, whichever reads better on the colour (WCAG relative luminance). @param {string} hex */
export function inkOn(hex) {
  const [r, g, b] = rgb(hex).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}
