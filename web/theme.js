/** Light or dark: as the system says, unless the person says otherwise. @typedef {"auto" | "light" | "dark"} Theme */

/** @param {Theme} theme */
export function applyTheme(theme) {
  document.documentElement.dataset.theme = theme === "auto" ? systemTheme() : theme;
}

/** The other one; where that is the system's own, follow the system again. @param {Theme} theme @returns {Theme} */
export function nextTheme(theme) {
  const other = (theme === "auto" ? systemTheme() : theme) === "dark" ? "light" : "dark";
  return other === systemTheme() ? "auto" : other;
}

/** @returns {"light" | "dark"} */
const systemTheme = () => (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
