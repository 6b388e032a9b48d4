//! What the ratchets remember, kept outside of them.
//!
//! Nothing here stores anything. An operation reads through [`Records`] and answers with [`Changes`], which the caller
//! writes in one transaction with its own rows: so a failed operation changes nothing, and a crash cannot separate a
//! ratchet's step from the message that it belongs to.

use std::collections::BTreeMap;
use std::fmt;

use endtoend_protocol::{AccountTag, Address};
use zeroize::Zeroizing;

use crate::envelope::ReadyKeys;

/// First byte of a kept ML-KEM pre-key: handed out once, or again and again.
pub(crate) const ONE_TIME: u8 = 0;
pub(crate) const LAST_RESORT: u8 = 1;

/// Names a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    /// The own identity key pair, registration id, and counters of key ids.
    Own,
    /// The session with a device.
    Session(Address),
    /// The identity key that is trusted for an account.
    PeerIdentity(AccountTag),
    /// What envelopes to a device are sealed for.
    PeerEnvelopeKey(Address),
    /// An own one-time pre-key.
    OneTimePreKey(u32),
    /// An own signed pre-key.
    SignedPreKey(u32),
    /// An own ML-KEM pre-key, one-time or last resort.
    KemPreKey(u32),
    /// An own envelope key.
    EnvelopeKey(u32),
    /// A use of a last-resort ML-KEM pre-key, so that it is not replayed.
    KemUsed {
        /// Of the ML-KEM pre-key.
        kem: u32,
        /// Of the signed pre-key beside it.
        signed: u32,
        /// The sender's base key.
        base_key: [u8; 33],
    },
}

impl RecordKey {
    /// Stable name of the kind of record.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Session(_) => "session",
            Self::PeerIdentity(_) => "peer_identity",
            Self::PeerEnvelopeKey(_) => "peer_envelope_key",
            Self::OneTimePreKey(_) => "one_time_pre_key",
            Self::SignedPreKey(_) => "signed_pre_key",
            Self::KemPreKey(_) => "kem_pre_key",
            Self::EnvelopeKey(_) => "envelope_key",
            Self::KemUsed { .. } => "kem_used",
        }
    }

    /// Stable name within the kind.
    pub fn id(&self) -> Vec<u8> {
        let address = |address: &Address| [&address.account.as_bytes()[..], &[address.device.get()]].concat();
        match self {
            Self::Own => Vec::new(),
            Self::Session(peer) | Self::PeerEnvelopeKey(peer) => address(peer),
            Self::PeerIdentity(account) => account.as_bytes().to_vec(),
            Self::OneTimePreKey(id) | Self::SignedPreKey(id) | Self::KemPreKey(id) | Self::EnvelopeKey(id) => {
                id.to_be_bytes().to_vec()
            }
            Self::KemUsed { kem, signed, base_key } => {
                [&kem.to_be_bytes()[..], &signed.to_be_bytes(), base_key].concat()
            }
        }
    }
}

/// The place where records are kept did not answer, or holds what we did not write.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the ratchets' records")]
pub struct RecordsError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl RecordsError {
    /// With its cause.
    pub fn new(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(cause))
    }

    pub(crate) fn damaged(key: &RecordKey) -> Self {
        Self::new(Damaged(key.kind()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the record {0} is missing or damaged")]
struct Damaged(&'static str);

/// A view of the records as they are.
pub trait Records {
    /// The record's bytes, `None` when there is none.
    ///
    /// # Errors
    /// When the records cannot be read.
    fn get(&self, key: &RecordKey) -> Result<Option<Zeroizing<Vec<u8>>>, RecordsError>;

    /// Where a key that was made ready waits for the next message. Without such a place it is made ready for each.
    fn ready_keys(&self) -> Option<&ReadyKeys> {
        None
    }
}

/// What an operation asks to be written. `Debug` shows the keys, never the bytes.
#[derive(Clone, Default)]
#[must_use = "an operation has happened only when its changes are written"]
pub struct Changes(BTreeMap<RecordKey, Option<Zeroizing<Vec<u8>>>>);

impl Changes {
    /// Each record once: its new bytes, or `None` when it is to be deleted.
    pub fn iter(&self) -> impl Iterator<Item = (&RecordKey, Option<&[u8]>)> {
        self.0.iter().map(|(key, value)| (key, value.as_ref().map(|value| value.as_slice())))
    }

    pub(crate) fn put(&mut self, key: RecordKey, value: impl Into<Vec<u8>>) {
        self.0.insert(key, Some(Zeroizing::new(value.into())));
    }
    pub(crate) fn delete(&mut self, key: RecordKey) {
        self.0.insert(key, None);
    }
    pub(crate) fn get(&self, key: &RecordKey) -> Option<&Option<Zeroizing<Vec<u8>>>> {
        self.0.get(key)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(key, value)| (key, value.as_ref().map(|v| v.len())))).finish()
    }
}

/// Records in memory: the twin of a database, for tests and for clients that keep nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MemoryRecords(BTreeMap<RecordKey, Zeroizing<Vec<u8>>>);

impl MemoryRecords {
    /// Writes what an operation asked for.
    pub fn apply(&mut self, changes: &Changes) {
        for (key, value) in changes.iter() {
            match value {
                Some(value) => self.0.insert(*key, Zeroizing::new(value.to_vec())),
                None => self.0.remove(key),
            };
        }
    }
}

impl fmt::Debug for MemoryRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryRecords({})", self.0.len())
    }
}

impl Records for MemoryRecords {
    fn get(&self, key: &RecordKey) -> Result<Option<Zeroizing<Vec<u8>>>, RecordsError> {
        Ok(self.0.get(key).cloned())
    }
}

/// What every implementation must show: `apply` writes changes to the same records that `view` reads.
///
/// # Panics
/// When one of them is not shown.
#[cfg(any(test, feature = "conformance"))]
#[expect(clippy::unwrap_used, reason = "a test that other crates can run")]
pub fn records_conformance<S>(
    store: &mut S,
    apply: impl Fn(&mut S, &Changes),
    get: impl Fn(&S, &RecordKey) -> Result<Option<Zeroizing<Vec<u8>>>, RecordsError>,
) {
    let account = |byte| AccountTag::new([byte; 32]);
    let address = |byte| Address { account: account(byte), device: endtoend_protocol::DeviceId::FIRST };
    let keys = [
        RecordKey::Own,
        RecordKey::Session(address(1)),
        RecordKey::Session(address(2)),
        RecordKey::PeerIdentity(account(1)),
        RecordKey::PeerEnvelopeKey(address(1)),
        RecordKey::OneTimePreKey(1),
        RecordKey::OneTimePreKey(256),
        RecordKey::SignedPreKey(1),
        RecordKey::KemPreKey(1),
        RecordKey::EnvelopeKey(1),
        RecordKey::KemUsed { kem: 1, signed: 2, base_key: [3; 33] },
        RecordKey::KemUsed { kem: 1, signed: 2, base_key: [4; 33] },
    ];
    let mut changes = Changes::default();
    for (at, key) in keys.iter().enumerate() {
        assert!(get(store, key).unwrap().is_none(), "empty at first: {key:?}");
        changes.put(*key, vec![at as u8; at]);
    }
    apply(store, &changes);
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(*get(store, key).unwrap().unwrap(), vec![at as u8; at], "each key has its own record: {key:?}");
    }
    let mut changes = Changes::default();
    changes.put(RecordKey::Own, vec![9; 100]);
    changes.delete(RecordKey::OneTimePreKey(1));
    changes.delete(RecordKey::OneTimePreKey(99));
    apply(store, &changes);
    assert_eq!(*get(store, &RecordKey::Own).unwrap().unwrap(), vec![9; 100], "a record is replaced");
    assert!(get(store, &RecordKey::OneTimePreKey(1)).unwrap().is_none(), "a record is deleted");
    assert!(get(store, &RecordKey::OneTimePreKey(256)).unwrap().is_some(), "and no other");
}
