// A request that may not wait, and one that was cancelled, as the stock JavaScript client tells them. BASE is the server, busy; CLIP a video's URL.
import {createFalClient, ApiError} from "@fal-ai/client";

const base = process.env.BASE;
let results = 0;
const fal = createFalClient({
  credentials: "id:secret",
  fetch: (url, options) => fetch(String(url).replace("https://queue.fal.run", `${base}/queue`), options).then((answer) => {
    results += answer.status === 504 ? 1 : 0;
    return answer;
  }),
});
const app = "fal-ai/sam-3/video-rle";
const input = {video_url: process.env.CLIP, prompts: [{x: 40, y: 50}]};
const caught = async (promise) => { try { await promise; return null; } catch (error) { return error; } };

const late = await caught(fal.subscribe(app, {input, startTimeout: 1.1}));
const {request_id: requestId} = await fal.queue.submit(app, {input});
await fal.queue.cancel(app, {requestId});
while ((await fal.queue.status(app, {requestId})).status !== "COMPLETED");
const gone = await caught(fal.queue.result(app, {requestId}));
const told = (error) => ({api: error instanceof ApiError, status: error.status, user: error.isUserTimeout, type: error.timeoutType ?? null});
console.log(JSON.stringify({late: told(late), gone: told(gone), results}));
