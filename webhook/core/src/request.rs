//! What a pod asks for, read from its own annotations and from those that its service account and namespace have for it.

use crate::{
    annotation::{self, Sidecar},
    contract,
    denial::Denial,
    identity::{Identity, Namespace, ServiceAccount},
    pod::{Name, Pod},
    selection::Selection,
    settings::{Settings, TokenEndpoint},
    value::Expiration,
    warning::Warning,
};

/// What a pod asks for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Who it is.
    pub identity: Identity<'a>,
    /// How long its tokens live.
    pub expiration: Expiration,
    /// Its sidecar, if it wants one.
    pub sidecar: Option<Sidecar>,
    /// Which of its containers are meant.
    pub selection: Selection<'a>,
    /// The custom token endpoint, if it wants that.
    pub endpoint: Option<&'a TokenEndpoint>,
}

impl<'a> Request<'a> {
    /// Reads what the pod asks for.
    ///
    /// # Errors
    ///
    /// A value that somebody has to mend first.
    pub fn read(
        pod: &'a Pod<'_>,
        account: &'a ServiceAccount,
        namespace: &'a Namespace,
        settings: &'a Settings,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, Denial> {
        let identity = Identity::resolve(pod, account, namespace, settings)?;
        let expiration = annotation::expiration(pod, account, settings.expiration)?;
        let sidecar = annotation::sidecar(pod, account, namespace, settings, warnings)?;
        let endpoint = annotation::token_endpoint(pod, settings, warnings)?;
        let selection = Selection::of(pod)?;
        selection.warn(pod, warnings);
        annotation::ids(&identity, sidecar, warnings)?;
        let request = Self { identity, expiration, sidecar, selection, endpoint };
        if request.identity.client_id.is_none() {
            request.warn_of_no_client_id(pod, warnings);
        }
        Ok(request)
    }

    /// The audience of the pod's token.
    pub fn audience(&self) -> &'a str {
        self.endpoint.map_or(self.identity.audience, |endpoint| &endpoint.audience)
    }

    /// Warns where a container has no client id, neither from anybody nor of its own.
    fn warn_of_no_client_id(&self, pod: &Pod<'_>, warnings: &mut Vec<Warning>) {
        let lacking = pod.spec.all_containers().any(|container| {
            let own = container.env.as_ref().is_some_and(|env| env.has(Name::ClientId));
            !own && !self.selection.skips(container.name.as_str())
        });
        if lacking {
            let breaks = match self.sidecar {
                Some(sidecar) if !sidecar.federation => "the sidecar refuses requests that name none",
                _ => "Python's DefaultAzureCredential raises",
            };
            warnings.push(Warning::mistake(format!(
                "no client id: annotate service account {:?} with {}; until then AZURE_CLIENT_ID is not set and {breaks}",
                pod.spec.service_account(),
                contract::CLIENT_ID
            )));
        }
    }
}
