//! What the author of a workload should know: its own marks, its template, and what its pods would be told.

use super::{
    Context, Object,
    keys::{self, Form, On, Place},
};
use crate::{
    annotation, contract,
    decision::{self, Known, OptIn, Outcome, Reason, Screen},
    denial::Denial,
    identity::{Namespace, ServiceAccount},
    pod::{Keys, Metadata, Pod},
    selection::Selection,
    settings::Settings,
    value::cut,
    warning::Warning,
};
use std::collections::HashSet;

/// Who would opt the template's pods in; `None` where nobody can.
pub(super) fn opt_in(template: &Pod<'_>, settings: &Settings) -> Option<OptIn> {
    match decision::screen(template, settings) {
        Screen::LookUp(opt_in) => Some(opt_in),
        Screen::Skip(_) => None,
    }
}

/// Reviews a workload of that kind.
pub(super) fn review(workload: &Object<'_>, kind: &'static str, context: Context<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let suffix = context.settings.token_endpoint_suffix();
    let nothing = Pod::default();
    let template = workload.pod_template().unwrap_or(&nothing);
    own_marks(On::Workload(kind), &workload.metadata, template, suffix, &mut warnings);
    if let Some(metadata) = workload.job_metadata() {
        own_marks(On::Workload("Job"), metadata, template, suffix, &mut warnings);
    }
    keys::unknown_of(On::Template, &template.metadata, suffix, &mut warnings);
    decision::warn_of_odd_label(template, &mut warnings);

    let mut refusals = refusals(template, context.settings, &mut warnings);
    if let (Some(known), Some(opt_in)) = (context.known, opt_in(template, context.settings)) {
        let refused = outcome(template, opt_in, known, context, &mut warnings);
        if let Some(denial) = refused {
            refusals.retain(|other| *other != denial);
            warnings.push(Warning::mistake(format!("pods of this template will be refused: {denial}")));
        }
    }
    warnings.extend(refusals.iter().map(|denial| Warning::mistake(denial.to_string())));
    warnings
}

/// Pods inherit nothing from the workload itself. What its template says as well, such as labels that a chart puts
/// everywhere, is no mistake.
fn own_marks(on: On, own: &Metadata<'_>, template: &Pod<'_>, suffix: Option<&str>, warnings: &mut Vec<Warning>) {
    for (form, marks, inherited) in [
        (Form::Label, &own.labels, &template.metadata.labels),
        (Form::Annotation, &own.annotations, &template.metadata.annotations),
    ] {
        let said: HashSet<_> = inherited.iter().map(|(key, _)| key).collect();
        let rest: Keys<'_> = marks.iter().filter(|(key, _)| !said.contains(key)).collect();
        keys::unknown(Place { on, form }, &rest, suffix, warnings);
    }
}

/// What its pods are refused for as soon as they are opted in, judged without their service account.
fn refusals(template: &Pod<'_>, settings: &Settings, warnings: &mut Vec<Warning>) -> Vec<Denial> {
    let nobody = ServiceAccount::default();
    let selection = Selection::of(template).map(|selection| selection.warn(template, warnings));
    let refusals = [
        selection.err(),
        annotation::expiration(template, &nobody, settings.expiration).err(),
        annotation::sidecar(template, &nobody, &Namespace::default(), settings, warnings).err(),
    ];
    refusals.into_iter().flatten().collect()
}

/// What a pod of the template would be told if it were created now.
fn outcome(
    template: &Pod<'_>,
    opt_in: OptIn,
    known: Known<'_>,
    context: Context<'_>,
    warnings: &mut Vec<Warning>,
) -> Option<Denial> {
    if known.service_account.is_none() {
        warnings.extend(no_service_account(template));
        return None;
    }
    // Warnings are told apart by whoever answers, so they must not have become a denial already.
    let settings = Settings { strict: false, ..context.settings.clone() };
    match decision::decide_template(template, context.namespace, opt_in, known, &settings) {
        Outcome::Deny { denial, warnings: told } => {
            warnings.extend(told);
            Some(denial)
        }
        Outcome::Allow { reason, warnings: told, .. } => {
            warnings.extend(told);
            if reason == Reason::NotOptedIn {
                warnings.extend(not_opted_in(template));
            }
            None
        }
    }
}

/// It may be created next, so that is no more than worth knowing. The `default` one, where the template names none, is
/// made by a controller.
fn no_service_account(template: &Pod<'_>) -> Option<Warning> {
    let names = [&template.spec.service_account_name, &template.spec.service_account];
    let name = names.into_iter().flatten().find(|name| !name.as_str().is_empty())?;
    let name = cut(name.as_str(), 128);
    Some(Warning::new(format!("service account {name:?} does not exist yet; until it does, no pod is created")))
}

/// Says that annotations without an opt-in do nothing.
fn not_opted_in(template: &Pod<'_>) -> Option<Warning> {
    let place = Place { on: On::Template, form: Form::Annotation };
    let (key, _) = template.metadata.annotations.iter().find(|(key, _)| keys::is_known(place, key))?;
    Some(Warning::new(format!(
        "annotation {key} does nothing: neither label {}=\"true\" nor a client id on service account {:?} opts these \
         pods in",
        contract::USE,
        cut(template.spec.service_account(), 64)
    )))
}
