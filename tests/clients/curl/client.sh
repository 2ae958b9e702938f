#!/bin/sh
# Prints the answer to a request for a token for Azure Key Vault, as a script in a pod asks for one.
#
# Usage: client.sh managed VAULT_URL [CLIENT_ID]
set -eu
answer="$HOME/answer.json"
query="resource=https%3A%2F%2Fvault.azure.net${3:+&client_id=$3}"
if [ -n "${IDENTITY_ENDPOINT:-}" ]; then
    header="X-IDENTITY-HEADER: $IDENTITY_HEADER"
    url="$IDENTITY_ENDPOINT?api-version=2019-08-01&$query"
else
    header="Metadata: true"
    host="${AZURE_POD_IDENTITY_AUTHORITY_HOST:-http://169.254.169.254}"
    url="$host/metadata/identity/oauth2/token?api-version=2018-02-01&$query"
fi
# To a file: on standard output curl writes the answer of each try, one after the other.
code=0
curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --output "$answer" --header "$header" "$url" ||
    code=$?
cat "$answer"
exit "$code"
