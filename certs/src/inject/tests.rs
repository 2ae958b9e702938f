use serde_json::Value;

use super::*;
use crate::{
    fake::{BASE, CONFIGURATION, Cluster, VALIDATING},
    issue,
    policy::Policy,
};

fn injector(cluster: &Cluster) -> Injector {
    Injector::new(cluster.client(), Configuration::Mutating(CONFIGURATION.to_owned()))
}

fn advice(cluster: &Cluster) -> Injector {
    Injector::new(cluster.client(), Configuration::Validating(CONFIGURATION.to_owned()))
}

fn bundle() -> Bundle {
    let authority = issue::authority(&Policy::default(), BASE).unwrap();
    Bundle::default().succeeded_by(authority.certificate().clone())
}

#[tokio::test]
async fn every_entry_gets_the_bundle_and_keeps_the_rest() {
    let cluster = Cluster::new();
    let without = |mut configuration: Value| {
        for entry in configuration["webhooks"].as_array_mut().unwrap() {
            entry["clientConfig"].as_object_mut().unwrap().remove("caBundle");
        }
        configuration["webhooks"].take()
    };
    let before = without(cluster.objects().configurations[CONFIGURATION].clone());
    let (injector, bundle) = (injector(&cluster), bundle());
    let live = injector.read().await.unwrap();
    assert!(!live.shared().contains(bundle.signing().unwrap()) && live.bundle().is_empty());
    assert!(injector.apply(&live, &bundle).await.unwrap());
    assert_eq!(cluster.ca_bundle(), bundle);
    assert_eq!(without(cluster.objects().configurations[CONFIGURATION].clone()), before);
}

#[tokio::test]
async fn nothing_is_written_where_nothing_differs() {
    let cluster = Cluster::new();
    let (injector, bundle) = (injector(&cluster), bundle());
    injector.apply(&injector.read().await.unwrap(), &bundle).await.unwrap();
    let live = injector.read().await.unwrap();
    assert!(live.shared().contains(bundle.signing().unwrap()));
    assert_eq!(live.bundle(), bundle);
    assert!(!injector.apply(&live, &bundle).await.unwrap());
    assert_eq!(cluster.objects().writes, ["PATCH configurations"]);
}

#[tokio::test]
async fn an_entry_that_lost_its_bundle_or_holds_garbage_gets_it_back() {
    let cluster = Cluster::new();
    let (injector, bundle) = (injector(&cluster), bundle());
    injector.apply(&injector.read().await.unwrap(), &bundle).await.unwrap();
    // A PEM block that is no certificate, and nothing.
    let garbage = k8s_openapi::ByteString(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec());
    for spoiled in [serde_json::to_value(garbage).unwrap(), Value::Null] {
        let entry = 1;
        cluster.objects().configurations.get_mut(CONFIGURATION).unwrap()["webhooks"][entry]["clientConfig"]["caBundle"] =
            spoiled;
        let live = injector.read().await.unwrap();
        assert!(!live.shared().contains(bundle.signing().unwrap()));
        assert_eq!(live.bundle(), bundle, "the first that trusts anything");
        assert!(injector.apply(&live, &bundle).await.unwrap());
        assert_eq!(cluster.ca_bundle(), bundle);
    }
}

#[tokio::test]
async fn an_older_reading_cannot_overwrite_a_newer_bundle() {
    let cluster = Cluster::new();
    let (injector, older, newer) = (injector(&cluster), bundle(), bundle());
    let stale = injector.read().await.unwrap();
    injector.apply(&injector.read().await.unwrap(), &newer).await.unwrap();
    assert!(matches!(injector.apply(&stale, &older).await, Err(Error::Conflict { .. })));
    assert_eq!(cluster.ca_bundle(), newer);
}

#[tokio::test]
async fn refusals_name_the_configuration_and_the_reason() {
    let cluster = Cluster::new();
    let missing =
        Injector::new(cluster.client(), Configuration::Mutating("absent".to_owned())).read().await.unwrap_err();
    assert_eq!(missing.to_string(), "cannot read MutatingWebhookConfiguration absent: not found");
    let injector = injector(&cluster);
    let live = injector.read().await.unwrap();
    cluster.objects().forbidden = ["PATCH configurations"].into();
    let text = "cannot write caBundle of MutatingWebhookConfiguration podbadge-webhook: \
                configurations is forbidden: no permission";
    assert_eq!(injector.apply(&live, &bundle()).await.unwrap_err().to_string(), text);
}

#[tokio::test]
async fn a_validating_configuration_is_kept_as_well_where_there_is_one() {
    let cluster = Cluster::new();
    let (injector, advice, bundle) = (injector(&cluster), advice(&cluster), bundle());
    assert!(!advice.apply(&advice.read().await.unwrap(), &bundle).await.unwrap(), "without advice the webhook works");

    cluster.add_validating();
    injector.apply(&injector.read().await.unwrap(), &bundle).await.unwrap();
    let live = advice.read().await.unwrap();
    assert!(!live.shared().contains(bundle.signing().unwrap()));
    assert!(advice.apply(&live, &bundle).await.unwrap());
    assert!(advice.read().await.unwrap().is(&bundle));
    let client_config = |key| cluster.objects().configurations[key]["webhooks"][0]["clientConfig"].clone();
    assert_eq!(client_config(VALIDATING), client_config(CONFIGURATION));

    cluster.objects().forbidden = ["GET advice"].into();
    let error = advice.read().await.unwrap_err().to_string();
    assert!(error.starts_with("cannot read ValidatingWebhookConfiguration podbadge-webhook: "), "{error}");
    assert!(injector.read().await.is_ok());
}

#[tokio::test]
async fn an_empty_configuration_is_one_that_nobody_calls_us_by() {
    let cluster = Cluster::new();
    cluster.add_validating();
    for empty in [serde_json::json!([]), Value::Null] {
        for configuration in cluster.objects().configurations.values_mut() {
            configuration["webhooks"] = empty.clone();
        }
        assert!(advice(&cluster).read().await.is_ok(), "advice is not needed");
        let error = injector(&cluster).read().await.unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot read MutatingWebhookConfiguration podbadge-webhook: it has no webhooks, so no pod is given its identity"
        );
    }
}
