//! The keys and names by which users and Podbadge know each other.
//!
//! Keys below `azure.workload.identity/` mean what they mean to Azure Workload Identity 1.x
//! (<https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html>).

/// Pod label: `"true"` opts the pod in, `"false"` keeps it out.
pub const USE: &str = "azure.workload.identity/use";
/// Service account and namespace annotation: the client id of the identity.
pub const CLIENT_ID: &str = "azure.workload.identity/client-id";
/// Service account and namespace annotation: the Entra tenant of the identity.
pub const TENANT_ID: &str = "azure.workload.identity/tenant-id";
/// Pod and service account annotation: the lifetime of the projected token in seconds.
pub const TOKEN_EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";
/// Pod annotation: the containers to leave alone, `a;b`.
pub const SKIP_CONTAINERS: &str = "azure.workload.identity/skip-containers";
/// Pod annotation, a strict boolean: `"true"` adds the sidecar.
pub const INJECT_PROXY_SIDECAR: &str = "azure.workload.identity/inject-proxy-sidecar";
/// Pod annotation: the sidecar's port.
pub const PROXY_SIDECAR_PORT: &str = "azure.workload.identity/proxy-sidecar-port";
/// Pod and service account annotation: `endpoint`, `redirect` or `none`.
pub const SIDECAR: &str = "podbadge.io/sidecar";

/// The prefixes of the annotations that are read; all others are passed over.
pub const PREFIXES: [&str; 2] = ["azure.workload.identity/", "podbadge.io/"];

/// The name of the projected volume. It never changes: users mount it in containers of their own.
pub const VOLUME: &str = "azure-identity-token";
/// Where the volume is mounted. It never changes: users have it in their settings.
pub const MOUNT_PATH: &str = "/var/run/secrets/azure/tokens";
/// The token's file below the mount. It never changes.
pub const TOKEN_FILE: &str = "azure-identity-token";

/// The sidecar of Azure Workload Identity, where its author wrote it into the pod. It serves the IMDS form alone, at the redirected address.
pub const AZWI_PROXY: &str = "azwi-proxy";
/// The init container that redirects to [`AZWI_PROXY`]; it needs no identity.
pub const AZWI_PROXY_INIT: &str = "azwi-proxy-init";
