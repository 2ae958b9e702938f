//! What the author of a service account should know.

use super::keys::{self, Form, On, Place};
use crate::{
    annotation, contract,
    identity::ServiceAccount,
    pod::{Keys, Metadata, Pod},
    settings::Settings,
    value::excerpt,
    warning::Warning,
};
use podbadge_sidecar_core::ids::{ClientId, TenantId};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// Judges a value; an error says what it must be.
type Judge = fn(&str) -> Result<(), String>;

/// The values that are judged by themselves.
const JUDGES: [(&str, Judge); 4] = [
    (contract::ALLOWED_CLIENT_IDS, allowed_client_ids),
    (contract::IDENTITY_MAP, identity_map),
    (contract::AUDIENCE, audience),
    (contract::AUTHORITY_HOST, authority_host),
];

/// Reviews the labels and annotations of a service account.
pub(super) fn review(account: &Metadata<'_>, settings: &Settings, suffix: Option<&str>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let annotations = &account.annotations;
    keys::unknown_of(On::ServiceAccount, account, suffix, &mut warnings);
    client_id(annotations, &mut warnings);
    tenant_id(annotations, &mut warnings);
    refusals(annotations, settings, &mut warnings);
    for (key, judge) in JUDGES {
        let judged = annotations.value(key).map(|value| (value, judge(value)));
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
    if let Some(rule) = wrong {
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
        annotation::sidecar(&pod, &account, warnings).err(),
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

fn allowed_client_ids(value: &str) -> Result<(), String> {
    let mut ids = value.split(';').map(str::trim).filter(|id| !id.is_empty()).peekable();
    let none = ids.peek().is_none();
    match ids.find(|id| id.parse::<ClientId>().is_err()) {
        Some(odd) => Err(format!("must be client ids separated by semicolons, and {:?} is no GUID", excerpt(odd))),
        None if none => Err("must be at least one client id".to_owned()),
        None => Ok(()),
    }
}

fn identity_map(value: &str) -> Result<(), String> {
    let object = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(value);
    object.map(drop).map_err(|_| "must be a JSON object of object ids and resource ids".to_owned())
}

fn audience(value: &str) -> Result<(), String> {
    let word =
        !value.is_empty() && !value.contains(|character: char| character.is_whitespace() || character.is_control());
    if word { Ok(()) } else { Err("must be one word, not empty".to_owned()) }
}

/// As strict as needs be to find what people mistake: another scheme, a path to a tenant, blanks.
fn authority_host(value: &str) -> Result<(), String> {
    let host = value.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    let odd = |character: char| character.is_whitespace() || character.is_control() || "?#@\\".contains(character);
    if host.is_some_and(|host| !host.is_empty() && !host.starts_with(':')) && !value.contains(odd) {
        Ok(())
    } else {
        Err("must be an https URL with a host, without user, query or fragment".to_owned())
    }
}

#[cfg(test)]
mod tests;
