/** The cameras that the server itself has (docs/protocol.md, section 12), and recordings that it makes. */

/**
 * @typedef {{name: string, autostart: boolean, sessions: string[]}} ServerCamera `sessions`: that follow it now
 * @typedef {{camera: string} | {watch: string}} Remote a session of its own on a camera, or a view of the running one
 */

/** None where the server has none, or tells this page of none. @param {string | null} key @returns {Promise<ServerCamera[]>} */
export async function listServerCameras(key) {
  const headers = key ? { authorization: `Bearer ${key}` } : undefined;
  const response = await fetch(new URL("cameras", document.baseURI), { headers }).catch(() => null);
  return response?.ok ? (await response.json()).cameras : [];
}

/** @param {ServerCamera} camera @returns {Remote} */
export function remoteOf({ name, sessions }) {
  return sessions.length ? { watch: name } : { camera: name };
}

/** What the server writes of the session to its own disk: known from its `state` messages alone. */
export class ServerRecording {
  #client;
  #on = false;

  /** @param {() => import("./livemask.js").Livemask | null} client */
  constructor(client) {
    this.#client = client;
  }

  get on() {
    return this.#on;
  }

  /** @returns {Promise<void>} rejects with LivemaskError, NOT_ALLOWED where the server keeps no recordings */
  async toggle() {
    await this.#client()?.record(!this.#on);
  }

  /**
   * @param {import("./messages.js").RecordingInfo | null} recording
   * @returns {string | null} why it has ended since, if nobody has asked for that
   */
  read(recording) {
    const was = this.#on;
    this.#on = recording !== null && recording.ended === null;
    return was && recording?.ended && recording.ended !== "stopped" ? recording.ended : null;
  }

  /** Another session. */
  reset() {
    this.#on = false;
  }
}
