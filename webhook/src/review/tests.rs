use super::*;
use podbadge_webhook_core::warning::Warning;
use serde_json::{Value, json};

fn review(resource: &Value, operation: &str, object: &Value) -> Vec<u8> {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": operation, "namespace": "shop", "resource": resource, "object": object,
        },
    })
    .to_string()
    .into_bytes()
}

fn pods() -> Value {
    json!({ "group": "", "version": "v1", "resource": "pods" })
}

#[test]
fn a_pod_is_read() {
    let body = review(&pods(), "CREATE", &json!({ "spec": { "serviceAccountName": "a\"b", "containers": null } }));
    let Review::Object(OfPod::Creation, request) = read(&body).unwrap() else { panic!("not a pod") };
    assert_eq!(request.uid.as_str(), "u-1");
    assert_eq!(request.namespace.unwrap().as_str(), "shop");
    assert_eq!(request.object.unwrap().spec.service_account(), "a\"b");
}

#[test]
fn a_container_of_kubectl_debug_is_read_with_the_pod_before() {
    let body = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "UPDATE", "namespace": "shop", "resource": pods(),
            "subResource": "ephemeralcontainers",
            "object": { "spec": { "ephemeralContainers": [{ "name": "debugger" }] } },
            "oldObject": { "spec": { "ephemeralContainers": null } },
        },
    });
    let body = body.to_string();
    let Review::Object(OfPod::Ephemeral, request) = read(body.as_bytes()).unwrap() else { panic!("something else") };
    let names = |pod: Pod<'_>| pod.spec.ephemeral_containers.unwrap_or_default().len();
    assert_eq!((request.object.map(names), request.old_object.map(names)), (Some(1), Some(0)));
}

#[test]
fn other_things_are_named() {
    let deployments = json!({ "group": "apps", "version": "v1", "resource": "deployments" });
    for (resource, operation, what) in
        [(deployments, "CREATE", "CREATE of deployments.apps"), (pods(), "UPDATE", "UPDATE of pods")]
    {
        for object in [json!({ "spec": {} }), json!({ "spec": "unlike a pod" }), Value::Null] {
            let body = review(&resource, operation, &object);
            let Review::Other { uid, what: found } = read(&body).unwrap() else { panic!("{operation} is a pod") };
            assert_eq!((uid.as_str(), found.as_str()), ("u-1", what));
        }
    }
}

#[test]
fn what_is_advised_on_is_read_on_creation_and_change() {
    let object = json!({ "metadata": { "annotations": { "podbadge.io/sidecar": "none", "other": "x" } } });
    for (group, resource, operation, meant) in [
        ("", "serviceaccounts", "CREATE", true),
        ("apps", "deployments", "UPDATE", true),
        ("batch", "cronjobs", "UPDATE", true),
        ("batch", "cronjobs", "DELETE", false),
        ("", "pods", "CREATE", false),
        ("example.com", "deployments", "CREATE", false),
    ] {
        let body = review(&json!({ "group": group, "version": "v1", "resource": resource }), operation, &object);
        match read_advised(&body).unwrap() {
            Review::Object(_, request) => {
                assert!(meant, "{operation} of {resource}");
                let object = request.object.unwrap();
                assert_eq!(object.metadata.annotations.iter().collect::<Vec<_>>(), [("podbadge.io/sidecar", "none")]);
            }
            Review::Other { what, .. } => assert!(!meant && what.starts_with(operation), "{what}"),
            Review::BadObject { error, .. } => panic!("{error}"),
        }
    }
    let odd = json!({ "spec": { "template": { "spec": { "containers": {} } } } });
    let body = review(&json!({ "group": "apps", "version": "v1", "resource": "deployments" }), "CREATE", &odd);
    let Review::BadObject { error, .. } = read_advised(&body).unwrap() else { panic!("was read") };
    assert!(error.starts_with("object field spec.template.spec.containers: invalid type: map, expected"), "{error}");
}

#[test]
fn a_wrong_type_is_named_by_its_field() {
    for (object, expected) in [
        (json!({ "spec": { "containers": {} } }), "pod field spec.containers: invalid type: map, expected a sequence"),
        (
            json!({ "metadata": { "labels": { "azure.workload.identity/use": true } } }),
            "pod field metadata.labels.azure.workload.identity/use: invalid type: boolean, expected a string",
        ),
        (
            json!({ "spec": { "containers": [{ "name": "a", "env": [{ "name": 1 }] }] } }),
            "pod field spec.containers[0].env[0].name: invalid type: integer, expected a string",
        ),
        (json!("pod"), "pod field request.object: invalid type: string, expected an object"),
    ] {
        let body = review(&pods(), "CREATE", &object);
        let Review::BadObject { uid, error } = read(&body).unwrap() else { panic!("{object} was read") };
        assert_eq!(uid.as_str(), "u-1");
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn no_value_is_repeated_and_no_text_is_long() {
    let long = "x".repeat(100_000);
    let key = format!("azure.workload.identity/{long}");
    for object in [
        json!({ "spec": { "containers": [{ "name": "a", "env": "hunter2, expected `nothing`" }] } }),
        json!({ "spec": { "hostNetwork": format!("hunter2\n{long}") } }),
        json!({ "metadata": { "labels": { key: 1 } } }),
    ] {
        let body = review(&pods(), "CREATE", &object);
        let Review::BadObject { error, .. } = read(&body).unwrap() else { panic!("was read") };
        assert!(error.len() < 600 && !error.contains("hunter2") && !error.contains('\n'), "{error}");
    }
    for body in [
        format!(r#"{{"apiVersion":"{long}","kind":"{long}"}}"#),
        format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":"{long}"}}"#),
    ] {
        let error = read(body.as_bytes()).unwrap_err().to_string();
        assert!(error.len() < 600, "{error}");
    }
}

#[test]
fn what_is_no_review_is_said() {
    for (body, expected) in [
        ("", "the body is empty; an AdmissionReview of admission.k8s.io/v1 is expected"),
        (" \n", "the body is empty; an AdmissionReview of admission.k8s.io/v1 is expected"),
        ("hello", "the body is not an AdmissionReview in JSON: expected value at line 1 column 1"),
        ("[]", "the body is not an AdmissionReview in JSON: "),
        (
            r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}}"#,
            r#"the body is a "AdmissionReview" of "admission.k8s.io/v1beta1"; an "AdmissionReview" of "admission.k8s.io/v1" is expected"#,
        ),
        (r#"{"kind":"Pod","apiVersion":"v1"}"#, r#"the body is a "Pod" of "v1"; an "AdmissionReview""#),
        (r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#, "the AdmissionReview has no request"),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"operation":"CREATE"}}"#,
            "the body is not an AdmissionReview in JSON: missing field `uid`",
        ),
    ] {
        let error = read(body.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{body}: {error}");
    }
    let error = read(b"{\"kind\":\"\xff\"}").unwrap_err().to_string();
    assert_eq!(error, "the body is not an AdmissionReview in JSON: invalid utf-8 sequence of 1 bytes from index 9");
}

#[test]
fn answers_repeat_the_uid() {
    let allowed: Value = serde_json::from_slice(&patched("u-1", None, &[Warning::new("careful")], None)).unwrap();
    assert_eq!(
        allowed,
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": { "uid": "u-1", "allowed": true, "warnings": ["careful"] },
        })
    );
    let denied: Value =
        serde_json::from_slice(&denied("u-1", "mend it", &[], Audit { outcome: "volume", identity: None })).unwrap();
    assert_eq!(
        denied["response"],
        json!({
            "uid": "u-1", "allowed": false,
            "status": { "code": 400, "reason": "BadRequest", "message": "mend it" },
            "auditAnnotations": { "outcome": "volume" },
        })
    );
}
