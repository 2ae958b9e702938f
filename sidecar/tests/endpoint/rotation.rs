//! The pod's token is replaced by the kubelet, which swaps a symbolic link, at any moment.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use tempfile::TempDir;

use crate::authority::{Authority, refusal};
use crate::pod::{IMDS, Pod, ask, assertion};

/// A projected volume as the kubelet writes it: the token is a link to `..data/token`, and `..data` one to a folder that
/// is never changed, only replaced (`AtomicWriter`).
#[derive(Clone)]
struct Volume(Arc<TempDir>);

impl Volume {
    fn new(id: &str) -> Self {
        let volume = Self(Arc::new(tempfile::tempdir().unwrap()));
        volume.write(id);
        symlink("..data/token", volume.token()).unwrap();
        volume
    }

    fn token(&self) -> PathBuf {
        self.0.path().join("token")
    }

    fn write(&self, id: &str) {
        let (data, folder) = (self.0.path().join("..data"), format!("..{id}"));
        let before = std::fs::read_link(&data).ok();
        std::fs::create_dir(self.0.path().join(&folder)).unwrap();
        std::fs::write(self.0.path().join(&folder).join("token"), assertion(id)).unwrap();
        let next = self.0.path().join("..data_tmp");
        symlink(&folder, &next).unwrap();
        std::fs::rename(&next, &data).unwrap();
        if let Some(before) = before {
            std::fs::remove_dir_all(self.0.path().join(before)).unwrap();
        }
    }
}

fn pod(authority: &Authority, volume: &Volume) -> Pod {
    let mut pod = Pod::new(authority);
    pod.set("AZURE_FEDERATED_TOKEN_FILE", volume.token().to_str().unwrap());
    pod
}

/// While the authority judges the old one, which has just ended for it.
#[tokio::test]
async fn a_swap_in_the_middle_of_an_exchange() {
    let (authority, volume) = (Authority::start().await, Volume::new("old"));
    let (swapped, late) =
        (volume.clone(), refusal(700_024, "invalid_client", "Client assertion is not within its time."));
    authority.then(move || {
        swapped.write("new");
        let answer = Response::builder().status(401).header("content-type", "application/json");
        Some(answer.body(Body::from(late)).unwrap())
    });
    let answer = pod(&authority, &volume).start().imds().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent: Vec<_> = authority.asked().into_iter().map(|asked| asked.form["client_assertion"].clone()).collect();
    assert_eq!(sent, [assertion("old"), assertion("new")]);
}

/// Whenever the file is read, it is one token or the next, whole.
#[tokio::test]
async fn swaps_at_any_moment() {
    let (authority, volume) = (Authority::start().await, Volume::new("0"));
    let sidecar = pod(&authority, &volume).start();
    let swapped = volume.clone();
    let swapping = tokio::task::spawn_blocking(move || (1..500).for_each(|id| swapped.write(&id.to_string())));
    let line = format!("GET {IMDS}&bypass_cache=true");
    while !swapping.is_finished() {
        let answer = ask(sidecar.address, &line, "Metadata: true\r\n").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    swapping.await.unwrap();
    assert_eq!(ask(sidecar.address, &line, "Metadata: true\r\n").await.status, 200);
    let whole: BTreeSet<_> = (0..500).map(|id| assertion(&id.to_string())).collect();
    let asked = authority.asked();
    assert!(asked.len() > 1 && asked.iter().all(|asked| whole.contains(&asked.form["client_assertion"])));
    assert_eq!(asked.last().unwrap().form["client_assertion"], assertion("499"));
}
