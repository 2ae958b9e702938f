//! One pod of the story: created, mounted, and its sidecar running.

use super::{
    site::Site,
    step::{Claims, Step},
};
use crate::{
    local::{
        apiserver, application, kubelet,
        process::{Program, Sidecar},
    },
    order,
};
use anyhow::Context as _;
use podbadge_emulator::issuer::{Object, ServiceAccountToken};
use podbadge_sidecar_core::contract;
use podbadge_webhook_core::contract as keys;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};
use uuid::Uuid;

/// A pod that was admitted.
pub(super) struct Pod {
    created: apiserver::Pod,
    manifest: serde_norway::Value,
    port: u16,
}

/// A pod's token volume.
pub(super) struct Mounted {
    path: PathBuf,
    projections: Vec<kubelet::Projection>,
    request: ServiceAccountToken,
}

impl Pod {
    /// Creates the manifest's pod through the webhook, with two changes: its sidecar's port, and where one is named
    /// another service account.
    pub(super) async fn create(site: &Site, port: u16, account: Option<&str>) -> anyhow::Result<Self> {
        let mut manifest = site.pod.clone();
        manifest["metadata"]["annotations"][keys::PROXY_SIDECAR_PORT] = port.to_string().into();
        if let Some(account) = account {
            manifest["metadata"]["name"] = account.into();
            manifest["spec"]["serviceAccountName"] = account.into();
        }
        let client = site.webhook.client().context("HTTP client")?;
        let object = serde_json::to_value(&manifest)?;
        let created = apiserver::create(&client, &site.webhook.url(), object).await?;
        Ok(Self { created, manifest, port })
    }

    fn text(&self, pointer: &str) -> &str {
        self.created.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// `namespace/name`
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.text("/metadata/namespace"), self.text("/metadata/name"))
    }

    /// `namespace/name`
    pub(super) fn service_account(&self) -> String {
        format!("{}/{}", self.text("/metadata/namespace"), self.text("/spec/serviceAccountName"))
    }

    /// What the webhook did, as a step.
    pub(super) fn admission(&self) -> anyhow::Result<Step> {
        let mut admitted = self.created.object.clone();
        if let Some(metadata) = admitted["metadata"].as_object_mut() {
            metadata.remove("uid");
        }
        let before = serde_norway::to_string(&self.manifest)?;
        let after = serde_norway::to_string(&order::like(&self.manifest, admitted))?;
        let diff = similar::TextDiff::from_lines(&before, &after);
        Ok(Step::Admission {
            pod: self.name(),
            service_account: self.service_account(),
            port: self.port,
            patch: self.created.patch.clone(),
            warnings: self.created.warnings.clone(),
            diff: diff.unified_diff().context_radius(2).header("as sent", "as admitted").to_string(),
        })
    }

    /// The tokens that the pod asks for, and where; nothing is there yet.
    pub(super) fn volume(&self) -> anyhow::Result<Mounted> {
        let (path, projections) = kubelet::projections(&self.created.object, contract::CONTAINER_NAME, keys::VOLUME)?;
        // A uid of the account is part of the token, as Kubernetes writes it, and nobody here looks at it.
        let account = Object::new(self.text("/spec/serviceAccountName"), &Uuid::new_v4().to_string());
        let mut request = ServiceAccountToken::new(self.text("/metadata/namespace"), account);
        request.pod = Some(Object::new(self.text("/metadata/name"), self.text("/metadata/uid")));
        Ok(Mounted { path, projections, request })
    }

    /// The variables of the application's container.
    pub(super) fn application(&self) -> anyhow::Result<kubelet::Environment> {
        let name = self.text("/spec/containers/0/name");
        Ok(kubelet::environment(&self.created.object, name)?)
    }

    /// Starts the sidecar with the variables that were injected and the operator's.
    pub(super) async fn sidecar(&self, site: &Site) -> anyhow::Result<(Sidecar, Step)> {
        let injected = kubelet::environment(&self.created.object, contract::CONTAINER_NAME)?;
        let added = BTreeMap::from([
            (contract::CA_FILE.to_owned(), site.ca_file().display().to_string()),
            (contract::CREDENTIAL_SPREADING.to_owned(), "0".to_owned()),
        ]);
        let program = Program {
            path: std::env::current_exe().context("this program's own file")?,
            arguments: vec!["sidecar".to_owned()],
        };
        let mut environment = injected.clone();
        environment.extend(added.clone());
        let log = site.log(self.text("/metadata/name"));
        let sidecar = program.start(&environment, &log).await?;
        let mut environment = injected;
        if let Some(header) = environment.get_mut(contract::EXPECTED_IDENTITY_HEADER) {
            "(the pod's uid)".clone_into(header);
        }
        Ok((sidecar, Step::Sidecar { environment, added }))
    }
}

impl Mounted {
    /// Writes fresh tokens, as the kubelet does at first and again before the old ones end. Returns the claims of the one
    /// for Entra ID.
    pub(super) fn refresh(&self, site: &Site) -> anyhow::Result<Claims> {
        let mut tokens = Vec::with_capacity(self.projections.len());
        for projection in &self.projections {
            let request = ServiceAccountToken { audiences: vec![projection.audience.clone()], ..self.request.clone() };
            let token = site.issuer.mint(&request, SystemTime::now(), projection.lifetime)?;
            tokens.push((projection.path.as_str(), token));
        }
        let files: Vec<_> = tokens.iter().map(|(file, token)| (*file, token.as_str())).collect();
        kubelet::write(&self.path, &files)?;
        let (_, token) = tokens.first().context("no token")?;
        application::claims(token).map(Claims).context("the issuer's token is no JWT")
    }

    /// When the kubelet replaces tokens: at 80 % of their life
    /// (<https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#launch-a-pod-using-service-account-token-projection>).
    pub(super) fn interval(&self) -> Duration {
        let shortest = self.projections.iter().map(|projection| projection.lifetime).min();
        shortest.unwrap_or_default().mul_f64(0.8).max(Duration::from_secs(1))
    }

    /// The token's file as the pod sees it.
    pub(super) fn file(&self) -> String {
        let file = self.projections.first().map_or("", |projection| &projection.path);
        self.path.join(file).display().to_string()
    }
}

/// Ports that are free now.
pub(super) fn free_ports<const COUNT: usize>() -> anyhow::Result<[u16; COUNT]> {
    // All are held until all are known, or the system would give the same again.
    let mut held = Vec::with_capacity(COUNT);
    let mut ports = [0; COUNT];
    for port in &mut ports {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
