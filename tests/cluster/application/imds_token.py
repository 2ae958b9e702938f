"""Asks for a token as clients of the instance metadata service do, and prints its claims, or the refusal.

Usage: imds_token.py RESOURCE [--host URL] [--client-id ID]
"""

import argparse
import base64
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("resource")
    parser.add_argument("--host", default=os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST"))
    parser.add_argument("--client-id")
    arguments = parser.parse_args()

    query = {"api-version": "2018-02-01", "resource": arguments.resource}
    if arguments.client_id:
        query["client_id"] = arguments.client_id
    url = f"{arguments.host}/metadata/identity/oauth2/token?{urllib.parse.urlencode(query)}"
    request = urllib.request.Request(url, headers={"Metadata": "true"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            token = json.load(response)["access_token"]
    except urllib.error.HTTPError as refusal:
        print(refusal.code, refusal.read().decode())
        sys.exit(1)
    payload = token.split(".")[1]
    print(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode())


if __name__ == "__main__":
    main()
