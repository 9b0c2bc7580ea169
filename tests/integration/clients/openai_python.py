"""What programs ask of OpenAI's API: openai_python.py URL. Prints what came back."""

import sys

import openai

PROMPT = "the prompt that nobody may see"
client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="sk-secret", max_retries=0)
messages = [{"role": "user", "content": PROMPT}]

answer = client.chat.completions.create(
    model="gpt-4o-mini", messages=messages, max_tokens=64, temperature=0.5, top_p=0.25, n=1, seed=7,
    response_format={"type": "json_object"},
)
print(answer.choices[0].message.content)
stream = client.chat.completions.create(
    model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True}
)
print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
print(client.completions.create(model="davinci", prompt=PROMPT, max_tokens=5).choices[0].text)
print(len(client.embeddings.create(model="text-embedding-3-small", input=PROMPT, encoding_format="float").data))
print(len(client.images.generate(model="dall-e-3", prompt=PROMPT, n=2, size="1024x1024", quality="hd", style="vivid").data))
print(client.responses.create(model="gpt-4.1", input=PROMPT, max_output_tokens=99).output_text)
for event in client.responses.create(model="gpt-4.1", input=PROMPT, stream=True):
    print(event.type)
print(client.chat.completions.create(model="brotli", messages=messages).id)
try:
    client.chat.completions.create(model="no-such-model", messages=messages)
except openai.NotFoundError as error:
    print(error.code)
