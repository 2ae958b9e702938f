//! Plain manifests from the chart, so that `kubectl apply -f` alone installs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{Failure, command, flag, output, root, run};
use crate::tools;

const RELEASE: &str = "podbadge";
const NAMESPACE: &str = "podbadge-system";
/// The oldest Kubernetes that is supported: what renders for it installs everywhere.
const KUBERNETES: &str = "1.30.0";
/// A host that nobody can have (RFC 2606, section 3), to be replaced: by kustomize's `images`, say.
const REGISTRY: &str = "image.registry=registry.example.com";

const HEAD: &str = "\
# Made from manifests/chart by `cargo xtask manifests`: change the chart, not this file.
# The images' registry.example.com stands for yours, in two places.
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

/// A base for overlays, which can put in images, a tenant and whatever is theirs.
const KUSTOMIZATION: &str = "\
# Made by `cargo xtask manifests`. A base to build on: examples/kustomize has an overlay.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - podbadge.yaml
";

const ALERTS_HEAD: &str = "\
# Made from manifests/chart by `cargo xtask manifests`. For a Prometheus without its operator: rules.yaml.
";

/// A file that is made from the chart.
struct Made {
    path: &'static str,
    text: String,
}

pub(crate) fn manifests(arguments: &[String]) -> Result<(), Failure> {
    let check = flag("manifests", arguments, "--check")?;
    let helm = tools::helm()?;
    run(command(&helm).args(["lint", "--strict", "--quiet", "--set", REGISTRY]).arg(chart()))?;
    for Made { path, text } in made(&helm)? {
        let path = root().join("manifests").join(path);
        let failed = |error| Failure::failed(format!("{}: {error}", path.display()));
        if !check {
            fs::write(&path, text).map_err(failed)?;
            continue;
        }
        let kept = fs::read_to_string(&path).map_err(failed)?;
        if let Some(line) = difference(&kept, &text) {
            return Err(Failure::failed(format!(
                "{} is out of step with the chart from line {line} on; run `cargo xtask manifests`",
                path.display()
            )));
        }
    }
    Ok(())
}

fn made(helm: &Path) -> Result<Vec<Made>, Failure> {
    let render = |arguments: &[&str]| {
        // Hooks are Helm's alone: nobody else would run them at their time.
        let fixed = ["--no-hooks", "--namespace", NAMESPACE, "--kube-version", KUBERNETES, "--set", REGISTRY];
        output(command(helm).args(["template", RELEASE]).arg(chart()).args(fixed).args(arguments))
    };
    let copied = |name: &str| {
        let path = chart().join("monitoring").join(name);
        fs::read_to_string(&path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
    };
    let alerts = render(&["--set", "prometheusRule.enabled=true", "--show-only", "templates/monitors.yaml"])?;
    Ok(vec![
        Made { path: RENDERED, text: format!("{HEAD}{}", render(&[])?) },
        Made { path: "rendered/kustomization.yaml", text: KUSTOMIZATION.to_owned() },
        Made { path: "monitoring/alerts.yaml", text: format!("{ALERTS_HEAD}{alerts}") },
        Made { path: "monitoring/rules.yaml", text: copied("rules.yaml")? },
        Made { path: "monitoring/dashboard.json", text: copied("dashboard.json")? },
    ])
}

fn chart() -> PathBuf {
    root().join("manifests/chart")
}

const RENDERED: &str = "rendered/podbadge.yaml";

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

    fn rendered() -> String {
        fs::read_to_string(root().join("manifests").join(RENDERED)).unwrap()
    }

    #[test]
    fn the_first_differing_line_is_named() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(difference("a", "a\n"), Some(2));
    }

    #[test]
    fn the_namespace_comes_first_and_is_the_rendered_one() {
        let kept = rendered();
        assert!(kept.starts_with(HEAD));
        assert!(HEAD.contains(&format!("name: {NAMESPACE}\n")));
        assert_eq!(kept.matches("\nkind: Namespace\n").count(), 1);
    }

    #[test]
    fn no_ca_bundle_is_rendered() {
        assert!(!rendered().contains("caBundle:"));
    }

    #[test]
    fn both_images_are_to_be_put_in() {
        for image in
            ["image: \"registry.example.com/podbadge/webhook:", "value: \"registry.example.com/podbadge/sidecar:"]
        {
            assert_eq!(rendered().matches(image).count(), 1, "{image}");
        }
    }

    #[test]
    fn no_hook_is_rendered() {
        assert!(!rendered().contains("helm.sh/hook"));
    }
}
