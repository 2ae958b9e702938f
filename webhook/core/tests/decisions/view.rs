//! The view of a pod reads anything: it answers with a pod or an error, and a pod that it reads can be patched.

use crate::{generate, properties::config};
use podbadge_webhook_core::pod::Pod;
use proptest::{prelude::*, sample::Index};
use serde_json::Value;

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Pod::from_json(&bytes);
    }

    #[test]
    fn any_json(value in generate::json()) {
        let _ = Pod::from_json(value.to_string().as_bytes());
    }

    #[test]
    fn a_pod_cut_short_is_an_error(pod in generate::pod(), at: Index) {
        let text = pod.to_string();
        prop_assert!(Pod::from_json(text.as_bytes()).is_ok());
        prop_assert!(Pod::from_json(&text.as_bytes()[..at.index(text.len())]).is_err());
    }

    #[test]
    fn a_pod_with_any_value_anywhere(
        mut pod in generate::pod(),
        cluster in generate::cluster(),
        value in generate::json(),
        place: Index,
    ) {
        let places = places(&pod, "");
        *pod.pointer_mut(place.get(places.as_slice()).as_str()).unwrap() = value;
        if Pod::from_json(pod.to_string().as_bytes()).is_ok() {
            // Applies the patch, and panics where it does not fit.
            let first = cluster.admit(&pod);
            prop_assert_eq!(cluster.admit(&first.pod).patch, None);
        }
    }
}

#[test]
fn wrong_types_are_named() {
    let cases = [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("null", "null is no pod"),
        ("[]", "invalid type: sequence, expected an object at line 1 column 0"),
        (r#"{"spec":{"containers":"web"}}"#, "invalid type: string \"web\", expected a sequence at line 1 column 27"),
        (
            r#"{"metadata":{"labels":{"azure.workload.identity/use":true}}}"#,
            "invalid type: boolean `true`, expected a string at line 1 column 57",
        ),
        (r#"{"spec":{"hostNetwork":"yes"}}"#, "invalid type: string \"yes\", expected a boolean at line 1 column 28"),
        (r#"{"spec":{"containers":["web"]}}"#, "invalid type: string \"web\", expected an object at line 1 column 28"),
        (
            r#"{"spec":{"containers":[{"env":{"A":"a"}}]}}"#,
            "invalid type: map, expected a list of variables at line 1 column 30",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(Pod::from_json(text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn what_is_not_read_may_have_any_type() {
    let text = r#"{"metadata":{"name":null,"labels":{"other":7}},"spec":{"affinity":7,"containers":[{"image":{}}]}}"#;
    let pod = Pod::from_json(text.as_bytes()).unwrap();
    assert_eq!(pod.spec.containers.len(), 1);
}

/// The pointers of all values in the document.
fn places(value: &Value, pointer: &str) -> Vec<String> {
    let below: Vec<String> = match value {
        Value::Array(list) => {
            list.iter().enumerate().flat_map(|(index, value)| places(value, &format!("{pointer}/{index}"))).collect()
        }
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| {
                let key = key.replace('~', "~0").replace('/', "~1");
                places(value, &format!("{pointer}/{key}"))
            })
            .collect(),
        _ => Vec::new(),
    };
    [pointer.to_owned()].into_iter().chain(below).collect()
}
