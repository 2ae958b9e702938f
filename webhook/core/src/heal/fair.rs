//! A fixed number of places, shared by namespaces: none keeps more than its share while others go without, so nobody who
//! makes many pods keeps those of others from being healed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How many places each namespace holds.
#[derive(Debug, Default)]
pub(super) struct Shares {
    held: HashMap<Box<str>, usize>,
    by_size: BTreeSet<(usize, Box<str>)>,
}

/// Items of namespaces, of which those that come first in a namespace are given up last.
#[derive(Debug)]
pub struct Fair<T> {
    most: usize,
    len: usize,
    shares: Shares,
    namespaces: BTreeMap<Box<str>, Held<T>>,
}

#[derive(Debug)]
struct Held<T> {
    first: Vec<T>,
    rest: Vec<T>,
}

// === impl Shares ===

impl Shares {
    /// The namespace takes a place.
    pub(super) fn take(&mut self, namespace: &str) {
        self.change(namespace, |held| held + 1);
    }

    /// The namespace gives a place back.
    pub(super) fn leave(&mut self, namespace: &str) {
        self.change(namespace, |held| held.saturating_sub(1));
    }

    /// Where all places are taken, who has to give one to this namespace: whoever holds most, if that leaves it no fewer.
    pub(super) fn giver(&self, namespace: &str) -> Option<Box<str>> {
        let (most, giver) = self.by_size.last()?;
        let held = self.held.get(namespace).copied().unwrap_or_default();
        (*most > held + 1).then(|| giver.clone())
    }

    fn change(&mut self, namespace: &str, to: impl Fn(usize) -> usize) {
        let was = self.held.remove(namespace).unwrap_or_default();
        self.by_size.remove(&(was, namespace.into()));
        let is = to(was);
        if is > 0 {
            self.held.insert(namespace.into(), is);
            self.by_size.insert((is, namespace.into()));
        }
    }
}

// === impl Fair ===

impl<T> Fair<T> {
    /// At most that many items.
    pub fn new(most: usize) -> Self {
        Self { most, len: 0, shares: Shares::default(), namespaces: BTreeMap::new() }
    }

    /// Keeps the item if there is a place for it, or one that is not fairly another's.
    pub fn add(&mut self, namespace: &str, comes_first: bool, item: T) {
        if self.len == self.most {
            let given = match self.shares.giver(namespace) {
                Some(giver) => self.give_up(&giver, true),
                None => comes_first && self.give_up(namespace, false),
            };
            if !given {
                return;
            }
        }
        self.shares.take(namespace);
        self.len += 1;
        let held = match self.namespaces.get_mut(namespace) {
            Some(held) => held,
            None => self.namespaces.entry(namespace.into()).or_default(),
        };
        if comes_first { held.first.push(item) } else { held.rest.push(item) }
    }

    /// All of them, one of each namespace in turns. Where not all have their turn, another `start` brings others forward.
    pub fn into_turns(self, start: usize) -> Vec<T> {
        let mut lists: Vec<_> = self.namespaces.into_values().map(|held| held.from(start)).collect();
        rotate(&mut lists, start);
        let mut turns = Vec::with_capacity(self.len);
        while !lists.is_empty() {
            lists.retain_mut(|list| list.next().map(|item| turns.push(item)).is_some());
        }
        turns
    }

    /// Drops the last of the namespace's items, one that comes first only if `any` may go.
    fn give_up(&mut self, namespace: &str, any: bool) -> bool {
        let Some(held) = self.namespaces.get_mut(namespace) else { return false };
        let given = held.rest.pop().is_some() || (any && held.first.pop().is_some());
        if given {
            self.shares.leave(namespace);
            self.len -= 1;
        }
        given
    }
}

// === impl Held ===

impl<T> Held<T> {
    fn from(mut self, start: usize) -> impl Iterator<Item = T> {
        rotate(&mut self.first, start);
        rotate(&mut self.rest, start);
        self.first.into_iter().chain(self.rest)
    }
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { first: Vec::new(), rest: Vec::new() }
    }
}

fn rotate<T>(list: &mut [T], start: usize) {
    if !list.is_empty() {
        list.rotate_left(start % list.len());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    fn kept(most: usize, items: &[(&'static str, bool)]) -> Vec<(&'static str, bool, usize)> {
        let mut fair = Fair::new(most);
        for (number, (namespace, first)) in items.iter().enumerate() {
            fair.add(namespace, *first, (*namespace, *first, number));
        }
        fair.into_turns(0)
    }

    #[test]
    fn places_are_shared() {
        let (missed, stale) = (true, false);
        for (what, items, expected) in [
            ("room for all", vec![("a", stale), ("b", missed)], vec![("a", stale, 0), ("b", missed, 1)]),
            (
                "who came first holds no more than its share",
                vec![
                    ("a", missed),
                    ("a", missed),
                    ("a", missed),
                    ("a", missed),
                    ("b", missed),
                    ("b", missed),
                    ("b", missed),
                ],
                vec![("a", missed, 0), ("b", missed, 4), ("a", missed, 1), ("b", missed, 5)],
            ),
            (
                "what comes first drives out the rest of its own",
                vec![("a", stale), ("a", stale), ("a", missed), ("a", missed), ("a", stale), ("a", missed)],
                vec![("a", missed, 2), ("a", missed, 3), ("a", missed, 5), ("a", stale, 0)],
            ),
            (
                "and of another's only what is beyond its share",
                vec![("a", stale), ("a", stale), ("b", missed), ("b", missed), ("b", missed)],
                vec![("a", stale, 0), ("b", missed, 2), ("a", stale, 1), ("b", missed, 3)],
            ),
        ] {
            assert_eq!(kept(4, &items), expected, "{what}");
        }
    }

    #[test]
    fn everybody_comes_first_at_some_start() {
        let first = |start| {
            let mut fair = Fair::new(4);
            for (namespace, item) in [("a", 1), ("a", 2), ("b", 3), ("c", 4)] {
                fair.add(namespace, true, item);
            }
            fair.into_turns(start)
        };
        assert_eq!([first(0), first(1), first(2), first(3)], [[1, 3, 4, 2], [3, 4, 2, 1], [4, 1, 3, 2], [2, 3, 4, 1]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        /// However many of one namespace there are, in whatever order: who is left out of something holds as much as anybody.
        #[test]
        fn nobody_is_pushed_aside(
            items in prop::collection::vec((0..6_usize, any::<bool>()), 0..120),
            most in 1..20_usize,
            start in any::<usize>(),
        ) {
            const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
            let mut fair = Fair::new(most);
            let mut all = [0_usize; 6];
            let mut first = [0_usize; 6];
            for (namespace, comes_first) in items.iter().copied() {
                fair.add(NAMES[namespace], comes_first, (namespace, comes_first));
                all[namespace] += 1;
                first[namespace] += usize::from(comes_first);
            }
            let turns = fair.into_turns(start);
            prop_assert_eq!(turns.len(), items.len().min(most));
            let count = |namespace| turns.iter().filter(|(other, _)| *other == namespace).count();
            for namespace in 0..6 {
                let held = count(namespace);
                if held < all[namespace] {
                    prop_assert!((0..6).all(|other| count(other) <= held + 1), "{turns:?}");
                }
                let kept_first = turns.iter().filter(|item| **item == (namespace, true)).count();
                prop_assert_eq!(kept_first, held.min(first[namespace]), "{:?}", turns);
            }
        }
    }
}
