//! Which containers of a pod get its identity.

use crate::{
    contract,
    denial::Denial,
    pod::Pod,
    value::excerpt,
    warning::{self, Warning},
};
use std::collections::BTreeSet;

/// The containers that a pod's author names, init containers like any other. [`contract::INCLUDE_CONTAINERS`] wins over
/// [`contract::SKIP_CONTAINERS`].
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    key: &'static str,
    names: Names<'a>,
    /// Whether the names are those that get the identity, or those that do not.
    include: bool,
}

/// Names and patterns, as in `web;log-*`.
#[derive(Clone, Debug, Default)]
struct Names<'a> {
    exact: BTreeSet<&'a str>,
    patterns: Vec<&'a str>,
}

// === impl Selection ===

impl<'a> Selection<'a> {
    /// The most patterns of one list: each is tried on each container.
    pub const MOST_PATTERNS: usize = 32;

    /// The most containers of all kinds in a pod. Kubernetes stores none that has nearly as many, but the API server asks
    /// first and refuses later.
    pub const MOST_CONTAINERS: usize = 1_000;

    /// Reads the pod's list. Blanks around names and empty names mean nothing, and so does an empty list.
    ///
    /// # Errors
    ///
    /// The list has more than [`Self::MOST_PATTERNS`] patterns, or the pod more than [`Self::MOST_CONTAINERS`] containers.
    pub fn of(pod: &'a Pod<'_>) -> Result<Self, Denial> {
        let containers = pod.spec.all_containers().chain(pod.spec.ephemeral_containers.iter().flatten()).count();
        if containers > Self::MOST_CONTAINERS {
            return Err(Denial::Containers { containers });
        }
        let list = |key| pod.metadata.annotations.value(key).map(Names::parse).filter(|names| !names.is_empty());
        let (key, names, include) = match list(contract::INCLUDE_CONTAINERS) {
            Some(names) => (contract::INCLUDE_CONTAINERS, names, true),
            None => (contract::SKIP_CONTAINERS, list(contract::SKIP_CONTAINERS).unwrap_or_default(), false),
        };
        let patterns = names.patterns.len();
        if patterns > Self::MOST_PATTERNS {
            Err(Denial::Patterns { key, patterns })
        } else {
            Ok(Self { key, names, include })
        }
    }

    /// Whether the container is to be left alone.
    pub fn skips(&self, container: &str) -> bool {
        self.names.contain(container) != self.include
    }

    /// Whether the container is named to be left alone, by a pod's author who says nothing of which others are not.
    pub fn names_to_skip(&self, container: &str) -> bool {
        !self.include && self.names.contain(container)
    }

    /// Warns about what is heard by nobody: a typing error here would pass unseen.
    pub fn warn(&self, pod: &Pod<'_>, warnings: &mut Vec<Warning>) {
        let Self { key, names, include } = self;
        if *include && pod.metadata.annotations.value(contract::SKIP_CONTAINERS).is_some() {
            warnings.push(Warning::new(format!("{key} wins: {} is not heeded", contract::SKIP_CONTAINERS)));
        }
        if names.is_empty() {
            return;
        }
        let containers: BTreeSet<_> = pod.spec.all_containers().map(|container| container.name.as_str()).collect();
        // No more than are told, for an annotation has room for a hundred thousand names.
        for name in names.exact.difference(&containers).take(warning::MOST + 1) {
            warnings.push(Warning::mistake(format!(
                "{key}: no container is called {:?}; names are separated by semicolons",
                excerpt(name)
            )));
        }
        let idle = |pattern: &&&str| !containers.iter().any(|name| matches(pattern, name));
        for pattern in names.patterns.iter().filter(idle) {
            warnings.push(Warning::mistake(format!("{key}: no container matches {:?}", excerpt(pattern))));
        }
    }
}

// === impl Names ===

impl<'a> Names<'a> {
    fn parse(list: &'a str) -> Self {
        let names = list.split(';').map(str::trim).filter(|name| !name.is_empty());
        let (patterns, exact) = names.partition::<Vec<_>, _>(|name| name.contains(['*', '?']));
        Self { exact: exact.into_iter().collect(), patterns }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    fn contain(&self, name: &str) -> bool {
        self.exact.contains(name) || self.patterns.iter().any(|pattern| matches(pattern, name))
    }
}

/// The longest name of a container (RFC 1123 label). Names are checked after admission, so longer ones are met.
const LONGEST_NAME: usize = 63;
/// The longest pattern that says something: a letter for each of the longest name's, and a `*` around each.
const LONGEST_PATTERN: usize = 2 * LONGEST_NAME + 1;

/// Whether the name is one of the pattern's: `*` stands for any run of characters, `?` for one.
///
/// A mismatch goes back to the last `*` alone, so the effort is at most pattern times name.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    if pattern.len() > LONGEST_PATTERN || name.len() > LONGEST_NAME {
        return false;
    }
    let (mut at, mut next) = (0, 0);
    let mut star = None;
    while next < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, next));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[next] => {
                at += 1;
                next += 1;
            }
            _ => match star {
                Some((place, from)) => {
                    (at, next) = (place + 1, from + 1);
                    star = Some((place, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "web", true),
            ("web*", "web", true),
            ("web*", "web-0", true),
            ("web*", "we", false),
            ("*-log", "web-log", true),
            ("*-log", "web-logs", false),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("**a", "ba", true),
            ("?", "", false),
            ("*?", "a", true),
            ("a*a", "a", false),
            ("*", &"a".repeat(63), true),
            ("*", &"a".repeat(64), false),
            (&"*".repeat(127), "a", true),
            (&"*".repeat(128), "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_what_is_made_of_it(name in "[a-z-]{0,12}", from in 0usize..12, to in 0usize..12) {
            let (from, to) = (from.min(name.len()), to.min(name.len()));
            let (from, to) = (from.min(to), from.max(to));
            let pattern = format!("{}*{}", &name[..from], &name[to..]);
            prop_assert!(matches(&pattern, &name), "{pattern} {name}");
            let marks = "?".repeat(name.len());
            prop_assert!(matches(&marks, &name));
        }

        /// The plain recursive reading of the two signs.
        #[test]
        fn a_second_opinion(pattern in "[ab*?]{0,6}", name in "[ab]{0,8}") {
            fn plain(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), None) => plain(rest, name),
                    (Some((b'*', rest)), Some((_, tail))) => plain(rest, name) || plain(pattern, tail),
                    (Some((b'?', rest)), Some((_, tail))) => plain(rest, tail),
                    (Some((byte, rest)), Some((letter, tail))) => byte == letter && plain(rest, tail),
                    _ => false,
                }
            }
            prop_assert_eq!(matches(&pattern, &name), plain(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
