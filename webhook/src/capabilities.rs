//! Which features the cluster is known to have, from what its API server tells at the start.

use podbadge_runtime::backoff::Backoff;
use std::{future::Future, time::Duration};

/// The first API server version whose oldest supported kubelet (three minor versions back) runs native sidecars
/// (<https://kubernetes.io/releases/version-skew-policy/#kubelet>).
const NATIVE_SIDECAR: (u32, u32) = (1, 32);

const CERTIFICATES: &str = "certificates.k8s.io";

/// How long one try may take; a connection that goes nowhere would otherwise be waited for without end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether every kubelet of a cluster with this API server runs native sidecars; `None` where the version says nothing.
fn native_sidecar(major: &str, minor: &str) -> Option<bool> {
    // Managed clusters write minor versions such as "32+".
    let number = |text: &str| text.trim_end_matches(|digit: char| !digit.is_ascii_digit()).parse::<u32>().ok();
    Some((number(major)?, number(minor)?) >= NATIVE_SIDECAR)
}

/// Asks for the version until there is one. One that says nothing means the way that works everywhere.
pub(crate) async fn has_native_sidecar(client: &kube::Client) -> bool {
    let version = insist(|| client.apiserver_version()).await;
    native_sidecar(&version.major, &version.minor).unwrap_or_else(|| {
        tracing::warn!(version = version.git_version, "Server version not understood, no native sidecars");
        false
    })
}

/// Asks whether there are ClusterTrustBundles, in any version, until there is an answer. An API server without them takes a
/// volume of such a bundle and drops the bundle without a word.
pub(crate) async fn has_trust_bundles(client: &kube::Client) -> bool {
    let groups = insist(|| client.list_api_groups()).await;
    let versions =
        groups.groups.into_iter().filter(|group| group.name == CERTIFICATES).flat_map(|group| group.versions);
    for version in versions {
        let resources = insist(|| client.list_api_group_resources(&version.group_version)).await;
        if resources.resources.iter().any(|resource| resource.name == "clustertrustbundles") {
            return true;
        }
    }
    tracing::warn!(
        "This API server has no ClusterTrustBundles: pods that ask for the custom token endpoint are denied"
    );
    false
}

async fn insist<T, F: Future<Output = kube::Result<T>>>(ask: impl Fn() -> F) -> T {
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    let mut failures = 0;
    loop {
        let error = match tokio::time::timeout(PATIENCE, ask()).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        tracing::warn!(error, "API server not reached, trying again");
        failures += 1;
        tokio::time::sleep(backoff.delay(failures, 1.0)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_sidecars_need_an_api_server_of_1_32() {
        for (major, minor, expected) in [
            ("1", "31", Some(false)),
            ("1", "32", Some(true)),
            ("1", "33+", Some(true)),
            ("1", "27-gke.1", None),
            ("2", "0", Some(true)),
            ("", "", None),
            ("1", "x", None),
        ] {
            assert_eq!(native_sidecar(major, minor), expected, "{major}.{minor}");
        }
    }
}
