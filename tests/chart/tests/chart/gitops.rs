//! What tools see that render the chart and run none of its hooks.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};

use crate::render::{Helm, hook, root};

const WAVE: &str = "argocd.argoproj.io/sync-wave";

/// Whoever waits for a Deployment before the configuration that has it asked waits for ever: no replica is ready before it is
/// trusted. Whoever deletes what answers before who asks has pods refused.
pub(crate) fn waves_come_and_go_in_order(helm: &Helm) -> Result<()> {
    let mutating = "mutatingWebhookAnnotations: {note: x}";
    let rendered = helm.render(&format!("{{validatingAdmissionPolicy: {{enabled: true}}, {mutating}}}"))?;
    let mut waves = BTreeMap::new();
    for object in rendered.objects.iter().filter(|object| hook(object).is_none()) {
        let wave = object["metadata"]["annotations"][WAVE].as_str().unwrap_or("0").parse::<u8>()?;
        let kind = object["kind"].as_str().context("an object without a kind")?;
        let before = waves.insert(kind, wave);
        ensure!(before.is_none_or(|before| before == wave), "{kind} is in two waves");
    }
    ensure!(waves["Deployment"] == waves["MutatingWebhookConfiguration"], "{waves:?}");
    for needed in
        ["Service", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ResourceQuota"]
    {
        ensure!(waves[needed] < waves["Deployment"], "{needed}: {waves:?}");
    }
    // Refuses what nobody injects, or is taken for broken, while no replica is ready.
    for after in ["ValidatingAdmissionPolicyBinding", "PodDisruptionBudget"] {
        ensure!(waves[after] > waves["Deployment"], "{after}: {waves:?}");
    }
    ensure!(*rendered.at("MutatingWebhookConfiguration/metadata/annotations/note")? == "x");
    Ok(())
}

/// What nobody else removes, by the names of docs/chart.md.
pub(crate) fn what_is_left_is_documented(helm: &Helm) -> Result<()> {
    let page = std::fs::read_to_string(root().join("docs/chart.md"))?;
    let section = page.split("\n## ").find(|section| section.starts_with("GitOps")).context("no section")?;
    let deleted: BTreeSet<_> = section
        .lines()
        .filter_map(|line| line.trim().strip_prefix("kubectl --namespace podbadge-system delete "))
        .flat_map(|line| line.split(' '))
        .filter(|word| word.starts_with("podbadge-"))
        .collect();
    let rendered = helm.render("uninstallHooks: always")?;
    let left = rendered.objects.iter().filter(|object| hook(object) == Some("post-delete"));
    let left: BTreeSet<_> = left.filter_map(|object| object["metadata"]["name"].as_str()).collect();
    ensure!(left.len() == 3 && deleted == left, "the page deletes {deleted:?}, left are {left:?}");
    Ok(())
}
