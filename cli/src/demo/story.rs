//! The story itself, from the first listener to the refusal.

use super::{
    pod::{self, Mounted, Pod},
    site::{Site, VISITOR},
    step::{Claims, Step, Try},
    teller::Teller,
};
use crate::{
    local::{application, kubelet::Environment, process::Sidecar},
    signals::Signals,
};
use anyhow::Context as _;
use podbadge_sidecar_core::contract;
use tokio::time::sleep;

/// What the application wants to use.
const RESOURCE: &str = "https://vault.azure.net";

/// What runs when the story is told.
pub(super) struct Stage {
    site: Site,
    mounted: Mounted,
    application: Environment,
    sidecar: Sidecar,
}

/// Tells the story.
pub(super) async fn tell(teller: &mut Teller) -> anyhow::Result<Stage> {
    let site = Site::start().await?;
    teller.step(Step::Start {
        issuer: site.issuer.url().to_owned(),
        authority: site.entra.authority_url().to_owned(),
        vault: site.vault.url.clone(),
        webhook: site.webhook.url(),
    })?;
    let [port, another] = pod::free_ports()?;

    let pod = Pod::create(&site, port, None).await?;
    teller.step(pod.admission()?)?;
    let mounted = pod.volume()?;
    let assertion = mounted.refresh(&site)?;
    teller.step(Step::Volume { file: mounted.file(), assertion })?;
    let (sidecar, step) = pod.sidecar(&site).await?;
    teller.step(step)?;

    let application = pod.application()?;
    use_identity(&site, &application, teller).await?;
    teller.step(refusal(&site, another).await?)?;
    Ok(Stage { site, mounted, application, sidecar })
}

/// The application's work: a token, and a secret with it.
async fn use_identity(site: &Site, environment: &Environment, teller: &mut Teller) -> anyhow::Result<()> {
    let client = site.client()?;
    let token = application::token(&client, environment, RESOURCE).await.context("no token")?;
    teller.step(Step::Token {
        endpoint: environment.get(contract::IDENTITY_ENDPOINT).cloned().unwrap_or_default(),
        resource: RESOURCE.to_owned(),
        expires_in: token.expires_in.clone(),
        token: Claims(token.claims.clone()),
    })?;
    let name = &site.vault.secret;
    let value = application::secret(&client, &site.vault.url, name, &token).await.context("no secret")?;
    teller.step(Step::Secret { vault: site.vault.url.clone(), name: name.clone(), value })?;
    Ok(())
}

/// A pod that goes the same way under a service account which Entra does not know.
async fn refusal(site: &Site, port: u16) -> anyhow::Result<Step> {
    let pod = Pod::create(site, port, Some(VISITOR)).await?;
    let assertion = pod.volume()?.refresh(site)?;
    let (sidecar, _) = pod.sidecar(site).await?;
    let answer = application::token(&site.client()?, &pod.application()?, RESOURCE).await;
    sidecar.stop().await;
    match answer {
        Ok(_) => anyhow::bail!("{} got a token that it must not have", pod.service_account()),
        Err(application::Error::Refused { status, message }) => {
            let code = application::code(&message).context("the refusal has no code of Entra's")?.to_owned();
            Ok(Step::Refusal {
                service_account: pod.service_account(),
                assertion,
                status: status.as_u16(),
                code,
                message,
            })
        }
        Err(error) => Err(error).context("no refusal"),
    }
}

// === impl Stage ===

impl Stage {
    /// How to try it by hand.
    pub(super) fn tries(&self) -> Vec<Try> {
        let variable = |name| self.application.get(name).map_or("", String::as_str);
        let (endpoint, header) = (variable(contract::IDENTITY_ENDPOINT), variable(contract::IDENTITY_HEADER));
        let (vault, secret, ca) = (&self.site.vault.url, &self.site.vault.secret, self.site.ca_file());
        let ca = ca.display();
        vec![
            Try {
                what: "what the application asked",
                command: format!(
                    "token=$(curl -s -H 'X-IDENTITY-HEADER: {header}' \
                     '{endpoint}?api-version=2019-08-01&resource={RESOURCE}' | sed 's/.*\"access_token\":\"\\([^\"]*\\).*/\\1/')"
                ),
            },
            Try {
                what: "the secret, with that token",
                command: format!(
                    "curl --cacert {ca} -H \"Authorization: Bearer $token\" '{vault}/secrets/{secret}?api-version=7.4'"
                ),
            },
            Try {
                what: "without the header that only the pod knows",
                command: format!("curl '{endpoint}?api-version=2019-08-01&resource={RESOURCE}'"),
            },
            Try {
                what: "what Entra ID says of itself",
                command: format!("curl --cacert {ca} {}common/discovery/keys", self.site.entra.authority_url()),
            },
        ]
    }

    /// Leaves everything running, the pod's token fresh, until a signal.
    pub(super) async fn keep(&self, signals: &mut Signals) -> anyhow::Result<()> {
        let refreshing = async {
            loop {
                // At once for the first time: on this machine the pods of the story share one folder.
                if let Err(error) = self.mounted.refresh(&self.site) {
                    return error;
                }
                sleep(self.mounted.interval()).await;
            }
        };
        tokio::select! {
            () = signals.one() => Ok(()),
            error = refreshing => Err(error),
        }
    }

    /// Stops everything, the sidecar first, as a pod ends before its cluster.
    pub(super) async fn stop(self) {
        self.sidecar.stop().await;
        self.site.stop().await;
    }
}
