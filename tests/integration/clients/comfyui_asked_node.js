// Prompts of ComfyUI, submitted by its WebSocket: comfyui_asked_node.js MODULE ADDRESS GRAPH ID ... Prints what came.
// Every second one has its id from here.
'use strict';

const [module_path, address, graph, ...wanted] = process.argv.slice(2);
const { WebSocket } = require(module_path);
const ends = ['execution_error', 'execution_interrupted'];
const session = new WebSocket(`ws://${address}/ws?clientId=c-1`, { perMessageDeflate: { threshold: 0 } });
let number = 0;

function submit() {
    if (wanted.length === 0) {
        session.close(1000);
        return;
    }
    const id = wanted.shift();
    const prompt = JSON.parse(graph);
    session.send(number === 0 ? 'not JSON: nobody' : JSON.stringify({ type: 'feature_flags', data: { prompt: 'nobody' } }));
    session.send(JSON.stringify(
        number++ % 2 === 0
            ? { type: 'prompt', data: { prompt, extra_data: { wanted_id: id } } }
            : { type: 'queue_prompt', prompt, prompt_id: id },
    ));
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
