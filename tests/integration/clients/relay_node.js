// usage: relay_node.js URL: a server that makes a request of its own, over three pooled connections,
// for every request. Says "port N"; ends with stdin.
'use strict';
const http = require('http');

const agent = new http.Agent({ keepAlive: true, maxSockets: 3 });
const server = http.createServer((request, response) => {
    http.get(`${process.argv[2]}/slow?${request.url.split('?')[1]}`, { agent }, (answer) => answer.pipe(response));
});
server.listen(0, '127.0.0.1', () => console.log('port', server.address().port));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
