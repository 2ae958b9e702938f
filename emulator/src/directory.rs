//! The configuration once its parts fit together, and the questions asked of it. Pure.

use std::collections::HashSet;
use std::hash::Hash;

use crate::config::{self, Application, Config, Guid, Secret, Tenant, Vault, Version, is_host_name};

/// How many federated credentials an application may have
/// (<https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>).
const CREDENTIALS: usize = 20;

/// Resources that every tenant knows, where the configuration lists none.
const WELL_KNOWN: &[&str] = &[
    "https://vault.azure.net",
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://graph.microsoft.com",
    "https://storage.azure.com",
    "https://database.windows.net",
    "https://ossrdbms-aad.database.windows.net",
    "https://servicebus.azure.net",
    "https://eventhubs.azure.net",
    "https://cognitiveservices.azure.com",
    "https://monitor.azure.com",
    "https://containerregistry.azure.net",
    // Microsoft Graph and Key Vault by their application ids.
    "00000003-0000-0000-c000-000000000000",
    "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
];

/// A checked [`Config`]: names are unique and every reference leads somewhere.
pub(crate) struct Directory(Config);

/// What a tenant in a request's path turned out to be.
#[derive(Debug)]
pub(crate) enum Found<'d> {
    Tenant(&'d Tenant),
    /// Well-formed, but nobody's.
    Unknown,
    /// Neither a GUID nor a domain name.
    Malformed,
}

// === impl Directory ===

impl Directory {
    /// Checks what the types of the single values cannot.
    ///
    /// # Errors
    /// The first place where values do not fit together.
    pub(crate) fn new(config: Config) -> Result<Self, config::Error> {
        check_tenants(&config)?;
        for (i, application) in config.applications.iter().enumerate() {
            check_application(&config, application, &format!("applications[{i}]"))?;
        }
        unique("applications", "clientId", config.applications.iter().map(|a| (a.tenant, a.client_id)))?;
        for (i, vault) in config.vaults.iter().enumerate() {
            check_vault(&config, vault, &format!("vaults[{i}]"))?;
        }
        unique("vaults", "name", config.vaults.iter().map(|v| v.name.as_str().to_ascii_lowercase()))?;
        Ok(Self(config))
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.0
    }

    /// The tenant that a path segment names, by id or by domain, in any letter case.
    pub(crate) fn tenant(&self, segment: &str) -> Found<'_> {
        let id = segment.parse::<Guid>().ok();
        let named = |tenant: &&Tenant| {
            Some(tenant.id) == id || tenant.domains.iter().any(|domain| domain.as_str().eq_ignore_ascii_case(segment))
        };
        match self.0.tenants.iter().find(named) {
            Some(tenant) => Found::Tenant(tenant),
            None if id.is_some() || (segment.contains('.') && is_host_name(segment)) => Found::Unknown,
            None => Found::Malformed,
        }
    }

    /// The application of a tenant.
    pub(crate) fn application(&self, tenant: Guid, client: Guid) -> Option<&Application> {
        self.0.applications.iter().find(|application| application.tenant == tenant && application.client_id == client)
    }

    /// Whether tokens can be asked for this resource.
    pub(crate) fn knows(&self, resource: &str) -> bool {
        let bare = |text: &str| text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let resource = bare(resource);
        if self.0.resources.is_empty() {
            WELL_KNOWN.iter().any(|known| bare(known) == resource)
        } else {
            self.0.resources.iter().any(|known| bare(known.as_str()) == resource)
        }
    }
}

// === questions about the parts ===

impl Tenant {
    /// How Entra's texts name the tenant.
    pub(crate) fn display(&self) -> String {
        self.domains.first().map_or_else(|| self.id.to_string(), ToString::to_string)
    }
}

impl Vault {
    /// A secret by its name, which Key Vault compares in any letter case.
    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.iter().find(|secret| secret.name.as_str().eq_ignore_ascii_case(name))
    }
}

impl Secret {
    /// The version asked for, or else the newest, with its id.
    pub(crate) fn version(&self, id: Option<&str>) -> Option<(String, &Version)> {
        let mut versions = self.versions.iter().enumerate().map(|(i, version)| (version_id(i, version), version));
        match id {
            Some(id) => versions.find(|(own, _)| own.eq_ignore_ascii_case(id)),
            None => versions.next_back(),
        }
    }
}

fn version_id(place: usize, version: &Version) -> String {
    version.id.as_ref().map_or_else(|| format!("{:032}", place + 1), ToString::to_string)
}

// === rules ===

fn check_tenants(config: &Config) -> Result<(), config::Error> {
    if config.tenants.is_empty() {
        return refuse("tenants", "at least one is needed");
    }
    unique("tenants", "id", config.tenants.iter().map(|tenant| tenant.id))?;
    let domains = config.tenants.iter().flat_map(|tenant| &tenant.domains);
    unique("tenants", "domain", domains.map(|domain| domain.as_str().to_ascii_lowercase()))
}

fn check_application(config: &Config, application: &Application, path: &str) -> Result<(), config::Error> {
    check_tenant(config, application.tenant, path)?;
    let credentials = &application.federated_credentials;
    let path = format!("{path}.federatedCredentials");
    if credentials.len() > CREDENTIALS {
        return refuse(&path, &format!("has {} entries, at most {CREDENTIALS} are allowed", credentials.len()));
    }
    unique(&path, "name", credentials.iter().map(|credential| &credential.name))?;
    unique(&path, "pair of issuer and subject", credentials.iter().map(|c| (&c.issuer, &c.subject)))
}

fn check_vault(config: &Config, vault: &Vault, path: &str) -> Result<(), config::Error> {
    check_tenant(config, vault.tenant, path)?;
    for (i, reader) in vault.readers.iter().enumerate() {
        if !config.applications.iter().any(|a| a.tenant == vault.tenant && a.client_id == *reader) {
            let problem = format!("{reader} is no application of tenant {}", vault.tenant);
            return refuse(&format!("{path}.readers[{i}]"), &problem);
        }
    }
    unique(
        &format!("{path}.secrets"),
        "name",
        vault.secrets.iter().map(|secret| secret.name.as_str().to_ascii_lowercase()),
    )?;
    for (i, secret) in vault.secrets.iter().enumerate() {
        let path = format!("{path}.secrets[{i}].versions");
        if secret.versions.is_empty() {
            return refuse(&path, "at least one is needed");
        }
        let ids = secret.versions.iter().enumerate().map(|(place, version)| version_id(place, version));
        unique(&path, "id", ids)?;
    }
    Ok(())
}

fn check_tenant(config: &Config, tenant: Guid, path: &str) -> Result<(), config::Error> {
    if config.tenants.iter().any(|known| known.id == tenant) {
        return Ok(());
    }
    refuse(&format!("{path}.tenant"), &format!("{tenant} is none of the tenants"))
}

fn unique<T: Eq + Hash>(path: &str, what: &str, values: impl Iterator<Item = T>) -> Result<(), config::Error> {
    let mut seen = HashSet::new();
    for (i, value) in values.enumerate() {
        if !seen.insert(value) {
            return refuse(path, &format!("each {what} may stand once; number {} repeats one", i + 1));
        }
    }
    Ok(())
}

fn refuse(path: &str, problem: &str) -> Result<(), config::Error> {
    Err(config::Error::Together { path: path.to_owned(), problem: problem.to_owned() })
}
