//! The keys that there are, taken from the serialised defaults, and the nearest one to a typing error.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::{Config, PREFIX};

/// Below this likeness, from 0 to 1, a suggestion would be a guess.
const LIKENESS_MIN: f64 = 0.5;

/// A key of the node file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub section: String,
    pub name: String,
}

impl Key {
    pub(super) fn new(section: &str, name: &str) -> Self {
        Self { section: section.to_owned(), name: name.to_owned() }
    }

    /// The environment variable that overrides it.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}__{}", self.section.to_uppercase(), self.name.to_uppercase())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.section, self.name)
    }
}

/// Every value of a configuration by its key. A key that is off is `null`, so it is known too.
#[derive(Clone, Debug)]
pub(super) struct Values(BTreeMap<Key, Value>);

impl Values {
    /// One section, one level of keys below it: deeper values are values.
    pub(super) fn of(config: &Config) -> Self {
        let mut values = BTreeMap::new();
        let sections = serde_json::to_value(config).unwrap_or_default();
        for (section, keys) in sections.as_object().into_iter().flatten() {
            for (name, value) in keys.as_object().into_iter().flatten() {
                values.insert(Key::new(section, name), value.clone());
            }
        }
        Self(values)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.0.iter()
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn has_section(&self, section: &str) -> bool {
        self.0.keys().any(|key| key.section == section)
    }

    /// The section that was probably meant.
    pub(super) fn nearest_section(&self, section: &str) -> Option<&str> {
        nearest(section, self.0.keys().map(|key| key.section.as_str()))
    }

    /// The key that was probably meant: this name in another section, or the one that is written most like it.
    pub(super) fn nearest(&self, unknown: &Key) -> Option<&Key> {
        // Of several sections with such a key, the one whose name was probably meant.
        let elsewhere = self.0.keys().filter(|key| key.name == unknown.name).max_by(|one, other| {
            let like = |key: &Key| likeness(&unknown.section, &key.section);
            like(one).total_cmp(&like(other))
        });
        elsewhere.or_else(|| {
            let section = match self.has_section(&unknown.section) {
                true => unknown.section.as_str(),
                false => self.nearest_section(&unknown.section)?,
            };
            let names = self.0.keys().filter(|key| key.section == section).map(|key| key.name.as_str());
            let name = nearest(&unknown.name, names)?;
            self.0.keys().find(|key| key.section == section && key.name == name)
        })
    }

    pub(super) fn names_in(&self, section: &str) -> Vec<&str> {
        self.0.keys().filter(|key| key.section == section).map(|key| key.name.as_str()).collect()
    }

    pub(super) fn sections(&self) -> Vec<&str> {
        let mut sections: Vec<_> = self.0.keys().map(|key| key.section.as_str()).collect();
        sections.dedup();
        sections
    }
}

/// From 0 to 1, whatever the case.
fn likeness(one: &str, other: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(&one.to_lowercase(), &other.to_lowercase())
}

/// The word that is most like `word`, unless none is.
pub(crate) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    words
        .map(|other| (likeness(word, other), other))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, other)| other)
}
