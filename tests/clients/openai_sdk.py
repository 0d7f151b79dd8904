"""OpenAI's Python SDK as an agent uses it: no word of a proxy, a CA or a key but what the environment says.

usage: openai_sdk.py openai|azure responses|chat plain|streamed|usage|usage-streamed
       openai_sdk.py openai|azure embeddings usage
Prints the text of the answer; streamed, one line an event, written out at once. `usage`: the model and what the answer
cost, as the SDK has them, in JSON.
"""

import json
import sys

import openai

QUESTION = "Say hello."


def responses_plain(client):
    print(client.responses.create(model="gpt-test", input=QUESTION).output_text)


def responses_streamed(client):
    for number, event in enumerate(client.responses.create(model="gpt-test", input=QUESTION, stream=True), start=1):
        print(f"event {number} {event.type}", flush=True)


def chat_plain(client):
    messages = [{"role": "user", "content": QUESTION}]
    print(client.chat.completions.create(model="gpt-test", messages=messages).choices[0].message.content)


def chat_streamed(client):
    messages = [{"role": "user", "content": QUESTION}]
    chunks = client.chat.completions.create(model="gpt-test", messages=messages, stream=True)
    for number, chunk in enumerate(chunks, start=1):
        print(f"event {number} {chunk.choices[0].delta.content}", flush=True)


def responses_usage(client):
    told(client.responses.create(model="gpt-test", input=QUESTION))


def responses_usage_streamed(client):
    events = client.responses.create(model="gpt-test", input=QUESTION, stream=True)
    told(next(event.response for event in events if event.type == "response.completed"))


def chat_usage(client):
    messages = [{"role": "user", "content": QUESTION}]
    told(client.chat.completions.create(model="gpt-test", messages=messages))


def chat_usage_streamed(client):
    messages = [{"role": "user", "content": QUESTION}]
    chunks = client.chat.completions.create(
        model="gpt-test", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    told([chunk for chunk in chunks if chunk.usage][-1])


def embeddings_usage(client):
    told(client.embeddings.create(model="embedding-test", input=QUESTION))


def told(answer):
    print(json.dumps({"model": answer.model, "usage": answer.usage.to_dict()}))


if __name__ == "__main__":
    provider, interface, mode = sys.argv[1:]
    client = {"openai": openai.OpenAI, "azure": openai.AzureOpenAI}[provider]
    globals()[f"{interface}_{mode}".replace("-", "_")](client(max_retries=0))
