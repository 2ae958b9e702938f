//! What holds for every pod.

use crate::{
    cluster::{Admission, Cluster, Object},
    generate::{self, Edit},
};
use json_patch::{AddOperation, PatchOperation};
use podbadge_webhook_core::contract;
use proptest::prelude::*;
use serde_json::{Value, json};

/// No file of past failures: a failure found becomes a golden pod.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn a_second_admission_adds_nothing(pod in generate::pod(), cluster in generate::cluster()) {
        let first = cluster.admit(&pod);
        let second = cluster.admit(&first.pod);
        prop_assert_eq!(second.patch, None);
        prop_assert_eq!(second.denial, first.denial);
    }

    #[test]
    fn what_another_webhook_adds_is_completed_once(
        pod in generate::pod(),
        cluster in generate::cluster(),
        edits in generate::edits(),
    ) {
        let first = cluster.admit(&pod);
        let mut edited = first.pod;
        for edit in &edits {
            Edit::apply(edit, &mut edited);
        }
        let second = cluster.admit(&edited);
        prop_assert_eq!(&second.denial, &first.denial);
        prop_assert!(survives(&edited, &second.pod), "{}\n{}", edited, second.pod);
        prop_assert_eq!(cluster.admit(&second.pod).patch, None);
    }

    #[test]
    fn what_the_pod_had_survives(pod in generate::pod(), cluster in generate::cluster()) {
        let admission = cluster.admit(&pod);
        prop_assert!(survives(&pod, &admission.pod), "{}\n{}", pod, admission.pod);
    }

    #[test]
    fn a_patch_only_adds_where_it_may(pod in generate::pod(), cluster in generate::cluster()) {
        for AddOperation { path, value } in additions(&cluster.admit(&pod)) {
            let path: Vec<String> = path.tokens().map(|token| token.decoded().into_owned()).collect();
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            prop_assert!(may_add(&path, &pod), "{path:?} {value}");
        }
    }

    #[test]
    fn no_added_variable_is_empty(pod in generate::pod(), cluster in generate::cluster()) {
        for AddOperation { value, .. } in additions(&cluster.admit(&pod)) {
            for variable in variables(&value) {
                let literal = variable["value"].as_str().is_some_and(|value| !value.is_empty());
                let source = variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.uid";
                prop_assert!(literal != source, "{variable}");
            }
        }
    }

    #[test]
    fn a_wrong_lifetime_is_denied(value in wrong_lifetime(), on_account: bool) {
        let admission = with_lifetime(&value, on_account);
        prop_assert_eq!(admission.outcome, "denied");
        let denial = admission.denial.unwrap();
        prop_assert!(denial.contains(contract::TOKEN_EXPIRATION) && denial.ends_with("from 3600 to 86400"), "{denial}");
        prop_assert_eq!(denial.lines().count(), 1);
    }

    #[test]
    fn a_right_lifetime_is_kept(seconds in 3600u32..=86400, on_account: bool) {
        let admission = with_lifetime(&seconds.to_string(), on_account);
        let token = &admission.pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
        prop_assert_eq!(&token["expirationSeconds"], seconds);
    }
}

fn wrong_lifetime() -> impl Strategy<Value = String> {
    let odd = prop_oneof![".{1,100}", "[+-]?[0-9]{1,25}", "3600 ", " 3600", "[0-9]{4}(s|\\.0|e0)"];
    odd.prop_filter("a lifetime", |value: &String| {
        let digits = value.chars().all(|character| character.is_ascii_digit());
        !(digits && value.parse::<u128>().is_ok_and(|seconds| (3600..=86400).contains(&seconds)))
    })
}

fn with_lifetime(value: &str, on_account: bool) -> Admission {
    let mut pod = json!({
        "metadata": { "labels": { contract::USE: "true" } },
        "spec": { "containers": [{ "name": "web" }] },
    });
    let mut account = vec![(contract::TENANT_ID, "contoso.onmicrosoft.com")];
    if on_account {
        account.push((contract::TOKEN_EXPIRATION, value));
    } else {
        pod["metadata"]["annotations"] = json!({ contract::TOKEN_EXPIRATION: value });
    }
    Cluster { service_account: Some(Object::annotated(&account)), ..Cluster::default() }.admit(&pod)
}

fn additions(admission: &Admission) -> Vec<AddOperation> {
    let operations = admission.patch.iter().flat_map(|patch| &patch.0);
    operations
        .map(|operation| match operation {
            PatchOperation::Add(add) => add.clone(),
            other => panic!("no addition: {other}"),
        })
        .collect()
}

/// The places that a patch may touch, and that a whole list goes only where none is.
fn may_add(path: &[&str], pod: &Value) -> bool {
    let absent = |pointer: &str| pod.pointer(pointer).is_none_or(Value::is_null);
    match path {
        ["metadata", "annotations"] => absent("/metadata/annotations"),
        ["metadata", "annotations", contract::DEFAULT_CONTAINER] => {
            !absent("/metadata/annotations") && pod["metadata"]["annotations"][contract::DEFAULT_CONTAINER].is_null()
        }
        ["spec", list @ ("volumes" | "initContainers" | "imagePullSecrets")] => absent(&format!("/spec/{list}")),
        ["spec", "volumes" | "imagePullSecrets", "-"] | ["spec", "containers" | "initContainers", "0"] => true,
        ["spec", list @ ("containers" | "initContainers"), index, field @ ("env" | "volumeMounts")] => {
            absent(&format!("/spec/{list}/{index}/{field}"))
        }
        ["spec", "containers" | "initContainers", _, "env" | "volumeMounts", "-"] => true,
        ["spec", list @ ("containers" | "initContainers"), index, "env", own, "value"] => {
            let name =
                &pod["spec"][list][index.parse::<usize>().unwrap()]["env"][own.parse::<usize>().unwrap()]["name"];
            name == "NO_PROXY" || name == "no_proxy"
        }
        _ => false,
    }
}

/// All variables in an added value: one, a list of them, or a container's or a list of containers'.
fn variables(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().flat_map(variables).collect(),
        Value::Object(map) => match map.get("env") {
            Some(env) => variables(env),
            None if map.contains_key("value") || map.contains_key("valueFrom") => vec![value],
            None => Vec::new(),
        },
        // An own variable's new value.
        _ => Vec::new(),
    }
}

/// Whether everything that was there is there still, in its order, and only lists that may grow have grown.
pub(crate) fn survives(before: &Value, after: &Value) -> bool {
    let (mut before, mut after) = (before.clone(), after.clone());
    let (mut was, mut is) = (before["spec"].take(), after["spec"].take());
    let lists = ["volumes", "imagePullSecrets"].iter().all(|list| {
        let (was, is) = (take(&mut was, list), take(&mut is, list));
        grown(&was, &is, &[], |was, is| was == is)
    });
    let containers = ["initContainers", "containers"].iter().all(|list| {
        let (was, mut is) = (take(&mut was, list), take(&mut is, list));
        let had = was.as_array().map_or(0, Vec::len);
        for ours in ["podbadge-sidecar", "podbadge-redirect"] {
            if is.as_array().map_or(0, Vec::len) > had && is[0]["name"] == ours {
                is.as_array_mut().unwrap().remove(0);
            }
        }
        grown(&was, &is, &[], container_survives) && is.as_array().map_or(0, Vec::len) == had
    });
    lists && containers && was == is && annotations_survive(&mut before, &mut after) && before == after
}

/// One may be added: the container that `kubectl` means.
fn annotations_survive(before: &mut Value, after: &mut Value) -> bool {
    let (was, mut is) = (take(&mut before["metadata"], "annotations"), take(&mut after["metadata"], "annotations"));
    if was[contract::DEFAULT_CONTAINER].is_null() && !is.is_null() {
        take(&mut is, contract::DEFAULT_CONTAINER);
    }
    was == is || was.is_null() && is == json!({})
}

fn container_survives(was: &Value, is: &Value) -> bool {
    let (mut was, mut is) = (was.clone(), is.clone());
    let mounts = grown(&take(&mut was, "volumeMounts"), &take(&mut is, "volumeMounts"), &[], |was, is| was == is);
    let env = grown(&take(&mut was, "env"), &take(&mut is, "env"), &["NO_PROXY", "no_proxy"], |was, is| was == is);
    mounts && env && was == is
}

/// Whether the list only grew at its end. Items named in `extended` may have a longer text value.
fn grown(was: &Value, is: &Value, extended: &[&str], same: fn(&Value, &Value) -> bool) -> bool {
    let empty = Vec::new();
    let items = |value: &Value| value.as_array().cloned().unwrap_or_else(|| empty.clone());
    let (old, new) = (items(was), items(is));
    old.len() <= new.len()
        && old.iter().zip(&new).all(|(old, new)| {
            let longer = old["name"].as_str().is_some_and(|name| extended.contains(&name)) && {
                let (mut old, mut new) = (old.clone(), new.clone());
                let (short, long) = (take(&mut old, "value"), take(&mut new, "value"));
                old == new && long.as_str().unwrap_or("").starts_with(short.as_str().unwrap_or(""))
            };
            longer || same(old, new)
        })
}

fn take(object: &mut Value, key: &str) -> Value {
    let map = object.as_object_mut().unwrap();
    map.remove(key).unwrap_or_default()
}
