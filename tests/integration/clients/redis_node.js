// usage: redis_node.js HOST PORT SCRIPT: runs the script's commands with node-redis, then some of its own.
'use strict';
const { createClient } = require('redis');
const script = require('./script');

async function main() {
    const [host, port, path] = process.argv.slice(2);
    const client = createClient({ socket: { host, port: Number(port), tls: script.tls.tls !== undefined } });
    await client.connect();
    for (const step of script.redis(path)) {
        try {
            console.log(step[0], script.short(await client.sendCommand(step)));
        } catch (error) {
            console.log(step[0], 'error', error.message);
        }
    }
    const transaction = client.multi().set('t', '1').incr('t');
    console.log('transaction', script.short(await transaction.exec()));
    console.log('together', script.short(await Promise.all([...Array(10).keys()].map((n) => client.set(`k:${n}`, '1')))));
    const subscriber = client.duplicate();
    await subscriber.connect();
    let first;
    const message = new Promise((resolve) => { first = resolve; });
    await subscriber.subscribe('news', (text) => first(text));
    await client.publish('news', 'item');
    console.log('message', await message);
    await subscriber.unsubscribe('news');
    await subscriber.close();
    await client.close();
}

main();
