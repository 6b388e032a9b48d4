//! Names of nodes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names a node by its key: a node with another key is another node. Text: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
pub struct NodeId(u64);

/// Text that names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node is named by 16 hexadecimal digits")]
pub struct BadNodeId;

impl NodeId {
    /// The node whose TLS key this is: a DER-encoded `SubjectPublicKeyInfo`.
    pub fn of_key(spki: &[u8]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(spki).as_bytes();
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
    /// The node of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = BadNodeId;
    fn from_str(text: &str) -> Result<Self, BadNodeId> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadNodeId)?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

/// Names a cluster: drawn when its first node starts, so that two of them are never taken for one. Text: 32 hexadecimal
/// digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
pub struct ClusterId([u8; 16]);

impl ClusterId {
    /// The cluster of these bytes, which were drawn at random.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_its_key_and_read_back_from_its_text() {
        let (one, other) = (NodeId::of_key(b"one key"), NodeId::of_key(b"another key"));
        assert_ne!(one, other);
        assert_eq!(one.to_string().parse(), Ok(one));
        assert_eq!(NodeId::new(7).to_string(), "0000000000000007");
        for bad in ["", "7", "00000000000000070", "000000000000000g"] {
            assert_eq!(bad.parse::<NodeId>(), Err(BadNodeId), "{bad:?}");
        }
    }
}
