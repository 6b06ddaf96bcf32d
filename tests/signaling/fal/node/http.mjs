// The stock JavaScript client over HTTP. BASE is the server, CLIP a video; prints one JSON object.
import {readFile} from "node:fs/promises";
import {createFalClient, ApiError, ValidationError} from "@fal-ai/client";

const base = process.env.BASE;
const HOSTS = {"https://queue.fal.run": `${base}/queue`, "https://fal.run": `${base}/run`, "https://rest.fal.ai": `${base}/rest`};
let calls = [];
const toServer = (url) => {
  const found = Object.keys(HOSTS).find((host) => String(url).startsWith(host));
  return found ? HOSTS[found] + String(url).slice(found.length) : url;
};
const fal = createFalClient({
  credentials: "id:secret",
  fetch: (url, options) => { calls.push(`${options?.method ?? "GET"} ${url}`); return fetch(toServer(url), options); },
});

const out = {};
const clip = new File([await readFile(process.env.CLIP)], "clip.mp4", {type: "video/mp4"});
const prompts = [{x: 40, y: 50, label: "1"}];

out.text = await (await fetch(await fal.storage.upload(new File(["Hello, World!"], "hello.txt", {type: "text/plain"})))).text();

const run = await fal.run("fal-ai/sam2/video", {input: {video_url: clip, prompts}});
out.run = {video: run.data.video, requestId: run.requestId};
const video = await fal.storage.upload(clip);

for (const mode of ["polling", "streaming"]) {
  const updates = [];
  let logs = [];
  let enqueued = 0;
  const result = await fal.subscribe("fal-ai/sam-3/video-rle", {
    input: {video_url: video, prompts}, logs: true, mode,
    onEnqueue: () => enqueued++,
    onQueueUpdate: (update) => { updates.push(update.status); logs = (update.logs ?? []).map((log) => log.message); },
  });
  out[mode] = {updates, frames: result.data.rle.length, begins: logs.filter((line) => line.endsWith("begins")).length, enqueued, requestId: result.requestId};
}

const {request_id} = await fal.queue.submit("fal-ai/sam2/video", {input: {video_url: video, prompts}, priority: "low", startTimeout: 60});
let status;
do { status = await fal.queue.status("fal-ai/sam2/video", {requestId: request_id, logs: true}); } while (status.status !== "COMPLETED");
out.queue = {metrics: status.metrics, result: (await fal.queue.result("fal-ai/sam2/video", {requestId: request_id})).data.video.content_type};

const caught = async (promise) => { try { await promise; return null; } catch (error) { return error; } };
calls = [];
let error = await caught(fal.run("fal-ai/sam2/video", {input: {video_url: video, prompts: [{x: "left"}]}}));
out.invalid = {validation: error instanceof ValidationError, status: error.status, field: error.fieldErrors[0].loc, named: error.getFieldErrors("x").length, calls: calls.length};
error = await caught(fal.subscribe("fal-ai/sam2/video", {input: {video_url: video}}));
out.empty = {validation: error instanceof ValidationError, status: error.status, message: error.fieldErrors[0].msg};
error = await caught(fal.run("fal-ai/nothing", {input: {}}));
out.missing = {api: error instanceof ApiError, status: error.status, detail: error.body.detail};

const stream = await fal.stream("fal-ai/sam2/video", {input: {video_url: video, prompts}});
const events = [];
for await (const event of stream) events.push(event);
out.stream = {logs: events[0].logs?.length ?? 0, done: (await stream.done()).video.content_type};

const big = new Uint8Array(91 * 1024 * 1024).fill(7);
const large = await fal.storage.upload(new File([big], "big.bin", {type: "application/octet-stream"}));
const head = await fetch(large, {headers: {range: "bytes=95420415-95420415"}});
out.multipart = {status: head.status, range: head.headers.get("content-range"), byte: new Uint8Array(await head.arrayBuffer())[0]};

const proxied = createFalClient({proxyUrl: {url: `${base}/api/fal/proxy`, when: "always"}});
const viaProxy = await proxied.subscribe("fal-ai/sam2/video", {input: {video_url: clip, prompts}, mode: "streaming"});
out.proxy = viaProxy.data.video.content_type;

console.log(JSON.stringify(out));
