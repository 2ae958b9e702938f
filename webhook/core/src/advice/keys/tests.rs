use super::*;
use crate::warning::LONGEST as LONGEST_TEXT;
use std::collections::HashSet;

const LABEL: Form = Form::Label;
const ANNOTATION: Form = Form::Annotation;
const AZURE: &str = "azure.workload.identity/";

fn warnings<'a>(on: On, form: Form, keys: impl IntoIterator<Item = &'a str>, suffix: Option<&str>) -> Vec<Warning> {
    let keys: Keys<'_> = keys.into_iter().map(|key| (key, "")).collect();
    let mut warnings = Vec::new();
    unknown(Place { on, form }, &keys, suffix, &mut warnings);
    warnings
}

#[test]
fn every_key_is_in_the_table_once_and_fits_at_home() {
    let names: HashSet<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names.len(), KEYS.len());
    for key in &KEYS {
        for on in key.homes {
            assert!(warnings(*on, key.form, [key.name], None).is_empty(), "{} on the {on}", key.name);
        }
        assert!(PREFIXES.iter().any(|prefix| key.name.starts_with(prefix)), "{}", key.name);
    }
}

#[test]
fn the_nearest_key_is_offered() {
    let known = "service-account-token-expiration, skip-containers, inject-proxy-sidecar, proxy-sidecar-port";
    let pod_keys = format!("known on the pod template: {known}");
    for (on, form, key, says) in [
        (
            On::ServiceAccount,
            ANNOTATION,
            "azure.workload.identity/client_id",
            "did you mean azure.workload.identity/client-id?",
        ),
        (
            On::ServiceAccount,
            ANNOTATION,
            "azure.workload.identity/clientID",
            "did you mean azure.workload.identity/client-id?",
        ),
        (
            On::ServiceAccount,
            ANNOTATION,
            "azure.workload.identity/cleint-id",
            "did you mean azure.workload.identity/client-id?",
        ),
        (
            On::ServiceAccount,
            ANNOTATION,
            "azure.workload.identity/tenant",
            "did you mean azure.workload.identity/tenant-id?",
        ),
        (On::ServiceAccount, ANNOTATION, "podbadge.io/tenant-id", "did you mean azure.workload.identity/tenant-id?"),
        (
            On::ServiceAccount,
            ANNOTATION,
            "podbadge.io/allowed-client-id",
            "did you mean podbadge.io/allowed-client-ids?",
        ),
        (
            On::Namespace,
            ANNOTATION,
            "azure.workload.identity/TENANT-ID",
            "did you mean azure.workload.identity/tenant-id?",
        ),
        (
            On::Template,
            ANNOTATION,
            "azure.workload.identity/inject-sidecar",
            "did you mean azure.workload.identity/inject-proxy-sidecar?",
        ),
        (
            On::Pod,
            ANNOTATION,
            "azure.workload.identity/include-containers",
            "did you mean podbadge.io/include-containers?",
        ),
        (On::Pod, LABEL, "azure.workload.identity/used", "did you mean azure.workload.identity/use?"),
        (
            On::Template,
            ANNOTATION,
            "azure.workload.identity/client_id",
            "did you mean azure.workload.identity/client-id, an annotation of the service account?",
        ),
        (
            On::ServiceAccount,
            LABEL,
            "podbadge.io/use",
            "did you mean azure.workload.identity/use, a label of the pod template?",
        ),
        (On::Template, ANNOTATION, "azure.workload.identity/enabled", &pod_keys),
    ] {
        let told = warnings(on, form, [key], None);
        let [warning] = &told[..] else { panic!("{key}: {told:?}") };
        assert_eq!(warning.as_str(), format!("{form} {key} is not known; {says}"));
        assert!(warning.is_mistake());
    }
    let told = warnings(On::Workload("Job"), ANNOTATION, ["podbadge.io/something-else"], None);
    assert_eq!(told[0].as_str(), "annotation podbadge.io/something-else is not known");
}

#[test]
fn a_key_in_the_wrong_place_is_sent_home() {
    for (on, form, key, text) in [
        (
            On::Pod,
            ANNOTATION,
            contract::CLIENT_ID,
            "annotation azure.workload.identity/client-id belongs on the service account, not on the pod",
        ),
        (
            On::Template,
            ANNOTATION,
            contract::USE,
            "annotation azure.workload.identity/use must be a label of the pod template",
        ),
        (On::Template, LABEL, contract::SIDECAR, "label podbadge.io/sidecar must be an annotation of the pod template"),
        (
            On::Workload("Deployment"),
            LABEL,
            contract::USE,
            "label azure.workload.identity/use belongs on the pod template, not on the Deployment",
        ),
        (
            On::ServiceAccount,
            ANNOTATION,
            contract::SKIP_CONTAINERS,
            "annotation azure.workload.identity/skip-containers belongs on the pod template, not on the service account",
        ),
        (
            On::ServiceAccount,
            ANNOTATION,
            contract::USE,
            "annotation azure.workload.identity/use belongs on the pod template, not on the service account, and is a label",
        ),
        (
            On::Pod,
            LABEL,
            contract::TENANT_ID,
            "label azure.workload.identity/tenant-id belongs on the service account, not on the pod, and is an annotation",
        ),
        (
            On::ServiceAccount,
            ANNOTATION,
            contract::POD_CLIENT_ID,
            "annotation podbadge.io/client-id belongs on the pod template, not on the service account; did you mean azure.workload.identity/client-id?",
        ),
    ] {
        let told = warnings(on, form, [key], None);
        let [warning] = &told[..] else { panic!("{key}: {told:?}") };
        assert_eq!((warning.as_str(), warning.is_mistake()), (text, true));
    }
    let legacy = warnings(On::ServiceAccount, LABEL, [contract::USE], None);
    let text = "label azure.workload.identity/use belongs on the pod template; on a service account it means nothing";
    assert_eq!(legacy, [Warning::new(text)]);
}

#[test]
fn the_custom_token_endpoint_is_known_by_the_operators_suffix() {
    let key = "azure.workload.identity/use-binding";
    assert!(warnings(On::Template, ANNOTATION, [key], Some("binding")).is_empty());
    for (on, form, suffix, text) in [
        (On::Pod, ANNOTATION, None, "is not known; this installation has no custom token endpoint"),
        (
            On::Pod,
            ANNOTATION,
            Some("other"),
            "is not known; the custom token endpoint here is azure.workload.identity/use-other",
        ),
        (On::Pod, LABEL, Some("binding"), "must be an annotation of the pod"),
        (On::ServiceAccount, ANNOTATION, Some("binding"), "belongs on the pod template, not on the service account"),
    ] {
        assert_eq!(warnings(on, form, [key], suffix), [Warning::mistake(format!("{form} {key} {text}"))]);
    }
}

#[test]
fn thousands_of_keys_cost_no_more_than_is_told() {
    let keys: Vec<_> = (0..100_000).map(|number| format!("{AZURE}client-id-{number}")).collect();
    assert_eq!(warnings(On::Pod, ANNOTATION, keys.iter().map(String::as_str), None).len(), MOST + 1);
    let long = format!("{AZURE}{}", "x".repeat(200_000));
    let told = warnings(On::Pod, ANNOTATION, [long.as_str()], Some(&long));
    assert!(told[0].as_str().len() <= LONGEST_TEXT && told[0].as_str().contains("is not known"), "{told:?}");
}
