"""boto3 as an agent uses it: no word of a proxy, a CA, a region or a key but what the environment says.

usage: aws_sdk.py SERVICE MODE
  s3        put-get | put-get-by-path | put-get-hashed | multipart | presigned
  sts       identity
  dynamodb  put-get
  bedrock   invoke | invoke-streamed | converse | converse-streamed, or one of these with -usage
Prints what it was answered; streamed, one line an event, written out at once. With `-usage`: what the answer cost, as
the SDK has it, in JSON, and the model where the answer names it.
"""

import io
import json
import sys
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

ONCE = {"max_attempts": 1}
BUCKET = "keyward-test"
# Characters that each signer must encode in the same way.
NAME = "folder/a name+ü.txt"
# As most have, with a colon, which clients write as %3A.
MODEL = "anthropic.claude-test-v1:0"
QUESTION = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]}
CONVERSATION = [{"role": "user", "content": [{"text": "Say hello."}]}]


def client(service, **settings):
    return boto3.client(service, config=Config(retries=ONCE, **settings))


def same(s3, content):
    got = s3.get_object(Bucket=BUCKET, Key=NAME)["Body"].read()
    if got != content:
        raise SystemExit("what came back is not what was put")
    print(f"the same {len(got)} bytes came back")


def s3_put_get(**settings):
    s3, content = client("s3", **settings), b"hello " * 1000
    s3.put_object(Bucket=BUCKET, Key=NAME, Body=content, Metadata={"made-by": "a test"})
    same(s3, content)


def s3_put_get_by_path():
    s3_put_get(s3={"addressing_style": "path"})


def s3_put_get_hashed():
    s3_put_get(s3={"payload_signing_enabled": True}, request_checksum_calculation="when_required")


def s3_multipart():
    s3, content = client("s3"), bytes(range(256)) * 4 * 1024 * 20
    s3.upload_fileobj(io.BytesIO(content), BUCKET, NAME, Config=TransferConfig(max_concurrency=2))
    same(s3, content)


def s3_presigned():
    # Without both of these a URL is signed in the older way, and for the host without a region.
    s3 = client("s3", signature_version="s3v4", s3={"addressing_style": "virtual"})
    content = b"hello " * 1000
    s3.put_object(Bucket=BUCKET, Key=NAME, Body=content)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": NAME}, ExpiresIn=60)
    with urllib.request.urlopen(url) as answer:
        print(f"the same {len(answer.read())} bytes came back")


def sts_identity():
    print(client("sts").get_caller_identity()["Arn"])


def dynamodb_put_get():
    dynamodb, item = client("dynamodb"), {"id": {"S": "first"}, "text": {"S": "hello"}}
    dynamodb.put_item(TableName=BUCKET, Item=item)
    print(dynamodb.get_item(TableName=BUCKET, Key={"id": {"S": "first"}})["Item"]["text"]["S"])


def bedrock_invoke():
    answer = client("bedrock-runtime").invoke_model(modelId=MODEL, body=json.dumps(QUESTION))
    print(json.loads(answer["body"].read())["content"][0]["text"])


def bedrock_converse():
    answer = client("bedrock-runtime").converse(modelId=MODEL, messages=CONVERSATION)
    print(answer["output"]["message"]["content"][0]["text"])


def printed(events, name):
    for number, event in enumerate(events, start=1):
        print(f"event {number} {name(event)}", flush=True)


def bedrock_invoke_streamed():
    answer = client("bedrock-runtime").invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(QUESTION))
    printed(answer["body"], lambda event: json.loads(event["chunk"]["bytes"])["type"])


def bedrock_converse_streamed():
    answer = client("bedrock-runtime").converse_stream(modelId=MODEL, messages=CONVERSATION)
    printed(answer["stream"], lambda event: next(iter(event)))


def told(model, usage):
    print(json.dumps({"model": model, "usage": usage}))


def bedrock_invoke_usage():
    answer = client("bedrock-runtime").invoke_model(modelId=MODEL, body=json.dumps(QUESTION))
    message = json.loads(answer["body"].read())
    told(message["model"], message["usage"])


def bedrock_invoke_streamed_usage():
    # The SDK hands on the model's own events, the last of which has what Bedrock itself counted.
    answer = client("bedrock-runtime").invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(QUESTION))
    events = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    delta = next(event for event in events if event["type"] == "message_delta")
    counted = events[-1]["amazon-bedrock-invocationMetrics"]
    same = {"input_tokens": "inputTokenCount", "output_tokens": "outputTokenCount"}
    for theirs, its in same.items():
        if delta["usage"][theirs] != counted[its]:
            raise SystemExit(f"{delta} differs from {counted}")
    told(events[0]["message"]["model"], events[0]["message"]["usage"] | delta["usage"])


def bedrock_converse_usage():
    told(None, client("bedrock-runtime").converse(modelId=MODEL, messages=CONVERSATION)["usage"])


def bedrock_converse_streamed_usage():
    answer = client("bedrock-runtime").converse_stream(modelId=MODEL, messages=CONVERSATION)
    told(None, next(event["metadata"]["usage"] for event in answer["stream"] if "metadata" in event))


if __name__ == "__main__":
    service, mode = sys.argv[1:]
    globals()[f"{service}_{mode}".replace("-", "_")]()
