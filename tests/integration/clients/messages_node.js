// usage: messages_node.js serve URL | work URL WEBSOCKET [deflate]: as messages_python.py, by ws and http.
'use strict';
const http = require('http');
const { WebSocket, WebSocketServer } = require('ws');

const [role, url, websocket, coding] = process.argv.slice(2);
const hex = (number, size) => number.toString(16).padStart(size, '0');

function message(number) {
  const document = { type: 'job', id: `wn${number}` };
  if (number % 3 !== 2) {
    document.trace_context = { trace_id: hex(number + 1, 32), span_id: hex(number + 1, 16) };
  }
  return JSON.stringify(number % 2 ? document : { type: 'job', job: document });
}

function work(text, done) {
  const document = JSON.parse(text);
  const name = (document.job ?? document).id;
  const call = (number) => {
    if (number === 2) return done(name);
    http.get(`${url}/slow?id=${name}-${number}`, (answer) => answer.resume().on('end', () => call(number + 1)));
  };
  call(0);
}

if (role === 'serve') {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: true });
  server.on('connection', (session) => {
    session.on('message', (text) => work(text, (name) => session.send(`done ${name}`)));
  });
  server.on('listening', () => console.log(server.address().port));
  process.stdin.on('end', () => process.exit()).resume();
} else {
  const session = new WebSocket(websocket, { perMessageDeflate: coding === 'deflate' });
  let next = 0;
  const send = () => (next === 9 ? session.close() : session.send(message(next++)));
  session.on('open', send);
  session.on('message', (text) => work(text, send));
}
