// Prompts of ComfyUI, waited for by its WebSocket: comfyui_node.js MODULE ADDRESS GRAPH ID ... Prints what came.
'use strict';

const [module_path, address, graph, ...wanted] = process.argv.slice(2);
const { WebSocket } = require(module_path);
const ends = ['execution_error', 'execution_interrupted'];
const session = new WebSocket(`ws://${address}/ws?clientId=c-1`);

async function ask(method, target, body) {
    const headers = { 'Content-Type': 'application/json' };
    return (await fetch(`http://${address}${target}`, { method, body, headers })).json();
}

async function submit() {
    if (wanted.length === 0) {
        session.close(1000);
        return;
    }
    const request = { prompt: JSON.parse(graph), client_id: 'c-1', extra_data: { wanted_id: wanted.shift() } };
    await ask('POST', '/prompt', JSON.stringify(request));
    await ask('GET', '/queue');
}

session.on('open', submit);
session.on('message', (data, isBinary) => {
    if (isBinary) {
        return;
    }
    const said = JSON.parse(data);
    console.log(said.type);
    if (ends.includes(said.type) || (said.type === 'executing' && said.data.node === null)) {
        setImmediate(submit);
    }
});
