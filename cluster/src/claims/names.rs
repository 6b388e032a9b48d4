//! Who claims what.

use std::fmt;
use std::str::FromStr;

use endtoend_protocol::Address;
use zeroize::Zeroizing;

use crate::NodeId;

/// One run of a node's process. What an earlier run has claimed is not this one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
pub struct Incarnation {
    /// The node.
    pub node: NodeId,
    /// Random, drawn when the process starts.
    pub run: u64,
}

impl Incarnation {
    /// This run of `node`.
    pub fn new(node: NodeId) -> Self {
        Self { node, run: rand::random() }
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:016x}", self.node, self.run)
    }
}

/// Text that is no [`Incarnation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run of a node is named by 32 hexadecimal digits")]
pub struct BadIncarnation;

impl FromStr for Incarnation {
    type Err = BadIncarnation;
    fn from_str(text: &str) -> Result<Self, BadIncarnation> {
        let (node, run) = text.split_at_checked(16).ok_or(BadIncarnation)?;
        let run: NodeId = run.parse().map_err(|_| BadIncarnation)?;
        Ok(Self { node: node.parse().map_err(|_| BadIncarnation)?, run: run.get() })
    }
}

/// Which claim of a device is the newer one. Grows with each, also when the directory has forgotten the older one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
pub struct Epoch(pub u64);

/// What a device is called in the directory: a hash under a key that only the nodes have, so that whoever looks into Redis
/// finds nobody there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
pub struct DeviceName(pub [u8; 16]);

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceName({}..)", hex::encode(&self.0[..2]))
    }
}

/// The key that names devices. All nodes of a cluster have the same.
#[derive(Clone)]
pub struct NameKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey(..)")
    }
}

impl NameKey {
    /// A key of its own is derived from `secret`.
    pub fn derive(secret: &[u8; 32]) -> Self {
        Self(Zeroizing::new(blake3::derive_key("endtoend 2026 names of devices in the directory of claims", secret)))
    }

    /// What the device is called.
    pub fn name(&self, device: Address) -> DeviceName {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(device.account.as_bytes()).update(&device.device.get().to_le_bytes());
        let mut name = [0; 16];
        hasher.finalize_xof().fill(&mut name);
        DeviceName(name)
    }
}
