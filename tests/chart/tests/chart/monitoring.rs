//! Alerts and dashboard: that they load, and that what they ask for exists. Which metrics exist stands in docs/metrics.md,
//! which the processes' own tests compare with what they serve.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use promql_parser::parser::{self, Expr};
use serde_json::Value;

use crate::render::{Helm, root};

/// A query, with where it stands.
struct Query {
    place: String,
    text: String,
}

pub(crate) fn the_rules_parse(helm: &Helm) -> Result<()> {
    for Query { place, text } in rules()? {
        parse(&text).with_context(|| place)?;
    }
    // Those of the Prometheus operator are the same ones, whatever templates they hold.
    let rendered = helm.render("prometheusRule: {enabled: true}")?;
    let plain: Value = serde_norway::from_str(&read("manifests/monitoring/rules.yaml")?)?;
    ensure!(rendered.one("PrometheusRule")?["spec"] == plain);
    let mut names = BTreeSet::new();
    for rule in each(&plain["groups"]).flat_map(|group| each(&group["rules"])) {
        let name = rule["alert"].as_str().context("an alert's name")?;
        ensure!(names.insert(name), "{name} is there twice");
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        ensure!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        ensure!(rule["annotations"]["summary"].is_string() && rule["annotations"]["description"].is_string(), "{name}");
    }
    Ok(())
}

/// What a mode never does is not missed there, and what is late depends on when it is due.
pub(crate) fn the_rules_fit_the_certificates(helm: &Helm) -> Result<()> {
    let of = |values: &str, alert: &str| -> Result<Option<(String, String)>> {
        let rendered =
            helm.render(&format!("{{prometheusRule: {{enabled: true}}, tls: {values}}}")).context(values.to_owned())?;
        let rules = each(&rendered.one("PrometheusRule")?["spec"]["groups"]).flat_map(|group| each(&group["rules"]));
        let mut found = rules.filter(|rule| rule["alert"] == alert);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(found.next().map(|rule| (text(&rule["expr"]), text(&rule["for"]))))
    };
    for (values, alert, compared) in [
        ("{}", "PodbadgeNobodyIssues", Some("== 0")),
        ("{mode: cert-manager}", "PodbadgeNobodyIssues", None),
        ("{mode: files, secretName: s}", "PodbadgeNobodyIssues", None),
        ("{mode: files, secretName: s}", "PodbadgeCertificateLate", None),
        ("{mode: files, secretName: s}", "PodbadgeCertificateEnds", Some("< 3 * 86400")),
        ("{mode: cert-manager}", "PodbadgeCertificateLate", Some("< 20 * 86400")),
        // Renewed when 112 hours are left.
        ("{selfManaged: {duration: 336h}}", "PodbadgeCertificateLate", Some("< 268800")),
        ("{selfManaged: {duration: 336h}}", "PodbadgeCertificateEnds", Some("< 134400")),
        // Renewed when sixty days are left.
        ("{mode: cert-manager, certManager: {renewBefore: 1440h}}", "PodbadgeCertificateLate", Some("< 3456000")),
        ("{mode: cert-manager, certManager: {renewBefore: 1440h}}", "PodbadgeCertificateEnds", Some("< 259200")),
    ] {
        let found = of(values, alert)?;
        ensure!(found.is_some() == compared.is_some(), "{values}: {alert} is {found:?}");
        let ends = found.as_ref().zip(compared).is_none_or(|((found, _), compared)| found.ends_with(compared));
        ensure!(ends, "{values}: {alert} is {found:?}");
    }
    // An alert comes while there is something left to be done, and stays away while all is well.
    for (values, alert, expected) in [
        ("{selfManaged: {duration: 336h}}", "PodbadgeCertificateEnds", ("< 134400", "1h")),
        // Renewed when eight hours are left.
        ("{selfManaged: {duration: 24h}}", "PodbadgeCertificateLate", ("< 19200", "1200s")),
        ("{selfManaged: {duration: 24h}}", "PodbadgeCertificateEnds", ("< 9600", "1200s")),
        ("{selfManaged: {duration: 1h}}", "PodbadgeCertificateEnds", ("< 400", "50s")),
        // What does not look at the end waits as long as ever.
        ("{selfManaged: {duration: 1h}}", "PodbadgeCertificateCareFails", ("> 5", "1h")),
        (
            "{mode: cert-manager, certManager: {duration: 24h, renewBefore: 12h}}",
            "PodbadgeCertificateEnds",
            ("< 14400", "1800s"),
        ),
        ("{mode: files, secretName: s, files: {renewBefore: 12h}}", "PodbadgeCertificateEnds", ("< 14400", "1800s")),
        ("{mode: files, secretName: s, files: {renewBefore: 168h}}", "PodbadgeCertificateEnds", ("< 201600", "1h")),
    ] {
        let found = of(values, alert)?.with_context(|| format!("{values}: no {alert}"))?;
        ensure!(found.0.ends_with(expected.0) && found.1 == expected.1, "{values}: {alert} is {found:?}");
    }
    Ok(())
}

/// Whoever is woken finds what to do, and finds it where the alert says.
pub(crate) fn every_alert_has_its_page(_: &Helm) -> Result<()> {
    let page = read("docs/operating.md")?;
    let headings: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|heading| heading.starts_with("Podbadge"))
        .collect();
    let rules: Value = serde_norway::from_str(&read("manifests/monitoring/rules.yaml")?)?;
    let mut alerts = BTreeSet::new();
    for rule in each(&rules["groups"]).flat_map(|group| each(&group["rules"])) {
        let alert = rule["alert"].as_str().context("an alert's name")?;
        let description = rule["annotations"]["description"].as_str().unwrap_or_default();
        let place = format!("Runbook: docs/operating.md#{}", alert.to_lowercase());
        ensure!(description.ends_with(&place), "{alert} does not end with {place}");
        alerts.insert(alert);
    }
    ensure!(headings == alerts, "docs/operating.md has {headings:?}, the rules have {alerts:?}");
    // Each says the same three things.
    for section in page.split("\n### Podbadge").skip(1) {
        let section = section.split("\n## ").next().unwrap_or_default();
        for part in ["**Noticed**", "**Look**", "**Do**"] {
            ensure!(section.contains(part), "no {part} in Podbadge{section}");
        }
    }
    Ok(())
}

pub(crate) fn the_dashboard_parses(helm: &Helm) -> Result<()> {
    for Query { place, text } in dashboard()? {
        parse(&text).with_context(|| place)?;
    }
    let rendered = helm.render("dashboard: {enabled: true}")?;
    let text = rendered.at("ConfigMap/data/podbadge.json")?.as_str().context("no text")?;
    let within: Value = serde_json::from_str(text)?;
    ensure!(within == serde_json::from_str::<Value>(&read("manifests/monitoring/dashboard.json")?)?);
    let ids: Vec<_> = each(&within["panels"]).map(|panel| panel["id"].to_string()).collect();
    ensure!(ids.iter().collect::<BTreeSet<_>>().len() == ids.len(), "two panels have one id");
    Ok(())
}

/// A misspelt name would never alert and never show.
pub(crate) fn every_metric_is_one_of_ours(_: &Helm) -> Result<()> {
    let known = documented()?;
    for Query { place, text } in rules()?.into_iter().chain(dashboard()?) {
        for (name, labels) in asked(&text)? {
            let of = known.iter().find(|metric| metric.samples().any(|sample| sample == name));
            let of = of.with_context(|| format!("{place}: no process has {name}"))?;
            for label in labels {
                ensure!(of.labels.contains(&label), "{place}: {name} has no label {label}");
            }
        }
    }
    Ok(())
}

/// The dashboard shows all there is.
pub(crate) fn every_metric_is_looked_at(_: &Helm) -> Result<()> {
    let mut seen = BTreeSet::new();
    for Query { text, .. } in dashboard()? {
        seen.extend(asked(&text)?.into_iter().map(|(name, _)| name));
    }
    for metric in documented()? {
        ensure!(metric.samples().any(|sample| seen.contains(&sample)), "the dashboard does not show {}", metric.name);
    }
    Ok(())
}

/// A metric of docs/metrics.md.
struct Metric {
    name: String,
    kind: String,
    labels: Vec<String>,
}

impl Metric {
    /// The names that its samples have.
    fn samples(&self) -> impl Iterator<Item = String> {
        let ends: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        ends.iter().map(|end| format!("{}{end}", self.name))
    }
}

fn documented() -> Result<Vec<Metric>> {
    let text = read("docs/metrics.md")?;
    let rows = text.lines().filter(|line| line.starts_with("| `podbadge_"));
    let metrics: Vec<_> = rows
        .filter_map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', ""));
            let (name, kind, labels) = (cells.next()?, cells.next()?, cells.next()?);
            let labels = labels.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
            Some(Metric { name, kind, labels: labels.collect() })
        })
        .collect();
    ensure!(metrics.len() > 20, "docs/metrics.md has {} metrics", metrics.len());
    Ok(metrics)
}

fn rules() -> Result<Vec<Query>> {
    let rules: Value = serde_norway::from_str(&read("manifests/monitoring/rules.yaml")?)?;
    let rules = each(&rules["groups"]).flat_map(|group| each(&group["rules"]));
    rules
        .map(|rule| {
            let text = rule["expr"].as_str().context("no expr")?.to_owned();
            Ok(Query { place: rule["alert"].to_string(), text })
        })
        .collect()
}

fn dashboard() -> Result<Vec<Query>> {
    let dashboard: Value = serde_json::from_str(&read("manifests/monitoring/dashboard.json")?)?;
    let panels = each(&dashboard["panels"]);
    let targets = panels.flat_map(|panel| each(&panel["targets"]).map(move |target| (&panel["title"], target)));
    targets
        .map(|(title, target)| {
            let text = target["expr"].as_str().context("no expr")?;
            // Grafana puts the interval in.
            Ok(Query { place: title.to_string(), text: text.replace("$__rate_interval", "5m") })
        })
        .collect()
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

fn parse(query: &str) -> Result<Expr> {
    parser::parse(query).map_err(|error| anyhow::anyhow!("{query}: {error}"))
}

/// The metrics that a query asks for, each with the labels that it selects by or that it is grouped by.
fn asked(query: &str) -> Result<Vec<(String, Vec<String>)>> {
    let mut found = Vec::new();
    walk(&parse(query)?, &[], &mut found)?;
    Ok(found)
}

fn walk(expression: &Expr, grouped: &[String], found: &mut Vec<(String, Vec<String>)>) -> Result<()> {
    match expression {
        Expr::Aggregate(aggregate) => {
            let mut grouped = grouped.to_vec();
            if let Some(parser::LabelModifier::Include(labels)) = &aggregate.modifier {
                // Of the pod that is scraped, or of the buckets.
                grouped.extend(
                    labels.labels.iter().filter(|label| !["le", "namespace"].contains(&label.as_str())).cloned(),
                );
            }
            walk(&aggregate.expr, &grouped, found)
        }
        Expr::Unary(unary) => walk(&unary.expr, grouped, found),
        Expr::Binary(binary) => {
            walk(&binary.lhs, grouped, found)?;
            walk(&binary.rhs, grouped, found)
        }
        Expr::Paren(paren) => walk(&paren.expr, grouped, found),
        Expr::Subquery(subquery) => walk(&subquery.expr, grouped, found),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(()),
        Expr::VectorSelector(selector) => {
            let name = selector.name.clone().context("a selector without a name")?;
            let labels = selector.matchers.matchers.iter().map(|matcher| matcher.name.clone());
            found.push((name, labels.chain(grouped.iter().cloned()).collect()));
            Ok(())
        }
        Expr::MatrixSelector(matrix) => walk(&Expr::VectorSelector(matrix.vs.clone()), grouped, found),
        Expr::Call(call) => call.args.args.iter().try_for_each(|argument| walk(argument, grouped, found)),
        Expr::Extension(_) => bail!("an extension of PromQL"),
    }
}
