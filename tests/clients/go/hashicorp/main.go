// Prints a token for Azure Key Vault, got as Terraform gets it.
//
// Usage: hashicorp managed VAULT_URL [CLIENT_ID]
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/go-azure-sdk/sdk/auth"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
)

func main() {
	ctx := context.Background()
	options := auth.ManagedIdentityAuthorizerOptions{Api: environments.AzurePublic().KeyVault}
	if len(os.Args) > 3 {
		options.ClientId = os.Args[3]
	}
	authorizer, err := auth.NewManagedIdentityAuthorizer(ctx, options)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	token, err := authorizer.Token(ctx, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(token.AccessToken)
}
