//! The keys and names by which users and Podbadge know each other.
//!
//! Keys below `azure.workload.identity/` mean what they mean to Azure Workload Identity 1.x
//! (<https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html>).

use podbadge_sidecar_core::identity::MOST;

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

/// Pod annotation: the only containers that get the identity, `a;b*`; wins over [`SKIP_CONTAINERS`].
pub const INCLUDE_CONTAINERS: &str = "podbadge.io/include-containers";
/// Pod annotation: requests and limits of the sidecar, JSON as in a container's `resources`.
pub const SIDECAR_RESOURCES: &str = "podbadge.io/sidecar-resources";
/// Pod annotation: another default identity for this pod, one that [`ALLOWED_CLIENT_IDS`] names.
pub const POD_CLIENT_ID: &str = "podbadge.io/client-id";
/// Service account annotation: the only identities that its pods' sidecars may ask for, `a;b`.
pub const ALLOWED_CLIENT_IDS: &str = "podbadge.io/allowed-client-ids";
/// Service account annotation: object ids and resource ids to client ids, and their tenants, JSON.
pub const IDENTITY_MAP: &str = "podbadge.io/identity-map";
/// Service account annotation: the audience of its pods' tokens, for other clouds and custom issuers.
pub const AUDIENCE: &str = "podbadge.io/audience";
/// Service account annotation: the authority of its pods, an `https` URL.
pub const AUTHORITY_HOST: &str = "podbadge.io/authority-host";
/// Pod annotation, with the operator's suffix: `"true"` gives the pod the custom token endpoint.
pub const USE_TOKEN_ENDPOINT: &str = "azure.workload.identity/use-";

/// Namespace label: the Pod Security level that is enforced
/// (<https://kubernetes.io/docs/concepts/security/pod-security-admission/#pod-security-admission-labels-for-namespaces>).
pub const POD_SECURITY_ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Pod annotation: the container that `kubectl logs` and `kubectl exec` mean where none is named
/// (<https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-default-container>).
pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The prefixes of the keys that are ours.
pub const PREFIXES: [&str; 2] = ["azure.workload.identity/", "podbadge.io/"];

/// The longest value of an annotation that is kept of a service account or a namespace, in bytes. Whoever may write one
/// has 256 KiB for each, and all of a cluster are kept in memory.
///
/// A map and a list have at most [`podbadge_sidecar_core::identity::MOST`] entries. An entry of a map takes 256 bytes with a
/// resource id of usual length (190 bytes) and its client id, one of a list 64 with blanks; an audience or authority is a
/// URL, an id a GUID or a domain name.
pub fn longest(key: &str) -> usize {
    match key {
        IDENTITY_MAP => 256 * MOST,
        ALLOWED_CLIENT_IDS => 64 * MOST,
        AUDIENCE | AUTHORITY_HOST => 1024,
        _ => 256,
    }
}

/// Whether a label or annotation of a pod means something here; all others are passed over.
pub fn is_read(key: &str) -> bool {
    PREFIXES.iter().any(|prefix| key.starts_with(prefix)) || key == DEFAULT_CONTAINER
}

/// The name of the projected volume. It never changes: users mount it in containers of their own.
pub const VOLUME: &str = "azure-identity-token";
/// Where the volume is mounted. It never changes: users have it in their settings.
pub const MOUNT_PATH: &str = "/var/run/secrets/azure/tokens";
/// The token's file below the mount. It never changes.
pub const TOKEN_FILE: &str = "azure-identity-token";
/// The roots of the custom token endpoint, in a file below the mount.
pub const CA_FILE: &str = "ca.crt";

/// The sidecar of Azure Workload Identity, where its author wrote it into the pod. It serves the IMDS form alone, at the redirected address.
pub const AZWI_PROXY: &str = "azwi-proxy";
/// The init container that redirects to [`AZWI_PROXY`]; it needs no identity.
pub const AZWI_PROXY_INIT: &str = "azwi-proxy-init";
