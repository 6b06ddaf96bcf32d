/**
 * What each button and shortcut does.
 *
 * @typedef {{amount?: number, dx?: number, dy?: number}} Detail
 * @typedef {object} Parts of the page, that commands act on
 * @property {import("./clicking.js").Clicking} clicking
 * @property {import("./picture.js").Picture} picture
 * @property {import("./stage.js").Stage} stage
 * @property {import("./objects.js").ObjectList} objects
 * @property {import("./history.js").History} history
 * @property {import("./prompter.js").Prompter} prompter
 * @property {import("./studio.js").Studio} studio
 * @property {import("./hints.js").Hints} hints
 * @property {import("./capture.js").Recorder} recorder
 * @property {import("./server-cameras.js").ServerRecording} recordingThere
 * @property {import("./settings.js").Settings} settings
 * @property {HTMLVideoElement} returned the masked video
 * @property {View} view what else they change
 *
 * @typedef {object} View
 * @property {(mode: import("./messages.js").Mode) => void} setMode
 * @property {(on: boolean) => void} setCompare
 * @property {() => void} toggleInstant
 * @property {() => void} toggleStats
 * @property {() => void} changeTheme
 * @property {() => void} turn
 * @property {() => void} stop
 */
import { savePicture, toggleFullScreen, togglePictureInPicture } from "./capture.js";
import { MODES } from "./controls.js";
import { need } from "./dom.js";
import { LivemaskError } from "./messages.js";

export class Commands {
  #parts;
  #table;

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts;
    this.#table = { ...this.#pointing(parts), ...this.#doing(parts), ...this.#showing(parts) };
  }

  /** @param {import("./controls.js").AnyCommand} command @param {Detail} detail */
  async carryOut(command, detail) {
    await this.#table[command](detail);
  }

  /** @param {number} id @param {import("./panel.js").ObjectAction} action */
  async actOn(id, action) {
    const { objects, prompter, stage } = this.#parts;
    if (action === "hide") objects.update(id, { hidden: !objects.get(id)?.hidden });
    if (action === "solo") objects.setSolo(objects.solo === id ? null : id);
    if (action === "pin") await prompter.pin(id, stage.shown);
    if (action === "again") await prompter.startAgain(id, stage.shown);
    if (action === "remove") await prompter.remove(id);
  }

  /** @param {"remove" | "hide" | "solo"} action */
  #onSelected(action) {
    const id = this.#parts.objects.selected;
    return id === null ? undefined : this.actOn(id, action);
  }

  /** @param {Parts} parts */
  #pointing({ clicking, hints }) {
    return {
      include: () => clicking.clickCrosshair(1),
      exclude: () => clicking.clickCrosshair(0),
      corner: () => clicking.markCorner(),
      move: (/** @type {Detail} */ { dx = 0, dy = 0, amount = 1 }) => clicking.moveCrosshair(dx, dy, amount),
      "toggle-include": () => void (clicking.label = 1),
      "toggle-exclude": () => void (clicking.label = 0),
      freeze: () => (clicking.setFrozen(!clicking.frozen), hints.done("freeze")),
      cancel: () => clicking.cancel(),
    };
  }

  /** @param {Parts} parts */
  #doing({ picture, objects, history, prompter, hints, studio, view }) {
    return {
      undo: () => (picture.previews.clear(), history.undo()),
      redo: () => (picture.previews.clear(), history.redo()),
      new: () => (objects.select(null), hints.done("refine"), hints.done("more")),
      select: (/** @type {Detail} */ { amount = 0 }) => objects.select(amount),
      remove: () => this.#onSelected("remove"),
      hide: () => this.#onSelected("hide"),
      solo: () => this.#onSelected("solo"),
      clear: () => prompter.reset(),
      instant: () => studio.source && view.toggleInstant(),
      stop: () => view.stop(),
    };
  }

  /** @param {Parts} parts */
  #showing({ picture, stage, recorder, recordingThere, settings, returned, view }) {
    const next = () => MODES[(MODES.findIndex(([mode]) => mode === settings.mode) + 1) % MODES.length][0];
    return {
      help: () => need("shortcuts", HTMLDialogElement).showModal(),
      stats: () => view.toggleStats(),
      compare: () => view.setCompare(picture.compare === null),
      pip: () => togglePictureInPicture(returned),
      full: () => toggleFullScreen(need("stage", HTMLElement)),
      record: () => (recorder.recording ? recorder.stop() : recorder.start(stage.canvas)),
      "record-there": () => recordingThere.toggle(),
      snapshot: () => saveCanvas(picture.snapshot()),
      "snapshot-alpha": () => saveCanvas(picture.snapshotObjects()),
      mode: () => view.setMode(next()),
      theme: () => view.changeTheme(),
      turn: () => view.turn(),
    };
  }
}

/** @param {OffscreenCanvas | null} canvas */
function saveCanvas(canvas) {
  if (!canvas) throw new LivemaskError("NO_PICTURE", "there is no picture to save");
  return savePicture(canvas);
}
