//! What this program is made of: one line for each part, with its version and its licence. A test compares the list with what cargo
//! builds; `scripts/licences` makes it anew.

const LIST: &str = include_str!("../../../../licences.tsv");

/// A crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// As it is published.
    pub name: &'a str,
    /// Which one.
    pub version: &'a str,
    /// By the SPDX.
    pub licence: &'a str,
}

/// All of them, by name.
pub fn parts() -> impl Iterator<Item = Part<'static>> {
    LIST.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        Some(Part { name: fields.next()?, version: fields.next()?, licence: fields.next()? })
    })
}
