// usage: storm_node.js HTTP_PORT REDIS_PORT INDEX WAY LIFE_US: a worker of storm.c.
'use strict';
const http = require('http');
const net = require('net');

const [httpPort, redisPort, index, way, life] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function request(number) {
    http.get({ port: httpPort, host: '127.0.0.1', path: `/r/${index}-0-${number}`, agent }, (answer) => {
        answer.resume();
        answer.on('end', () => setTimeout(request, 1, number + 1));
    });
}

const redis = net.connect(Number(redisPort), '127.0.0.1');
let asked = 0;
function ask() {
    const key = `${index}-1-${asked++}`;
    redis.write(`*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`);
}
redis.on('connect', ask);
redis.on('data', () => setTimeout(ask, 1));
request(0);

if (way !== 'kill') {
    setTimeout(() => {
        if (way === 'segv') process.kill(process.pid, 'SIGSEGV');
        if (way === 'abort') process.abort();
        if (way === 'exit') process.exit(7);
    }, Number(life) / 1000);
}
