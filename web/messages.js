/**
 * What the wire carries, as types (docs/protocol.md). No code runs here but the error.
 *
 * @typedef {import("./rle.js").Rle} Rle
 * @typedef {"tracking" | "occluded" | "lost"} ObjectState
 * @typedef {"overlay" | "cutout" | "blur" | "mask" | "plain"} Mode
 * @typedef {[cx: number, cy: number, w: number, h: number]} Box normalised
 *
 * @typedef {{object_id: number, score: number, state: ObjectState, box: Box | null, rle?: Rle}} ObjectResult
 * @typedef {{type: "result", frame_index: number, rtp_timestamp: number, pts: number | null,
 *   capture_time: number | null, width: number, height: number, objects: ObjectResult[], rle_omitted?: boolean}} Result
 * @typedef {{type: "ack", request_id: string, frame_index: number, rtp_timestamp: number,
 *   seen_frame_index: number | null, applied_frame_index: number, reanchored: boolean, object_ids: number[],
 *   rejected: {object_id: number | null, error: string, reason: string}[]}} Ack
 * @typedef {{type: "preview", request_id: string, frame_index: number, rtp_timestamp: number | null, width: number,
 *   height: number, objects: ObjectResult[], rejected: Ack["rejected"]}} Preview
 * @typedef {{object_id: number, state: ObjectState, score: number, color: string, since_frame_index: number}} ObjectInfo
 * @typedef {{mode: Mode, hidden: number[]}} Output
 * @typedef {{name: string, ended: string | null}} RecordingInfo `ended`: why, null while it goes on
 * @typedef {{type: "state", frame_index: number | null, width: number | null, height: number | null,
 *   apply_mask: boolean, output: Output, no_signal_since: number | null, recording: RecordingInfo | null,
 *   objects: ObjectInfo[]}} StateMessage
 * @typedef {{p50: number, p95: number}} Spread
 * @typedef {{type: "stats", uptime: number, fps_in: number, fps_model: number, fps_out: number, frames_in: number,
 *   frames_model: number, frames_out: number, dropped_in: number, dropped_out: number, results_dropped: number,
 *   queue_age_ms: number | null, rtt_ms: number | null, latency_ms: Spread, stages_ms: Record<string, Spread>,
 *   engine_ms: Record<string, number>, memory_bytes: number, decoder: string | null, encoders: string[]}} Stats
 * @typedef {{name: string, why: string}} ModelInfo
 *
 * @typedef {{x: number, y: number, label?: 0 | 1, object_id?: number}} PointPrompt
 * @typedef {{x_min: number, y_min: number, x_max: number, y_max: number, object_id?: number}} BoxPrompt
 * @typedef {{prompts?: PointPrompt[], box_prompts?: BoxPrompt[], mask_url?: string, object_id?: number,
 *   replace?: boolean, width?: number, height?: number, rtp_timestamp?: number, reanchor?: boolean,
 *   remove?: number | number[], reset?: boolean, preview?: boolean, undo?: boolean, redo?: boolean,
 *   restore?: boolean, restart?: boolean, pin?: boolean, keep?: boolean, apply_mask?: boolean,
 *   output?: Partial<Output>}} Prompt
 */

/** A refusal or a failure; `code` is stable, the message is for people. */
export class LivemaskError extends Error {
  /** @param {string} code @param {string} reason @param {number | null} [retryAfter] seconds */
  constructor(code, reason, retryAfter = null) {
    super(reason);
    this.name = "LivemaskError";
    this.code = code;
    this.retryAfter = retryAfter;
  }
}
