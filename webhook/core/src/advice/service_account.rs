//! What the author of a service account should know.

use super::keys::{self, Form, On, Place};
use crate::{
    annotation, contract,
    identity::{Namespace, ServiceAccount},
    pod::{Keys, Metadata, Pod},
    settings::Settings,
    value::{bounded, excerpt, is_word},
    warning::Warning,
};
use podbadge_sidecar_core::{
    authority::AuthorityHost,
    identity::{AllowedClientIds, IdentityMap},
    ids::{ClientId, TenantId},
};
use std::{fmt::Display, str::FromStr};

/// Judges a value; an error says what it must be.
type Judge = fn(&str) -> Result<(), String>;

/// The values that are judged by themselves.
const JUDGES: [(&str, Judge); 4] = [
    (contract::ALLOWED_CLIENT_IDS, judge::<AllowedClientIds>),
    (contract::IDENTITY_MAP, judge::<IdentityMap>),
    (contract::AUDIENCE, audience),
    (contract::AUTHORITY_HOST, judge::<AuthorityHost>),
];

/// Reviews the labels and annotations of a service account.
pub(super) fn review(account: &Metadata<'_>, settings: &Settings) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let annotations = &account.annotations;
    keys::unknown_of(On::ServiceAccount, account, settings.token_endpoint_suffix(), &mut warnings);
    client_id(annotations, &mut warnings);
    tenant_id(annotations, &mut warnings);
    refusals(annotations, settings, &mut warnings);
    for (key, judge) in JUDGES {
        let within = |value| bounded(key, value).map_err(|wrong| wrong.to_string());
        let judged = annotations.value(key).map(|value| (value, within(value).and_then(judge)));
        if let Some((value, Err(rule))) = judged {
            warnings.push(Warning::mistake(format!("annotation {key} is {:?}; it {rule}", excerpt(value))));
        }
    }
    without_client_id(annotations, &mut warnings);
    warnings
}

fn client_id(annotations: &Keys<'_>, warnings: &mut Vec<Warning>) {
    const KEY: &str = contract::CLIENT_ID;
    let Some(value) = annotations.value(KEY) else {
        return;
    };
    if value.trim().is_empty() {
        warnings.push(Warning::mistake(format!("annotation {KEY} is empty, so this service account opts no pod in")));
    } else {
        id(KEY, value, value.trim().parse::<ClientId>().err(), warnings);
    }
}

fn tenant_id(annotations: &Keys<'_>, warnings: &mut Vec<Warning>) {
    const KEY: &str = contract::TENANT_ID;
    let Some(value) = annotations.value(KEY) else {
        return;
    };
    if value.trim().is_empty() {
        let text = format!("annotation {KEY} is empty; the tenant of the namespace or of the installation counts");
        warnings.push(Warning::new(text));
    } else {
        id(KEY, value, value.trim().parse::<TenantId>().err(), warnings);
    }
}

fn id(key: &str, value: &str, wrong: Option<podbadge_sidecar_core::ids::Invalid>, warnings: &mut Vec<Warning>) {
    if let Err(wrong) = bounded(key, value) {
        warnings.push(Warning::mistake(format!("annotation {key} is {:?}; it {wrong}", wrong.excerpt)));
    } else if let Some(rule) = wrong {
        let value = excerpt(value);
        warnings.push(Warning::mistake(format!("annotation {key} is {value:?}; it {rule}, or Entra will not find it")));
    } else if value.trim() != value {
        let value = excerpt(value);
        let text = format!("annotation {key} is {value:?}, with blanks around it; only Podbadge passes over them");
        warnings.push(Warning::mistake(text));
    }
}

/// What its pods would be refused for, whatever they say themselves: judged as with a pod that says nothing.
fn refusals(annotations: &Keys<'_>, settings: &Settings, warnings: &mut Vec<Warning>) {
    let account = ServiceAccount::from_annotations(annotations.iter());
    let pod = Pod::default();
    let refusals = [
        annotation::expiration(&pod, &account, settings.expiration).err(),
        annotation::sidecar(&pod, &account, &Namespace::default(), settings, warnings).err(),
    ];
    warnings.extend(refusals.into_iter().flatten().map(|denial| Warning::mistake(denial.to_string())));
}

/// Its other annotations count for labelled pods, so this may well be meant.
fn without_client_id(annotations: &Keys<'_>, warnings: &mut Vec<Warning>) {
    let place = Place { on: On::ServiceAccount, form: Form::Annotation };
    if annotations.value(contract::CLIENT_ID).is_some() {
        return;
    }
    if let Some((key, _)) = annotations.iter().find(|(key, _)| keys::is_known(place, key)) {
        warnings.push(Warning::new(format!(
            "annotation {key} counts for labelled pods only: without {} this service account opts no pod in",
            contract::CLIENT_ID
        )));
    }
}

fn judge<T: FromStr<Err: Display>>(value: &str) -> Result<(), String> {
    value.trim().parse::<T>().map(drop).map_err(|rule| rule.to_string())
}

fn audience(value: &str) -> Result<(), String> {
    if is_word(value) { Ok(()) } else { Err("must be one word, not empty".to_owned()) }
}

#[cfg(test)]
mod tests;
