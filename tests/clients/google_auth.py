"""google-auth by itself: no word of a proxy or a CA but what the environment says.

usage: google_auth.py exchange KEY_FILE | ask URL
exchange: what Google's own library does with a service account's key; prints the token, or the error's code.
ask: a session whose token is a placeholder; prints the status of the answer.
"""

import sys

import google.auth.exceptions
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2 import credentials, service_account

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
PLACEHOLDER = "clrk-injected-by-proxy"


def exchange(path):
    account = service_account.Credentials.from_service_account_file(path, scopes=SCOPES)
    try:
        account.refresh(Request())
        print(account.token)
    except google.auth.exceptions.RefreshError as error:
        print(error.args[0].split(":")[0])


def ask(url):
    session = AuthorizedSession(credentials.Credentials(token=PLACEHOLDER))
    print(session.post(url, json={"contents": []}).status_code)


if __name__ == "__main__":
    {"exchange": exchange, "ask": ask}[sys.argv[1]](sys.argv[2])
