/** Pictures and films of what is on the screen, saved by the browser; picture in picture; full screen. */
import { LivemaskError } from "./messages.js";

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** @param {string} ending */
function fileName(ending) {
  const stamp = new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", "-");
  return `livemask ${stamp}.${ending}`;
}

/** @param {OffscreenCanvas} canvas */
export async function savePicture(canvas) {
  save(await canvas.convertToBlob({ type: "image/png" }), fileName("png"));
}

const FORMATS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];

/** A film of the canvas, from start to stop. */
export class Recorder {
  /** @type {MediaRecorder | null} */
  #recorder = null;
  /** @type {Blob[]} */
  #parts = [];

  get recording() {
    return this.#recorder !== null;
  }

  /** @param {HTMLCanvasElement} canvas */
  start(canvas) {
    if (typeof MediaRecorder === "undefined") throw new LivemaskError("UNSUPPORTED", "this browser cannot record");
    const mimeType = FORMATS.find((format) => MediaRecorder.isTypeSupported(format));
    const recorder = new MediaRecorder(canvas.captureStream(), { mimeType, videoBitsPerSecond: 8e6 });
    this.#recorder = recorder;
    this.#parts = [];
    recorder.ondataavailable = ({ data }) => data.size && this.#parts.push(data);
    recorder.onstop = () => {
      const type = recorder.mimeType || "video/webm";
      save(new Blob(this.#parts, { type }), fileName(type.includes("mp4") ? "mp4" : "webm"));
      this.#parts = [];
    };
    recorder.start(1000);
  }

  stop() {
    this.#recorder?.stop();
    this.#recorder = null;
  }
}

/** @param {HTMLVideoElement} video */
export async function togglePictureInPicture(video) {
  if (document.pictureInPictureElement) return document.exitPictureInPicture();
  if (!document.pictureInPictureEnabled) throw new LivemaskError("UNSUPPORTED", "this browser has no picture in picture");
  await video.requestPictureInPicture();
}

/** @param {HTMLElement} element */
export async function toggleFullScreen(element) {
  if (document.fullscreenElement) return document.exitFullscreen();
  if (!element.requestFullscreen) throw new LivemaskError("UNSUPPORTED", "this browser has no full screen");
  await element.requestFullscreen();
}
