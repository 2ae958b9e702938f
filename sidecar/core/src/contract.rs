//! The names by which a pod and its sidecar know each other.
//!
//! They stand here, with the one that obeys them; the webhook, which injects them, reads them from here.

/// The client (application) id of the pod's own identity, a GUID.
pub const CLIENT_ID: &str = "AZURE_CLIENT_ID";
/// The Entra tenant of the identity: a GUID or a verified domain.
pub const TENANT_ID: &str = "AZURE_TENANT_ID";
/// The file of the pod's projected service-account token, the client assertion.
pub const FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// The authority's base URL, `https` only, with a trailing slash as every SDK accepts it.
pub const AUTHORITY_HOST: &str = "AZURE_AUTHORITY_HOST";

/// The Azure region whose own instance of Entra ID is asked, such as `westeurope`; the variable is the one of the Azure SDKs
/// (`https://REGION.login.microsoft.com/` then stands for the public cloud's authority). Unset: the global one.
pub const REGION: &str = "AZURE_REGIONAL_AUTHORITY_NAME";

/// The loopback port that the sidecar listens on, 1..=65535.
pub const PORT: &str = "PODBADGE_PORT";
/// The value that the App Service form must bring in `X-IDENTITY-HEADER`.
pub const EXPECTED_IDENTITY_HEADER: &str = "PODBADGE_IDENTITY_HEADER";
/// `off` where the form of the instance metadata service is not served: on a node's network anybody could use it.
pub const IMDS: &str = "PODBADGE_IMDS";
/// The only identities that may be asked for besides the one of [`CLIENT_ID`], client ids separated by `;`. Unset: any, and
/// Entra decides.
pub const ALLOWED_CLIENT_IDS: &str = "PODBADGE_ALLOWED_CLIENT_IDS";
/// Object ids and resource ids to client ids, and their tenants, JSON as in
/// `{"OBJECT-ID": "CLIENT-ID", "/RESOURCE/ID": {"clientId": "...", "tenantId": "..."}, "CLIENT-ID": {"tenantId": "..."}}`.
pub const IDENTITY_MAP: &str = "PODBADGE_IDENTITY_MAP";
/// The custom token endpoint (identity bindings), an `https` URL: tokens are asked for there instead of at the authority,
/// under its path and then the authority's. The three that follow mean nothing without it, and are refused.
pub const TOKEN_PROXY: &str = "AZURE_KUBERNETES_TOKEN_PROXY";
/// The server name (SNI), a DNS name, that the custom token endpoint is asked by and must prove.
pub const SNI_NAME: &str = "AZURE_KUBERNETES_SNI_NAME";
/// A file with the custom token endpoint's roots, PEM: the only ones it is trusted by. It may change at any time; while it
/// holds none, the last ones count.
pub const TOKEN_PROXY_CA_FILE: &str = "AZURE_KUBERNETES_CA_FILE";
/// The same roots as text, in place of the file, never beside it.
pub const TOKEN_PROXY_CA_DATA: &str = "AZURE_KUBERNETES_CA_DATA";
/// A file of extra root certificates (PEM) for the authority.
pub const CA_FILE: &str = "PODBADGE_CA_FILE";
/// More such roots as text, for all pods of a cluster whose way out leads through a proxy with a private authority.
pub const CA_DATA: &str = "PODBADGE_CA_DATA";
/// Seconds from the sidecar's start, 0..=3600, in which Entra's word that no federated credential matches (AADSTS70021x) is
/// doubted and asked for again: a new credential takes a while to be known. Unset: [`DEFAULT_CREDENTIAL_SPREADING`].
pub const CREDENTIAL_SPREADING: &str = "PODBADGE_CREDENTIAL_SPREADING_SECONDS";
/// How old a token may be, in seconds, 300..=86400, before a younger one is asked for: some live for a day, and what they
/// may do was decided at their issue. Unset: as old as it gets.
pub const MAX_TOKEN_AGE: &str = "PODBADGE_MAX_TOKEN_AGE_SECONDS";
/// Where health and metrics are served besides, an IP address and a port such as `0.0.0.0:8096` or `[::]:8096`, for those
/// who scrape pods; no tokens. Unset: on loopback only, with the tokens.
pub const METRICS_ADDRESS: &str = "PODBADGE_METRICS_ADDRESS";
/// A resource, such as `https://vault.azure.net`, that the pod's own identity must have got a token for before the sidecar
/// is ready. Unset: it is ready once it serves.
pub const READY_RESOURCE: &str = "PODBADGE_READY_RESOURCE";
/// Paths of the real metadata service that the pod may read through the sidecar, with what is below each, separated by `;`,
/// as in `/metadata/instance;/metadata/versions`; nothing about identities ever. Unset: none. The redirection then exempts
/// [`USER_ID`], so no container of the application may run as that.
pub const PASS_THROUGH: &str = "PODBADGE_PASS_THROUGH";
/// The log level: `error`, `warn`, `info`, `debug` or `trace`.
pub const LOG: &str = "PODBADGE_LOG";

/// Where an application finds the App Service form of the endpoint; every current SDK reads it, together with
/// [`IDENTITY_HEADER`] and only as a pair.
pub const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
/// What an application sends as `X-IDENTITY-HEADER`.
pub const IDENTITY_HEADER: &str = "IDENTITY_HEADER";
/// Where an application finds the IMDS form of the endpoint instead of `http://169.254.169.254`.
pub const POD_IDENTITY_AUTHORITY_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// The token endpoint in the form of the Azure Instance Metadata Service.
pub const IMDS_TOKEN_PATH: &str = "/metadata/identity/oauth2/token";
/// The token endpoint in the form of App Service.
pub const APP_SERVICE_TOKEN_PATH: &str = "/msi/token";
/// Answers 200 while the process lives.
pub const LIVE_PATH: &str = "/livez";
/// Answers 200 once the sidecar can serve, else 503 with what is missing.
pub const READY_PATH: &str = "/readyz";

/// Where the pod says nothing else; who creates credentials by Terraform is told to sleep as long.
pub const DEFAULT_CREDENTIAL_SPREADING: std::time::Duration = std::time::Duration::from_secs(120);
/// The port where the pod says nothing else, as Azure Workload Identity has it.
pub const DEFAULT_PORT: u16 = 8000;
/// The name of the injected container.
pub const CONTAINER_NAME: &str = "podbadge-sidecar";
/// The program inside the image.
pub const PROGRAM: &str = "/podbadge-sidecar";
/// The subcommand of the exec probe: exit code 0 once [`READY_PATH`] answers 200.
pub const PROBE: &str = "probe";
/// The subcommand of a `postStart` hook: like [`PROBE`], with a minute's patience, because a hook that fails ends the
/// container.
pub const WAIT: &str = "wait";
/// The subcommand that a person runs (`kubectl exec`): the serving process replaces every token at its next use.
pub const FLUSH: &str = "flush";
/// The subcommand of the init container: sends the metadata address to the sidecar, and ends.
pub const REDIRECT: &str = "redirect";
/// The subcommand of a pod that wants to know what it has got: it says what of an identity the container has, and with
/// [`CHECK_RESOURCE`] also whether the authority gives it a token.
pub const CHECK: &str = "check";
/// What [`CHECK`] asks a token for, such as `https://management.azure.com`. Unset: it asks for none.
pub const CHECK_RESOURCE: &str = "PODBADGE_CHECK_RESOURCE";
/// The name of the injected init container that runs [`REDIRECT`].
pub const REDIRECT_CONTAINER_NAME: &str = "podbadge-redirect";
/// What old clients ask, and the redirection leads to the sidecar: Azure's instance metadata service.
pub const METADATA_ADDRESS: std::net::SocketAddrV4 =
    std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(169, 254, 169, 254), 80);
/// The numeric user of the image, the one that distroless images call `nonroot`.
pub const USER_ID: u32 = 65532;

/// The audience of every projected token for Entra's public cloud
/// (<https://learn.microsoft.com/entra/workload-id/workload-identity-federation>).
pub const DEFAULT_AUDIENCE: &str = "api://AzureADTokenExchange";
/// Entra ID in Azure's public cloud.
pub const DEFAULT_AUTHORITY_HOST: &str = "https://login.microsoftonline.com/";
