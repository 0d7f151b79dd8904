"""The Python SDK as an agent uses it: no word of a proxy, a CA or a key but what the environment says.

usage: anthropic_sdk.py plain|streamed
Prints the text of the answer; streamed, one line an event, written out at once.
"""

import sys

import anthropic

QUESTION = {"model": "claude-test", "max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]}


def plain(client):
    print(client.messages.create(**QUESTION).content[0].text)


def streamed(client):
    for number, event in enumerate(client.messages.create(stream=True, **QUESTION), start=1):
        print(f"event {number} {event.type}", flush=True)


if __name__ == "__main__":
    {"plain": plain, "streamed": streamed}[sys.argv[1]](anthropic.Anthropic(max_retries=0))
