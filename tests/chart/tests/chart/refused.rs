//! Values that cannot be meant.

use anyhow::{Result, ensure};

use crate::render::Helm;

const NO_REGISTRY: &str = "image.registry: say where the images are, for example registry.example.com/team; docs/release.md says how they get there";

/// What is refused, and the words that must be there: where, and what else it may be.
const CASES: &[(&str, &[&str])] = &[
    ("replicas: 3", &["replicas", "not allowed"]),
    ("image: {tag: v1}", &["/image", "'tag'", "not allowed"]),
    ("sidecar: {image: {registry: r}}", &["/sidecar/image", "'registry'"]),
    ("tls: {certManager: {issuerRef: {kind: ClusterIssuer}}}", &["/tls/certManager/issuerRef", "name"]),
    ("replicaCount: many", &["/replicaCount", "want integer"]),
    ("replicaCount: 0", &["/replicaCount", "minimum"]),
    ("sidecar: {variables: {HTTP_PROXY: 'http://p:1'}}", &["/sidecar/variables", "'HTTP_PROXY'", "not allowed"]),
    ("sidecar: {variables: {PODBADGE_LOG: ''}}", &["/sidecar/variables/PODBADGE_LOG", "minLength"]),
    (
        "{podMonitor: {enabled: true}, serviceMonitor: {enabled: true}}",
        &["podMonitor and serviceMonitor scrape the same"],
    ),
    ("service: {targetPort: 70000}", &["/service/targetPort", "maximum"]),
    ("service: {type: ExternalName}", &["/service/type", "ClusterIP"]),
    ("metricsAddr: 127.0.0.1:8095", &["/metricsAddr", "pattern"]),
    ("metricsAddr: ':0'", &["metricsAddr: port 0 must be one of 1 to 65535"]),
    ("metricsAddr: ':65536'", &["metricsAddr: port 65536 must"]),
    (
        "sidecar: {hostNetworkPorts: 18999-18000}",
        &["sidecar.hostNetworkPorts: 18999-18000 must be two ports of 1024 to 65535, the lower one first"],
    ),
    ("sidecar: {hostNetworkPorts: 1023-2000}", &["sidecar.hostNetworkPorts: 1023-2000"]),
    ("sidecar: {hostNetworkPorts: 65000-65536}", &["sidecar.hostNetworkPorts: 65000-65536"]),
    ("sidecar: {hostNetworkPorts: 18000}", &["/sidecar/hostNetworkPorts", "want string"]),
    ("metricsBackend: stackdriver", &["/metricsBackend"]),
    ("azureEnvironment: AzureGermanCloud", &["/azureEnvironment", "AzurePublicCloud"]),
    ("authorityHost: http://login.example", &["/authorityHost", "https"]),
    ("annotatedServiceAccounts: yes please", &["/annotatedServiceAccounts", "observe"]),
    ("excludedNamespaces: [Kube_System]", &["/excludedNamespaces/0"]),
    ("heal: sometimes", &["/heal", "report"]),
    ("healInterval: 1", &["/healInterval", "minimum"]),
    ("healEvictionsPerMinute: 601", &["/healEvictionsPerMinute", "maximum"]),
    ("image: {registry: ''}", &[NO_REGISTRY]),
    ("image: {registry: '', repository: team/webhook}", &[NO_REGISTRY]),
    // Of the two images each needs one.
    ("image: {registry: '', repository: registry.example/webhook}", &[NO_REGISTRY]),
    ("image: {registry: '', repository: registry.example/azure/workload-identity/webhook}", &[NO_REGISTRY]),
    ("image: {registry: 'https://registry.example'}", &["/image/registry", "'https://registry.example'"]),
    ("image: {registry: registry.example//}", &["/image/registry", "pattern"]),
    // Docker Hub's, which is to be said.
    ("image: {registry: team}", &[NO_REGISTRY]),
    ("image: {digest: 'sha256:short'}", &["/image/digest", "pattern"]),
    ("image: {pullPolicy: Sometimes}", &["/image/pullPolicy", "IfNotPresent"]),
    ("tls: {mode: none}", &["/tls/mode", "cert-manager"]),
    ("tls: {certManager: {duration: a year}}", &["/tls/certManager/duration", "pattern"]),
    ("tls: {selfManaged: {duration: 90d}}", &["/tls/selfManaged/duration", "pattern"]),
    ("tls: {selfManaged: {duration: 59m}}", &["tls.selfManaged: duration 59m must be 1h or more"]),
    ("tls: {selfManaged: {duration: 2921h}}", &["tls.selfManaged: duration 2921h", "at most a third of caDuration"]),
    ("tls: {selfManaged: {caDuration: 87601h}}", &["caDuration 87601h at most 87600h"]),
    ("tls: {certManager: {duration: 720h}}", &["tls.certManager: renewBefore 720h must be less than duration 720h"]),
    ("tls: {certManager: {caDuration: 2159h59m}}", &["duration 2160h, and that at most caDuration 2159h59m"]),
    ("tls: {minVersion: '1.1'}", &["/tls/minVersion", "1.2"]),
    ("tls: {mode: files}", &["tls.mode files needs tls.secretName"]),
    ("tls: {caBundle: QUJD}", &["tls.caBundle is for tls.mode files"]),
    ("podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}", &["minAvailable or maxUnavailable, not both"]),
    (
        "podDisruptionBudget: {minAvailable: 2}",
        &["podDisruptionBudget: all 2 replicas would have to stay", "maxUnavailable 1"],
    ),
    ("{replicaCount: 3, podDisruptionBudget: {minAvailable: 67%}}", &["podDisruptionBudget: all 3 replicas"]),
    ("podDisruptionBudget: {minAvailable: 100%}", &["podDisruptionBudget: all 2 replicas"]),
    ("podDisruptionBudget: {maxUnavailable: 0}", &["podDisruptionBudget: all 2 replicas"]),
    ("podDisruptionBudget: {maxUnavailable: 0%}", &["podDisruptionBudget: all 2 replicas"]),
    ("podDisruptionBudget: {minAvailable: half}", &["/podDisruptionBudget/minAvailable", "pattern"]),
    ("networkPolicy: {apiServers: [everywhere]}", &["/networkPolicy/apiServers/0", "pattern"]),
    ("networkPolicy: {admissionFrom: [everywhere]}", &["/networkPolicy/admissionFrom/0", "pattern"]),
    ("networkPolicy: {admissionFrom: [{}]}", &["/networkPolicy/admissionFrom/0", "minProperties"]),
    ("networkPolicy: {apiServerPorts: []}", &["/networkPolicy/apiServerPorts", "minItems"]),
    ("test: {clientId: orders}", &["/test/clientId", "pattern"]),
    ("sidecar: {caData: /etc/ca.pem}", &["/sidecar/caData", "pattern"]),
    (
        "sidecar: {podMonitor: {enabled: true}}",
        &["sidecar.podMonitor needs sidecar.variables.PODBADGE_METRICS_ADDRESS"],
    ),
    ("sidecar: {mode: iptables}", &["/sidecar/mode", "redirect"]),
    ("labels: {app.kubernetes.io/component: x}", &["/labels/app.kubernetes.io~1component", "want null"]),
    ("labels: {app.kubernetes.io/name: x}", &["/labels/app.kubernetes.io~1name", "want null"]),
    ("labels: {app.kubernetes.io/instance: x}", &["/labels/app.kubernetes.io~1instance", "want null"]),
    ("logLevel: loud", &["/logLevel", "debug"]),
    ("extraEnv: [{name: POD_NAME, value: x}]", &["extraEnv: POD_NAME is the chart's own"]),
    ("extraEnv: [{value: x}]", &["/extraEnv/0", "name"]),
    ("extraVolumes: [{name: tls, emptyDir: {}}]", &["extraVolumes: the name tls is the chart's own"]),
    ("{metricsAddr: ':9443'}", &["metricsAddr and service.targetPort are both 9443"]),
    ("mutatingWebhookNamespaceSelector: {matchExpressions: [{key: a, operator: Is}]}", &["operator", "NotIn"]),
    ("resources: {limits: {gpu: 1}}", &["/resources/limits", "'gpu'"]),
];

pub(crate) fn what_is_wrong_is_named(helm: &Helm) -> Result<()> {
    let mut faults = Vec::new();
    for (values, words) in CASES {
        match helm.render(values) {
            Ok(_) => faults.push(format!("accepted: {values}")),
            Err(error) => {
                let error = error.to_string();
                faults.extend(
                    words
                        .iter()
                        .filter(|word| !error.contains(**word))
                        .map(|word| format!("{values}: no {word:?} in {error}")),
                );
            }
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}
