"""moto as a server with authentication on: a user who may use DynamoDB and STS, and a table.

usage: moto_server.py
Listens on a free port of 127.0.0.1, in plain HTTP, and prints one line of JSON: the port, the user's key pair, and a
key pair of a session with its token. It verifies signatures and permissions, not body hashes and not the age of a date.
"""

import json
import threading

import boto3
import requests
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"
ALLOWED = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["dynamodb:*", "sts:*"], "Resource": "*"}]}


def client(service, url, key):
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )


def user(url, none_needed):
    iam = client("iam", url, none_needed)
    iam.create_user(UserName="agent")
    iam.put_user_policy(UserName="agent", PolicyName="allowed", PolicyDocument=json.dumps(ALLOWED))
    return iam.create_access_key(UserName="agent")["AccessKey"]


def session(url, none_needed):
    iam = client("iam", url, none_needed)
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}]}
    role = iam.create_role(RoleName="session", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="session", PolicyName="allowed", PolicyDocument=json.dumps(ALLOWED))
    return client("sts", url, none_needed).assume_role(RoleArn=role, RoleSessionName="agent")["Credentials"]


def table(url, none_needed):
    client("dynamodb", url, none_needed).create_table(
        TableName="keyward-test",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


if __name__ == "__main__":
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    none_needed = {"AccessKeyId": "setup", "SecretAccessKey": "setup"}
    table(url, none_needed)
    first, second = user(url, none_needed), session(url, none_needed)
    # From here on every request needs a signature and a permission.
    requests.post(f"{url}/moto-api/reset-auth", data="0", timeout=10).raise_for_status()
    pair = lambda key: {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
    facts = {"port": port, "user": pair(first), "session": pair(second) | {"session_token": second["SessionToken"]}}
    print(json.dumps(facts), flush=True)
    threading.Event().wait()
