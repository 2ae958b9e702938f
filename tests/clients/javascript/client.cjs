// Prints a token for Azure Key Vault, then what the SDK's own client read from the vault with one.
//
// Usage: client.cjs default|managed VAULT_URL [CLIENT_ID]

const { DefaultAzureCredential, ManagedIdentityCredential } = require("@azure/identity");
const { SecretClient } = require("@azure/keyvault-secrets");

async function main(name, vault, clientId) {
  const credential =
    name === "managed"
      ? new ManagedIdentityCredential(clientId ? { clientId } : {})
      : new DefaultAzureCredential(clientId ? { managedIdentityClientId: clientId } : {});
  console.log((await credential.getToken("https://vault.azure.net/.default")).token);
  // The emulator's vault has an address in place of a name below vault.azure.net.
  const client = new SecretClient(vault, credential, { disableChallengeResourceVerification: true });
  console.log((await client.getSecret("greeting")).value);
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(`${error}`);
  process.exitCode = 1;
});
