/** What a connection may carry: a video track of the browser, or the name of a source of the server. */
import { LivemaskError } from "./messages.js";

/** @param {import("./livemask.js").LivemaskConf["source"]} source */
export function sourceOf(source) {
  const own = source instanceof MediaStream || source instanceof MediaStreamTrack;
  return own ? videoTrack(source) : source;
}

/** @param {MediaStream | MediaStreamTrack} source */
export function videoTrack(source) {
  const track = source instanceof MediaStream ? source.getVideoTracks()[0] : source;
  if (!track) throw new LivemaskError("INVALID_INPUT", "the source has no video track");
  return track;
}
