/**
 * Reads the RTP timestamp of every encoded picture that leaves, and lets it pass unchanged.
 * (WebRTC Encoded Transform, `RTCRtpScriptTransform`.)
 */
const scope = /** @type {any} */ (self);

scope.onrtctransform = (/** @type {any} */ event) => {
  const note = new TransformStream({
    transform(frame, controller) {
      const rtp = frame.getMetadata().rtpTimestamp;
      scope.postMessage({ rtp, at: performance.timeOrigin + performance.now() });
      controller.enqueue(frame);
    },
  });
  event.transformer.readable.pipeThrough(note).pipeTo(event.transformer.writable);
};
