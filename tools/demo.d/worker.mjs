// An ordinary worker for image jobs of a ComfyUI-like service: ioredis, fetch, ws.
//
// It knows nothing of tracing. It takes jobs from the Redis list jobs:pending:comfyui, has the
// prompt rewritten, runs the graph, uploads the image, and says that it is done.
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";

// The packages stand in a cache folder outside the source tree.
const require = createRequire(process.env.DEMO_MODULES + "/");
const Redis = require("ioredis");
const WebSocket = require("ws");

const { REDIS_URL, OPENAI_BASE_URL, COMFYUI_URL, WORKER_ID = "demo-comfyui-worker-0" } = process.env;

const queue = new Redis(REDIS_URL); // blocked in BLPOP most of the time
const redis = new Redis(REDIS_URL);
let stopping = false;

async function call(url, options) {
    const response = await fetch(url, options);
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
    return response;
}

const asJson = (body) => ({
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer sk-demo-not-a-secret" },
    body: JSON.stringify(body),
});

async function rewrite(prompt) {
    const response = await call(`${OPENAI_BASE_URL}/v1/chat/completions`, asJson({
        model: "gpt-4o-mini",
        messages: [{ role: "system", content: "Improve the prompt." }, { role: "user", content: prompt }],
    }));
    return (await response.json()).choices[0].message.content;
}

// Opens the socket first, so that no message of the prompt is missed.
async function execute(graph, onProgress) {
    const client = randomUUID();
    const socket = new WebSocket(`${COMFYUI_URL.replace("http", "ws")}/ws?clientId=${client}`);
    const early = [];
    let take = (message) => early.push(message);
    socket.on("message", (data) => take(JSON.parse(data)));
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    const response = await call(`${COMFYUI_URL}/prompt`, asJson({ client_id: client, prompt: graph }));
    const { prompt_id: promptId } = await response.json();
    const image = await new Promise((resolve, reject) => {
        let output;
        socket.once("error", reject).once("close", () => reject(new Error("the socket closed")));
        take = ({ type, data }) => {
            if (data.prompt_id !== promptId) return;
            if (type === "progress") onProgress((data.value / data.max) * 100);
            if (type === "executed") output = data.output.images[0].filename;
            if (type === "executing" && data.node === null) resolve(output);
        };
        early.forEach(take);
    });
    socket.removeAllListeners("close");
    socket.close(1000);
    await new Promise((resolve) => socket.once("close", resolve));
    return image;
}

function graphFor(prompt) {
    return {
        4: { class_type: "CheckpointLoaderSimple", inputs: { ckpt_name: "sd_xl_base_1.0.safetensors" } },
        6: { class_type: "CLIPTextEncode", inputs: { text: prompt, clip: ["4", 1] } },
        3: { class_type: "KSampler", inputs: { seed: 42, steps: 5, cfg: 7, model: ["4", 0] } },
        9: { class_type: "SaveImage", inputs: { images: ["3", 0] } },
    };
}

async function processJob(jobId) {
    const key = `job:${jobId}`;
    const job = await redis.hgetall(key);
    await redis.hset(key, { status: "processing", worker_id: WORKER_ID });
    const prompt = await rewrite(JSON.parse(job.payload).prompt);
    const filename = await execute(graphFor(prompt), (percent) =>
        redis.publish("update_job_progress", JSON.stringify({ job_id: jobId, progress: percent })));
    const image = await (await call(`${COMFYUI_URL}/view?filename=${filename}&type=output`)).arrayBuffer();
    const url = `${OPENAI_BASE_URL}/assets/${filename}`;
    await call(url, { method: "PUT", headers: { "content-type": "image/png" }, body: image });
    await redis.hset(key, { status: "completed", result: url });
    await redis.publish("complete_job", JSON.stringify({ job_id: jobId, status: "completed" }));
}

process.on("SIGTERM", () => {
    stopping = true;
});

console.log("ready");
while (!stopping) {
    const taken = await queue.blpop("jobs:pending:comfyui", 1);
    if (taken) await processJob(taken[1]);
}
await Promise.all([queue.quit(), redis.quit()]);
