//! The node's sign of life: without it the controllers evict its pods.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::NAME;

/// The kubelet's own rhythm.
const EVERY: Duration = Duration::from_secs(10);

pub(super) async fn run(client: Client) {
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        let now = Timestamp::now();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NAME},
            "spec": {"holderIdentity": NAME, "leaseDurationSeconds": 40, "renewTime": format!("{now:.6}")},
        });
        if let Err(error) = leases.patch(NAME, &PatchParams::apply("node").force(), &Patch::Apply(lease)).await {
            eprintln!("node: the lease is not renewed: {error}");
        }
    }
}
