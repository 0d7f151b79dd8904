"""Python's HTTP clients as an agent uses them: no word of a proxy, a CA or a key but what the environment says.

usage: http_clients.py requests|httpx|urllib plain
Prints the text of the answer.
"""

import json
import os
import sys
import urllib.request

URL = "https://api.anthropic.com/v1/messages"
QUESTION = {"model": "claude-test", "max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]}


def headers():
    return {
        "x-api-key": os.environ["ANTHROPIC_API_KEY"],
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
    }


def with_requests():
    import requests

    answer = requests.post(URL, headers=headers(), json=QUESTION)
    answer.raise_for_status()
    return answer.json()


def with_httpx():
    import httpx

    return httpx.post(URL, headers=headers(), json=QUESTION).raise_for_status().json()


def with_urllib():
    request = urllib.request.Request(URL, json.dumps(QUESTION).encode(), headers())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


if __name__ == "__main__":
    library, mode = sys.argv[1:]
    print(globals()[f"with_{library}"]()["content"][0]["text"])
