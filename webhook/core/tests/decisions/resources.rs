//! Resources of injected containers: what is wanted, what is demanded, and what comes of both.

use crate::{properties::config, quantities::quantity};
use podbadge_webhook_core::{
    contract,
    pod::Pod,
    resources::{self, Invalid, Limits, Quantity, Resources, Spec},
};
use proptest::{option, prelude::*};
use serde_json::{Value, json};

#[test]
fn an_annotation_is_read_strictly() {
    let read: Resources =
        r#"{"requests":{"cpu":0.01,"memory":16777216},"limits":{"memory":"16Mi","ephemeral-storage":"1Gi"}}"#
            .parse()
            .unwrap();
    let written = json!({
        "requests": { "cpu": "10m", "memory": "16777216" }, "limits": { "memory": "16Mi", "ephemeral-storage": "1Gi" },
    });
    assert_eq!(serde_json::to_value(read).unwrap(), written);
    assert!("{}".parse::<Resources>().unwrap().is_empty());
    assert_eq!("{\"limits\":{\"gpu\":1}}".parse::<Resources>(), Err(Invalid::Unknown("gpu".to_owned())));
    assert_eq!("{\"claims\":{}}".parse::<Resources>(), Err(Invalid::Unknown("claims".to_owned())));
    let above = r#"{"requests":{"memory":"33Mi"},"limits":{"memory":"32Mi"}}"#;
    assert_eq!(above.parse::<Resources>(), Err(Invalid::Above("memory")));
    for text in [
        "",
        "null",
        "[]",
        "5m",
        "{\"limits\":[]}",
        "{\"limits\":null}",
        "{\"limits\":{\"cpu\":null}}",
        "{\"limits\":{\"cpu\":-1}}",
        "{\"limits\":{\"cpu\":\"fast\"}}",
        "{\"limits\":{\"cpu\":true}}",
        "{\"limits\":{}} x",
    ] {
        assert!(matches!(text.parse::<Resources>(), Err(Invalid::Malformed(_))), "{text}");
    }
}

fn limits(specs: &[Value]) -> Limits {
    let specs = specs.iter().map(|spec| serde_json::from_value::<Spec>(spec.clone()).unwrap());
    specs.fold(Limits::default(), |limits, spec| limits.and(&Limits::from(&spec)))
}

/// The amounts as `request..limit` of processor, then of memory, then of disk where there is any.
fn fitted(pod: &Value, limits: &Limits, default: &str) -> String {
    let text = pod.to_string();
    let pod = Pod::from_json(text.as_bytes()).unwrap();
    let default = if default.is_empty() { Resources::DEFAULT } else { default.parse().unwrap() };
    let Some(Resources { requests, limits }) = resources::for_container(&pod, limits, &default).unwrap() else {
        return "none".to_owned();
    };
    let text = |amount: Option<Quantity>| amount.map(|amount| amount.to_string()).unwrap_or_default();
    let range = |request, limit| format!("{}..{}", text(request), text(limit));
    let storage = range(requests.ephemeral_storage, limits.ephemeral_storage);
    let storage = if storage == ".." { String::new() } else { format!(" {storage}") };
    format!("{} {}{storage}", range(requests.cpu, limits.cpu), range(requests.memory, limits.memory))
}

fn burstable() -> Value {
    json!({ "spec": { "containers": [{ "name": "web", "resources": { "requests": { "cpu": "1" } } }] } })
}

fn container(item: Value) -> Value {
    let mut item = item;
    item["type"] = "Container".into();
    json!({ "limits": [item] })
}

#[test]
fn the_default_is_made_to_fit() {
    let cases = [
        ("nothing is demanded", vec![], "", "5m..500m 8Mi..32Mi"),
        (
            "room enough",
            vec![container(json!({ "min": { "cpu": "1m", "memory": "1Mi" }, "max": { "cpu": "4", "memory": "8Gi" } }))],
            "",
            "5m..500m 8Mi..32Mi",
        ),
        ("min", vec![container(json!({ "min": { "cpu": "100m", "memory": "64Mi" } }))], "", "100m..500m 64Mi..64Mi"),
        ("max", vec![container(json!({ "max": { "cpu": "0.1", "memory": "16Mi" } }))], "", "5m..100m 8Mi..16Mi"),
        ("max below the request", vec![container(json!({ "max": { "memory": "4Mi" } }))], "", "5m..500m 4Mi..4Mi"),
        (
            "ratio: less limit of processor, more request of memory",
            vec![container(json!({ "maxLimitRequestRatio": { "cpu": "10", "memory": "2" } }))],
            "",
            "5m..50m 16Mi..32Mi",
        ),
        (
            "ratio of processor too small for what is enough",
            vec![container(json!({ "maxLimitRequestRatio": { "cpu": "4" } }))],
            "",
            "13m..50m 8Mi..32Mi",
        ),
        (
            "ratio of one",
            vec![container(json!({ "maxLimitRequestRatio": { "cpu": 1, "memory": 1 } }))],
            "",
            "50m..50m 32Mi..32Mi",
        ),
        (
            "ratio that is no whole number",
            vec![container(json!({ "maxLimitRequestRatio": { "cpu": "1500m", "memory": "1.5" } }))],
            "",
            "34m..50m 22369622..32Mi",
        ),
        (
            "ratio and max",
            vec![container(json!({ "max": { "cpu": "20m" }, "maxLimitRequestRatio": { "cpu": "2" } }))],
            "",
            "10m..20m 8Mi..32Mi",
        ),
        (
            "the narrowest of several",
            vec![
                container(json!({ "min": { "cpu": "10m" }, "max": { "cpu": "400m" } })),
                container(json!({ "min": { "cpu": "20m" }, "max": { "cpu": "300m" } })),
            ],
            "",
            "20m..300m 8Mi..32Mi",
        ),
        (
            "no container is admitted here",
            vec![container(json!({ "min": { "memory": "64Mi" } })), container(json!({ "max": { "memory": "16Mi" } }))],
            "",
            "5m..500m 16Mi..16Mi",
        ),
        (
            "what is demanded of pods and claims is not demanded of containers",
            vec![json!({ "limits": [
                { "type": "Pod", "max": { "memory": "1Mi" } },
                { "type": "PersistentVolumeClaim", "min": { "storage": "1Gi" } },
            ] })],
            "",
            "5m..500m 8Mi..32Mi",
        ),
        (
            "a bound that cannot be read hides no other",
            vec![container(json!({ "max": { "cpu": "-1", "memory": "16Mi", "nvidia.com/gpu": "1" } }))],
            "",
            "5m..500m 8Mi..16Mi",
        ),
        ("nothing wanted", vec![], "{}", "none"),
        (
            "nothing wanted, all demanded",
            vec![container(json!({ "min": { "cpu": "10m" }, "max": { "memory": "1Gi" } }))],
            "{}",
            "10m.. ..32Mi",
        ),
        (
            "nothing wanted, defaults",
            vec![container(json!({ "default": { "memory": "128Mi" }, "defaultRequest": { "memory": "64Mi" } }))],
            "{}",
            ".. 64Mi..128Mi",
        ),
        (
            "no limit of processor wanted",
            vec![container(json!({ "maxLimitRequestRatio": { "cpu": "4" } }))],
            r#"{"requests":{"cpu":"10m","memory":"8Mi"},"limits":{"memory":"16Mi"}}"#,
            "13m..50m 8Mi..16Mi",
        ),
        (
            "disk",
            vec![container(json!({ "maxLimitRequestRatio": { "ephemeral-storage": "2" } }))],
            "",
            "5m..500m 8Mi..32Mi 64Mi..64Mi",
        ),
    ];
    for (name, specs, default, expected) in cases {
        assert_eq!(fitted(&burstable(), &limits(&specs), default), expected, "{name}");
    }
}

fn pod(containers: &[Value]) -> Value {
    let containers: Vec<_> =
        containers.iter().map(|resources| json!({ "name": "web", "resources": resources })).collect();
    json!({ "spec": { "initContainers": containers, "containers": containers } })
}

#[test]
fn a_guaranteed_pod_stays_one() {
    let exact =
        json!({ "requests": { "cpu": "1", "memory": "1Gi" }, "limits": { "cpu": "1000m", "memory": "1024Mi" } });
    let limits_alone = json!({ "limits": { "cpu": 1, "memory": "1Gi", "nvidia.com/gpu": 1 } });
    let guaranteed = "50m..50m 32Mi..32Mi";
    for containers in [vec![exact.clone()], vec![limits_alone.clone()], vec![exact.clone(), limits_alone]] {
        assert_eq!(fitted(&pod(&containers), &Limits::default(), ""), guaranteed, "{containers:?}");
    }
    for other in [
        json!(null),
        json!({}),
        json!({ "limits": { "cpu": "1" } }),
        json!({ "limits": { "cpu": "0", "memory": "1Gi" } }),
        json!({ "requests": { "cpu": "1", "memory": "1Gi" } }),
        json!({ "requests": { "cpu": "999m" }, "limits": { "cpu": "1", "memory": "1Gi" } }),
        json!({ "limits": { "cpu": "much", "memory": "1Gi" } }),
        json!("none"),
    ] {
        assert_eq!(
            fitted(&pod(&[exact.clone(), other.clone()]), &Limits::default(), ""),
            "5m..500m 8Mi..32Mi",
            "{other}"
        );
    }
    // What is enough may be too much for the namespace, and the operator may want little.
    let small = limits(&[container(json!({ "max": { "cpu": "20m", "memory": "16Mi" } }))]);
    assert_eq!(fitted(&pod(std::slice::from_ref(&exact)), &small, ""), "20m..20m 16Mi..16Mi");
    let wanted = r#"{"requests":{"memory":"8Mi"},"limits":{"cpu":"10m"}}"#;
    assert_eq!(fitted(&pod(std::slice::from_ref(&exact)), &Limits::default(), wanted), "10m..10m 32Mi..32Mi");
    assert_eq!(fitted(&pod(&[exact]), &Limits::default(), "{}"), guaranteed);
}

#[test]
fn a_pod_with_resources_of_its_own_shares_them() {
    for (resources, expected) in [
        (json!({ "limits": { "cpu": "1" } }), "none"),
        (json!({ "requests": { "hugepages-2Mi": "2Mi" } }), "none"),
        (json!("odd"), "none"),
        (json!({}), "5m..500m 8Mi..32Mi"),
        (json!({ "limits": {}, "requests": null }), "5m..500m 8Mi..32Mi"),
        (json!(null), "5m..500m 8Mi..32Mi"),
    ] {
        let mut pod = burstable();
        pod["spec"]["resources"] = resources.clone();
        assert_eq!(fitted(&pod, &Limits::default(), ""), expected, "{resources}");
    }
}

#[test]
fn the_pods_annotation_counts_as_it_stands() {
    let mut pod = burstable();
    let bound = limits(&[container(json!({ "max": { "memory": "16Mi" } }))]);
    pod["metadata"] = json!({ "annotations": { contract::SIDECAR_RESOURCES: r#"{"limits":{"memory":"1Gi"}}"# } });
    assert_eq!(fitted(&pod, &bound, ""), ".. ..1Gi");
    pod["spec"]["resources"] = json!({ "limits": { "cpu": "1" } });
    assert_eq!(fitted(&pod, &bound, ""), ".. ..1Gi");
    pod["metadata"]["annotations"][contract::SIDECAR_RESOURCES] = "{}".into();
    assert_eq!(fitted(&pod, &bound, ""), "none");
}

/// What the API server checks of each container, written from its LimitRanger.
fn admitted(item: &Value, resources: &Value, resource: &str) -> bool {
    let amount = |value: &Value| value.as_str().map(quantity);
    let of = |list: &str| amount(&resources[list][resource]);
    let (request, limit) = (of("requests"), of("limits"));
    let bound = |name: &str| amount(&item[name][resource]);
    let min = bound("min")
        .is_none_or(|min| request.is_some_and(|request| request >= min) && limit.is_none_or(|limit| limit >= min));
    let max = bound("max")
        .is_none_or(|max| limit.is_some_and(|limit| limit <= max) && request.is_none_or(|request| request <= max));
    let float = |amount: Quantity| {
        let text = amount.to_string();
        // Only whole ones and thousandths are generated.
        text.strip_suffix('m').map_or_else(|| whole(&text), |milli| milli.parse::<f64>().unwrap() / 1000.0)
    };
    let ratio = bound("maxLimitRequestRatio").is_none_or(|ratio| match (request, limit) {
        (Some(request), Some(limit)) if !request.is_zero() => float(limit) / float(request) <= float(ratio) + 1e-9,
        _ => false,
    });
    min && max && ratio && limit.is_none_or(|limit| request.is_none_or(|request| request <= limit))
}

fn whole(text: &str) -> f64 {
    let suffixes = [("k", 1e3), ("M", 1e6), ("G", 1e9), ("Ki", 1024.0), ("Mi", 1048576.0), ("Gi", 1073741824.0)];
    let known =
        suffixes.iter().find_map(|(suffix, factor)| Some(text.strip_suffix(suffix)?.parse::<f64>().ok()? * factor));
    known.unwrap_or_else(|| text.parse().unwrap())
}

fn amounts(cpu: impl Strategy<Value = String>, memory: impl Strategy<Value = String>) -> impl Strategy<Value = Value> {
    (option::of(cpu), option::of(memory)).prop_map(|(cpu, memory)| {
        let mut amounts = json!({});
        for (name, amount) in [("cpu", cpu), ("memory", memory)] {
            if let Some(amount) = amount {
                amounts[name] = amount.into();
            }
        }
        amounts
    })
}

fn item() -> impl Strategy<Value = Value> {
    let least =
        amounts((1..1500_u32).prop_map(|milli| format!("{milli}m")), (1..100_u32).prop_map(|mi| format!("{mi}Mi")));
    let most = amounts(
        (1500..4000_u32).prop_map(|milli| format!("{milli}m")),
        (100_000_000..400_000_000_u32).prop_map(|bytes| bytes.to_string()),
    );
    let small =
        amounts((1..60_u32).prop_map(|milli| format!("{milli}m")), (1..40_u32).prop_map(|mi| format!("{mi}Mi")));
    let ratio = || (1000..20_000_u32).prop_map(|milli| format!("{milli}m"));
    // Either room above a floor, or a low ceiling.
    (least, prop_oneof![most, small], amounts(ratio(), ratio())).prop_map(
        |(min, max, ratio)| json!({ "type": "Container", "min": min, "max": max, "maxLimitRequestRatio": ratio }),
    )
}

proptest! {
    #![proptest_config(config(2000))]

    /// Whatever can be satisfied is, by every LimitRange.
    #[test]
    fn the_default_satisfies_every_limit_range(items in proptest::collection::vec(item(), 1..3), guaranteed: bool) {
        let specs: Vec<Value> = items.iter().map(|item| json!({ "limits": [item] })).collect();
        let limits = limits(&specs);
        let exact = json!({ "limits": { "cpu": "1", "memory": "1Gi" } });
        let pod = if guaranteed { pod(&[exact]) } else { burstable() }.to_string();
        let pod = Pod::from_json(pod.as_bytes()).unwrap();
        let resources = resources::for_container(&pod, &limits, &Resources::DEFAULT).unwrap();
        let resources = serde_json::to_value(resources).unwrap();
        for resource in ["cpu", "memory"] {
            let bound = |item: &Value, name: &str| item[name][resource].as_str().map(quantity);
            let least = items.iter().filter_map(|item| bound(item, "min")).max();
            let most = items.iter().filter_map(|item| bound(item, "max")).min();
            if most.is_none_or(|most| least.is_none_or(|least| least <= most)) {
                for item in &items {
                    prop_assert!(admitted(item, &resources, resource), "{resource} {item} {resources}");
                }
            }
            if guaranteed {
                prop_assert_eq!(&resources["requests"][resource], &resources["limits"][resource]);
            }
        }
    }
}
