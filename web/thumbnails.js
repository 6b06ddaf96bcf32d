/** Small pictures of the objects, cut from the picture on the screen. */

/**
 * @param {import("./panel.js").Panel} panel
 * @param {import("./objects.js").ObjectList} objects
 * @param {import("./frames.js").Frames} frames
 * @param {import("./stage.js").Stage} stage
 */
export function drawThumbnails(panel, objects, frames, stage) {
  const { shown } = stage;
  const result = shown && frames.of(shown.rtp);
  if (!shown || !result) return;
  for (const { id } of objects.all()) {
    const box = result.objects.find(({ object_id }) => object_id === id)?.box;
    const context = panel.thumbnail(id)?.getContext("2d");
    if (!box || !context) continue;
    const { width, height } = context.canvas;
    const side = Math.min(shown.height, Math.max(box[2] * shown.width, box[3] * shown.height, 16) * 1.25);
    const left = Math.min(shown.width - side, Math.max(0, box[0] * shown.width - side / 2));
    const top = Math.min(shown.height - side, Math.max(0, box[1] * shown.height - side / 2));
    context.drawImage(shown.picture, left, top, side, side, 0, 0, width, height);
  }
}
