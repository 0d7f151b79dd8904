"""Google's Gen AI SDK for Python as an agent uses it: no word of a proxy, a CA or a key but what the environment says.

usage: google_sdk.py plain|streamed
Prints the text of the answer; streamed, one line an event, written out at once.
"""

import sys

from google import genai

QUESTION = {"model": "gemini-test", "contents": "Say hello."}


def plain(client):
    print(client.models.generate_content(**QUESTION).text)


def streamed(client):
    for number, chunk in enumerate(client.models.generate_content_stream(**QUESTION), start=1):
        print(f"event {number} {chunk.text}", flush=True)


if __name__ == "__main__":
    {"plain": plain, "streamed": streamed}[sys.argv[1]](genai.Client())
