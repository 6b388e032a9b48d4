//! The node's own keys: they name it, and the cluster's secrets are sealed for them.

use std::sync::Arc;

use endtoend_cluster::NodeKeys;

use super::MemberError;
use super::mark::CONTROL;
use crate::node::data_dir::{DataDir, DataDirError};
use crate::node::error::ServeError;
use crate::node::secrets::read_file;

/// In the data directory, mode 0600. It goes into no backup: a node that is restored is another node.
const NODE_KEY: &str = "node.key";
const LOSS: &str = "it is this node's name: without it the node has to be removed from the cluster and to join anew";

/// The keys of this node, made by its first start and never again.
///
/// # Errors
/// `DataDir` when they are lost, damaged, or cannot be read or written.
pub(super) fn load(data: &DataDir) -> Result<Arc<NodeKeys>, ServeError> {
    let path = data.path().join(NODE_KEY);
    match read_file(&path) {
        Ok(Some(bytes)) => Ok(Arc::new(NodeKeys::from_bytes(&bytes).map_err(|_| DataDirError::Damaged { path })?)),
        Ok(None) if data.path().join(CONTROL).exists() => Err(DataDirError::Lost { path, loss: LOSS }.into()),
        Ok(None) => {
            let keys = NodeKeys::generate(&mut rand::rng()).map_err(MemberError::from)?;
            data.write(&path, &keys.to_bytes()).map_err(|source| DataDirError::NotWritable { path, source })?;
            Ok(Arc::new(keys))
        }
        Err(source) => Err(DataDirError::Unreadable { path, source }.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_node_has_one_key_which_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let node = load(&data).unwrap().node();
        assert_eq!(load(&data).unwrap().node(), node);
        let path = dir.path().join(NODE_KEY);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, b"no key").unwrap();
        assert!(matches!(load(&data), Err(ServeError::DataDir(DataDirError::Damaged { .. }))));
        assert_eq!(fs::read(&path).unwrap(), b"no key");
        fs::remove_file(&path).unwrap();
        fs::write(dir.path().join(CONTROL), b"a log").unwrap();
        assert!(matches!(load(&data), Err(ServeError::DataDir(DataDirError::Lost { .. }))));
        assert!(!path.exists());
    }
}
