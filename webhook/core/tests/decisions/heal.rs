//! Pods that run, judged.

use crate::{
    cluster::{Cluster, Object, Overrides},
    generate,
    properties::config,
};
use podbadge_webhook_core::{
    contract,
    decision::Known,
    heal::{Reach, Verdict, judge, owner::Owner, view::Live},
    identity::{Namespace, ServiceAccount},
    pod::Pod,
    resources::Limits,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const CLIENT: &str = "4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f";
const OTHER: &str = "ffffffff-5b6e-4d7a-8c9b-0a1b2c3d4e5f";
const TENANT: &str = "7c0e6a52-3f7e-4a52-9a06-5d6bb0a2f3c4";
const ALL: Reach<'_> =
    Reach { labelled: true, unlabelled: true, since: Some("2026-01-02T00:00:00Z"), conditional: false };

/// The pod as the API server shows it once it runs.
fn running(mut pod: Value) -> Value {
    let metadata = pod["metadata"].as_object_mut().unwrap();
    metadata.insert("name".to_owned(), "till-1".into());
    metadata.insert("namespace".to_owned(), "shop".into());
    metadata.insert("uid".to_owned(), "u".into());
    metadata.entry("creationTimestamp").or_insert_with(|| "2026-01-03T00:00:00Z".into());
    if pod.get("status").is_none() {
        pod["status"] = json!({ "phase": "Running" });
    }
    pod
}

fn verdict(pod: &Value, cluster: &Cluster, reach: Reach<'_>, owner: Option<&Value>) -> String {
    let text = running(pod.clone()).to_string();
    let owner = owner.map(ToString::to_string);
    let owner = owner.as_ref().map(|owner| Owner::from_json(owner).unwrap());
    let account = cluster.service_account.as_ref();
    let account = account.map(|account| ServiceAccount::from_annotations(account.pairs()));
    let namespace = Namespace::default();
    let known = Known { service_account: account.as_ref(), namespace: &namespace, limits: &Limits::NONE, random: 0 };
    let (pod, live) = (Pod::from_json(text.as_bytes()).unwrap(), Live::from_json(&text).unwrap());
    match judge(&pod, &live, known, reach, owner.as_ref(), &cluster.settings.settings()) {
        Verdict::NotOurs => "not ours".to_owned(),
        Verdict::Fine => "fine".to_owned(),
        Verdict::Missed { refused: None } => "missed".to_owned(),
        Verdict::Missed { refused: Some(denial) } => format!("missed, refused: {}", denial.as_str()),
        Verdict::Stale { change, refused } => {
            let refused = refused.map(|denial| format!(", refused: {}", denial.as_str())).unwrap_or_default();
            format!("stale: {} {:?}{refused}", change.variable, change.carried.as_deref().unwrap_or("none"))
        }
        Verdict::Suspect => "suspect".to_owned(),
        Verdict::Uncertain => "uncertain".to_owned(),
    }
}

fn annotated(pairs: &[(&str, &str)]) -> Cluster {
    Cluster { service_account: Some(Object::annotated(pairs)), ..Cluster::default() }
}

/// The service account names the identity.
fn identity() -> Cluster {
    annotated(&[(contract::CLIENT_ID, CLIENT), (contract::TENANT_ID, TENANT)])
}

fn pod() -> Value {
    json!({ "metadata": {}, "spec": { "serviceAccountName": "till", "containers": [{ "name": "app" }] } })
}

fn with(path: &str, value: impl Into<Value>) -> Value {
    put(pod(), path, value)
}

fn put(mut pod: Value, path: &str, value: impl Into<Value>) -> Value {
    let mut at = &mut pod;
    for key in path.split('|') {
        at = match key.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[key],
        };
    }
    *at = value.into();
    pod
}

fn labelled(value: &str) -> Value {
    with("metadata|labels|azure.workload.identity/use", value)
}

#[test]
fn which_pods_are_missed() {
    let sidecar = || put(pod(), "metadata|annotations|podbadge.io/sidecar", "endpoint");
    let upstream_volume = json!([{ "name": "azure-token", "projected": { "sources": [
        { "serviceAccountToken": { "audience": "api://AzureADTokenExchange", "path": "token" } },
    ] } }]);
    let own_variable = json!([{ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/mine" }]);
    let not_selected = Reach { unlabelled: false, ..ALL };
    let anew = Reach { since: Some("2026-01-04T00:00:00Z"), ..ALL };
    let unknown_age = Reach { since: None, ..ALL };
    let conditional = Reach { conditional: true, ..ALL };
    let mirror = "metadata|annotations|kubernetes.io/config.mirror";
    for (what, pod, cluster, reach, expected) in [
        ("an annotated account's", pod(), identity(), ALL, "missed"),
        ("a labelled one", labelled("true"), identity(), ALL, "missed"),
        (
            "a labelled one without client id",
            labelled("true"),
            annotated(&[(contract::TENANT_ID, TENANT)]),
            ALL,
            "missed",
        ),
        ("an odd label", labelled("yes"), identity(), ALL, "missed"),
        ("one that asks for the sidecar", sidecar(), identity(), ALL, "missed"),
        ("opted out", labelled("false"), identity(), ALL, "not ours"),
        ("a plain account's", pod(), annotated(&[]), ALL, "not ours"),
        ("no account", pod(), Cluster::default(), ALL, "not ours"),
        (
            "a plain account's with an odd label, where that is refused",
            labelled("yes"),
            strict(annotated(&[])),
            ALL,
            "not ours",
        ),
        ("an odd label, where that is refused", labelled("yes"), strict(identity()), ALL, "missed, refused: strict"),
        ("observed", pod(), settings("observe"), ALL, "not ours"),
        ("switched off", pod(), settings("disabled"), ALL, "not ours"),
        ("labelled, and observed", labelled("true"), settings("observe"), ALL, "missed"),
        ("labelled, and switched off", labelled("true"), settings("disabled"), ALL, "missed"),
        ("ended well", with("status|phase", "Succeeded"), identity(), ALL, "not ours"),
        ("failed", with("status|phase", "Failed"), identity(), ALL, "not ours"),
        ("pending", with("status|phase", "Pending"), identity(), ALL, "missed"),
        ("being deleted", with("metadata|deletionTimestamp", "2026-01-04T00:00:00Z"), identity(), ALL, "not ours"),
        ("a mirror", with(mirror, "hash"), identity(), ALL, "not ours"),
        ("in an excluded namespace", pod(), identity(), not_selected, "not ours"),
        ("where a condition may exclude it", pod(), identity(), conditional, "uncertain"),
        ("a labelled one where a condition may exclude it", labelled("true"), identity(), conditional, "uncertain"),
        ("a plain account's where there is a condition", pod(), annotated(&[]), conditional, "not ours"),
        (
            "an odd label, where that is refused and a condition may exclude it",
            labelled("yes"),
            strict(identity()),
            conditional,
            "uncertain",
        ),
        ("labelled, in a namespace excluded for others", labelled("true"), identity(), not_selected, "missed"),
        ("older than the configuration", pod(), identity(), anew, "not ours"),
        ("labelled, and older than the configuration", labelled("true"), identity(), anew, "missed"),
        ("of an age that is not known", pod(), identity(), unknown_age, "missed"),
        (
            "all skipped",
            with("metadata|annotations|azure.workload.identity/skip-containers", "app"),
            identity(),
            ALL,
            "fine",
        ),
        ("its author's own token file", with("spec|containers|0|env", own_variable), identity(), ALL, "fine"),
        ("another version's volume", with("spec|volumes", upstream_volume), identity(), ALL, "fine"),
        (
            "another audience's volume",
            with(
                "spec|volumes",
                json!([{ "name": "azure-identity-token", "projected": { "sources": [
            { "serviceAccountToken": { "audience": "api://AzureADTokenExchangeChina", "path": "token" } },
        ] } }]),
            ),
            identity(),
            ALL,
            "fine",
        ),
        ("upstream's sidecar", with("spec|initContainers", json!([{ "name": "azwi-proxy" }])), identity(), ALL, "fine"),
        (
            "would be refused",
            put(sidecar(), "metadata|annotations|azure.workload.identity/proxy-sidecar-port", "0"),
            identity(),
            ALL,
            "missed, refused: sidecar_port",
        ),
        (
            "nobody names a tenant",
            pod(),
            annotated(&[(contract::CLIENT_ID, CLIENT)]),
            ALL,
            "missed, refused: no_tenant",
        ),
    ] {
        assert_eq!(verdict(&pod, &cluster, reach, Some(&replica_set(&pod))), expected, "{what}");
    }
}

fn strict(cluster: Cluster) -> Cluster {
    Cluster { settings: Overrides { strict: true, ..Overrides::default() }, ..cluster }
}

fn settings(annotated: &str) -> Cluster {
    let annotated = serde_json::from_value(annotated.into()).unwrap();
    Cluster { settings: Overrides { annotated: Some(annotated), ..Overrides::default() }, ..identity() }
}

/// The pod as it was admitted when the account named `client_id`.
fn admitted(pod: &Value, client_id: &str) -> Value {
    let mut pairs = vec![(contract::TENANT_ID, TENANT)];
    if !client_id.is_empty() {
        pairs.push((contract::CLIENT_ID, client_id));
    }
    annotated(&pairs).admit(pod).pod
}

fn replica_set(template: &Value) -> Value {
    json!({ "metadata": { "uid": "rs" }, "spec": { "replicas": 1, "template": template } })
}

#[test]
fn which_pods_are_stale() {
    let sidecar = || put(labelled("true"), "metadata|annotations|podbadge.io/sidecar", "endpoint");
    let own = |name: &str| with("spec|containers|0|env", json!([{ "name": name, "value": OTHER }]));
    let from_elsewhere = with(
        "spec|containers|0|env",
        json!([{ "name": "AZURE_CLIENT_ID", "valueFrom": { "configMapKeyRef": { "name": "c", "key": "k" } } }]),
    );
    let written = put(
        sidecar(),
        "spec|containers|0",
        json!({
            "name": "podbadge-sidecar", "env": [{ "name": "AZURE_CLIENT_ID", "value": OTHER }],
        }),
    );
    for (what, template, admitted_with, without, with_template) in [
        ("unchanged", labelled("true"), CLIENT, "fine", "fine"),
        ("in capitals", labelled("true"), &*CLIENT.to_uppercase(), "fine", "fine"),
        (
            "changed",
            labelled("true"),
            OTHER,
            "suspect",
            "stale: AZURE_CLIENT_ID \"ffffffff-5b6e-4d7a-8c9b-0a1b2c3d4e5f\"",
        ),
        (
            "changed, unlabelled",
            pod(),
            OTHER,
            "suspect",
            "stale: AZURE_CLIENT_ID \"ffffffff-5b6e-4d7a-8c9b-0a1b2c3d4e5f\"",
        ),
        (
            "changed, with a sidecar",
            sidecar(),
            OTHER,
            "stale: AZURE_CLIENT_ID \"ffffffff-5b6e-4d7a-8c9b-0a1b2c3d4e5f\"",
            "stale: AZURE_CLIENT_ID \"ffffffff-5b6e-4d7a-8c9b-0a1b2c3d4e5f\"",
        ),
        ("none before", labelled("true"), "", "suspect", "stale: AZURE_CLIENT_ID \"none\""),
        (
            "its author's own",
            put(own("AZURE_CLIENT_ID"), "metadata|labels", json!({ contract::USE: "true" })),
            CLIENT,
            "suspect",
            "fine",
        ),
        ("its author's own tenant", own("AZURE_TENANT_ID"), CLIENT, "suspect", "fine"),
        ("from elsewhere", from_elsewhere, OTHER, "fine", "fine"),
        (
            "a sidecar by hand",
            written,
            CLIENT,
            "stale: AZURE_CLIENT_ID \"ffffffff-5b6e-4d7a-8c9b-0a1b2c3d4e5f\"",
            "fine",
        ),
    ] {
        let live = admitted(&template, admitted_with);
        assert_eq!(verdict(&live, &identity(), ALL, None), without, "{what}");
        assert_eq!(verdict(&live, &identity(), ALL, Some(&replica_set(&template))), with_template, "{what}");
    }
}

#[test]
fn an_identity_that_was_taken_away_is_kept() {
    let live = admitted(&labelled("true"), CLIENT);
    let bare = annotated(&[(contract::TENANT_ID, TENANT)]);
    assert_eq!(verdict(&live, &bare, ALL, Some(&replica_set(&labelled("true")))), "fine");
    let live = admitted(&pod(), CLIENT);
    assert_eq!(verdict(&live, &bare, ALL, Some(&replica_set(&pod()))), "not ours");
}

#[test]
fn a_pod_of_an_older_template_is_not_judged_by_a_newer_one() {
    let live = put(admitted(&labelled("true"), OTHER), "metadata|labels|controller-revision-hash", "1");
    for (revision, expected) in [("1", "stale"), ("2", "fine")] {
        let owner = put(replica_set(&labelled("true")), "status", json!({ "updateRevision": revision }));
        assert!(verdict(&live, &identity(), ALL, Some(&owner)).starts_with(expected), "{revision}");
    }
    let live = put(admitted(&labelled("true"), OTHER), "metadata|labels|pod-template-generation", "1");
    for (generation, expected) in [("1", "stale"), ("2", "fine")] {
        let annotation = "metadata|annotations|deprecated.daemonset.template.generation";
        let owner = put(replica_set(&labelled("true")), annotation, generation);
        assert!(verdict(&live, &identity(), ALL, Some(&owner)).starts_with(expected), "{generation}");
    }
}

#[test]
fn a_stale_pod_that_would_be_refused_says_so() {
    let template = put(labelled("true"), "metadata|annotations|podbadge.io/sidecar", "endpoint");
    let live = put(admitted(&template, OTHER), "metadata|annotations|azure.workload.identity/proxy-sidecar-port", "0");
    let says = verdict(&live, &identity(), ALL, None);
    assert!(says.starts_with("stale") && says.ends_with("refused: sidecar_port"), "{says}");
}

proptest! {
    #![proptest_config(config(400))]

    /// Or an eviction would be followed by another one, for ever.
    #[test]
    fn what_is_admitted_is_neither_missed_nor_stale(pod in generate::pod(), cluster in generate::cluster()) {
        let admission = cluster.admit(&pod);
        prop_assume!(admission.outcome != "denied");
        let says = verdict(&admission.pod, &cluster, ALL, Some(&replica_set(&pod)));
        prop_assert!(["not ours", "fine"].contains(&says.as_str()), "{}\n{}", says, admission.pod);
    }

    /// An upgrade, or another setting, never makes a pod missed.
    #[test]
    fn what_was_admitted_by_other_settings_is_never_missed(
        pod in generate::pod(),
        then in generate::cluster(),
        now in generate::cluster(),
    ) {
        let admission = then.admit(&pod);
        prop_assume!(admission.outcome == "injected");
        let says = verdict(&admission.pod, &now, ALL, Some(&replica_set(&pod)));
        prop_assert!(!says.starts_with("missed"), "{}\n{}", says, admission.pod);
    }
}
