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

/** Whether the server writes the session to its own disk. */
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
    const live = this.#client();
    if (!live) return;
    await live.record(!this.#on);
    this.#on = !this.#on;
  }

  /** Another session. */
  reset() {
    this.#on = false;
  }
}
