//! What is said where redirecting is not possible, and that nothing was changed then.

use std::process::Output;

use crate::namespace::{INJECTED, Namespace};

/// One line on standard error, nothing on standard output.
fn complaint(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.is_empty() && err.trim_end().lines().count() == 1, "{out:?} {err:?}");
    err.into_owned()
}

fn refused(privileges: &[&str]) {
    // Where an address would have to be added too.
    let pod = Namespace::new("link set lo up");
    let network = pod.network();
    let output = pod.redirect("8000", privileges);
    let line = complaint(&output);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.starts_with("podbadge-sidecar: ") && line.contains("uid 0") && line.contains("NET_ADMIN"), "{line}");
    assert_eq!((pod.rules(), pod.network()), (String::new(), network));
}

pub(crate) fn without_the_capability() {
    refused(&["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
    refused(&["--bounding-set=-net_admin", "--inh-caps=-all", "--no-new-privs"]);
}

/// The capability does not go over to another user, though it could.
pub(crate) fn as_another_user() {
    let user = ["--reuid=65532", "--regid=65532", "--clear-groups"];
    refused(&[&user[..], &INJECTED].concat());
}

pub(crate) fn a_wrong_port() {
    let pod = Namespace::new("link set lo up");
    for port in ["0", "65536", "-1", "http", " 80"] {
        let output = pod.redirect(port, &INJECTED);
        let line = complaint(&output);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.starts_with("podbadge-sidecar: PODBADGE_PORT=") && line.contains("from 1 to 65535"), "{line}");
    }
    assert_eq!(pod.rules(), "");
}
