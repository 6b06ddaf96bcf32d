/**
 * What the person is told, for everything that can be the case. Pure data: no DOM, no clock.
 *
 * @typedef {"camera" | "sample" | "screen" | "retry"} Action
 * @typedef {"calm" | "busy" | "good" | "warn"} Tone
 * @typedef {object} Condition
 * @property {string} word for the status line
 * @property {Tone} tone
 * @property {string} [icon]
 * @property {string} [title] with a title, a card covers the picture
 * @property {string} [text] what to do next
 * @property {string} [fine] small print
 * @property {Action[]} [actions]
 * @property {string} [retryLabel]
 */

/** @type {Record<string, Condition>} */
const CONDITIONS = {
  idle: {
    word: "Ready",
    tone: "calm",
    icon: "mark",
    title: "Click anything. It stays masked.",
    text: "Livemask follows the objects you click, live, frame by frame.",
    fine: "Your browser will ask for the camera. The picture goes to this server only, and nothing is stored.",
    actions: ["camera", "sample", "screen"],
  },
  asking: {
    word: "Waiting for the camera",
    tone: "busy",
    icon: "camera",
    title: "Allow the camera",
    text: "Your browser is asking, near the address bar.",
    actions: [],
  },
  connecting: { word: "Connecting", tone: "busy", icon: "mark", title: "Connecting…", text: "One moment.", actions: [] },
  live: { word: "Live", tone: "good" },
  frozen: { word: "Frozen", tone: "calm" },
  reconnecting: { word: "Reconnecting", tone: "warn" },
  stalled: { word: "Picture stalled", tone: "warn" },
  silent: { word: "No signal from the camera", tone: "warn" },
  NOT_FOUND: {
    word: "Camera not there",
    tone: "warn",
    icon: "camera",
    title: "This camera is not there any more",
    text: "The server follows it no longer. Choose another source.",
    actions: ["camera", "sample", "screen"],
  },
  CAMERA_BLOCKED: {
    word: "Camera blocked",
    tone: "warn",
    icon: "camera",
    title: "The camera is blocked",
    text: "Allow it with the camera or lock symbol in the address bar, then try again.",
    actions: ["camera", "sample"],
  },
  INSECURE: {
    word: "Not a secure page",
    tone: "warn",
    icon: "warn",
    title: "The camera needs a secure page",
    text: "Browsers give a camera only to https:// addresses and to http://localhost. Open Livemask by one of these, or try the sample.",
    actions: ["sample"],
  },
  NO_CAMERA: {
    word: "No camera",
    tone: "warn",
    icon: "camera",
    title: "No camera found",
    text: "Plug one in and try again, share your screen, or try the sample.",
    actions: ["camera", "sample", "screen"],
  },
  CAMERA_BUSY: {
    word: "Camera busy",
    tone: "warn",
    icon: "camera",
    title: "Another program has the camera",
    text: "Close it there, then try again.",
    actions: ["camera", "sample"],
  },
  CAMERA_FAILED: {
    word: "No picture",
    tone: "warn",
    icon: "camera",
    title: "The camera did not start",
    text: "Try again, or choose another source.",
    actions: ["camera", "sample", "screen"],
  },
  NO_SCREEN: {
    word: "No screen sharing",
    tone: "warn",
    icon: "screen",
    title: "This browser cannot share its screen",
    text: "Use the camera or the sample.",
    actions: ["camera", "sample"],
  },
  SOURCE_LOST: {
    word: "Source lost",
    tone: "warn",
    icon: "camera",
    title: "The picture has ended",
    text: "The camera was unplugged or sharing was stopped. Your objects are kept while you choose again.",
    actions: ["camera", "sample", "screen"],
  },
  MODEL_LOADING: {
    word: "Model loading",
    tone: "busy",
    icon: "mark",
    title: "The model is loading",
    text: "This happens once after the server starts. The picture comes by itself.",
    actions: ["retry"],
  },
  SERVER_FULL: {
    word: "Server full",
    tone: "warn",
    icon: "warn",
    title: "All places are taken",
    text: "You are let in as soon as someone leaves; this page keeps trying.",
    actions: ["retry"],
  },
  UNAUTHORIZED: {
    word: "Key needed",
    tone: "warn",
    icon: "warn",
    title: "This server asks for a key",
    text: "Enter the access key that its owner gave you.",
    actions: ["retry"],
    retryLabel: "Connect",
  },
  UNREACHABLE: {
    word: "No server",
    tone: "warn",
    icon: "warn",
    title: "The server does not answer",
    text: "It may be starting, or the network is down. This page keeps trying.",
    actions: ["retry"],
  },
  TIMEOUT: {
    word: "No media connection",
    tone: "warn",
    icon: "warn",
    title: "The picture cannot get through",
    text: "The server answers, but video does not. A firewall may block UDP between here and the server.",
    actions: ["retry"],
  },
  failed: {
    word: "Something went wrong",
    tone: "warn",
    icon: "warn",
    title: "Something went wrong",
    text: "Try again. If it stays so, the server's log says more.",
    actions: ["retry"],
  },
};

/** @param {string} name a state of the page, or the code of an error @returns {Condition} */
export function condition(name) {
  return CONDITIONS[name] ?? CONDITIONS.failed;
}

/**
 * What is the case, from everything the page knows.
 *
 * @param {object} facts
 * @param {"closed" | "connecting" | "live" | "reconnecting"} facts.connection
 * @param {string | null} facts.why code of the last error
 * @param {boolean} facts.asking the browser is asking for the camera
 * @param {boolean} facts.frozen
 * @param {boolean} facts.stalled no frame for a while
 * @param {boolean} facts.pictured a frame has been shown
 * @param {boolean} facts.lost the source has ended by itself
 * @param {boolean} facts.silent the server's camera gives no picture
 * @returns {string} the name of a condition
 */
export function judge({ connection, why, asking, frozen, stalled, pictured, lost, silent }) {
  if (asking) return "asking";
  if (lost) return why && why !== "SOURCE_LOST" && why in CONDITIONS ? why : "SOURCE_LOST";
  if (connection === "closed") return why ?? "idle";
  if (connection === "connecting") return why && why in CONDITIONS ? why : "connecting";
  if (connection === "reconnecting") return why === "SERVER_FULL" && !pictured ? why : "reconnecting";
  if (frozen) return "frozen";
  if (!pictured) return "connecting";
  if (silent) return "silent";
  return stalled ? "stalled" : "live";
}
