// usage: websocket_node.js URL: one session of ws with text, binary, ping and close.
'use strict';
const { WebSocket } = require('ws');

const messages = ['hello', Buffer.alloc(70000, 'b'), 'u'.repeat(1000), Buffer.from('b'), 'last'];
const session = new WebSocket(process.argv[2], { perMessageDeflate: false });
let next = 0;
session.on('open', () => session.send(messages[next++]));
session.on('message', (data) => {
    console.log(data.length);
    if (next < messages.length) {
        session.send(messages[next++]);
    } else {
        session.ping();
    }
});
session.on('pong', () => session.close(1000, 'done'));
session.on('close', (code) => console.log('closed', code));
