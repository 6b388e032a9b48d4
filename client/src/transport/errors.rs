//! Why there is no connection, and why one ended.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use endtoend_crypto_core::channel::ChannelError;
use endtoend_protocol::{ClosingReason, DecodeError, UnixMillis};

use super::{ProxyError, TorTrouble};
use crate::address::KeyHash;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name did not resolve, nobody listens, or the way there broke. Retry.
    #[error("the server cannot be reached; check the network, the address and that the server runs")]
    Unreachable(#[source] io::Error),
    /// The deadline passed. Retry.
    #[error("the server did not answer in time; check that the address and port are those of an endtoend server")]
    TimedOut,
    /// An edge in front of the server has no server to hand to, or no room. Retry.
    #[error("the server is not available (HTTP status {status}); it will be tried again")]
    Unavailable {
        /// Status of the HTTP answer: 429 or 500 to 599.
        status: u16,
    },
    /// The server is not the one that the address pins. Do not retry.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// No TLS 1.3 with a common key exchange. Do not retry.
    #[error("no TLS 1.3 connection came about; the server or something in between is too old or interferes")]
    Handshake(#[source] rustls::Error),
    /// Something else listens there. Do not retry.
    #[error("no endtoend server answers at this address; check host and port")]
    NotAnEndtoendServer,
    /// Tor cannot be used at the moment. [`TorTrouble::is_permanent`] says whether to retry.
    #[error(transparent)]
    Tor(TorTrouble),
    /// The proxy did not do its part. Retry.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// No exit from Tor leads to an address of this machine or of a private network. Do not retry.
    #[error(
        "a server with such an address cannot be reached through Tor: use its name or its onion address, or choose \
         --network direct if it stands in a network of your own"
    )]
    NotThroughTor,
    /// The onion service is for those whose keys it knows. Do not retry.
    #[error(transparent)]
    OnionKey(OnionKeyTrouble),
}

impl ConnectError {
    /// Whether another circuit may help: whoever has reached the server's machine and heard no has had a good one.
    pub(super) fn blames_the_way(&self) -> bool {
        match self {
            Self::Unreachable(error) => !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied
            ),
            Self::Unavailable { .. } | Self::NotThroughTor | Self::OnionKey(_) => false,
            Self::TimedOut
            | Self::Untrusted(_)
            | Self::Handshake(_)
            | Self::NotAnEndtoendServer
            | Self::Tor(_)
            | Self::Proxy(_) => true,
        }
    }

    /// Whether a person has to act before another try makes sense. A reconnecting client stops and shows the error.
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut | Self::Unavailable { .. } | Self::Proxy(_) => false,
            Self::Untrusted(_)
            | Self::Handshake(_)
            | Self::NotAnEndtoendServer
            | Self::NotThroughTor
            | Self::OnionKey(_) => true,
            Self::Tor(trouble) => trouble.is_permanent(),
        }
    }
}

/// Why an onion service that is for some is not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnionKeyTrouble {
    /// This profile has no key for it.
    #[error(
        "this onion service is not for everybody: ask its operator for a key and give it with `tor key add`, or make one with \
         `tor key new` and ask to be let in"
    )]
    Missing,
    /// The key that this profile has is none of those that it knows.
    #[error(
        "this onion service does not know the key that this profile has for it: ask its operator, and give another one with `tor key add`"
    )]
    Wrong,
}

/// Why a server's certificates were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// None of the keys that the server presented is the pinned one.
    #[error(
        "the server is not the one this address names: it presented {}; do not log in, ask its operator for \
         the present address",
        listed(presented)
    )]
    WrongPin {
        /// Pins of the presented certificates, the server's own first.
        presented: Vec<KeyHash>,
    },
    /// The server holds the pinned TLS key but has another identity.
    #[error(
        "the server is not the one this address names: its identity is {}; do not log in, ask its operator for the \
         present address",
        hex::encode(presented)
    )]
    WrongIdentity {
        /// Fingerprint of the identity that it presented.
        presented: [u8; 32],
    },
    /// The secure channel inside TLS did not come about.
    #[error("{0}: somebody may be impersonating the server, or this clock is wrong; do not log in")]
    Channel(ChannelError),
    /// The server vouches for itself.
    #[error(
        "the server's certificate is self-signed, which is refused even when its key is pinned; have the server's \
         certificate issued by an authority and pin that (`endtoend serve` does both)"
    )]
    SelfSignedLeaf,
    /// A certificate of the chain ran out.
    #[error(
        "a certificate of the server expired at {} and it is {} now; if this clock is right, ask the operator to \
         renew it", utc(*not_after), utc(*now)
    )]
    Expired {
        /// Its last moment.
        not_after: UnixMillis,
        /// The clock of this machine.
        now: UnixMillis,
    },
    /// A certificate of the chain is for later.
    #[error(
        "a certificate of the server is valid from {} only and it is {} now; the clock of this machine may be wrong: \
         set it and try again", utc(*not_before), utc(*now)
    )]
    NotYetValid {
        /// Its first moment.
        not_before: UnixMillis,
        /// The clock of this machine.
        now: UnixMillis,
    },
    /// The certificate is for another host.
    #[error("the server's certificate is not for {wanted} but for {}; use one of its names", listed(presented))]
    WrongName {
        /// Host of the address.
        wanted: String,
        /// What the certificate names.
        presented: Vec<String>,
    },
    /// A signature in the chain or of the handshake does not verify.
    #[error("a signature of the server does not verify: somebody may be impersonating it; do not log in")]
    BadSignature,
    /// The certificates do not lead to the pinned key, or are not fit for a server.
    #[error("the server's certificates do not form a valid chain ({why}); ask its operator to correct them")]
    ChainInvalid {
        /// What is wrong with them.
        why: String,
    },
}

/// The last words of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Why it closed the connection.
    pub reason: ClosingReason,
    /// When to come back: what it asked for, at most [`endtoend_protocol::limits::COME_BACK_MAX`]; zero when it did not ask.
    pub come_back_after: Duration,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// In order.
    #[error("the connection was closed{}", said.map(|said| format!(": {}", said.reason)).unwrap_or_default())]
    Closed {
        /// What the server said; `None` when it said nothing or this side closed.
        said: Option<Said>,
    },
    /// In the middle.
    #[error("the connection was lost")]
    Lost(#[from] io::Error),
    /// Nothing was heard, or nothing could be sent, for so long: [`Pace::idle_max`](super::Pace::idle_max).
    #[error("the server was silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// The server said what this protocol version does not allow. Also a frame of our own above the limit.
    #[error("the server broke the protocol")]
    Protocol(#[from] DecodeError),
    /// What arrived was not what the server sent, or not in its order. A new connection may be a good one.
    #[error("the connection was tampered with or broke: {0}")]
    Channel(#[from] ChannelError),
}

fn listed<T: ToString>(items: &[T]) -> String {
    match items {
        [] => "nothing".to_owned(),
        _ => items.iter().map(T::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// RFC 3339 in UTC, to the second.
fn utc(at: UnixMillis) -> String {
    /// The last millisecond that has four digits of year.
    const END_OF_9999: u64 = 253_402_300_799_999;
    let since_1970 = Duration::from_millis(at.get().min(END_OF_9999));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_1970).to_string()
}
