//! What we inject is what the sidecar accepts: the webhook's golden pods go through the real webhook, and a real sidecar
//! is started with what came out, from which their applications get a token.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use podbadge::local::{apiserver, kubelet, webhook::Webhook};
use podbadge_emulator::config::FederatedCredential;
use podbadge_in_process_tests::{CLIENT_ID, RESOURCE, Sidecar, TENANT, World};
use podbadge_sidecar_core::contract;
use podbadge_webhook::lookup::{Facts, Lookup, Question, Unavailable};
use podbadge_webhook_core::{contract as keys, identity::ServiceAccount, settings::Settings};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Duration};

/// Every service account names the identity.
struct Everyone;

impl Lookup for Everyone {
    async fn facts(&self, _: Question<'_>, _: Duration) -> Result<Facts, Unavailable> {
        let annotations = [(keys::CLIENT_ID, CLIENT_ID), (keys::TENANT_ID, TENANT)];
        let account = ServiceAccount::from_annotations(annotations);
        Ok(Facts { service_account: Some(Arc::new(account)), ..Facts::default() })
    }
}

fn golden() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../webhook/core/tests/golden");
    let mut pods: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(path.join("pod.yaml")).ok()?;
            let mut pod: Value = serde_norway::from_str(&text).unwrap();
            pod["metadata"]["namespace"] = "shop".into();
            Some((path.file_name().unwrap().to_str().unwrap().to_owned(), pod))
        })
        .collect();
    pods.sort_by(|one, other| one.0.cmp(&other.0));
    pods
}

fn subject(pod: &Value) -> String {
    let named = ["serviceAccountName", "serviceAccount"].into_iter().find_map(|field| pod["spec"][field].as_str());
    format!("system:serviceaccount:shop:{}", named.unwrap_or("default"))
}

#[tokio::test]
async fn the_sidecar_of_every_golden_pod_serves_its_applications() {
    let pods = golden();
    let subjects: BTreeSet<_> = pods.iter().map(|(_, pod)| subject(pod)).collect();
    let world = World::start(|config| {
        let known = config.applications[0].federated_credentials[0].clone();
        let credentials = subjects.iter().enumerate().map(|(number, subject)| FederatedCredential {
            name: format!("golden-{number}").parse().unwrap(),
            subject: subject.parse().unwrap(),
            ..known.clone()
        });
        config.applications[0].federated_credentials = credentials.collect();
    })
    .await;

    let mut served = BTreeSet::new();
    for native in [true, false] {
        let mut settings = Settings {
            authority_host: world.entra.authority_url().to_owned(),
            mount_path: world.mount_path().display().to_string(),
            ..Settings::default()
        };
        settings.sidecar.native = native;
        let webhook = Webhook::start(settings, Everyone).unwrap();
        let client = webhook.client().unwrap();
        for (name, pod) in &pods {
            let created = match apiserver::create(&client, &webhook.url(), pod.clone()).await {
                Ok(created) => created.object,
                Err(apiserver::Error::Denied(_)) => continue,
                Err(error) => panic!("{name}: {error}"),
            };
            if serve(&world, name, &created).await {
                served.insert(name.clone());
            }
        }
        webhook.stop().await;
    }
    // A renamed case, or one that lost its sidecar, must not leave this test without work.
    assert!(served.len() >= 20 && served.contains("sidecar-endpoint-native"), "{served:?}");
}

/// Starts the pod's sidecar, if it has one of ours, and asks it as each of its applications would.
async fn serve(world: &World, name: &str, pod: &Value) -> bool {
    let Ok(mut environment) = kubelet::environment(pod, contract::CONTAINER_NAME) else {
        return false;
    };
    let (volume, tokens) = kubelet::projections(pod, contract::CONTAINER_NAME, keys::VOLUME).unwrap();
    // A sidecar that its user wrote may mount the volume where this machine has other things.
    if volume != world.mount_path() {
        return false;
    }
    fs::remove_dir_all(&volume).ok();
    let signed = tokens.iter().map(|token| {
        let mut claims = world.claims();
        claims.sub = subject(pod);
        claims.aud = vec![token.audience.clone()];
        (token.path.as_str(), world.issuer.sign(&claims).unwrap())
    });
    let signed: Vec<_> = signed.collect();
    let files: Vec<_> = signed.iter().map(|(file, token)| (*file, token.as_str())).collect();
    kubelet::write(&volume, &files).unwrap();
    environment.insert(contract::CA_FILE.to_owned(), world.ca_file());
    let sidecar = Sidecar::start(&environment);
    assert_eq!(sidecar.get(contract::READY_PATH, &[]).await.status, 200, "{name}");

    let mut asked = 0;
    for container in pod["spec"]["containers"].as_array().unwrap() {
        let container = container["name"].as_str().unwrap();
        let Ok(variables) = kubelet::environment(pod, container) else { continue };
        let (Some(endpoint), Some(header)) =
            (variables.get(contract::IDENTITY_ENDPOINT), variables.get(contract::IDENTITY_HEADER))
        else {
            continue;
        };
        // Pods that name another endpoint by themselves go there.
        let injected = format!("http://127.0.0.1:{}{}", environment[contract::PORT], contract::APP_SERVICE_TOKEN_PATH);
        if *endpoint != injected {
            continue;
        }
        let query = format!("{}?api-version=2019-08-01&resource={RESOURCE}", contract::APP_SERVICE_TOKEN_PATH);
        let answer = sidecar.get(&query, &[("X-IDENTITY-HEADER", header)]).await;
        assert_eq!(answer.status, 200, "{name} {container} {:?}", answer.body["message"]);
        asked += 1;
    }
    sidecar.stop().await;
    asked > 0
}
