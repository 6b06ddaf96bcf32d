/** Which camera, how large, how fast, which way round. */
import { listCameras, onCamerasChanged } from "./camera.js";
import { button, need } from "./dom.js";
import { listServerCameras, remoteOf } from "./server-cameras.js";

const SIZES = ["320x240", "640x360", "640x480", "960x540", "1280x720", "1920x1080"];
const RATES = [10, 15, 24, 30, 60];
/** Choices of the list that are no cameras. */
const SCREEN = "screen";
const SAMPLE = "sample";
const SERVER = "server:";

export class SourcePanel {
  #camera = need("camera", HTMLSelectElement);
  #size = need("size", HTMLSelectElement);
  #rate = need("rate", HTMLSelectElement);
  /** @type {import("./server-cameras.js").ServerCamera[]} */
  #served = [];
  /** @type {import("./studio.js").Studio | null} */
  #studio = null;

  /**
   * @param {import("./settings.js").Settings} settings
   * @param {(kind: import("./studio.js").SourceKind, wish: import("./camera.js").CameraWish,
   *   remote?: import("./server-cameras.js").Remote) => void} start
   * @param {() => void} changed the way round has changed
   */
  constructor(settings, start, changed) {
    fill(this.#size, SIZES.map((size) => [size, size.replace("x", " × ")]));
    fill(this.#rate, RATES.map((rate) => [String(rate), `${rate} fps`]));
    this.#size.value = settings.size;
    this.#rate.value = String(settings.rate);
    const mirror = need("mirror", HTMLInputElement);
    mirror.checked = settings.mirror;
    mirror.addEventListener("change", () => {
      settings.mirror = mirror.checked;
      changed();
    });
    for (const select of [this.#camera, this.#size, this.#rate]) {
      select.addEventListener("change", () => {
        settings.size = this.#size.value;
        settings.rate = Number(this.#rate.value);
        if (this.#camera.value) start(this.#kind(), this.wish(), this.#remote());
      });
    }
    button("start-camera").addEventListener("click", () => start("camera", this.wish("")));
    button("start-screen").addEventListener("click", () => start("screen", this.wish()));
    button("start-sample").addEventListener("click", () => start("sample", {}));
    onCamerasChanged(() => this.#studio && this.refresh(this.#studio));
  }

  /** @param {string} [camera] a device, "" for whichever the browser prefers @returns {import("./camera.js").CameraWish} */
  wish(camera = this.#camera.value) {
    const [width, height] = this.#size.value.split("x").map(Number);
    const isDevice = camera && camera !== SCREEN && camera !== SAMPLE && !camera.startsWith(SERVER);
    return { ...(isDevice ? { deviceId: camera } : {}), width, height, frameRate: Number(this.#rate.value) };
  }

  /** The cameras as the browser names them now, and which one is on. @param {import("./studio.js").Studio} studio */
  async refresh(studio) {
    this.#studio = studio;
    const [cameras, served] = await Promise.all([listCameras(), listServerCameras(studio.key)]);
    this.#served = served;
    const named = cameras.filter(({ id }) => id);
    const off = /** @type {[string, string][]} */ (studio.kind ? [] : [["", "Off"]]);
    fill(this.#camera, [...off, ...named.map(({ id, name }) => /** @type {[string, string]} */ ([id, name])), [SCREEN, "Shared screen"], [SAMPLE, "Sample clip"], ...served.map(choiceOf)]);
    const track = studio.source?.getVideoTracks()[0];
    const { deviceId = "", width, height, frameRate } = track?.getSettings() ?? {};
    this.#camera.value = studio.kind === "camera" ? deviceId : studio.kind === "server" ? SERVER + nameOf(studio.remote) : (studio.kind ?? "");
    const sized = width && height ? ` · ${width} × ${height}${frameRate ? `, ${Math.round(frameRate)} fps` : ""}` : "";
    need("source-note", HTMLElement).textContent = studio.kind ? this.#name() + sized : "Off";
    this.#size.disabled = this.#rate.disabled = studio.kind === SAMPLE || studio.kind === "server";
    need("mirror", HTMLInputElement).disabled = studio.kind !== null && studio.kind !== "camera";
  }

  #name() {
    return this.#camera.selectedOptions[0]?.textContent?.replace(/ \(.*\)$/, "") ?? "";
  }

  /** @returns {import("./studio.js").SourceKind} */
  #kind() {
    const { value } = this.#camera;
    if (value.startsWith(SERVER)) return "server";
    return value === SCREEN || value === SAMPLE ? value : "camera";
  }

  #remote() {
    const chosen = this.#served.find(({ name }) => SERVER + name === this.#camera.value);
    return chosen && remoteOf(chosen);
  }
}

/** @param {import("./server-cameras.js").ServerCamera} camera @returns {[string, string]} */
function choiceOf({ name, sessions }) {
  return [SERVER + name, `${name} (server${sessions.length ? ", running" : ""})`];
}

/** @param {import("./studio.js").Studio["remote"]} remote */
function nameOf(remote) {
  if (remote === "sample") return "";
  return "watch" in remote ? remote.watch : remote.camera;
}

/** @param {HTMLSelectElement} select @param {[value: string, words: string][]} choices */
function fill(select, choices) {
  select.replaceChildren(...choices.map(([value, words]) => new Option(words, value)));
}
