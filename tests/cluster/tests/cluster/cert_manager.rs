//! tls.mode=cert-manager, with cert-manager itself.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use podbadge_cluster_tests::cert_manager::CertManager;
use podbadge_cluster_tests::entra::TENANT;
use podbadge_cluster_tests::install::{NAMESPACE, REGISTRY, WEBHOOK};
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::shell::Shell;
use podbadge_cluster_tests::wait::until;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::load::{self, Load, ca_bundle, configurations};
use crate::outage::addresses;
use crate::pods::identity;
use crate::release::everything;

const MODE: &str = "tls.mode=cert-manager";
const AUTHORITY: &str = "podbadge-webhook-ca";
/// Certificate and issuer of the cluster, in the namespace where cert-manager looks for Secrets of ClusterIssuers.
const COMPANY: &str = "company";
const OF_CLUSTER: &str = "kube-system";

/// By an authority of the release's own: issued, trusted, renewed under load without a restart or a failure, and taken away
/// again whole.
pub(super) async fn certificates_are_issued_and_renewed(scope: Scope) -> Result<()> {
    scope.cluster.remove().await?;
    let mut cert_manager = CertManager::start(&scope.cluster).await?;
    let typed = Shell::new(&scope.cluster)?;
    let outcome = issued_and_renewed(&scope, &typed).await;
    let outcome = outcome.and(cert_manager.check());
    let _ = typed.end(&format!("helm --namespace {NAMESPACE} uninstall podbadge --wait")).await;
    drop(cert_manager);
    scope.cluster.restore(&[]).await?;
    outcome
}

async fn issued_and_renewed(scope: &Scope, typed: &Shell) -> Result<()> {
    scope.create(&identity()).await?;
    let before = everything(typed, NAMESPACE).await?;
    let authority = scope.cluster.authority();
    typed
        .run(&format!(
            "helm --namespace {NAMESPACE} install podbadge manifests/chart --create-namespace --wait --timeout 100s \
             --set {MODE} --set image.registry={REGISTRY},azureTenantID={TENANT},authorityHost={authority}"
        ))
        .await?;
    load::works(scope).await?;
    let fixture = Fixture::of(scope).await?;
    let first = fixture.whole("at first").await?;

    let load = Load::start(scope, 40, 20).await?;
    let mut last = first.clone();
    for (certificate, what) in
        [(WEBHOOK, "the certificate"), (AUTHORITY, "the authority"), (WEBHOOK, "the certificate, by the new authority")]
    {
        fixture.renew(certificate).await.with_context(|| what.to_owned())?;
        if certificate == WEBHOOK {
            let next = fixture.replaced(&last, &format!("after {what} was renewed")).await?;
            last = next;
        }
    }
    ensure!(last.authority != first.authority, "caBundle has the first authority still");
    fixture.secrets.delete(&fixture.secret).await?;
    fixture.replaced(&last, "after the Secret was deleted").await?;
    let done = load.end().await?;
    println!("{} admissions directly and {} through the API server: none failed", done.direct, done.through);
    fixture.nobody_was_restarted().await?;

    typed.run(&format!("helm --namespace {NAMESPACE} uninstall podbadge --wait --timeout 100s")).await?;
    until("nothing is left behind", || async {
        let left: Vec<_> = everything(typed, NAMESPACE).await?.difference(&before).cloned().collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

/// By an issuer of the whole cluster.
pub(super) async fn an_issuer_of_the_cluster_is_used(scope: Scope) -> Result<()> {
    let values =
        [MODE, &format!("tls.certManager.issuerRef.name={COMPANY}"), "tls.certManager.issuerRef.kind=ClusterIssuer"];
    scope.cluster.remove().await?;
    let mut cert_manager = CertManager::start(&scope.cluster).await?;
    let outcome = of_the_cluster(&scope, &values).await;
    let outcome = outcome.and(cert_manager.check());
    scope.cluster.restore(&values).await?;
    // Whoever uses cert-manager next would serve this until it has another: signed by somebody who is trusted no more.
    let secrets = Objects::of(&scope.cluster.client, "v1", "Secret", NAMESPACE).await?;
    secrets.delete("podbadge-webhook-cert-manager-tls").await?;
    outcome
}

async fn of_the_cluster(scope: &Scope, values: &[&str]) -> Result<()> {
    scope.create(&identity()).await?;
    let issuer = |name: &str, spec: Value| {
        json!({
            "apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": name}, "spec": spec,
        })
    };
    scope.create(&issuer("self-signed", json!({"selfSigned": {}}))).await?;
    let certificates = Objects::of(&scope.cluster.client, "cert-manager.io/v1", "Certificate", OF_CLUSTER).await?;
    let authority = json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": COMPANY},
        "spec": {
            "isCA": true, "commonName": COMPANY, "secretName": COMPANY, "duration": "8760h",
            "issuerRef": {"name": "self-signed", "kind": "ClusterIssuer"},
        },
    });
    certificates.create(&authority).await?;
    scope.create(&issuer(COMPANY, json!({"ca": {"secretName": COMPANY}}))).await?;

    scope.cluster.upgrade(values).await?;
    load::works(scope).await?;
    let whole = Fixture::of(scope).await?.whole("by the cluster's issuer").await?;
    let secrets = Objects::of(&scope.cluster.client, "v1", "Secret", OF_CLUSTER).await?;
    ensure!(whole.authority == text(&secrets.get(COMPANY).await?, "tls.crt")?, "{}", whole.authority);
    Ok(())
}

/// What the tests look at.
struct Fixture {
    scope: Scope,
    certificates: Objects,
    secrets: Objects,
    /// The Secret that the certificate is in.
    secret: String,
    webhooks: Vec<Ipv4Addr>,
}

/// What is served and trusted.
#[derive(Clone, PartialEq, Eq)]
struct Whole {
    /// PEM.
    authority: String,
    /// PEM, with what leads to the authority.
    chain: String,
}

impl Fixture {
    async fn of(scope: &Scope) -> Result<Self> {
        let of = async |version, kind| Objects::of(&scope.cluster.client, version, kind, NAMESPACE).await;
        let certificates = of("cert-manager.io/v1", "Certificate").await?;
        let certificate = certificates.get(WEBHOOK).await?;
        Ok(Self {
            scope: scope.clone(),
            secrets: of("v1", "Secret").await?,
            secret: certificate["spec"]["secretName"].as_str().context("secretName")?.to_owned(),
            certificates,
            webhooks: addresses(scope).await?,
        })
    }

    /// As `cmctl renew` does it: a condition says that it is to be issued anew. Waits until it is.
    async fn renew(&self, name: &str) -> Result<()> {
        let certificate = self.certificates.get(name).await?;
        let mut status = certificate["status"].clone();
        let revision = status["revision"].as_u64().context("revision")?;
        status["conditions"].as_array_mut().context("conditions")?.push(json!({
            "type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "renewed by hand",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }));
        self.certificates.merge_status(name, &json!({"status": status})).await?;
        until(&format!("{name} is renewed"), async || {
            let status = self.certificates.get(name).await?["status"].clone();
            ensure!(status["revision"].as_u64() > Some(revision), "{status}");
            ensure!(is_ready(&status), "{status}");
            Ok(())
        })
        .await
    }

    /// Waits until all is whole with another certificate than before.
    async fn replaced(&self, before: &Whole, when: &str) -> Result<Whole> {
        until(&format!("another certificate is served {when}"), async || {
            let whole = self.look().await?;
            ensure!(whole.chain != before.chain, "the same certificate");
            Ok(whole)
        })
        .await
    }

    async fn whole(&self, when: &str) -> Result<Whole> {
        until(&format!("all is whole {when}"), async || self.look().await).await
    }

    /// The certificate is ready, every entry of both configurations trusts its authority and nobody else, and every replica
    /// serves it.
    async fn look(&self) -> Result<Whole> {
        let status = self.certificates.get(WEBHOOK).await?["status"].clone();
        ensure!(is_ready(&status), "{status}");
        let secret = self.secrets.get(&self.secret).await?;
        let whole = Whole { authority: text(&secret, "ca.crt")?, chain: text(&secret, "tls.crt")? };
        for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
            let configuration = configurations(&self.scope, kind).await?.get(WEBHOOK).await?;
            for entry in configuration["webhooks"].as_array().into_iter().flatten() {
                let trusted = STANDARD.encode(&whole.authority);
                ensure!(entry["clientConfig"]["caBundle"] == trusted, "{}", entry["name"]);
            }
            ensure!(ca_bundle(&configuration)? == whole.authority, "no entry");
        }
        let leaf = CertificateDer::from_pem_slice(whole.chain.as_bytes())?;
        for replica in &self.webhooks {
            let served = load::served(*replica, &whole.authority).await?;
            ensure!(served == leaf.as_ref(), "{replica} serves another");
        }
        Ok(whole)
    }

    async fn nobody_was_restarted(&self) -> Result<()> {
        let pods = Objects::of(&self.scope.cluster.client, "v1", "Pod", NAMESPACE).await?.list().await?;
        ensure!(pods.len() == 2, "{} pods", pods.len());
        for pod in pods {
            ensure!(pod["status"]["containerStatuses"][0]["restartCount"] == 0, "{}", pod["status"]);
            let address = pod["status"]["podIP"].as_str().context("podIP")?;
            ensure!(self.webhooks.iter().any(|webhook| webhook.to_string() == address), "{address} is new");
        }
        Ok(())
    }
}

fn is_ready(status: &Value) -> bool {
    let conditions = status["conditions"].as_array();
    let holds = |kind: &str| {
        conditions.into_iter().flatten().any(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    holds("Ready") && !holds("Issuing")
}

/// A key of a Secret.
fn text(secret: &Value, key: &str) -> Result<String> {
    let value = secret["data"][key].as_str().with_context(|| format!("no {key}"))?;
    Ok(String::from_utf8(STANDARD.decode(value)?)?)
}
