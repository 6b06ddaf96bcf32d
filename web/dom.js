/** Elements by id, typed by what they must be. */

/**
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function need(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new TypeError(`#${id}: expected ${kind.name}, got ${element?.constructor.name}`);
  return element;
}

/** @param {string} id */
export const button = (id) => need(id, HTMLButtonElement);

/** @param {HTMLElement} element @param {boolean} pressed */
export function press(element, pressed) {
  element.ariaPressed = String(pressed);
}

/** @param {Element} host @param {string} name */
export function setIcon(host, name) {
  host.querySelector("use")?.setAttribute("href", `#i-${name}`);
}
