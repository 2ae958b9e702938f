//! Plain manifests from the chart, so that `kubectl apply -f` alone installs.

use std::fs;
use std::path::PathBuf;

use crate::process::{Failure, command, flag, output, root, run};
use crate::tools;

const RELEASE: &str = "podbadge";
const NAMESPACE: &str = "podbadge-system";
/// The oldest Kubernetes that is supported: what renders for it installs everywhere.
const KUBERNETES: &str = "1.30.0";

const HEAD: &str = "\
# Made from manifests/chart by `cargo xtask manifests`: change the chart, not this file.
---
apiVersion: v1
kind: Namespace
metadata:
  name: podbadge-system
  labels:
    app.kubernetes.io/name: podbadge
    # The webhook needs nothing that this level forbids.
    pod-security.kubernetes.io/enforce: restricted
";

pub(crate) fn manifests(arguments: &[String]) -> Result<(), Failure> {
    let check = flag("manifests", arguments, "--check")?;
    let helm = tools::helm()?;
    let chart = root().join("manifests/chart");
    run(command(&helm).args(["lint", "--strict", "--quiet"]).arg(&chart))?;
    let rendered = output(command(&helm).args(["template", RELEASE]).arg(&chart).args([
        "--namespace",
        NAMESPACE,
        "--kube-version",
        KUBERNETES,
    ]))?;
    let wanted = format!("{HEAD}{rendered}");

    let path = path();
    let failed = |error| Failure::failed(format!("{}: {error}", path.display()));
    if !check {
        return fs::write(&path, wanted).map_err(failed);
    }
    let kept = fs::read_to_string(&path).map_err(failed)?;
    match difference(&kept, &wanted) {
        None => Ok(()),
        Some(line) => Err(Failure::failed(format!(
            "{} is out of step with the chart from line {line} on; run `cargo xtask manifests`",
            path.display()
        ))),
    }
}

fn path() -> PathBuf {
    root().join("manifests/rendered/podbadge.yaml")
}

/// The first line, counted from 1, at which the texts part.
fn difference(kept: &str, wanted: &str) -> Option<usize> {
    if kept == wanted {
        return None;
    }
    let common = kept.lines().zip(wanted.lines()).take_while(|(kept, wanted)| kept == wanted).count();
    Some(common + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_line_is_named() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(difference("a", "a\n"), Some(2));
    }

    #[test]
    fn the_namespace_comes_first_and_is_the_rendered_one() {
        let kept = fs::read_to_string(path()).unwrap();
        assert!(kept.starts_with(HEAD));
        assert!(HEAD.contains(&format!("name: {NAMESPACE}\n")));
        assert_eq!(kept.matches("\nkind: Namespace\n").count(), 1);
    }

    #[test]
    fn no_ca_bundle_is_rendered() {
        assert!(!fs::read_to_string(path()).unwrap().contains("caBundle:"));
    }
}
