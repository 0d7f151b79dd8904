"""The Python SDK as an agent uses it: no word of a proxy, a CA or a key but what the environment says.

usage: anthropic_sdk.py plain|streamed|usage|usage-streamed
Prints the text of the answer; streamed, one line an event, written out at once. `usage`: the model and what the answer
cost, as the SDK has them, in JSON.
"""

import json
import sys

import anthropic

QUESTION = {"model": "claude-test", "max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]}


def plain(client):
    print(client.messages.create(**QUESTION).content[0].text)


def streamed(client):
    for number, event in enumerate(client.messages.create(stream=True, **QUESTION), start=1):
        print(f"event {number} {event.type}", flush=True)


def usage(client):
    told(client.messages.create(**QUESTION))


def usage_streamed(client):
    with client.messages.stream(**QUESTION) as stream:
        told(stream.get_final_message())


def told(message):
    print(json.dumps({"model": message.model, "usage": message.usage.to_dict()}))


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](anthropic.Anthropic(max_retries=0))
