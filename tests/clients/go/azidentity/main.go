// Prints a token for Azure Key Vault, then what the SDK's own client read from the vault with one.
//
// Usage: azidentity default|managed VAULT_URL [CLIENT_ID]
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(name, vault string, chosen []string) error {
	credential, err := credential(name, chosen)
	if err != nil {
		return err
	}
	ctx := context.Background()
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	if err != nil {
		return err
	}
	fmt.Println(token.Token)
	// The emulator's vault has an address in place of a name below vault.azure.net.
	options := azsecrets.ClientOptions{DisableChallengeResourceVerification: true}
	client, err := azsecrets.NewClient(vault, credential, &options)
	if err != nil {
		return err
	}
	secret, err := client.GetSecret(ctx, "greeting", "", nil)
	if err != nil {
		return err
	}
	fmt.Println(*secret.Value)
	return nil
}

func credential(name string, chosen []string) (azcore.TokenCredential, error) {
	if name == "default" {
		// It takes an identity from AZURE_CLIENT_ID only.
		return azidentity.NewDefaultAzureCredential(nil)
	}
	options := azidentity.ManagedIdentityCredentialOptions{}
	if len(chosen) > 0 {
		options.ID = azidentity.ClientID(chosen[0])
	}
	return azidentity.NewManagedIdentityCredential(&options)
}
