//! What the data directory of a member says of its cluster, so that the node is never started as if it were alone.

use std::fs;
use std::io;
use std::path::Path;

use endtoend_cluster::{ClusterId, KeyHash};

use crate::node::data_dir::DataDir;

/// In the data directory of every member.
const MEMBER: &str = "endtoend.cluster";
/// The log of the control plane.
pub(super) const CONTROL: &str = "control.db";

/// Whether the directory is that of a member.
pub(in crate::node) fn is_member(data: &Path) -> bool {
    data.join(MEMBER).exists()
}

/// Writes down of which cluster the node is, and by which authority it has joined. What is there already stays.
///
/// # Errors
/// When the directory takes no files.
pub(super) fn put(data: &DataDir, cluster: ClusterId, joined: Option<KeyHash>) -> io::Result<()> {
    let path = data.path().join(MEMBER);
    if path.exists() {
        return Ok(());
    }
    let joined = joined.map(|authority| format!("joined {}\n", hex::encode(authority))).unwrap_or_default();
    data.write(&path, format!("{cluster}\n{joined}").as_bytes())
}

/// Whether the node has joined by this authority, which may have been replaced since.
pub(super) fn has_joined_by(data: &DataDir, authority: KeyHash) -> bool {
    let text = fs::read_to_string(data.path().join(MEMBER)).unwrap_or_default();
    let joined = text.lines().find_map(|line| line.strip_prefix("joined "));
    joined == Some(hex::encode(authority).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_knows_by_what_it_has_joined() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        assert!(!is_member(data.path()) && !has_joined_by(&data, [1; 32]));
        put(&data, ClusterId::new([7; 16]), Some([1; 32])).unwrap();
        put(&data, ClusterId::new([7; 16]), None).unwrap();
        assert!(is_member(data.path()) && has_joined_by(&data, [1; 32]) && !has_joined_by(&data, [2; 32]));
    }
}
