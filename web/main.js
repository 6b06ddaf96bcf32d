/** The page: makes the parts and ties them together. */
import { Announcer } from "./announcer.js";
import { CameraClock } from "./camera-clock.js";
import { Recorder } from "./capture.js";
import { Clicking } from "./clicking.js";
import { Commands } from "./commands.js";
import { Controls } from "./controls.js";
import { button, need } from "./dom.js";
import { Drawing } from "./drawing.js";
import { Frames } from "./frames.js";
import { Hints } from "./hints.js";
import { History } from "./history.js";
import { Hud } from "./hud.js";
import { Instant } from "./instant.js";
import { LivemaskError } from "./messages.js";
import { Meter } from "./meter.js";
import { ObjectList } from "./objects.js";
import { Panel } from "./panel.js";
import { Picture } from "./picture.js";
import { Prompter } from "./prompter.js";
import { loadSettings, saveSettings } from "./settings.js";
import { ServerRecording } from "./server-cameras.js";
import { SourcePanel } from "./source-panel.js";
import { Stage } from "./stage.js";
import { Status } from "./status.js";
import { Studio } from "./studio.js";
import { applyTheme, nextTheme } from "./theme.js";
import { drawThumbnails } from "./thumbnails.js";

const settings = loadSettings();
const status = new Status();
const frames = new Frames();
const objects = new ObjectList();
const history = new History();
const meter = new Meter();
const hud = new Hud(need("hud", HTMLElement));
const recorder = new Recorder();
const announcer = new Announcer(need("announcer", HTMLElement));
const hints = new Hints(settings.hintsSeen, (text) => status.hint(text));
const returned = need("returned", HTMLVideoElement);
const stage = new Stage(need("overlay", HTMLCanvasElement), returned);
const picture = new Picture(stage, frames, objects, settings);
const clock = new CameraClock();
const instant = new Instant(need("local", HTMLVideoElement), clock, stage);
const studio = new Studio(() => ({
  ...drawing.opening(),
  onResult: readResult,
  onStream: newStream,
  onObjects: readObjects,
  onStats: (stats) => (meter.stats = stats),
}));
const recordingThere = new ServerRecording(() => studio.live);
const drawing = new Drawing(studio, objects, settings, picture);
const prompter = new Prompter(objects, history, () => studio.live);
const clicking = new Clicking(stage, picture, objects, prompter, fail);
const panel = new Panel(need("objects", HTMLElement), {
  select: (id) => objects.select(id),
  act: (id, action) => attempt(commands.actOn(id, action)),
  rename: (id, name) => objects.update(id, { name: name.trim() || `Object ${id}` }),
});
const sourcePanel = new SourcePanel(settings, (...choice) => studio.start(...choice), orient);
const commands = new Commands({
  clicking,
  picture,
  stage,
  objects,
  history,
  prompter,
  studio,
  hints,
  recorder,
  recordingThere,
  settings,
  returned,
  view: { setMode, setCompare, toggleInstant: () => setInstant(!drawing.instant), toggleStats, changeTheme, turn, stop },
});
const controls = new Controls(carryOut, setMode);

stage.onPicture = ({ rtp, at }) => {
  const result = drawing.instant || rtp === null ? null : frames.exactly(rtp);
  const capture = result && clock.captureOf(result);
  if (!drawing.instant) meter.shown(capture === null ? null : at - capture);
  studio.pictured();
};
stage.onPlace = ({ rect }) => {
  const { style } = need("stage", HTMLElement);
  if (rect.width) style.setProperty("--aspect", `${rect.width} / ${rect.height}`);
  const slider = need("compare-slider", HTMLElement).style;
  slider.setProperty("--left", `${rect.x}px`);
  slider.setProperty("--width", `${rect.width}px`);
};
clicking.onFreeze = render;
clicking.onPrompt = (first) => {
  hints.done("click");
  if (!first) hints.done("refine");
  hints.offer(first ? (objects.size > 1 ? "freeze" : "refine") : "more");
  keepSettings();
};
studio.addEventListener("change", render);
studio.addEventListener("source", newSource);
studio.addEventListener("note", (event) => status.toast(/** @type {CustomEvent} */ (event).detail));
objects.addEventListener("change", () => {
  announcer.read(objects);
  panel.render(objects);
  attempt(drawing.sync());
  stage.draw();
  render();
});
history.addEventListener("change", render);
document.addEventListener("visibilitychange", () => studio.watched());
button("retry").addEventListener("click", retry);
need("key-field", HTMLFormElement).addEventListener("submit", (event) => (event.preventDefault(), retry()));
button("hint-close").addEventListener("click", () => (hints.done(), keepSettings()));
need("compare-slider", HTMLInputElement).addEventListener("input", (event) => {
  picture.compare = Number(/** @type {HTMLInputElement} */ (event.target).value) / 100;
  stage.draw();
});
for (const name of /** @type {const} */ (["patterns", "numbers", "glyphs"])) {
  const box = need(name, HTMLInputElement);
  box.checked = settings[name];
  box.addEventListener("change", () => {
    settings[name] = box.checked;
    viewChanged();
  });
}
matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => applyTheme(settings.theme));
setInterval(tick, 1000);
applyTheme(settings.theme);
hud.toggle(settings.hud);
sourcePanel.refresh(studio);
render();

/** A session has begun, the first or one after a break. @param {MediaStream} stream */
function newStream(stream) {
  frames.clear();
  objects.newSession();
  history.clear();
  recordingThere.reset();
  stage.setStream(stream);
}

/** @param {import("./messages.js").StateMessage} message */
function readObjects(message) {
  studio.silent = message.no_signal_since != null;
  const ended = recordingThere.read(message.recording);
  if (ended) status.toast(`The server's recording has ended: ${ended}.`);
  objects.readState(message);
}

/** @param {import("./messages.js").Result} result */
function readResult(result) {
  frames.add(result);
  objects.readResult(result);
  clock.readResult(result);
  const latency = instant.show(result);
  if (latency !== null) meter.shown(latency);
}

function newSource() {
  clock.reset();
  setInstant(drawing.instant && studio.source !== null);
  instant.setSource(studio.source);
  orient();
  sourcePanel.refresh(studio);
}

function orient() {
  stage.orient({ mirror: settings.mirror && studio.selfView, turn: settings.turn });
  keepSettings();
}

function render() {
  const pictured = stage.shown !== null && studio.kind !== null;
  const name = studio.condition(clicking.holding);
  status.show(name, name === "failed" ? studio.reason : "");
  need("stage", HTMLElement).classList.toggle("dimmed", ["reconnecting", "stalled"].includes(name));
  need("empty", HTMLElement).hidden = objects.size > 0;
  button("reset-all").hidden = objects.size === 0;
  button("new-object").ariaPressed = String(objects.selected === null);
  need("model-note", HTMLElement).textContent = studio.live?.model ? `Model: ${studio.live.model.name}` : "";
  if (name === "live" && objects.size === 0) hints.offer("click");
  status.chips([
    ...(clicking.frozen ? [{ text: "Frozen" }] : []),
    ...(drawing.instant ? [{ text: instant.matched ? "Instant" : "Instant · masks may lag" }] : []),
    ...(recorder.recording ? [{ text: "Recording", name: "recording" }] : []),
    ...(recordingThere.on ? [{ text: "Recording on the server", name: "recording" }] : []),
  ]);
  controls.render({
    pictured,
    frozen: clicking.frozen,
    label: clicking.label,
    mode: settings.mode,
    compare: picture.compare !== null,
    instant: drawing.instant,
    ownPicture: studio.source !== null,
    recording: recorder.recording,
    recordingThere: recordingThere.on,
    hud: settings.hud,
    canUndo: history.canUndo,
    canRedo: history.canRedo,
  });
}

async function tick() {
  const reading = meter.read((await studio.live?.report().catch(() => null)) ?? null);
  hud.render(reading);
  const { latency, fpsShown } = reading;
  const wait = studio.retryIn;
  status.pulse(
    wait !== null ? `next try in ${wait} s` : studio.live?.state === "live" ? `${Math.round(fpsShown)} fps${latency ? ` · ${Math.round(latency.ms)} ms` : ""}` : "",
  );
  panel.tick(objects, performance.now());
  drawThumbnails(panel, objects, frames, stage);
  render();
}

/** @param {import("./messages.js").Mode} mode */
function setMode(mode) {
  settings.mode = mode;
  viewChanged();
}

function viewChanged() {
  keepSettings();
  attempt(drawing.sync());
  stage.draw();
  render();
}

function keepSettings() {
  settings.hintsSeen = hints.seen;
  saveSettings(settings);
}

/** @param {{command: import("./controls.js").AnyCommand} & import("./commands.js").Detail} order */
function carryOut({ command, ...detail }) {
  attempt(commands.carryOut(command, detail).then(render));
}

/** @param {boolean} on */
function setCompare(on) {
  picture.compare = on ? Number(need("compare-slider", HTMLInputElement).value) / 100 : null;
  viewChanged();
}

/** @param {boolean} on */
function setInstant(on) {
  drawing.instant = on;
  instant.toggle(on);
  viewChanged();
}

function toggleStats() {
  settings.hud = !settings.hud;
  hud.toggle(settings.hud);
  keepSettings();
}

function changeTheme() {
  settings.theme = nextTheme(settings.theme);
  applyTheme(settings.theme);
  keepSettings();
}

function turn() {
  settings.turn = /** @type {import("./geometry.js").Turn} */ ((settings.turn + 90) % 360);
  orient();
}

function retry() {
  attempt(studio.retry(need("key", HTMLInputElement).value.trim()).then(() => sourcePanel.refresh(studio)));
}

function stop() {
  if (recorder.recording) recorder.stop();
  clicking.cancel();
  setInstant(false);
  instant.setSource(null);
  studio.stop();
  stage.setStream(null);
  stage.clear();
  frames.clear();
  meter.reset();
  hud.clear();
  status.pulse("");
  history.clear();
  hints.clear();
  objects.clear();
  sourcePanel.refresh(studio);
}

/** @param {Promise<unknown>} promise */
function attempt(promise) {
  promise.catch((error) => fail(error));
}

/** @param {Error} error @param {() => void} [again] does it on the newest picture instead */
function fail(error, again) {
  if (!(error instanceof LivemaskError)) console.error(error);
  const expired = error instanceof LivemaskError && error.code === "FRAME_EXPIRED";
  if (!expired) return status.toast(error.message);
  const offer = again && { words: "Use the newest picture", act: again };
  status.toast("This picture is too old by now: the server has let it go.", offer);
}
