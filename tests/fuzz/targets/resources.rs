//! Amounts, the resources that a pod's author writes, and what LimitRanges make of the default ones.
#![no_main]

use podbadge_webhook_core::{
    pod::Pod,
    resources::{Limits, Quantity, Resources, Spec, for_container},
};

const PLAIN: &[u8] = br#"{"spec": {"containers": [{"name": "app"}]}}"#;
const GUARANTEED: &[u8] =
    br#"{"spec": {"containers": [{"name": "app", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}}"#;

libfuzzer_sys::fuzz_target!(|input: (&str, &str, &str)| {
    let (amount, resources, limits) = input;
    if let Ok(amount) = amount.parse::<Quantity>() {
        assert_eq!(amount.to_string().parse(), Ok(amount));
    }
    match resources.parse::<Resources>() {
        Ok(resources) => same(&resources),
        Err(error) => {
            let error = error.to_string();
            assert!(!error.is_empty() && error.len() < 1_024 && !error.contains(char::is_control), "{error:?}");
        }
    }
    let Ok(limits) = serde_json::from_str::<Spec>(limits) else { return };
    let limits = Limits::from(&limits);
    for (pod, guaranteed) in [(PLAIN, false), (GUARANTEED, true)] {
        let pod = Pod::from_json(pod).expect("a pod");
        let fitted = for_container(&pod, &limits, &Resources::DEFAULT).expect("no annotation").expect("amounts");
        same(&fitted);
        assert!(!guaranteed || fitted.requests == fitted.limits, "{fitted:?}");
        // What fits already stays.
        let again = for_container(&pod, &limits, &fitted).expect("no annotation");
        assert_eq!(again, Some(fitted), "{limits:?}");
    }
});

/// They can be written and read again, which says that no request is above its limit.
fn same(resources: &Resources) {
    let text = serde_json::to_string(resources).expect("JSON");
    assert_eq!(text.parse(), Ok(*resources), "{text}");
}
