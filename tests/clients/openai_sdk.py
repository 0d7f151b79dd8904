"""OpenAI's Python SDK as an agent uses it: no word of a proxy, a CA or a key but what the environment says.

usage: openai_sdk.py openai|azure responses|chat plain|streamed
Prints the text of the answer; streamed, one line an event, written out at once.
"""

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


if __name__ == "__main__":
    provider, interface, mode = sys.argv[1:]
    client = {"openai": openai.OpenAI, "azure": openai.AzureOpenAI}[provider]
    globals()[f"{interface}_{mode}"](client(max_retries=0))
