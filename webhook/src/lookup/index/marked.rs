//! Objects by namespace and name, each marked with the list that named it last.

use std::collections::HashMap;

/// The objects of one kind.
#[derive(Debug)]
pub(super) struct Marked<V> {
    namespaces: HashMap<Box<str>, Within<V>>,
    /// Counts the lists. What bears an older mark when a list ends is gone, also where a list before was broken off.
    mark: u32,
}

/// The objects of one namespace by name, with their marks.
type Within<V> = HashMap<Box<str>, (u32, V)>;

impl<V> Default for Marked<V> {
    fn default() -> Self {
        Self { namespaces: HashMap::new(), mark: 0 }
    }
}

impl<V> Marked<V> {
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&V> {
        self.namespaces.get(namespace)?.get(name).map(|(_, value)| value)
    }

    /// All objects of the namespace.
    pub(super) fn of(&self, namespace: &str) -> impl Iterator<Item = &V> {
        self.namespaces.get(namespace).into_iter().flat_map(|within| within.values().map(|(_, value)| value))
    }

    /// The namespaces with an object of that kind.
    pub(super) fn namespaces_with(&self, holds: impl Fn(&V) -> bool) -> impl Iterator<Item = &str> {
        let any = move |within: &Within<V>| within.values().any(|(_, value)| holds(value));
        self.namespaces.iter().filter(move |(_, within)| any(within)).map(|(name, _)| &**name)
    }

    pub(super) fn insert(&mut self, namespace: &str, name: &str, value: V) {
        let entry = (self.mark, value);
        let within = match self.namespaces.get_mut(namespace) {
            Some(within) => within,
            None => self.namespaces.entry(namespace.into()).or_default(),
        };
        match within.get_mut(name) {
            Some(old) => *old = entry,
            None => drop(within.insert(name.into(), entry)),
        }
    }

    pub(super) fn remove(&mut self, namespace: &str, name: &str) {
        if let Some(within) = self.namespaces.get_mut(namespace) {
            within.remove(name);
            if within.is_empty() {
                self.namespaces.remove(namespace);
            }
        }
    }

    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.mark = self.mark.wrapping_add(1);
    }

    /// The list is whole: what it did not name is dropped, and the room that growing left.
    pub(super) fn complete(&mut self) {
        let mark = self.mark;
        self.namespaces.retain(|_, within| {
            within.retain(|_, (marked, _)| *marked == mark);
            within.shrink_to_fit();
            !within.is_empty()
        });
        self.namespaces.shrink_to_fit();
    }
}
