/** What lies over the picture and is not of it: clicked points, numbers, the box being drawn, the crosshair. */
import { inkOn } from "./palette.js";
import { withAlpha } from "./painter.js";

/**
 * @typedef {import("./geometry.js").Spot} Spot
 * @typedef {CanvasRenderingContext2D} Context
 */

const GLYPH_RADIUS = 9;
export const GLYPH_REACH = 13;
const RIPPLE_MS = 500;

/** + and − in a ring: told apart by shape, readable on anything. @param {Context} context @param {Spot} spot @param {0 | 1} label @param {string} color @param {boolean} [hot] */
export function drawGlyph(context, { x, y }, label, color, hot = false) {
  const radius = hot ? GLYPH_RADIUS + 2 : GLYPH_RADIUS;
  circle(context, x, y, radius + 1.5);
  context.fillStyle = "rgb(0 0 0 / 0.75)";
  context.fill();
  circle(context, x, y, radius);
  context.fillStyle = label ? color : "#fff";
  context.fill();
  context.lineWidth = 1.5;
  context.strokeStyle = "#fff";
  context.stroke();
  drawSign(context, x, y, radius * 0.5, hot ? "x" : label ? "+" : "-", label ? inkOn(color) : "#b3261e");
}

/** @param {Context} context @param {number} x @param {number} y @param {number} arm @param {"+" | "-" | "x"} sign @param {string} ink */
function drawSign(context, x, y, arm, sign, ink) {
  context.beginPath();
  if (sign === "x") {
    const d = arm * 0.8;
    stroke(context, x - d, y - d, x + d, y + d);
    stroke(context, x - d, y + d, x + d, y - d);
  } else {
    stroke(context, x - arm, y, x + arm, y);
    if (sign === "+") stroke(context, x, y - arm, x, y + arm);
  }
  context.lineWidth = 2.2;
  context.lineCap = "round";
  context.strokeStyle = ink;
  context.stroke();
}

/** The number of an object, at the top of its box. @param {Context} context @param {Spot} spot @param {number} id @param {string} color @param {boolean} selected */
export function drawNumber(context, { x, y }, id, color, selected) {
  const text = String(id);
  context.font = "600 12px system-ui, sans-serif";
  const width = Math.max(20, context.measureText(text).width + 12);
  const [left, top] = [x - width / 2, Math.max(4, y - 26)];
  context.beginPath();
  context.roundRect(left, top, width, 20, 10);
  context.fillStyle = color;
  context.fill();
  context.lineWidth = selected ? 2 : 1;
  context.strokeStyle = selected ? "#fff" : "rgb(255 255 255 / 0.6)";
  context.stroke();
  context.fillStyle = inkOn(color);
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x, top + 10.5);
}

/** @param {Context} context @param {Spot} a @param {Spot} b @param {string} color */
export function drawBox(context, a, b, color) {
  const [x, y] = [Math.min(a.x, b.x), Math.min(a.y, b.y)];
  const [width, height] = [Math.abs(a.x - b.x), Math.abs(a.y - b.y)];
  context.fillStyle = withAlpha(color, 0.14);
  context.fillRect(x, y, width, height);
  context.lineWidth = 4;
  context.strokeStyle = "rgb(0 0 0 / 0.6)";
  context.strokeRect(x, y, width, height);
  context.lineWidth = 2;
  context.strokeStyle = "#fff";
  context.strokeRect(x, y, width, height);
}

/** @param {Context} context @param {Spot} spot @param {string} color */
export function drawCrosshair(context, { x, y }, color) {
  for (const [width, ink] of /** @type {[number, string][]} */ ([[5, "rgb(0 0 0 / 0.7)"], [2, "#fff"]])) {
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      stroke(context, x + dx * 6, y + dy * 6, x + dx * 20, y + dy * 20);
    }
    context.lineWidth = width;
    context.lineCap = "round";
    context.strokeStyle = ink;
    context.stroke();
  }
  circle(context, x, y, 3);
  context.fillStyle = color;
  context.fill();
  context.lineWidth = 1;
  context.strokeStyle = "#fff";
  context.stroke();
}

/** A ring that grows from a click and fades. @param {Context} context @param {Spot} spot @param {string} color @param {number} age milliseconds @returns {boolean} still to be seen */
export function drawRipple(context, { x, y }, color, age) {
  const part = age / RIPPLE_MS;
  if (part >= 1) return false;
  circle(context, x, y, GLYPH_RADIUS + 22 * part);
  context.lineWidth = 3 * (1 - part) + 0.5;
  context.strokeStyle = withAlpha(color, 1 - part);
  context.stroke();
  return true;
}

/** @param {Context} context @param {number} x @param {number} y @param {number} radius */
function circle(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}

/** @param {Context} context @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
function stroke(context, x0, y0, x1, y1) {
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
}
