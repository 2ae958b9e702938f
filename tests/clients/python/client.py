"""Prints a token for Azure Key Vault, then what the SDK's own client read from the vault with one, where there is such a client.

Usage: client.py default|managed|msal|msrestazure VAULT_URL [CLIENT_ID]
"""

import sys

RESOURCE = "https://vault.azure.net"


def azure_identity(name, vault, client_id):
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
    from azure.keyvault.secrets import SecretClient

    if name == "managed":
        credential = ManagedIdentityCredential(client_id=client_id)
    elif client_id:
        credential = DefaultAzureCredential(managed_identity_client_id=client_id)
    else:
        credential = DefaultAzureCredential()
    print(credential.get_token(RESOURCE + "/.default").token)
    # The emulator's vault has an address in place of a name below vault.azure.net.
    with SecretClient(vault, credential, verify_challenge_resource=False) as client:
        print(client.get_secret("greeting").value)


def msal(client_id):
    import requests
    from msal import ManagedIdentityClient, SystemAssignedManagedIdentity, UserAssignedManagedIdentity

    identity = UserAssignedManagedIdentity(client_id=client_id) if client_id else SystemAssignedManagedIdentity()
    answer = ManagedIdentityClient(identity, http_client=requests.Session()).acquire_token_for_client(resource=RESOURCE)
    if "access_token" not in answer:
        sys.exit(f"{answer['error']}: {answer['error_description']}")
    print(answer["access_token"])


def msrestazure(client_id):
    from msrestazure.azure_active_directory import MSIAuthentication

    chosen = {"client_id": client_id} if client_id else {}
    print(MSIAuthentication(resource=RESOURCE, **chosen).token["access_token"])


def main(name, vault, client_id=None):
    if name == "msal":
        msal(client_id)
    elif name == "msrestazure":
        msrestazure(client_id)
    else:
        azure_identity(name, vault, client_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
