"use strict";
// Requests over kept connections: http_client.js URL COUNT
const http = require("node:http");
const { measured, timed } = require("./phases.js");

const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
const [url, count] = [process.argv[2], Number(process.argv[3])];

function get() {
    return new Promise((resolve, reject) => {
        const request = http.get(url, { agent }, (response) => {
            response.resume();
            response.on("end", resolve);
        });
        request.on("error", reject);
    });
}

measured(
    () => timed(count / 4, 16, get),
    () => timed(count, 16, get),
).then(() => agent.destroy());
