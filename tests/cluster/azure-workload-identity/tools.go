//go:build tools

package tools

import _ "github.com/Azure/azure-workload-identity/cmd/webhook"
