"""Reads one secret, as an application would, and says by which credential it could.

Usage: read_secret.py VAULT_URL NAME
"""

import json
import logging
import os
import sys

from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient


class Source(logging.Handler):
    """Remembers the credential that DefaultAzureCredential says it used."""

    name_of_last = None

    def emit(self, record):
        _, found, name = record.getMessage().partition("DefaultAzureCredential acquired a token from ")
        if found:
            self.name_of_last = name


def main(vault, name):
    source = Source()
    logger = logging.getLogger("azure.identity")
    logger.setLevel(logging.INFO)
    logger.addHandler(source)

    with DefaultAzureCredential() as credential, SecretClient(vault, credential) as client:
        value = client.get_secret(name).value
    print(json.dumps({"secret": value, "credential": source.name_of_last}), flush=True)


if __name__ == "__main__":
    # The file of the assertion must be out of an application's sight where a sidecar stands between; a test reads this.
    print(json.dumps({"tokenFile": os.environ.get("AZURE_FEDERATED_TOKEN_FILE")}), flush=True)
    main(*sys.argv[1:])
