// What programs ask of OpenAI's API: openai_node.mjs MODULE URL. Prints what came back.
const [module, url] = process.argv.slice(2);
const { default: OpenAI } = await import(module);
const prompt = "the prompt that nobody may see";
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-secret", maxRetries: 0 });
const messages = [{ role: "user", content: prompt }];

const answer = await client.chat.completions.create({ model: "gpt-4o-mini", messages, max_tokens: 64, temperature: 0.5 });
console.log(answer.choices[0].message.content);
const stream = await client.chat.completions.create({
    model: "gpt-4o-mini", messages, stream: true, stream_options: { include_usage: true },
});
for await (const chunk of stream) {
    console.log(chunk.choices[0]?.delta?.content ?? "");
}
const response = await client.responses.create({ model: "gpt-4.1", input: prompt, max_output_tokens: 99 });
console.log(response.output_text);
