// A token that the server refuses: the client asks for another one and connects again. BASE, KEY, JPEG as in realtime.mjs.
import {readFile} from "node:fs/promises";
import {createFalClient} from "@fal-ai/client";

const base = process.env.BASE;
const Native = globalThis.WebSocket;
globalThis.WebSocket = class extends Native {
  constructor(url, protocols) {
    super(String(url).replace(/^wss:\/\/fal\.run/, base.replace(/^http/, "ws") + "/run"), protocols);
  }
};
const picture = new Uint8Array(await readFile(process.env.JPEG));
let tokens = 0;
const good = async () => (await fetch(`${base}/rest/tokens/`, {
  method: "POST", headers: {authorization: `Key ${process.env.KEY}`, "content-type": "application/json"},
  body: JSON.stringify({allowed_apps: ["sam-3"], token_expiration: 120}),
})).json();
const fal = createFalClient({credentials: "x:y"});
const out = {};
const connection = fal.realtime.connect("fal-ai/sam-3/video-rle", {
  throttleInterval: 0,
  tokenProvider: async () => (tokens++ === 0 ? "forged" : good()),
  onResult: (result) => { out.frame ??= result.frame_index; },
});
for (let i = 0; i < 100 && out.frame === undefined; i++) {
  connection.send({image_bytes: picture, prompts: [{x: 40, y: 50}]});
  await new Promise((resolve) => setTimeout(resolve, 100));
}
console.log(JSON.stringify({...out, refetched: tokens > 1}));
process.exit(0);
