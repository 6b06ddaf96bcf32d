// The stock JavaScript client in a page with a camera, bundled as a user's page would be. `camera(pictures)` gives one object.
import {fal, ValidationError} from "@fal-ai/client";

fal.config({credentials: "id:secret", suppressLocalCredentialsWarning: true});
const live = "fal-ai/sam-3/video-rle";
const prompts = [{x: 40, y: 50, label: "1"}];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function within(seconds, promise, what) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`not within ${seconds} s: ${what()}`)), seconds * 1000));
  return Promise.race([promise, late]);
}

/** A film of the page's own camera: `jpeg()` is what it sees now. */
async function film() {
  const video = document.createElement("video");
  video.srcObject = await navigator.mediaDevices.getUserMedia({video: {width: 320, height: 240}});
  await video.play();
  const canvas = Object.assign(document.createElement("canvas"), {width: 320, height: 240});
  const jpeg = () => {
    canvas.getContext("2d").drawImage(video, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg"));
  };
  return {jpeg};
}

/** `count` pictures at 30 per second; ends with the answer to the last of them. */
async function follow({jpeg}, count) {
  const results = [], errors = [];
  const came = async (id) => { while (results.at(-1)?.request_id !== id) await sleep(20); };
  const told = (id) => within(20, came(id), () => `${results.length} answers, ${errors}`);
  const connection = fal.realtime.connect(live, {
    throttleInterval: 0,
    onResult: (result) => results.push(result),
    onError: (error) => errors.push(String(error)),
  });
  for (let index = 0; index < count; index++) {
    const image_bytes = new Uint8Array(await (await jpeg()).arrayBuffer());
    connection.send({image_bytes, request_id: index, output_format: "png", ...(index ? {} : {prompts})});
    // While it connects, the client keeps the newest message alone: the click must be in it.
    await (index ? sleep(33) : told(0));
  }
  await told(count - 1);
  const {width, height, images: [image]} = results.at(-1);
  const shown = await createImageBitmap(new Blob([image.content], {type: image.content_type}));
  connection.close();
  return {
    errors, size: [width, height], shown: [shown.width, shown.height],
    counted: results.length + results.reduce((sum, result) => sum + (result.dropped ?? 0), 0),
    ordered: results.every((result, i) => i === 0 || result.request_id > results[i - 1].request_id),
    newest: results.at(-1).request_id, objects: results.at(-1).metadata.map((entry) => entry.object_id),
  };
}

/** An input the server cannot read: the client's own error, and the connection goes on. */
async function refused({jpeg}) {
  const seen = [];
  const connection = fal.realtime.connect(live, {
    connectionKey: "refused", throttleInterval: 0,
    onResult: (result) => seen.push(result.frame_index), onError: (error) => seen.push(error.body.error),
  });
  const until = async (count) => { while (seen.length < count) await sleep(20); };
  const told = (count) => within(20, until(count), () => `${seen}`);
  connection.send({image_bytes: new Uint8Array([1, 2, 3])});
  await told(1);
  connection.send({image_bytes: new Uint8Array(await (await jpeg()).arrayBuffer()), prompts});
  await told(2);
  connection.close();
  return seen;
}

/** Over HTTP: a Blob is uploaded, the status comes as a stream, a wrong input is the client's own error. */
async function image({jpeg}) {
  const updates = [];
  const input = {image_url: await jpeg(), prompts};
  const found = await fal.subscribe("fal-ai/sam2/image", {input, mode: "streaming", onQueueUpdate: ({status}) => updates.push(status)});
  const answered = await fetch(found.data.image.url);
  let wrong = null;
  try { await fal.run("fal-ai/sam2/image", {input: {...input, prompts: [{x: "left"}]}}); } catch (error) { wrong = error instanceof ValidationError; }
  return {updates: updates.at(-1), id: found.requestId.length, type: answered.headers.get("content-type"), wrong};
}

globalThis.camera = async (count) => {
  const filmed = await film();
  return {live: await follow(filmed, count), refused: await refused(filmed), image: await image(filmed)};
};
