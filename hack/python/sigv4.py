"""Verifies Signature Version 4 with botocore's own signer, as an AWS service would.

usage: SIGV4_KEY=… SIGV4_SECRET=… [SIGV4_TOKEN=…] SIGV4_REGION=… SIGV4_SERVICE=… sigv4.py
Reads requests as they were received, one JSON document a line: method, authority, path (raw, with its query), headers
(pairs, in order), body (base64). Answers each with a line: `valid`, or what is wrong.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import sys
from datetime import datetime, timedelta, timezone

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

KEY, SECRET = os.environ["SIGV4_KEY"], os.environ["SIGV4_SECRET"]
TOKENS = [os.environ["SIGV4_TOKEN"]] if "SIGV4_TOKEN" in os.environ else []
REGION, SERVICE = os.environ["SIGV4_REGION"], os.environ["SIGV4_SERVICE"]
SKEW = timedelta(minutes=15)
AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})")


class Refused(Exception):
    pass


# S3 encodes a path once, every other service twice.
class Signer(S3SigV4Auth if SERVICE == "s3" else SigV4Auth):
    """Signs the headers that it is told to, instead of those that it would choose."""

    def __init__(self, signed):
        super().__init__(Credentials(KEY, SECRET), SERVICE, REGION)
        self.signed = signed

    def headers_to_sign(self, request):
        headers = HTTPHeaders()
        for name in self.signed:
            for value in request.headers.get_all(name, []):
                headers.add_header(name, value)
        return headers


def only(headers, name):
    values = [value for given, value in headers if given.lower() == name]
    if len(values) != 1:
        raise Refused(f"{len(values)} values of {name}, not one")
    return values[0]


def check(request):
    headers = [(name, value) for name, value in request["headers"] if name.lower() != "host"]
    headers.append(("host", request["authority"]))
    body = base64.b64decode(request["body"])
    found = AUTHORIZATION.fullmatch(only(headers, "authorization"))
    if not found:
        raise Refused("an authorization header of another form")
    key, scope, signed, signature = found.groups()
    signed, stamp = signed.split(";"), only(headers, "x-amz-date")
    check_names(headers, signed)
    if key != KEY:
        raise Refused("an unknown access key")
    if scope != f"{stamp[:8]}/{REGION}/{SERVICE}/aws4_request":
        raise Refused(f"the scope {scope}")
    when = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    if abs(datetime.now(timezone.utc) - when) > SKEW:
        raise Refused("a date too far from now")
    if [value for name, value in headers if name.lower() == "x-amz-security-token"] != TOKENS:
        raise Refused("another session token")
    hashes = [value for name, value in headers if name.lower() == "x-amz-content-sha256"]
    if hashes and hashes != [hashlib.sha256(body).hexdigest()]:
        raise Refused("a hash of another body")
    expected = sign(request, headers, signed, body, stamp)
    if not hmac.compare_digest(expected, signature):
        raise Refused("another signature")


def check_names(headers, signed):
    names = [name.lower() for name, _ in headers]
    if signed != sorted(signed) or "host" not in signed:
        raise Refused(f"signed headers {signed}")
    missing = [name for name in signed if name not in names]
    unsigned = [name for name in names if name.startswith("x-amz-") and name not in signed]
    if missing or unsigned:
        raise Refused(f"headers signed and missing {missing}, unsigned {unsigned}")


def sign(request, headers, signed, body, stamp):
    signer = Signer(signed)
    recreated = AWSRequest(method=request["method"], url=f"https://{request['authority']}{request['path']}", data=body)
    for name, value in headers:
        recreated.headers.add_header(name, value)
    recreated.context["timestamp"] = stamp
    canonical = signer.canonical_request(recreated)
    return signer.signature(signer.string_to_sign(recreated, canonical), recreated)


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            check(json.loads(line))
            print("valid", flush=True)
        except Refused as refused:
            print(refused, flush=True)
