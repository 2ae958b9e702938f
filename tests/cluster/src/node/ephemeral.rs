//! The containers of `kubectl debug`: they come while the pod runs, are started once, and end with it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};
use tokio::sync::watch;

use super::container::{Restart, Supervised};
use super::pod::Instance;

/// Starts what is added. Dropping it kills what it has started.
pub(super) async fn follow(instance: &Arc<Instance>, mut seen: watch::Receiver<Pod>) -> Infallible {
    let mut started: HashMap<String, Supervised> = HashMap::new();
    loop {
        let wanted = seen.borrow_and_update().spec.as_ref().and_then(|spec| spec.ephemeral_containers.clone());
        for container in wanted.into_iter().flatten() {
            if started.contains_key(&container.name) {
                continue;
            }
            match as_container(&container) {
                Ok(plain) => {
                    let supervised = Supervised::start(instance.clone(), plain, Restart::Never);
                    started.insert(container.name, supervised);
                }
                Err(error) => eprintln!("node: ephemeral container {}: {error}", container.name),
            }
        }
        if seen.changed().await.is_err() {
            // The pod is gone, and whoever runs this ends it.
            std::future::pending::<()>().await;
        }
    }
}

/// The two kinds have their fields in common, but for the container that is debugged.
fn as_container(container: &EphemeralContainer) -> serde_json::Result<Container> {
    serde_json::from_value(serde_json::to_value(container)?)
}
