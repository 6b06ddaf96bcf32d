// The stock JavaScript client over the realtime WebSocket. BASE is the server, JPEG a picture; prints one JSON object.
import {readFile} from "node:fs/promises";
import {createFalClient} from "@fal-ai/client";

const base = process.env.BASE;
const Native = globalThis.WebSocket;
let sockets = 0;
globalThis.WebSocket = class extends Native {
  constructor(url, protocols) {
    sockets++;
    super(String(url).replace(/^wss:\/\/fal\.run/, base.replace(/^http/, "ws") + "/run"), protocols);
  }
};
let tokens = 0;
const fal = createFalClient({
  credentials: process.env.KEY ?? "id:secret",
  fetch: (url, options) => {
    if (String(url).includes("/tokens/")) tokens++;
    return fetch(String(url).replace("https://rest.fal.ai", `${base}/rest`), options);
  },
});
const picture = new Uint8Array(await readFile(process.env.JPEG));
const app = "fal-ai/sam-3/video-rle";
const out = {};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function open(options = {}) {
  const waiting = [], results = [], errors = [];
  const connection = fal.realtime.connect(app, {
    throttleInterval: 0, connectionKey: Math.random().toString(), ...options,
    onResult: (result) => { results.push(result); waiting.shift()?.(result); },
    onError: (error) => { errors.push(error); waiting.shift()?.(error); },
  });
  const ask = (message) => new Promise((resolve) => { waiting.push(resolve); connection.send(message); });
  return {connection, ask, results, errors};
}

const first = open();
const answer = await first.ask({image_bytes: picture, prompts: [{x: 40, y: 50, label: "1"}], request_id: "a", output_format: "png", nothing: undefined});
out.answer = {request_id: answer.request_id, bytes: answer.images[0].content instanceof Uint8Array, png: [...answer.images[0].content.slice(1, 4)]};
out.tokens = tokens;
const error = await first.ask({image_bytes: new Uint8Array([1, 2, 3]), request_id: "b"});
out.error = {status: error.status, code: error.body.error, request_id: error.body.request_id, message: error.message};
out.again = (await first.ask({image_bytes: picture})).frame_index;
first.connection.close();
await sleep(300);
out.closed = first.errors.length - 1;
out.reused = (await first.ask({image_bytes: picture, prompts: [{x: 40, y: 50}]})).frame_index;
out.sockets = sockets;

const text = open({encodeMessage: (input) => JSON.stringify(input), tokenProvider: async (name) => { out.provider = name; return "any"; }});
const url = `data:image/jpeg;base64,${Buffer.from(picture).toString("base64")}`;
out.json = (await text.ask({image_url: url, prompts: [{x: 40, y: 50}]})).width;

const suffixed = fal.realtime.connect(`${app}/realtime`, {connectionKey: "s", maxBuffering: 3, onResult: (result) => { out.suffixed = result.frame_index; }});
suffixed.send({image_bytes: picture, prompts: [{x: 40, y: 50}]});
for (let i = 0; i < 200 && out.suffixed === undefined; i++) await sleep(50);
console.log(JSON.stringify(out));
process.exit(0);
