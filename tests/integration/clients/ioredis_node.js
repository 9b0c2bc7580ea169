// usage: ioredis_node.js PACKAGE HOST PORT SCRIPT: runs the script's commands, then some of its own.
'use strict';
const script = require('./script');

async function main() {
    const [name, host, port, path] = process.argv.slice(2);
    const { Redis } = require(name);
    const client = new Redis({ host, port: Number(port), ...script.tls });
    for (const step of script.redis(path)) {
        try {
            console.log(step[0], script.short(await client.call(...step)));
        } catch (error) {
            console.log(step[0], 'error', error.message);
        }
    }
    const pipeline = client.pipeline();
    for (let number = 0; number < 10; number++) {
        pipeline.set(`p:${number}`, number);
    }
    console.log('pipeline', script.short(await pipeline.exec()));
    const transaction = client.multi().set('t', 1).incr('t').lpush('t', 'wrong');
    console.log('transaction', script.short((await transaction.exec()).map(([error, value]) => error?.message ?? value)));
    console.log('together', script.short(await Promise.all([...Array(10).keys()].map((n) => client.get(`p:${n}`)))));
    const subscriber = new Redis({ host, port: Number(port), ...script.tls });
    const messages = [];
    const three = new Promise((resolve) => {
        subscriber.on('message', (channel, text) => {
            messages.push(text);
            if (messages.length === 3) resolve();
        });
    });
    console.log('subscribed', await subscriber.subscribe('news'));
    for (let number = 0; number < 3; number++) {
        await client.publish('news', `item ${number}`);
    }
    await three;
    console.log('messages', script.short(messages));
    await subscriber.unsubscribe('news');
    await subscriber.quit();
    await client.quit();
}

main();
