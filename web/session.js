/**
 * One WebRTC session with the server, from offer to close. It does not reconnect and remembers nothing.
 *
 * @typedef {object} SessionConf
 * @property {string} url base address of the server
 * @property {string | null} key
 * @property {MediaStreamTrack | "sample" | import("./server-cameras.js").Remote} source
 * @property {import("./messages.js").Output} output
 * @property {boolean} applyMask
 * @property {"vp8" | "h264" | null} codec
 * @property {(track: MediaStreamTrack) => void} onTrack
 * @property {(message: any) => void} onMessage every decoded message of both channels
 * @property {(why: LivemaskError) => void} onLost at most once, never after close()
 */
import { LivemaskError } from "./messages.js";

const GATHER_MS = 2000;
const CONNECT_MS = 15000;
const DISCONNECTED_MS = 2000;
const SILENCE_MS = 4000;
const PULSE_MS = 500;
const ASLEEP_MS = 1500;

export class Session {
  /** @type {SessionConf} */
  #conf;
  /** @type {"new" | "opening" | "live" | "closed"} */
  #state = "new";
  #pc = new RTCPeerConnection({ iceServers: [] });
  #prompts;
  #results;
  /** @type {RTCRtpSender | null} */
  #sender = null;
  /** @type {string | null} */
  #location = null;
  /** @type {{resolve: () => void, reject: (why: LivemaskError) => void} | null} */
  #ready = null;
  #heardAt = 0;
  #checkedAt = 0;
  #watch = 0;
  #disconnectedAt = 0;
  #abort = new AbortController();

  /** @type {import("./messages.js").ModelInfo | null} */
  model = null;
  /** @type {string | null} */
  id = null;
  /** The server takes prompts from here. */
  mayPrompt = true;

  /** @param {SessionConf} conf */
  constructor(conf) {
    this.#conf = conf;
    this.#prompts = this.#pc.createDataChannel("prompts", { ordered: true });
    this.#results = this.#pc.createDataChannel("results", { ordered: false, maxRetransmits: 0 });
  }

  /** Resolves when prompts can be sent; rejects with LivemaskError and closes itself. */
  async open() {
    this.#state = "opening";
    try {
      const ready = new Promise((resolve, reject) => {
        this.#ready = { resolve: () => resolve(undefined), reject };
      });
      ready.catch(() => {});
      this.#listen();
      this.#addMedia();
      await this.#pc.setLocalDescription();
      await gathered(this.#pc);
      if (this.#isClosed()) throw closed();
      await this.#post();
      if (this.#isClosed()) throw closed();
      await within(ready, CONNECT_MS);
    } catch (error) {
      this.close();
      throw asLivemaskError(error);
    }
    if (this.#isClosed()) throw closed();
    this.#state = "live";
  }

  /** @param {object} message */
  send(message) {
    if (this.#prompts.readyState !== "open") throw new LivemaskError("NOT_CONNECTED", "not connected to the server");
    this.#prompts.send(JSON.stringify(message));
  }

  /** @param {MediaStreamTrack} track */
  async replaceTrack(track) {
    await this.#sender?.replaceTrack(track);
  }

  get sendsVideo() {
    return this.#sender !== null;
  }

  stats() {
    return this.#pc.getStats();
  }

  close() {
    if (this.#state === "closed") return;
    this.#state = "closed";
    clearInterval(this.#watch);
    this.#abort.abort();
    this.#ready?.reject(closed());
    this.#pc.close();
    if (this.#location) this.#delete(this.#location);
  }

  #isClosed() {
    return this.#state === "closed";
  }

  #listen() {
    this.#pc.ontrack = ({ track, receiver }) => {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      this.#conf.onTrack(track);
    };
    this.#pc.onconnectionstatechange = () => this.#connectionChanged();
    this.#prompts.onmessage = this.#results.onmessage = (event) => this.#receive(event);
    this.#prompts.onclose = () => this.#lost(new LivemaskError("DISCONNECTED", "the server closed the connection"));
  }

  #addMedia() {
    const { source } = this.#conf;
    if (!(source instanceof MediaStreamTrack)) {
      this.#pc.addTransceiver("video", { direction: "recvonly" });
      return;
    }
    this.#sender = this.#pc.addTransceiver(source, { direction: "sendrecv" }).sender;
  }

  async #post() {
    const { url, source, output, applyMask, codec } = this.#conf;
    const watched = typeof source === "object" && "watch" in source ? source.watch : null;
    const place = watched === null ? "sessions" : `sessions/${encodeURIComponent(watched)}/viewers`;
    const options = { source: source instanceof MediaStreamTrack ? "webrtc" : source, output, apply_mask: applyMask };
    const response = await fetch(new URL(place, url), {
      method: "POST",
      headers: { "content-type": "application/json", ...this.#authorization() },
      signal: this.#abort.signal,
      body: JSON.stringify({
        sdp: this.#pc.localDescription?.sdp,
        type: "offer",
        ...(watched === null ? options : {}),
        codec,
      }),
    });
    if (!response.ok) throw await refusal(response);
    const answer = await response.json();
    this.id = answer.session_id ?? answer.id;
    this.mayPrompt = answer.may_prompt ?? true;
    this.#location = new URL(watched === null ? `sessions/${answer.id}` : `sessions/${this.id}/viewers/${answer.id}`, url).href;
    if (this.#isClosed()) {
      this.#delete(this.#location);
      throw closed();
    }
    this.model = answer.model ?? null;
    await this.#pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  }

  /** The server's own recording of this session. @param {boolean} on */
  async record(on) {
    const address = new URL(`sessions/${this.id}/recording`, this.#conf.url);
    const response = await fetch(address, { method: on ? "POST" : "DELETE", headers: this.#authorization() });
    if (!response.ok) throw await refusal(response);
  }

  /** @param {string} location */
  #delete(location) {
    fetch(location, { method: "DELETE", headers: this.#authorization(), keepalive: true }).catch(() => {});
  }

  /** @returns {Record<string, string>} */
  #authorization() {
    return this.#conf.key ? { authorization: `Bearer ${this.#conf.key}` } : {};
  }

  /** @param {MessageEvent} event */
  #receive(event) {
    this.#heardAt = performance.now();
    const message = JSON.parse(event.data);
    if (message.type === "ping") return this.#prompts.send(JSON.stringify({ type: "pong", id: message.id }));
    if (message.type === "ready") {
      this.#watch = window.setInterval(() => this.#checkPulse(), PULSE_MS);
      this.#ready?.resolve();
    }
    this.#conf.onMessage(message);
    if (message.type === "bye") this.#lost(new LivemaskError("BYE", message.reason));
  }

  #connectionChanged() {
    const word = this.#pc.connectionState;
    if (word === "failed") this.#lost(new LivemaskError("DISCONNECTED", "the connection to the server was lost"));
    this.#disconnectedAt = word === "disconnected" ? performance.now() : 0;
  }

  #checkPulse() {
    const now = performance.now();
    // This page stood still itself (a sleeping laptop, a busy machine): what came meanwhile waits to be read.
    if (now - this.#checkedAt > ASLEEP_MS) this.#heardAt = now;
    this.#checkedAt = now;
    const cut = this.#disconnectedAt > 0 && now - this.#disconnectedAt > DISCONNECTED_MS;
    if (cut || now - this.#heardAt > SILENCE_MS) {
      this.#lost(new LivemaskError("DISCONNECTED", "the server has gone silent"));
    }
  }

  /** @param {LivemaskError} why */
  #lost(why) {
    if (this.#isClosed()) return;
    const wasLive = this.#state === "live";
    this.#ready?.reject(why);
    this.close();
    if (wasLive) this.#conf.onLost(why);
  }
}

const closed = () => new LivemaskError("CLOSED", "the session was closed");

/** @param {unknown} error */
function asLivemaskError(error) {
  if (error instanceof LivemaskError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new LivemaskError(error instanceof TypeError ? "UNREACHABLE" : "FAILED", text);
}

/** @param {Response} response */
async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("retry-after"));
  return new LivemaskError(
    body.error_type ?? `HTTP_${response.status}`,
    body.detail ?? response.statusText,
    seconds > 0 ? seconds : null,
  );
}

/** @param {RTCPeerConnection} pc */
function gathered(pc) {
  return new Promise((resolve) => {
    const done = () => resolve(undefined);
    if (pc.iceGatheringState === "complete") return done();
    pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && done());
    return setTimeout(done, GATHER_MS);
  });
}

/** @template T @param {Promise<T>} promise @param {number} ms @returns {Promise<T>} */
function within(promise, ms) {
  return new Promise((resolve, reject) => {
    const late = new LivemaskError("TIMEOUT", "the media connection did not come up; a firewall may block UDP");
    const timer = setTimeout(() => reject(late), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
