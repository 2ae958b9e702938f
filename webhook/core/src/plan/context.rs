//! What the containers of one pod have in common, and what each lacks of it.

use super::{
    Addition, List, Value, Variable, no_proxy,
    sidecar::{self, Placed},
    volume::{own_mount, projected_roots},
};
use crate::{
    contract,
    pod::{Container, Env, Name, Pod},
    request::Request,
    settings::{Roots, Settings, TokenEndpoint},
    warning::Warning,
};
use podbadge_sidecar_core::contract as names;

/// What a container is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// The token volume and the variable that names its file.
    pub(super) token: bool,
    /// The variables that name the sidecar's endpoint.
    pub(super) endpoint: bool,
    /// The sidecar's own settings.
    pub(super) settings: bool,
}

/// Everything that is the same for all containers of the pod.
pub(super) struct Context<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) settings: &'a Settings,
    pub(super) placed: Option<Placed>,
    /// Whether that sidecar serves what the variables lead to.
    serves: bool,
    /// The token's file below the mount: the promised one, or that of a volume the user wrote.
    token_file: &'a str,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        pod: &Pod<'_>,
        request: &'a Request<'a>,
        settings: &'a Settings,
        placed: Option<Placed>,
        user_file: Option<&'a str>,
        warnings: &mut Vec<Warning>,
    ) -> Self {
        let serves = placed.as_ref().is_some_and(|placed| sidecar::serves_endpoint(pod, placed, warnings));
        Self { request, settings, placed, serves, token_file: user_file.unwrap_or(contract::TOKEN_FILE) }
    }

    /// What the container lacks, if anything.
    pub(super) fn addition(
        &self,
        list: List,
        index: usize,
        container: &'a Container<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Option<Addition<'a>> {
        let grant = self.grant(container)?;
        let mut variables = self.variables(grant, container, warnings);
        let first_variable = container.env.is_none();
        let mut exceptions = Vec::new();
        if grant.endpoint {
            no_proxy::plan(container, &mut variables, &mut exceptions, warnings);
        }
        let mount = if grant.token { self.mount(container, warnings) } else { None };
        let nothing = variables.is_empty() && exceptions.is_empty() && mount.is_none();
        (!nothing).then_some(Addition { list, index, variables, first_variable, exceptions, mount })
    }

    pub(super) fn grant(&self, container: &Container<'_>) -> Option<Grant> {
        let token = Grant { token: true, endpoint: false, settings: false };
        if sidecar::is_ours(container) {
            return Some(Grant { settings: true, ..token });
        }
        if sidecar::is_redirection(container) {
            return None;
        }
        match (&self.placed, sidecar::is_foreign(container)) {
            (_, true) | (None, _) => Some(token),
            (Some(placed), false) => Some(Grant { token: placed.federation, endpoint: self.serves, settings: false }),
        }
    }

    /// The variables that the container lacks of what it is granted.
    pub(super) fn variables(
        &self,
        grant: Grant,
        container: &Container<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Vec<Variable> {
        let none = Env::default();
        let env = container.env.as_ref().unwrap_or(&none);
        let mut variables = Vec::with_capacity(8);
        let mut add = |known, name, value: Value| {
            if !env.has(known) {
                variables.push(Variable { name, value });
            }
        };
        let identity = &self.request.identity;
        if let Some(client_id) = &identity.client_id {
            add(Name::ClientId, names::CLIENT_ID, Value::text(client_id));
        }
        add(Name::TenantId, names::TENANT_ID, Value::text(&identity.tenant_id));
        if grant.token {
            let file = format!("{}/{}", self.mounted_at(container), self.token_file);
            add(Name::FederatedTokenFile, names::FEDERATED_TOKEN_FILE, Value::Literal(file.into()));
        }
        add(Name::AuthorityHost, names::AUTHORITY_HOST, Value::text(&identity.authority_host));
        if let Some(endpoint) = self.request.endpoint.filter(|_| grant.token) {
            self.token_endpoint(endpoint, container, env, &mut variables);
        }
        if let Some(placed) = &self.placed {
            if grant.endpoint {
                sidecar::endpoint_variables(placed, container, env, &mut variables, warnings);
            }
            if grant.settings {
                let of_operator = &self.settings.sidecar.variables;
                sidecar::own_variables(placed, identity, of_operator, env, &mut variables);
            }
        }
        if !grant.settings {
            self.warn_of_own(grant, container, env, warnings);
        }
        variables
    }

    /// The variables by which SDKs, and the sidecar, find the custom token endpoint; one that the user set stays alone, for
    /// half of two sets would name one server and trust another.
    fn token_endpoint(
        &self,
        endpoint: &TokenEndpoint,
        container: &Container<'_>,
        env: &Env<'_>,
        variables: &mut Vec<Variable>,
    ) {
        let mut add = |known, name, value: Option<String>| {
            if let Some(value) = value.filter(|_| !env.has(known)) {
                variables.push(Variable { name, value: Value::Literal(value.into()) });
            }
        };
        add(Name::TokenProxy, names::TOKEN_PROXY, endpoint.url.clone());
        add(Name::SniName, names::SNI_NAME, endpoint.sni_name.clone());
        // A file and data exclude each other.
        if env.has(Name::TokenProxyCaFile) || env.has(Name::TokenProxyCaData) {
            return;
        }
        let file = || format!("{}/{}", self.mounted_at(container), contract::CA_FILE);
        add(Name::TokenProxyCaFile, names::TOKEN_PROXY_CA_FILE, projected_roots(endpoint).map(|_| file()));
        let data = if let Roots::Data(data) = &endpoint.roots { Some(data.clone()) } else { None };
        add(Name::TokenProxyCaData, names::TOKEN_PROXY_CA_DATA, data);
    }

    /// Tells what of the container's own is used in place of its identity.
    fn warn_of_own(&self, grant: Grant, container: &Container<'_>, env: &Env<'_>, warnings: &mut Vec<Warning>) {
        let name = &container.name;
        let hidden = |own: &str| {
            let client_id = self.request.identity.client_id.as_ref()?.to_string();
            (!own.eq_ignore_ascii_case(&client_id)).then_some(client_id)
        };
        if let Some(client_id) = env.value(Name::ClientId).and_then(hidden) {
            warnings.push(Warning::new(format!(
                "container {name}: its own {} stays, and hides {client_id}",
                names::CLIENT_ID
            )));
        }
        if env.has(Name::OtherCredential) {
            warnings.push(Warning::mistake(format!(
                "container {name}: its own AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH or AZURE_USERNAME hides the \
                 identity: the SDKs' default chains take it first"
            )));
        }
        if grant.token || !grant.endpoint {
            return;
        }
        if env.has(Name::FederatedTokenFile) {
            warnings.push(Warning::mistake(format!(
                "container {name}: its own {} makes several SDKs bypass the sidecar",
                names::FEDERATED_TOKEN_FILE
            )));
        }
        if container.env_from.0 {
            warnings.push(Warning::new(format!(
                "container {name}: should its envFrom bring {} or AZURE_CLIENT_SECRET, SDKs bypass the sidecar",
                names::FEDERATED_TOKEN_FILE
            )));
        }
    }

    /// Where the container sees, or will see, the token volume.
    fn mounted_at<'c>(&'c self, container: &'c Container<'_>) -> &'c str {
        own_mount(container)
            .map_or(self.settings.mount_path.as_str(), |mount| mount.mount_path.as_str().trim_end_matches('/'))
    }

    /// The mount to add: none where the container mounts the volume itself, or something else in its place.
    fn mount(&self, container: &Container<'_>, warnings: &mut Vec<Warning>) -> Option<bool> {
        if container.volume_mounts.is_none() {
            return Some(true);
        }
        if own_mount(container).is_some() {
            return None;
        }
        let mut mounts = container.volume_mounts.iter().flatten();
        let other = mounts.find(|mount| mount.mount_path.as_str().trim_end_matches('/') == self.settings.mount_path);
        let Some(other) = other else {
            return Some(false);
        };
        warnings.push(Warning::mistake(format!(
            "container {} mounts volume {:?} at {}, where the token would be, so it finds none; mount that elsewhere, or {} \
             yourself",
            container.name,
            other.name.as_str(),
            self.settings.mount_path,
            contract::VOLUME
        )));
        None
    }
}
