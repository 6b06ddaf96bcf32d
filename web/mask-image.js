/** Masks as pictures: canvases to paint with, PNG data URIs to send. */
import { decode } from "./rle.js";

/**
 * @param {import("./rle.js").Rle} rle
 * @param {[red: number, green: number, blue: number]} [colour]
 * @returns {OffscreenCanvas} the mask in `colour`, transparent elsewhere
 */
export function maskCanvas(rle, colour = [255, 255, 255]) {
  const [height, width] = rle.size;
  const mask = decode(rle);
  const picture = new ImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const [red, green, blue] = colour;
  const value = new Uint32Array(new Uint8Array([red, green, blue, 255]).buffer)[0];
  for (let i = 0; i < mask.length; i++) if (mask[i]) pixels[i] = value;
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")?.putImageData(picture, 0, 0);
  return canvas;
}

/**
 * @param {import("./rle.js").Rle} rle
 * @returns {Promise<string>} white on transparent, `data:image/png;base64,...`
 */
export async function maskDataUri(rle) {
  const blob = await maskCanvas(rle).convertToBlob({ type: "image/png" });
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
