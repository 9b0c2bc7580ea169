// The same as api.py, of Node. usage: REDIS-PORT COUNT, NODE_FOLDER holds the packages
// With SSL_CERT_FILE it asks Redis over TLS.
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_FOLDER}/`);
const Redis = require("ioredis");
const authority = process.env.SSL_CERT_FILE;
const tls = authority === undefined ? {} : { tls: { ca: fs.readFileSync(authority) } };
const client = new Redis(Number(process.argv[2]), { enableReadyCheck: false, disableClientInfo: true, ...tls });
let left = Number(process.argv[3]);
const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (piece) => (body += piece));
  request.on("end", async () => {
    const job = JSON.parse(body);
    await client.pipeline().hset(`job:${job.id}`, job).zadd("jobs:pending", job.priority, job.id).exec();
    response.writeHead(202, { "Content-Length": 0, Connection: "close" }).end(() => {
      if (--left === 0) {
        server.close();
        client.disconnect();
      }
    });
  });
});
await client.ping();
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
