//! The secure channel between a client and a node, inside TLS, which an edge or a tunnel may end.
//!
//! A Noise handshake with X25519 and ML-KEM-1024 side by side (pattern hybridNK), in which the server proves to hold
//! static keys that its long-term identity has signed; the client stays anonymous. Byte layouts and the choice:
//! docs/cryptography.md, "Secure channel".
//!
//! No I/O and no clock: what arrives is a slice, what leaves is a vector, and time is an argument.
//!
//! ```text
//! node                                   client
//!   Introduction ──────────────────────►   check: pinned identity, signature, validity
//!              ◄────────────────────────  Initiate: skem, e, es
//!   Respond: ekem, e, ee ───────────────►
//!   records  ◄──────────────────────────► records
//! ```

mod chunks;
mod handshake;
mod introduction;
mod noise;
mod transport;

pub use chunks::{Assembler, CHUNK_BYTES_MAX, MESSAGE_BYTES_MAX, Step, chunks};
pub use handshake::{Initiator, StaticKeys, StaticPublic, respond};
pub use introduction::{INTRODUCTION_BYTES, Introduction, fingerprint};
pub use transport::{Opener, RECORD_OVERHEAD, REKEY_AGE, REKEY_RECORDS, Sealer};

/// An established channel.
#[derive(Debug)]
pub struct Channel {
    /// The way out.
    pub sealer: Sealer,
    /// The way in.
    pub opener: Opener,
    /// Known to the two ends of this channel only, the same at both: what proofs are bound to (Noise, section 11.2).
    pub binding: [u8; 32],
}

/// Why there is no channel, or none any more. After any of them it cannot be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Not a message of this protocol, or not the one that is due.
    #[error("not a message of the secure channel")]
    Malformed,
    /// More than any message of the handshake has.
    #[error("a message of the secure channel's handshake is too large")]
    TooLarge,
    /// The server's identity is not the pinned one.
    #[error("the server has another identity")]
    WrongIdentity,
    /// The identity did not sign what it should have signed.
    #[error("the signature of the server's identity does not verify")]
    BadSignature,
    /// The server's static keys are too old, or this clock is wrong.
    #[error("the server's keys have expired")]
    Expired,
    /// The server's static keys are not valid yet, or this clock is wrong.
    #[error("the server's keys are not valid yet")]
    NotYetValid,
    /// A key that no honest side has: of low order, or not in its range.
    #[error("a key of the other side is not acceptable")]
    BadKey,
    /// Not what the other side sealed, or not at this place: changed, replayed, reordered, reflected or cut.
    #[error("a record of the secure channel does not open")]
    Forged,
    /// The other side went on with a key that it had to replace.
    #[error("the other side did not change its key in time")]
    NotRekeyed,
}
