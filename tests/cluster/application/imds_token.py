"""Asks for a token as clients of the instance metadata service do, and prints its claims.

Usage: imds_token.py RESOURCE
"""

import base64
import json
import os
import sys
import urllib.parse
import urllib.request


def main(resource):
    query = urllib.parse.urlencode({"api-version": "2018-02-01", "resource": resource})
    url = f"{os.environ['AZURE_POD_IDENTITY_AUTHORITY_HOST']}/metadata/identity/oauth2/token?{query}"
    request = urllib.request.Request(url, headers={"Metadata": "true"})
    with urllib.request.urlopen(request, timeout=30) as response:
        token = json.load(response)["access_token"]
    payload = token.split(".")[1]
    print(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
