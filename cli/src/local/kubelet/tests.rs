use super::*;
use serde_json::json;

fn pod() -> Value {
    json!({
        "metadata": { "name": "orders", "namespace": "shop", "uid": "u-1" },
        "spec": {
            "serviceAccountName": "orders",
            "containers": [{
                "name": "app",
                "env": [
                    { "name": "HOST", "value": "127.0.0.1" },
                    { "name": "URL", "value": "http://$(HOST)/$(LATER)?$$(HOST)&$x$" },
                    { "name": "LATER", "value": "" },
                    { "name": "UID", "valueFrom": { "fieldRef": { "fieldPath": "metadata.uid" } } },
                    { "name": "ACCOUNT", "valueFrom": { "fieldRef": { "fieldPath": "spec.serviceAccountName" } } },
                ],
                "volumeMounts": [{ "name": "token", "mountPath": "/tokens" }],
            }],
            "volumes": [{ "name": "token", "projected": { "sources": [
                { "configMap": { "name": "settings" } },
                { "serviceAccountToken": { "audience": "a", "expirationSeconds": 7200, "path": "file" } },
                { "serviceAccountToken": { "path": "other" } },
            ] } }],
        },
    })
}

#[test]
fn variables_are_expanded_and_resolved() {
    let environment = environment(&pod(), "app").unwrap();
    let expected = [
        ("ACCOUNT", "orders"),
        ("HOST", "127.0.0.1"),
        ("LATER", ""),
        ("UID", "u-1"),
        ("URL", "http://127.0.0.1/$(LATER)?$(HOST)&$x$"),
    ];
    let found: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_source_that_is_not_played_is_named() {
    let mut pod = pod();
    for source in
        [json!({ "secretKeyRef": { "name": "s", "key": "k" } }), json!({ "fieldRef": { "fieldPath": "status.podIP" } })]
    {
        pod["spec"]["containers"][0]["env"] = json!([{ "name": "A", "valueFrom": source }]);
        let error = environment(&pod, "app").unwrap_err().to_string();
        assert!(error.starts_with("variable A comes from {"), "{error}");
    }
    assert!(matches!(environment(&pod, "other"), Err(Error::Container(name)) if name == "other"));
}

#[test]
fn the_projections_are_read_from_the_pod() {
    let (mount, found) = projections(&pod(), "app", "token").unwrap();
    assert_eq!(mount, Path::new("/tokens"));
    let projection = |audience: &str, seconds, path: &str| Projection {
        audience: audience.into(),
        lifetime: Duration::from_secs(seconds),
        path: path.into(),
    };
    assert_eq!(found, [projection("a", 7200, "file"), projection("https://kubernetes.default.svc", 3600, "other")]);
    let error = projections(&pod(), "app", "other").unwrap_err();
    assert_eq!(error.to_string(), "container \"app\" has no token volume \"other\"");
}

#[test]
fn tokens_are_replaced_at_once_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let volume = folder.path().join("tokens");
    for token in ["first", "second", "third"] {
        write(&volume, &[("file", token), ("other", "same")]).unwrap();
        assert_eq!(fs::read_to_string(volume.join("file")).unwrap(), token);
        assert_eq!(fs::read_to_string(volume.join("other")).unwrap(), "same");
        let mut names: Vec<_> = fs::read_dir(&volume).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), 4, "{names:?}");
        assert_eq!(names[1..], ["..data", "file", "other"]);
    }
    assert_eq!(fs::read_link(volume.join("file")).unwrap(), Path::new("..data/file"));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(volume.join("file")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}
