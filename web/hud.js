/** Live numbers over the picture. It only shows; `meter.js` measures. */

/** @typedef {import("./meter.js").Reading} Reading */

const SAMPLES = 60;

export class Hud {
  #root;
  #values = new Map();
  #spark;
  /** @type {number[]} */
  #latencies = [];

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    this.#spark = document.createElement("canvas");
    this.#spark.className = "spark";
    this.#spark.width = 240;
    this.#spark.height = 48;
    const rows = document.createElement("dl");
    for (const name of ["Latency", "Camera", "Model", "Shown", "Step", "Queue", "Dropped", "Up", "Down", "Loss", "Codec", "Decoder", "Encoder"]) {
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      value.textContent = "–";
      rows.append(term, value);
      this.#values.set(name, value);
    }
    root.append(this.#spark, rows);
  }

  /** @param {boolean} shown */
  toggle(shown) {
    this.#root.hidden = !shown;
  }

  clear() {
    this.#latencies = [];
    for (const value of this.#values.values()) value.textContent = "–";
  }

  /** @param {Reading} reading once a second */
  render(reading) {
    const { latency, stats } = reading;
    if (latency) this.#latencies = [...this.#latencies, latency.ms].slice(-SAMPLES);
    if (this.#root.hidden) return;
    this.#set("Latency", latency ? `${latency.measured ? "" : "≈ "}${Math.round(latency.ms)} ms` : "–");
    this.#set("Camera", perSecond(reading.fpsSent ?? stats?.fps_in));
    this.#set("Model", perSecond(stats?.fps_model));
    this.#set("Shown", perSecond(reading.fpsShown));
    this.#set("Step", milliseconds(stats?.stages_ms.step?.p50));
    this.#set("Queue", milliseconds(stats?.queue_age_ms));
    this.#set("Dropped", stats ? String(stats.dropped_in + stats.dropped_out) : "–");
    this.#set("Up", bitrate(reading.bitsUp));
    this.#set("Down", bitrate(reading.bitsDown));
    this.#set("Loss", reading.loss === null ? "–" : `${(reading.loss * 100).toFixed(1)} %`);
    this.#set("Codec", reading.codec ?? "–");
    this.#set("Decoder", stats?.decoder ?? "–");
    this.#set("Encoder", stats?.encoders.join(", ") || "–");
    this.#drawSpark();
  }

  /** @param {string} name @param {string} text */
  #set(name, text) {
    this.#values.get(name).textContent = text;
  }

  #drawSpark() {
    const context = this.#spark.getContext("2d");
    if (!context) return;
    const { width, height } = this.#spark;
    const most = Math.max(100, ...this.#latencies) * 1.15;
    context.clearRect(0, 0, width, height);
    context.beginPath();
    this.#latencies.forEach((ms, i) => {
      const x = width - (this.#latencies.length - i - 0.5) * (width / SAMPLES);
      context.lineTo(x, height - 3 - (ms / most) * (height - 6));
    });
    context.lineWidth = 2.5;
    context.lineJoin = "round";
    context.strokeStyle = "#5fd3bc";
    context.stroke();
  }
}

/** @param {number | null | undefined} value */
const perSecond = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(1)} fps`);

/** @param {number | null | undefined} value */
const milliseconds = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(1)} ms`);

/** @param {number | null} bits */
const bitrate = (bits) => (bits === null ? "–" : bits < 1e6 ? `${Math.round(bits / 1e3)} kb/s` : `${(bits / 1e6).toFixed(1)} Mb/s`);
