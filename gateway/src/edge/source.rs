//! Where it stands which nodes there are.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use endtoend_haproxy::Membership;

use super::files::read_bounded;

/// Says which nodes there are. Asked often: it answers at once.
pub(crate) trait Source {
    /// What it has said last, if that is news.
    fn news(&mut self) -> Option<Heard>;
    /// For people: where it comes from.
    fn name(&self) -> String;
    /// Whether another list of the same generation is a mistake.
    fn has_one_list_for_a_generation(&self) -> bool;
    /// Whether its generations have nothing to do with those that were applied before.
    fn begins_anew(&self) -> bool;
    /// That is written down where those that were applied are.
    fn has_begun(&mut self);
}

/// Which nodes there are, if it says so, and what is wrong.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) membership: Option<Membership>,
    pub(crate) fault: Option<SourceFault>,
}

/// Why it says nothing. The last list stays in effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceFault {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no list of nodes: {why}", path.display())]
    NotAView { path: PathBuf, why: String },
    /// In words.
    #[error("{0}")]
    Cluster(String),
}

/// A file that an operator or a program writes: JSON when it is called so, else TOML. Whoever writes it replaces it as a whole
/// (a rename); half a file is no list, and is looked at again.
#[derive(Debug)]
pub(crate) struct ViewFile {
    path: PathBuf,
    /// Of what was read last: time, length and inode.
    seen: Option<(SystemTime, u64, u64)>,
    /// What was told last: a fault is told once.
    fault: Option<String>,
}

impl ViewFile {
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: None, fault: None }
    }

    /// # Errors
    /// See [`SourceFault`].
    pub(crate) fn read(&self) -> Result<Membership, SourceFault> {
        let bytes = read_bounded(&self.path).map_err(|source| SourceFault::Read { path: self.path.clone(), source })?;
        let not_a_view = |why: String| SourceFault::NotAView { path: self.path.clone(), why };
        let text = str::from_utf8(&bytes).map_err(|error| not_a_view(error.to_string()))?;
        match self.path.extension().is_some_and(|extension| extension == "json") {
            true => serde_json::from_str(text).map_err(|error| not_a_view(error.to_string())),
            false => toml::from_str(text).map_err(|error| not_a_view(error.message().to_owned())),
        }
    }

    fn changed(&mut self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let now = std::fs::metadata(&self.path).and_then(|meta| Ok((meta.modified()?, meta.len(), meta.ino()))).ok();
        let changed = now.is_none() || now != self.seen;
        self.seen = now;
        changed
    }
}

impl Source for ViewFile {
    fn news(&mut self) -> Option<Heard> {
        if !self.changed() {
            return None;
        }
        match self.read() {
            Ok(membership) => {
                self.fault = None;
                Some(Heard { membership: Some(membership), fault: None })
            }
            Err(fault) => {
                let text = Some(fault.to_string());
                (self.fault != text).then(|| {
                    self.fault = text;
                    Heard { membership: None, fault: Some(fault) }
                })
            }
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn has_one_list_for_a_generation(&self) -> bool {
        true
    }

    fn begins_anew(&self) -> bool {
        false
    }

    fn has_begun(&mut self) {}
}
