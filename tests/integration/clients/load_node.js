// usage: load_node.js CERTIFICATE KEY COUNT: so many requests, https and http, in a worker thread and then in the
// main one, to servers in the same process.
'use strict';
const { Worker, isMainThread } = require('worker_threads');
const [certificate, key, count] = process.argv.slice(2);
const https = require('https'), http = require('http'), fs = require('fs');
const ca = fs.readFileSync(certificate);
async function talk(name) {
    const serve = (request, response) => {
        let size = 0;
        request.on('data', (data) => { size += data.length; });
        request.on('end', () => response.end(`${request.url} ${size}`));
    };
    const servers = [https.createServer({ cert: ca, key: fs.readFileSync(key) }, serve), http.createServer(serve)];
    for (const server of servers) await new Promise((done) => server.listen(0, '127.0.0.1', done));
    const agents = [new https.Agent({ keepAlive: true, maxSockets: 20, ca }), new http.Agent({ keepAlive: true, maxSockets: 20 })];
    const one = (number) => new Promise((resolve, reject) => {
        const kind = number % 4 === 3 ? 1 : 0;
        const size = number % 50 * 1000;
        const path = `/${name}/${number}/${kind}`;
        const request = [https, http][kind].request({
            host: '127.0.0.1', port: servers[kind].address().port, path, method: 'POST', ca,
            agent: number % 3 ? agents[kind] : false, headers: { 'Content-Length': size },
        }, (response) => {
            let text = '';
            response.on('data', (data) => { text += data; });
            response.on('end', () => (text === `${path} ${size}` ? resolve() : reject(new Error(text))));
        });
        request.on('error', reject);
        request.end('x'.repeat(size));
    });
    for (let start = 0; start < Number(count); start += 100) {
        await Promise.all([...Array(100).keys()].map((n) => one(start + n)));
    }
    agents.forEach((agent) => agent.destroy());
    servers.forEach((server) => server.close());
    console.log('done');
}
if (isMainThread) {
    new Worker(__filename, { argv: [certificate, key, count] }).on('exit', () => talk('main'));
} else {
    talk('worker');
}
