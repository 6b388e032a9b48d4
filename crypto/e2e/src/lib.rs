//! What only clients may link: Signal sessions behind guards, inside the PQ envelope, and files.
//!
//! The inner layer is libsignal (PQXDH with ML-KEM-1024, double ratchet, SPQR); it is a year old, and `guard` holds what
//! must be checked around it. The outer layer is our envelope. docs/cryptography.md has the byte layouts.
//!
//! No I/O and no clock: an operation reads [`Records`] and answers with [`Changes`], which the caller writes.
#![deny(missing_docs)]

mod attachment;
mod chain;
mod device_name;
mod envelope;
mod guard;
mod identity;
#[cfg(feature = "internals")]
pub mod internals;
mod overlay;
mod padding;
mod random;
mod records;
mod session;
#[cfg(test)]
mod tests;

pub use attachment::{attachment_opener, attachment_sealer, blob_bytes, blob_chunks, padded_bytes};
pub use chain::{chain_head, chain_start};
pub use device_name::{NAME_BYTES_MAX, open_device_name, seal_device_name};
pub use envelope::{ENVELOPE_OVERHEAD, ReadyKeys};
pub use identity::{
    KeysError, NewKeys, accept_identity, create_identity, destroy_keys, export_identity, identity_public,
    import_identity, is_last_resort, kept_device_keys, new_device_keys, registration_id, safety_number,
};
pub use padding::{CONTENT_BYTES_MAX, ENVELOPE_STEP, SIZE_CLASSES};
#[cfg(any(test, feature = "conformance"))]
pub use records::records_conformance;
pub use records::{Changes, MemoryRecords, RecordKey, Records, RecordsError};
pub use session::{
    Content, OpenError, Opened, PEER_KEYS_AGE_MAX, SealError, SessionError, has_session, learn_identity, open, seal,
    start_session,
};
