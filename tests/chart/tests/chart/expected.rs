//! Values, and what becomes of them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use podbadge_webhook_core::pod::Name;
use serde_json::{Value, json};

use crate::render::{Helm, NAMESPACE, Rendered, chart, hook, root};

/// Sets of values that together switch on all there is; the cluster's tests have a real API server take them.
pub(crate) const SETS: [&str; 5] = [
    "",
    include_str!("../../fixtures/everything.yaml"),
    include_str!("../../fixtures/cert-manager.yaml"),
    include_str!("../../fixtures/files-on-host-network.yaml"),
    include_str!("../../fixtures/azure-workload-identity-1.6.yaml"),
];

pub(crate) fn the_defaults_pass_lint(helm: &Helm) -> Result<()> {
    // Whoever lints the chart need not have a registry yet.
    helm.lint("image: {registry: ''}")?;
    SETS.into_iter().try_for_each(|values| helm.lint(values).context(values))
}

pub(crate) fn each_value_has_its_effect(helm: &Helm) -> Result<()> {
    const IMAGE: &str = "Deployment/spec/template/spec/containers/0/image";
    let cases = [
        ("nameOverride: other", "Deployment/metadata/name", json!("podbadge-other-webhook")),
        ("fullnameOverride: other", "Deployment/metadata/name", json!("other")),
        ("hostNetwork: true", "Deployment/spec/template/spec/hostNetwork", json!(true)),
        ("hostNetwork: true", "Deployment/spec/template/spec/dnsPolicy", json!("ClusterFirstWithHostNet")),
        ("hostNetwork: true", "Deployment/spec/strategy/rollingUpdate/maxSurge", json!(0)),
        ("", "Deployment/spec/strategy/rollingUpdate/maxSurge", json!(1)),
        ("replicaCount: 1", "Deployment/spec/replicas", json!(1)),
        (
            "image: {registry: 'registry.example:5000/team/'}",
            IMAGE,
            json!("registry.example:5000/team/podbadge/webhook:v0.1.0"),
        ),
        // A repository may say itself where it is; where there is a registry, too, that one passes on from there.
        (
            "{image: {registry: '', repository: localhost/w}, sidecar: {image: {repository: 'mirror:5000/s'}}}",
            IMAGE,
            json!("localhost/w:v0.1.0"),
        ),
        (
            "image: {registry: pull.example, repository: registry.example/w}",
            IMAGE,
            json!("pull.example/registry.example/w:v0.1.0"),
        ),
        ("", "PodDisruptionBudget/spec/maxUnavailable", json!(1)),
        ("podDisruptionBudget: {maxUnavailable: 2}", "PodDisruptionBudget/spec/maxUnavailable", json!(2)),
        ("podDisruptionBudget: {maxUnavailable: 1%}", "PodDisruptionBudget/spec/maxUnavailable", json!("1%")),
        ("podDisruptionBudget: {minAvailable: 0}", "PodDisruptionBudget/spec/minAvailable", json!(0)),
        (
            "{replicaCount: 3, podDisruptionBudget: {minAvailable: 66%}}",
            "PodDisruptionBudget/spec/minAvailable",
            json!("66%"),
        ),
        ("podDisruptionBudget: {minAvailable: 1}", "PodDisruptionBudget/spec/maxUnavailable", json!(null)),
        ("", "PodDisruptionBudget/spec/unhealthyPodEvictionPolicy", json!("AlwaysAllow")),
        (
            "{tls: {mode: files, secretName: s}, podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}}",
            "Deployment/spec/template/spec/securityContext",
            json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}),
        ),
        // A Secret's files belong to root and to this group, and no one else may read them.
        ("tls: {mode: cert-manager}", "Deployment/spec/template/spec/securityContext/fsGroup", json!(65532)),
        ("tls: {mode: cert-manager}", "Deployment/spec/template/spec/volumes/0/secret/defaultMode", json!(0o440)),
        (
            "validatingWebhook: {annotations: {admissions.enforcer/disabled: 'true'}}",
            "ValidatingWebhookConfiguration/metadata/annotations",
            json!({"admissions.enforcer/disabled": "true"}),
        ),
        ("", "ValidatingWebhookConfiguration/metadata/annotations", json!(null)),
        // The entry stays and selects nobody: who applies on the server's side cannot take it away.
        (
            "annotatedServiceAccounts: disabled",
            "MutatingWebhookConfiguration/webhooks/0/objectSelector/matchExpressions",
            json!([
                {"key": "azure.workload.identity/use", "operator": "Exists"},
                {"key": "azure.workload.identity/use", "operator": "DoesNotExist"},
            ]),
        ),
        (
            "annotatedServiceAccounts: observe",
            "MutatingWebhookConfiguration/webhooks/0/objectSelector/matchExpressions/0/operator",
            json!("NotIn"),
        ),
        // What nobody renders is not judged.
        ("{replicaCount: 1, podDisruptionBudget: {minAvailable: 1}}", "Deployment/spec/replicas", json!(1)),
        ("{podDisruptionBudget: {enabled: false, minAvailable: 2}}", "Deployment/spec/replicas", json!(2)),
        ("metricsAddr: ':65535'", "Deployment/spec/template/spec/containers/0/ports/1/containerPort", json!(65535)),
        ("", "MutatingWebhookConfiguration/webhooks/0/clientConfig/caBundle", json!(null)),
        (
            "tls: {mode: files, secretName: s, caBundle: QUJD}",
            "MutatingWebhookConfiguration/webhooks/0/clientConfig/caBundle",
            json!("QUJD"),
        ),
        ("tls: {mode: files, secretName: s}", "Deployment/spec/template/spec/volumes/0/secret/secretName", json!("s")),
        ("serviceMonitor: {enabled: true}", "Service/spec/ports/1/name", json!("metrics")),
        ("", "Service/spec/ports/1", json!(null)),
        ("podMonitor: {enabled: true, labels: {release: p}}", "PodMonitor/metadata/labels/release", json!("p")),
        ("podMonitor: {enabled: true, interval: 30s}", "PodMonitor/spec/podMetricsEndpoints/0/interval", json!("30s")),
        ("dashboard: {enabled: true}", "ConfigMap/metadata/labels/grafana_dashboard", json!("1")),
        (
            "{networkPolicy: {enabled: true}, service: {targetPort: 10250}}",
            "NetworkPolicy/spec/ingress/0",
            json!({"ports": [{"port": 10250, "protocol": "TCP"}]}),
        ),
        (
            "networkPolicy: {enabled: true, apiServers: [10.0.0.1/32]}",
            "NetworkPolicy/spec/egress/0/to",
            json!([{"ipBlock": {"cidr": "10.0.0.1/32"}}]),
        ),
        // Reviews need not come from where the API servers are.
        ("networkPolicy: {enabled: true, apiServers: [10.0.0.1/32]}", "NetworkPolicy/spec/ingress/0/from", json!(null)),
        (
            "networkPolicy: {enabled: true, admissionFrom: [10.0.0.1/32, {podSelector: {matchLabels: {app: tunnel}}}]}",
            "NetworkPolicy/spec/ingress/0/from",
            json!([{"ipBlock": {"cidr": "10.0.0.1/32"}}, {"podSelector": {"matchLabels": {"app": "tunnel"}}}]),
        ),
        ("networkPolicy: {enabled: true, admissionFrom: [10.0.0.1/32]}", "NetworkPolicy/spec/egress/0/to", json!(null)),
        (
            "validatingAdmissionPolicy: {enabled: true}\nazureEnvironment: azureusgovernmentcloud",
            "ValidatingAdmissionPolicy/spec/failurePolicy",
            json!("Fail"),
        ),
    ];
    for (values, path, expected) in cases {
        let rendered = helm.render(values).context(values)?;
        let found = rendered.at(path)?;
        ensure!(*found == expected, "{values}: {path} is {found}");
    }
    ensure!(helm.render("replicaCount: 1")?.all("PodDisruptionBudget").is_empty(), "one replica has no budget");
    ensure!(helm.render("")?.all("ResourceQuota").len() == 1, "no quota");
    let beside_others = helm.render_in("kube-system", "")?;
    ensure!(beside_others.one("Deployment")?["metadata"]["namespace"] == "kube-system");
    ensure!(beside_others.all("ResourceQuota").is_empty(), "everybody's critical pods are limited");

    for (values, argument) in [
        ("tls: {selfManaged: {duration: 336h}}", "--tls-leaf-lifetime=1209600"),
        ("tls: {selfManaged: {duration: 90m30s}}", "--tls-leaf-lifetime=5430"),
        ("tls: {selfManaged: {caDuration: 87600h}}", "--tls-authority-lifetime=315360000"),
    ] {
        ensure!(helm.render(values)?.has_argument(argument)?, "{values}: {:#}", helm.render(values)?.container()?);
    }

    let ca = "sidecar: {caData: \"-----BEGIN CERTIFICATE-----\\nQUJD\\n-----END CERTIFICATE-----\\n\"}";
    let variables =
        r#"--sidecar-variables={"PODBADGE_CA_DATA":"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"}"#;
    ensure!(helm.render(ca)?.has_argument(variables)?, "{:#}", helm.render(ca)?.container()?);
    let policy = "validatingAdmissionPolicy: {enabled: true}\nazureEnvironment: azureusgovernmentcloud";
    let policy = helm.render(policy)?.one("ValidatingAdmissionPolicy")?.to_string();
    ensure!(policy.contains("'api://AzureADTokenExchangeUSGov'"), "{policy}");
    Ok(())
}

/// The webhook only serves; the annotation is on both configurations, and the names are the Service's.
pub(crate) fn cert_manager_issues_and_injects(helm: &Helm) -> Result<()> {
    let rendered = helm.render("tls: {mode: cert-manager}")?;
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let from = &rendered.one(kind)?["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
        ensure!(from == "podbadge-system/podbadge-webhook", "{kind}: {from}");
    }
    ensure!(rendered.has_argument("--tls=files")? && rendered.has_argument("--tls-dir=/tls")?);
    let [authority, leaf] = rendered.all("Certificate")[..] else { anyhow::bail!("two certificates") };
    ensure!(authority["spec"]["isCA"] == true && authority["spec"]["privateKey"]["rotationPolicy"] == "Never");
    ensure!(leaf["spec"]["dnsNames"][0] == "podbadge-webhook.podbadge-system.svc", "{leaf}");
    ensure!(leaf["spec"]["issuerRef"]["name"] == "podbadge-webhook-ca");
    let secret = &leaf["spec"]["secretName"];
    let volume = rendered.at("Deployment/spec/template/spec/volumes/0/secret")?;
    ensure!(volume["secretName"] == *secret);
    let items = json!([{"key": "tls.crt", "path": "tls.crt"}, {"key": "tls.key", "path": "tls.key"}]);
    ensure!(volume["items"] == items, "{volume}");
    // Not the one that the webhook itself would fill.
    ensure!(
        secret == "podbadge-webhook-cert-manager-tls"
            && helm.render("")?.has_argument("--tls-secret=podbadge-webhook-tls")?
    );
    ensure!(rendered.all("Issuer").len() == 2);
    // The webhook needs no Secret and writes no configuration.
    ensure!(!rendered.one("Role")?.to_string().contains("secrets"));
    let rules = rendered.one("ClusterRole")?["rules"].as_array().context("rules")?;
    for rule in rules.iter().filter(|rule| rule["apiGroups"] == json!(["admissionregistration.k8s.io"])) {
        ensure!(!rule["verbs"].to_string().contains("patch"), "{rule}");
    }

    // An authority that is good for longer than the chart's would be.
    let corporate = "{issuerRef: {name: corp, kind: ClusterIssuer}, caDuration: 1h}";
    let given = helm.render(&format!("tls: {{mode: cert-manager, certManager: {corporate}}}"))?;
    ensure!(given.all("Issuer").is_empty());
    let issuer = &given.one("Certificate")?["spec"]["issuerRef"];
    ensure!(*issuer == json!({"name": "corp", "kind": "ClusterIssuer", "group": "cert-manager.io"}), "{issuer}");
    Ok(())
}

/// Helm deletes webhook configurations last, by itself.
pub(crate) fn an_uninstallation_asks_nobody_before_it_begins(helm: &Helm) -> Result<()> {
    let with_policy = "validatingAdmissionPolicy: {enabled: true}";
    // Who renders and applies has each object once.
    let plain = helm.render(with_policy)?;
    let is_removal = |object: &Value| hook(object).is_some_and(|when| when.ends_with("-delete"));
    ensure!(!plain.objects.iter().any(is_removal), "helm template writes what an uninstallation does");
    let rendered = helm.render(&format!("uninstallHooks: always\n{with_policy}"))?;
    let hooks = |when: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = rendered.objects.iter().filter(|object| hook(object) == Some(when));
        of.map(|object| (text(&object["kind"]), text(&object["metadata"]["name"]))).collect()
    };
    let named = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    for (kind, name) in hooks("pre-delete") {
        ensure!(
            rendered.all(&kind).iter().any(|object| object["metadata"]["name"] == *name),
            "{kind} {name} takes nobody's place"
        );
    }
    ensure!(hooks("pre-delete").contains(&named("MutatingWebhookConfiguration", "podbadge-webhook")));
    ensure!(hooks("pre-delete").contains(&named("ValidatingAdmissionPolicyBinding", "podbadge-webhook")));
    ensure!(hooks("post-delete").contains(&named("Secret", "podbadge-webhook-tls")));
    for object in rendered.objects.iter().filter(|object| is_removal(object)) {
        let policy = &object["metadata"]["annotations"]["helm.sh/hook-delete-policy"];
        ensure!(policy == "before-hook-creation,hook-succeeded", "{object}");
    }
    // Every Lease that the webhook may create goes, too.
    let role = rendered.one("Role")?;
    let leases = role["rules"].as_array().into_iter().flatten().filter(|rule| rule["resources"] == json!(["leases"]));
    for name in leases.filter_map(|rule| rule["resourceNames"].as_array()).flatten() {
        ensure!(
            hooks("post-delete").contains(&named("Lease", name.as_str().unwrap_or_default())),
            "Lease {name} is left behind"
        );
    }
    let issued = helm.render("{uninstallHooks: always, tls: {mode: cert-manager}}")?;
    let secrets: Vec<_> = issued.objects.iter().filter(|object| object["kind"] == "Secret").collect();
    let secrets: Vec<_> = secrets.iter().map(|secret| &secret["metadata"]["name"]).collect();
    ensure!(secrets == ["podbadge-webhook-cert-manager-tls", "podbadge-webhook-ca"], "{secrets:?}");
    // A Secret that somebody else made stays.
    let files = helm.render("{uninstallHooks: always, tls: {mode: files, secretName: s}}")?;
    ensure!(!files.objects.iter().any(|object| object["kind"] == "Secret"));
    Ok(())
}

/// What Gatekeeper's and Kyverno's usual libraries and Pod Security `restricted` look at.
pub(crate) fn the_pod_passes_what_policies_demand(helm: &Helm) -> Result<()> {
    let digest = format!("sha256:{}", "0".repeat(64));
    let values = format!(
        "{{image: {{registry: registry.example, digest: '{digest}'}}, sidecar: {{image: {{digest: '{digest}'}}}}, \
         resources: {{limits: {{cpu: 1}}}}}}"
    );
    let rendered = helm.render(&values)?;
    let test = rendered.objects.iter().find(|object| object["kind"] == "Pod").context("no test pod")?;
    for spec in [rendered.at("Deployment/spec/template/spec")?, &test["spec"]] {
        ensure!(spec["securityContext"]["runAsNonRoot"] == true && spec["securityContext"]["runAsUser"] == 65532);
        for absent in ["hostNetwork", "hostPID", "hostIPC"] {
            ensure!(spec[absent].is_null());
        }
        let containers = spec["containers"].as_array().context("containers")?;
        for container in containers {
            let context = &container["securityContext"];
            ensure!(context["readOnlyRootFilesystem"] == true && context["allowPrivilegeEscalation"] == false);
            ensure!(context["capabilities"] == json!({"drop": ["ALL"]}));
            ensure!(context["seccompProfile"]["type"] == "RuntimeDefault");
            let image = container["image"].as_str().unwrap_or_default();
            ensure!(image.starts_with("registry.example/") && image.ends_with(&digest), "{image}");
            for amount in ["requests", "limits"] {
                for resource in ["cpu", "memory"] {
                    ensure!(!container["resources"][amount][resource].is_null(), "{amount} of {resource}: {container}");
                }
            }
        }
    }
    let sidecar = rendered.variable("PODBADGE_SIDECAR_IMAGE")?;
    ensure!(sidecar == Some(&json!(format!("registry.example/podbadge/sidecar@{digest}"))), "{sidecar:?}");
    let webhook = rendered.container()?;
    ensure!(webhook["readinessProbe"].is_object() && webhook["livenessProbe"].is_object());
    Ok(())
}

/// A key without a range could hold anything, and one that is in the schema alone has no default and no words.
pub(crate) fn every_value_is_in_the_schema(_: &Helm) -> Result<()> {
    let read = |name: &str| std::fs::read_to_string(chart().join(name));
    let values: Value = serde_norway::from_str(&read("values.yaml")?)?;
    let schema: Value = serde_json::from_str(&read("values.schema.json")?)?;
    compare(&values, &schema, &schema, "")
}

/// What the schema lets through, the webhook takes; what it takes, the schema lets through.
pub(crate) fn the_sidecars_variables_are_the_webhooks(_: &Helm) -> Result<()> {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(chart().join("values.schema.json"))?)?;
    let properties = &schema["properties"]["sidecar"]["properties"]["variables"]["properties"];
    let allowed: BTreeSet<_> = properties.as_object().context("no variables")?.keys().map(String::as_str).collect();
    let taken: BTreeSet<_> = Name::OPERATORS.into_iter().map(|(_, name)| name).collect();
    ensure!(allowed == taken, "the schema has {allowed:?}, the webhook {taken:?}");
    // Their words stand beside the value.
    let values = std::fs::read_to_string(chart().join("values.yaml"))?;
    let lacking: Vec<_> = taken.into_iter().filter(|name| !values.contains(name)).collect();
    ensure!(lacking.is_empty(), "values.yaml does not name {lacking:?}");
    Ok(())
}

fn compare(values: &Value, schema: &Value, whole: &Value, path: &str) -> Result<()> {
    // Told in comments: with a default, giving one of the two would need the other to be taken back.
    const WITHOUT_DEFAULT: [&str; 3] =
        [".podDisruptionBudget.minAvailable", ".podDisruptionBudget.maxUnavailable", ".global"];
    let schema = match schema["$ref"].as_str() {
        Some(reference) => whole.pointer(reference.trim_start_matches('#')).context("a dangling $ref")?,
        None => schema,
    };
    let Some(properties) = schema["properties"].as_object() else {
        let ranged =
            ["type", "enum", "const", "pattern", "additionalProperties"].iter().any(|key| !schema[key].is_null());
        ensure!(ranged, "{path} is not in the schema");
        return Ok(());
    };
    ensure!(schema["additionalProperties"] == false, "{path} takes unknown keys");
    let Some(values) = values.as_object() else { return Ok(()) };
    for (key, value) in values {
        let inner = properties.get(key).with_context(|| format!("{path}.{key} is not in the schema"))?;
        compare(value, inner, whole, &format!("{path}.{key}"))?;
    }
    // Free objects, such as an issuer's reference, are empty at first.
    let free = values.is_empty() || ["requests", "limits", "resources"].iter().any(|part| path.ends_with(part));
    for key in properties.keys().filter(|_| !free) {
        let path = format!("{path}.{key}");
        ensure!(values.contains_key(key) || WITHOUT_DEFAULT.contains(&&*path), "{path} is not in values.yaml");
    }
    Ok(())
}

/// It asks for its identity as everybody does, and is in no selector of the webhook's own.
pub(crate) fn the_test_pod_is_like_any_other(helm: &Helm) -> Result<()> {
    let of = |rendered: &Rendered, kind: &str| -> Result<Value> {
        let found = rendered.objects.iter().find(|object| object["kind"] == kind && hook(object) == Some("test"));
        found.cloned().with_context(|| format!("no {kind}"))
    };
    let rendered = helm.render("")?;
    let pod = of(&rendered, "Pod")?;
    ensure!(
        pod["metadata"]["labels"]["azure.workload.identity/use"] == "true" && pod["metadata"]["namespace"] == NAMESPACE
    );
    let selector = rendered.at("Service/spec/selector")?.as_object().context("selector")?;
    ensure!(
        selector.iter().any(|(key, value)| pod["metadata"]["labels"][key] != *value),
        "the Service takes it for a replica"
    );
    // What a policy demands of every pod it has as well.
    let marked = helm.render(
        "{labels: {team: a}, podLabels: {tier: b, app.kubernetes.io/component: c}, podAnnotations: {note: d}}",
    )?;
    let marks = of(&marked, "Pod")?["metadata"].clone();
    let (labels, annotations) = (&marks["labels"], &marks["annotations"]);
    ensure!(labels["team"] == "a" && labels["tier"] == "b" && annotations["note"] == "d", "{marks}");
    ensure!(labels["app.kubernetes.io/component"] == "test" && annotations["helm.sh/hook"] == "test", "{marks}");
    ensure!(pod["spec"]["containers"][0]["env"].is_null(), "without an identity nothing is asked of Entra");
    let account = of(&rendered, "ServiceAccount")?;
    ensure!(
        account["metadata"]["annotations"]["azure.workload.identity/tenant-id"].is_string(),
        "else the pod is refused"
    );

    let client = "e94b0c53-7f82-4a1d-8c6e-3d5a1b92f470";
    let values = format!(
        "{{azureTenantID: contoso.example, test: {{clientId: {client}}}, sidecar: {{variables: {{HTTPS_PROXY: 'http://p:1'}}}}}}"
    );
    let rendered = helm.render(&values)?;
    let account = of(&rendered, "ServiceAccount")?;
    ensure!(account["metadata"]["annotations"]["azure.workload.identity/client-id"] == client);
    ensure!(account["metadata"]["annotations"]["azure.workload.identity/tenant-id"].is_null());
    let variables = &of(&rendered, "Pod")?["spec"]["containers"][0]["env"];
    ensure!(variables[0] == json!({"name": "PODBADGE_CHECK_RESOURCE", "value": "https://management.azure.com"}));
    ensure!(variables[1] == json!({"name": "HTTPS_PROXY", "value": "http://p:1"}), "{variables}");
    Ok(())
}

/// By the command and under the name of docs/release.md; what is packed renders as what was.
pub(crate) fn it_is_packed_as_documented(helm: &Helm) -> Result<()> {
    let page = std::fs::read_to_string(root().join("docs/release.md"))?;
    let archive =
        page.split("helm push target/").nth(1).and_then(|rest| rest.split(' ').next()).context("no helm push")?;
    ensure!(page.contains("helm package manifests/chart --destination target\n"), "no helm package");
    let folder = tempfile::tempdir()?;
    helm.package(folder.path())?;
    let packed = helm.render_of(&folder.path().join(archive), "prometheusRule: {enabled: true}")?;
    ensure!(packed.objects == helm.render("prometheusRule: {enabled: true}")?.objects);
    Ok(())
}
