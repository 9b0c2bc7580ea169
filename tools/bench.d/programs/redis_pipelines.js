"use strict";
// Pipelines of ten commands: redis_pipelines.js PORT COMMANDS
const Redis = require("ioredis");
const { measured, timed } = require("./phases.js");

const redis = new Redis({ port: Number(process.argv[2]), host: "127.0.0.1" });
const commands = Number(process.argv[3]);
let number = 0;

function pipeline() {
    const batch = redis.pipeline();
    for (let i = 0; i < 5; i++) {
        const key = `key:${number++ % 1000}`;
        batch.set(key, "value").get(key);
    }
    return batch.exec();
}

measured(
    () => timed(commands / 40, 8, pipeline),
    () => timed(commands / 10, 8, pipeline),
).then(() => redis.quit());
