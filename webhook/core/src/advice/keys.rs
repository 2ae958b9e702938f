//! The keys below our prefixes: which there are, where each belongs, and which one a misspelt one was meant to be.

use crate::{
    contract::{self, PREFIXES},
    pod::{Keys, Metadata},
    value::cut,
    warning::{MOST, Warning},
};
use std::fmt;

/// The longest key that an API server takes below our prefixes, and a little room.
const LONGEST: usize = 96;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it stands on.
    pub on: On,
    /// As what.
    pub form: Form,
}

/// What carries labels and annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// A pod that is created as such.
    Pod,
    /// The template that pods are made from.
    Template,
    /// A service account.
    ServiceAccount,
    /// A namespace.
    Namespace,
    /// The metadata of a workload itself, which its pods do not inherit; by the name of its kind.
    Workload(&'static str),
}

/// The two kinds of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In `metadata.labels`.
    Label,
    /// In `metadata.annotations`.
    Annotation,
}

struct Key {
    name: &'static str,
    form: Form,
    /// Where it belongs, the usual place first. Pods stand for templates as well.
    homes: &'static [On],
}

const POD: &[On] = &[On::Pod];
const ACCOUNT: &[On] = &[On::ServiceAccount];
const ACCOUNT_AND_NAMESPACE: &[On] = &[On::ServiceAccount, On::Namespace];
const POD_AND_ACCOUNT: &[On] = &[On::Pod, On::ServiceAccount];

/// All keys, but for the one that ends in the operator's suffix.
const KEYS: [Key; 15] = [
    Key { name: contract::USE, form: Form::Label, homes: POD },
    annotation(contract::CLIENT_ID, ACCOUNT_AND_NAMESPACE),
    annotation(contract::TENANT_ID, ACCOUNT_AND_NAMESPACE),
    annotation(contract::TOKEN_EXPIRATION, POD_AND_ACCOUNT),
    annotation(contract::SKIP_CONTAINERS, POD),
    annotation(contract::INJECT_PROXY_SIDECAR, POD),
    annotation(contract::PROXY_SIDECAR_PORT, POD),
    annotation(contract::SIDECAR, POD_AND_ACCOUNT),
    annotation(contract::INCLUDE_CONTAINERS, POD),
    annotation(contract::SIDECAR_RESOURCES, POD),
    annotation(contract::POD_CLIENT_ID, POD),
    annotation(contract::ALLOWED_CLIENT_IDS, ACCOUNT),
    annotation(contract::IDENTITY_MAP, ACCOUNT),
    annotation(contract::AUDIENCE, ACCOUNT),
    annotation(contract::AUTHORITY_HOST, ACCOUNT),
];

const fn annotation(name: &'static str, homes: &'static [On]) -> Key {
    Key { name, form: Form::Annotation, homes }
}

/// Warns about keys below our prefixes that do not exist or stand in the wrong place, at most one more than are told.
/// `suffix` is the operator's, of [`contract::USE_TOKEN_ENDPOINT`]; `None` where there is no custom token endpoint.
pub fn unknown(place: Place, keys: &Keys<'_>, suffix: Option<&str>, warnings: &mut Vec<Warning>) {
    let ours = keys.iter().filter(|(key, _)| PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
    warnings.extend(ours.filter_map(|(key, _)| judge(place, key, suffix)).take(MOST + 1));
}

/// [`unknown`] for labels and annotations.
pub fn unknown_of(on: On, metadata: &Metadata<'_>, suffix: Option<&str>, warnings: &mut Vec<Warning>) {
    unknown(Place { on, form: Form::Label }, &metadata.labels, suffix, warnings);
    unknown(Place { on, form: Form::Annotation }, &metadata.annotations, suffix, warnings);
}

/// Whether the key means something in that place.
pub fn is_known(place: Place, key: &str) -> bool {
    KEYS.iter().any(|known| known.name == key && known.fits(place))
}

fn judge(place: Place, key: &str, suffix: Option<&str>) -> Option<Warning> {
    if let Some(known) = KEYS.iter().find(|known| known.name == key) {
        return known.misplaced(place);
    }
    let text = match (key.strip_prefix(contract::USE_TOKEN_ENDPOINT), suffix) {
        (Some(found), Some(suffix)) if found == suffix => {
            return annotation(contract::USE_TOKEN_ENDPOINT, POD).misplaced_as(key, place);
        }
        (Some(_), Some(suffix)) => {
            format!("; the custom token endpoint here is {}{}", contract::USE_TOKEN_ENDPOINT, cut(suffix, LONGEST))
        }
        (Some(_), None) => "; this installation has no custom token endpoint".to_owned(),
        (None, _) => match nearest(place, key) {
            Some(meant) if meant.fits(place) => format!("; did you mean {}?", meant.name),
            Some(meant) => {
                format!("; did you mean {}, {} of the {}?", meant.name, meant.form.with_article(), meant.home())
            }
            None => alternatives(place, key),
        },
    };
    Some(Warning::mistake(format!("{} {} is not known{text}", place.form, cut(key, LONGEST))))
}

/// The key that was probably meant: no more than a third of it is written otherwise.
fn nearest(place: Place, key: &str) -> Option<&'static Key> {
    let (prefix, name) = split(key);
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_ascii_lowercase();
    KEYS.iter()
        .filter_map(|known| {
            let (own_prefix, own_name) = split(known.name);
            let distance = strsim::osa_distance(&name, own_name);
            let near = distance <= name.len().max(own_name.len()) / 3;
            near.then_some((distance, own_prefix != prefix, !known.fits(place), known))
        })
        .min_by_key(|(distance, elsewhere, misfit, _)| (*distance, *elsewhere, *misfit))
        .map(|(.., known)| known)
}

/// What there is in that place below the key's prefix.
fn alternatives(place: Place, key: &str) -> String {
    let (prefix, _) = split(key);
    let fitting = KEYS.iter().filter(|known| known.fits(place)).map(|known| split(known.name));
    let names: Vec<_> = fitting.filter(|(own, _)| *own == prefix).map(|(_, name)| name).collect();
    if names.is_empty() { String::new() } else { format!("; known on the {}: {}", place.on, names.join(", ")) }
}

/// Prefix and name of a key.
fn split(key: &str) -> (&str, &str) {
    let prefix = PREFIXES.into_iter().find(|prefix| key.starts_with(prefix)).map_or(0, str::len);
    key.split_at(prefix)
}

// === impl Key ===

impl Key {
    fn fits(&self, place: Place) -> bool {
        self.form == place.form && self.is_at_home(place.on)
    }

    fn is_at_home(&self, on: On) -> bool {
        let on = if on == On::Template { On::Pod } else { on };
        self.homes.contains(&on)
    }

    fn home(&self) -> On {
        match self.homes.first() {
            Some(On::Pod) | None => On::Template,
            Some(home) => *home,
        }
    }

    /// The key of the same name below the other prefix, where that one fits. A pod's client id is an exception from its
    /// service account's, so nobody is led there.
    fn twin(&self, place: Place) -> Option<&'static str> {
        let twin = KEYS.iter().find(|known| split(known.name).1 == split(self.name).1 && known.fits(place))?;
        (!matches!(place.on, On::Pod | On::Template)).then_some(twin.name)
    }

    fn misplaced(&self, place: Place) -> Option<Warning> {
        self.misplaced_as(self.name, place)
    }

    /// Says where the key belongs, if not there.
    fn misplaced_as(&self, key: &str, Place { on, form }: Place) -> Option<Warning> {
        let (key, home) = (cut(key, LONGEST), self.home());
        Some(match (self.form == form, self.is_at_home(on)) {
            (true, true) => return None,
            // Before version 1.0, Azure Workload Identity had its opt-in there, and many manifests still do.
            (true, false) if (key.as_ref(), on) == (contract::USE, On::ServiceAccount) => {
                Warning::new(format!("{form} {key} belongs on the {home}; on a {on} it means nothing"))
            }
            (true, false) => {
                let twin =
                    self.twin(Place { on, form }).map_or(String::new(), |twin| format!("; did you mean {twin}?"));
                Warning::mistake(format!("{form} {key} belongs on the {home}, not on the {on}{twin}"))
            }
            (false, true) => Warning::mistake(format!("{form} {key} must be {} of the {on}", self.form.with_article())),
            (false, false) => Warning::mistake(format!(
                "{form} {key} belongs on the {home}, not on the {on}, and is {}",
                self.form.with_article()
            )),
        })
    }
}

// === impl Form ===

impl Form {
    fn with_article(self) -> &'static str {
        match self {
            Self::Label => "a label",
            Self::Annotation => "an annotation",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Label => "label",
            Self::Annotation => "annotation",
        })
    }
}

// === impl On ===

impl fmt::Display for On {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Pod => "pod",
            Self::Template => "pod template",
            Self::ServiceAccount => "service account",
            Self::Namespace => "namespace",
            Self::Workload(kind) => kind,
        })
    }
}

#[cfg(test)]
mod tests;
