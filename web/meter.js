/**
 * Measures what the person gets: frames, bits, losses, and the time from the camera to the screen.
 *
 * @typedef {object} Reading
 * @property {number} fpsShown pictures that reached the screen, per second
 * @property {number | null} fpsSent as the browser's encoder counts
 * @property {number | null} bitsUp per second
 * @property {number | null} bitsDown
 * @property {number | null} loss of the way back, 0..1, over the last second
 * @property {string | null} codec and encoder of the uplink, or codec of the way back
 * @property {{ms: number, measured: boolean} | null} latency camera to screen; not `measured`: put together from parts
 * @property {import("./messages.js").Stats | null} stats of the server
 */
export class Meter {
  #pictures = 0;
  #at = performance.now();
  /** @type {{sent: number, received: number, packets: number, lost: number, jitter: number, emitted: number} | null} */
  #before = null;
  /** @type {number[]} milliseconds, measured, since the last reading */
  #latencies = [];
  /** @type {import("./messages.js").Stats | null} */
  stats = null;

  /** A picture reached the screen. @param {number | null} latency milliseconds since its capture, where known */
  shown(latency) {
    this.#pictures++;
    if (latency !== null) this.#latencies.push(latency);
  }

  reset() {
    this.#before = null;
    this.stats = null;
    this.#latencies = [];
  }

  /** Once a second. @param {RTCStatsReport | null} report @returns {Reading} */
  read(report) {
    const now = performance.now();
    const seconds = Math.max(0.001, (now - this.#at) / 1000);
    const fpsShown = this.#pictures / seconds;
    this.#pictures = 0;
    this.#at = now;
    const { outbound, inbound, codecs } = sort(report);
    const latest = counters(outbound, inbound);
    const before = this.#before ?? latest;
    this.#before = latest;
    const packets = latest.packets + latest.lost - before.packets - before.lost;
    const emitted = latest.emitted - before.emitted;
    const buffer = emitted > 0 ? ((latest.jitter - before.jitter) / emitted) * 1000 : 0;
    return {
      fpsShown,
      fpsSent: outbound?.framesPerSecond ?? null,
      bitsUp: outbound ? ((latest.sent - before.sent) * 8) / seconds : null,
      bitsDown: inbound ? ((latest.received - before.received) * 8) / seconds : null,
      loss: packets > 0 ? Math.max(0, latest.lost - before.lost) / packets : null,
      codec: codecName(outbound, inbound, codecs),
      latency: this.#latency(buffer),
      stats: this.stats,
    };
  }

  /** @param {number} buffer milliseconds a picture waits in the browser's jitter buffer */
  #latency(buffer) {
    const measured = this.#latencies.sort((a, b) => a - b);
    this.#latencies = [];
    if (measured.length) return { ms: measured[Math.floor(measured.length / 2)], measured: true };
    if (!this.stats) return null;
    return { ms: this.stats.latency_ms.p50 + (this.stats.rtt_ms ?? 0) + buffer, measured: false };
  }
}

/** @param {RTCStatsReport | null} report */
function sort(report) {
  /** @type {{outbound: any, inbound: any, codecs: Map<string, any>}} */
  const found = { outbound: null, inbound: null, codecs: new Map() };
  report?.forEach((entry) => {
    if (entry.type === "outbound-rtp") found.outbound = entry;
    if (entry.type === "inbound-rtp") found.inbound = entry;
    if (entry.type === "codec") found.codecs.set(entry.id, entry);
  });
  return found;
}

/** @param {any} outbound @param {any} inbound */
function counters(outbound, inbound) {
  return {
    sent: outbound?.bytesSent ?? 0,
    received: inbound?.bytesReceived ?? 0,
    packets: inbound?.packetsReceived ?? 0,
    lost: inbound?.packetsLost ?? 0,
    jitter: inbound?.jitterBufferDelay ?? 0,
    emitted: inbound?.jitterBufferEmittedCount ?? 0,
  };
}

/** @param {any} outbound @param {any} inbound @param {Map<string, any>} codecs */
function codecName(outbound, inbound, codecs) {
  const stream = outbound ?? inbound;
  const codec = codecs.get(stream?.codecId)?.mimeType?.replace("video/", "");
  if (!codec) return null;
  const worker = outbound?.encoderImplementation ?? inbound?.decoderImplementation;
  return worker && worker !== "unknown" ? `${codec} · ${worker}` : codec;
}
