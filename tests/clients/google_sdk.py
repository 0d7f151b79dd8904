"""Google's Gen AI SDK for Python as an agent uses it: no word of a proxy, a CA or a key but what the environment says.

usage: google_sdk.py plain|streamed|usage|usage-streamed
Prints the text of the answer; streamed, one line an event, written out at once. `usage`: the model and what the answer
cost, as the SDK has them, in JSON.
"""

import json
import sys

from google import genai

QUESTION = {"model": "gemini-test", "contents": "Say hello."}


def plain(client):
    print(client.models.generate_content(**QUESTION).text)


def streamed(client):
    for number, chunk in enumerate(client.models.generate_content_stream(**QUESTION), start=1):
        print(f"event {number} {chunk.text}", flush=True)


def usage(client):
    told(client.models.generate_content(**QUESTION))


def usage_streamed(client):
    told(list(client.models.generate_content_stream(**QUESTION))[-1])


def told(answer):
    cost = answer.usage_metadata.model_dump(mode="json", by_alias=True, exclude_none=True)
    print(json.dumps({"model": answer.model_version, "usage": cost}))


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](genai.Client())
