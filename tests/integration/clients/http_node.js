// usage: http_node.js LIBRARY URL SCRIPT: makes the script's requests one after another, then eight at once.
'use strict';
const secure = process.argv[3].startsWith('https');
const http = require(secure ? 'https' : 'http');
const script = require('./script');

const agent = new http.Agent({ keepAlive: true });

const libraries = {
    http: (url, { method, target, body }) => new Promise((resolve, reject) => {
        const headers = body ? { 'Content-Length': body.length } : {};
        const request = http.request(url + target, { method, agent, headers }, (response) => {
            let length = 0;
            response.on('data', (data) => { length += data.length; });
            response.on('end', () => resolve([response.statusCode, length]));
            response.on('error', reject);
        });
        request.on('error', reject);
        request.end(body);
    }),
    fetch: async (url, { method, target, body }) => {
        const response = await fetch(url + target, { method, body });
        return [response.status, (await response.arrayBuffer()).byteLength];
    },
    axios: async (url, { method, target, body }) => {
        const response = await require('axios').request({
            url: url + target, method, data: body, [secure ? 'httpsAgent' : 'httpAgent']: agent, proxy: false, responseType: 'arraybuffer',
            headers: { 'Content-Type': 'text/plain' }, validateStatus: () => true,
        });
        return [response.status, response.data.length];
    },
    undici: async (url, { method, target, body }) => {
        const response = await require('undici').request(url + target, { method, body });
        return [response.statusCode, (await response.body.arrayBuffer()).byteLength];
    },
};

async function main() {
    const [library, url, path] = process.argv.slice(2);
    const request = libraries[library];
    for (const step of script.http(path)) {
        console.log(step.method, step.target, ...await request(url, step));
    }
    const together = [...Array(8).keys()].map(
        (number) => request(url, { method: 'GET', target: `/slow?n=together-${number}` }));
    console.log(JSON.stringify(await Promise.all(together)));
    agent.destroy();
    if (library === 'undici') {
        await require('undici').getGlobalDispatcher().close();
    }
    if (library === 'fetch') {
        process.exit(0); // the built-in fetch keeps its connections, and the process, for seconds
    }
}

main();
