//! What clients and servers say to each other: frames, the typed messages inside them, and their limits.
//!
//! The `.proto` files under `proto/` are the specification; docs/protocol.md explains them. Bytes are checked once,
//! here: whoever holds a [`ClientFrame`], a [`ServerFrame`] or a [`Content`] holds values that keep every rule.
//!
//! No I/O, no clock, no cryptography: keys and ciphertexts are bytes of a known length.
#![deny(missing_docs)]

mod blob;
mod codec;
mod content;
mod file;
mod frame;
mod ids;
mod invite;
mod keys;
pub mod limits;
mod own;
mod parcel;
mod person;
mod said;

/// Structs generated from `proto/`, without any check. Only [`codec`] sees them.
mod wire {
    #![expect(clippy::all, unreachable_pub, reason = "generated from proto/, documented there")]
    include!(concat!(env!("OUT_DIR"), "/endtoend.v1.rs"));
}

pub use blob::BlobRequest;
pub use codec::{DecodeError, PreparedServerFrame};
pub use content::{Acquaintance, Content, ContentKind, KINDS_VERSION, Provision, Text, TextError};
pub use file::{Attached, File, FileName, MediaType, Picture, Shown, Voice};
pub use frame::{
    Answer, ClientFrame, ClosingReason, Deliver, DeliveryNumber, Envelope, ListedDevice, Refusal, RefusalCode,
    Registration, RejectReason, Relation, Request, RequestId, RetryReason, ServerFrame, Work,
};
pub use ids::{AccountTag, Address, BadId, BlobId, DeviceId, EnvelopeId, MessageId, UnixMillis};
pub use invite::{BadInviteCode, InviteCode};
pub use keys::{
    Bundle, Bundles, DeviceKeys, EnvelopeKey, Identity, KemPreKey, KeyCounts, NewDevice, OneTimePreKey, SignedPreKey,
};
pub use own::{Arrangement, Comparison, Muted, OwnNews};
pub use parcel::{ChainHead, ChainId, Parcel, Place};
pub use person::{Person, Settled};
pub use said::{Card, Emoji, Face, Lifetime, Progress, Reference, Said, Written};

/// The one protocol version that this build speaks.
pub const VERSION: u32 = 1;
