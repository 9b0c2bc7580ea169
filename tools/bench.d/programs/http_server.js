"use strict";
// A server that says hello. Load comes from outside.
const http = require("node:http");
const { measured } = require("./phases.js");

const server = http.createServer((request, response) => {
    response.setHeader("content-type", "text/plain");
    response.end("hello, world\n");
});
server.listen(Number(process.argv[2]), "127.0.0.1", async () => {
    await measured(async () => {}, async () => {});
    server.closeAllConnections();
    server.close();
});
