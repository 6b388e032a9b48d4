//! What nodes say to each other on a link. No I/O.
//!
//! A frame on the wire is its length, a big-endian `u32` of at most [`FRAME_BYTES_MAX`], and its body in postcard. Enums are
//! append-only, and a kind is never removed: that is how two versions understand each other. The first frame each way is
//! [`Hello`], whose beginning never changes. From then on both speak the newest version that both know, and say nothing that a
//! later one has brought ([`Frame::since`]).
//!
//! | version | brought |
//! |---|---|
//! | 1 | all but what follows |
//! | 2 | [`Frame::NewsMissed`] |

mod fields;
mod framing;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use endtoend_protocol::{AccountTag, Address, Envelope, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::ClusterId;

pub(in crate::link) use framing::put_bytes;
pub use framing::{WireError, put, take};

/// Longest body of a frame: a call of [`CALL_BYTES_MAX`](crate::CALL_BYTES_MAX) with its head.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Versions of this protocol that a build speaks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Versions {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

impl Versions {
    /// Those of this build.
    pub const OURS: Self = Self { min: 1, max: 2 };

    /// The newest that both speak.
    pub fn common(self, theirs: Self) -> Option<u16> {
        let newest = self.max.min(theirs.max);
        (newest >= self.min.max(theirs.min)).then_some(newest)
    }
}

/// The first frame, each way. What a later version appends to it is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hello {
    /// What the sender speaks.
    pub versions: Versions,
    /// Where it believes to be.
    pub cluster: ClusterId,
    /// Which run of its process this is: random, drawn when it starts.
    pub run: u64,
}

/// Everything after [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Frame {
    /// Are you there? Control.
    Ping {
        /// Comes back in the `Pong`.
        n: u64,
    },
    /// Yes. Control.
    Pong {
        /// Of the `Ping`.
        n: u64,
    },
    /// A question of the control plane. Control.
    Call {
        /// Comes back in the `Answer`.
        n: u64,
        /// At most [`CALL_BYTES_MAX`](crate::CALL_BYTES_MAX) bytes.
        question: Payload,
    },
    /// Its answer. Control.
    Answer {
        /// Of the `Call`.
        n: u64,
        /// What is answered.
        answer: Answer,
    },
    /// An envelope for a device that the receiver seems to have. Traffic.
    Forward {
        /// Grows by one with each. Comes back in the `Forwarded`.
        n: u64,
        /// The envelope.
        forward: Forward,
    },
    /// What became of a `Forward`. Traffic, in any order.
    Forwarded {
        /// Of the `Forward`.
        n: u64,
        /// What its sender is told.
        outcome: Outcome,
        /// The device is not on the node that answers: look for it anew.
        moved: bool,
    },
    /// A row was committed for a device that the receiver seems to have. Traffic.
    Wake {
        /// Grows by one with each.
        n: u64,
        /// Whose queue.
        #[serde(with = "fields::address")]
        to: Address,
        /// Of the row.
        seq: i64,
    },
    /// All wake-ups up to here were handled. Traffic.
    Woken {
        /// Of the last such `Wake`.
        up_to: u64,
    },
    /// The sender has claimed a device that the receiver had. Traffic.
    Taken {
        /// Comes back in the `TakenSeen`.
        n: u64,
        /// Which.
        #[serde(with = "fields::address")]
        device: Address,
        /// Of the claim.
        epoch: u64,
    },
    /// The receiver of a `Taken` does not act for the device any more. Traffic.
    TakenSeen {
        /// Of the `Taken`.
        n: u64,
    },
    /// What connections elsewhere must hear of. Traffic.
    News {
        /// Comes back in the `NewsHeard`. Grows with each that is told again on another link until it was heard; 0 for what is
        /// told once.
        n: u64,
        /// What has happened.
        news: News,
    },
    /// They will have heard, whatever becomes of the link. Traffic.
    NewsHeard {
        /// Of the `News` or `NewsMissed`.
        n: u64,
    },
    /// The sender knows so many refusals of its `Forward`s, all there were so far: what it sends on from here on, senders have sent
    /// who know, too. Traffic.
    RefusalsHeard {
        /// How many `Forwarded` of this link said [`Outcome::is_to_come_again`].
        count: u64,
    },
    /// More has happened than the sender tells again: what the receiver remembers has to be looked up. Traffic. Since version 2.
    NewsMissed {
        /// As in `News`, and comes back in the `NewsHeard`.
        n: u64,
    },
}

impl Frame {
    /// The version that has brought it.
    pub const fn since(&self) -> u16 {
        match self {
            Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Call { .. }
            | Self::Answer { .. }
            | Self::Forward { .. }
            | Self::Forwarded { .. }
            | Self::Wake { .. }
            | Self::Woken { .. }
            | Self::Taken { .. }
            | Self::TakenSeen { .. }
            | Self::News { .. }
            | Self::NewsHeard { .. }
            | Self::RefusalsHeard { .. } => 1,
            Self::NewsMissed { .. } => 2,
        }
    }
}

impl Frame {
    /// Whether it goes before all traffic.
    pub const fn is_control(&self) -> bool {
        match self {
            Self::Ping { .. } | Self::Pong { .. } | Self::Call { .. } | Self::Answer { .. } => true,
            Self::Forward { .. }
            | Self::Forwarded { .. }
            | Self::Wake { .. }
            | Self::Woken { .. }
            | Self::Taken { .. }
            | Self::TakenSeen { .. }
            | Self::News { .. }
            | Self::NewsHeard { .. }
            | Self::RefusalsHeard { .. }
            | Self::NewsMissed { .. } => false,
        }
    }
}

impl Frame {
    /// Whether the other side has asked for it, so that there has to be room.
    pub const fn is_answer(&self) -> bool {
        match self {
            Self::Pong { .. }
            | Self::Answer { .. }
            | Self::Forwarded { .. }
            | Self::Woken { .. }
            | Self::TakenSeen { .. }
            | Self::NewsHeard { .. } => true,
            Self::Ping { .. }
            | Self::Call { .. }
            | Self::Forward { .. }
            | Self::Wake { .. }
            | Self::Taken { .. }
            | Self::News { .. }
            | Self::RefusalsHeard { .. }
            | Self::NewsMissed { .. } => false,
        }
    }
}

/// Bytes of the control plane. `Debug` shows how many.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Payload(#[serde(with = "fields::bytes")] pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} B)", self.0.len())
    }
}

/// See [`Frame::Answer`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Answer {
    /// At most [`CALL_BYTES_MAX`](crate::CALL_BYTES_MAX) bytes.
    Bytes(Payload),
    /// There is none for who asks.
    Refused,
}

/// An envelope on its way to another node, with what was decided when it came in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Forward {
    /// The envelope.
    #[serde(with = "fields::envelope")]
    pub envelope: Envelope,
    /// Which part of the recipient's queue it may take.
    pub tray: Tray,
    /// When it came in, by the clock of the node that sends it on. From this its expiry counts.
    #[serde(with = "crate::millis")]
    pub accepted_at: UnixMillis,
}

/// Which part of a device's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Tray {
    /// From somebody whom the recipient has accepted.
    Contacts,
    /// From a stranger.
    Requests,
}

/// What became of an envelope that was sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Outcome {
    /// It is safe.
    Accepted {
        /// Since when, by the clock of the node that let it in.
        #[serde(with = "crate::millis")]
        at: UnixMillis,
    },
    /// No room on the way, or the way was lost: it may have arrived.
    Busy,
    /// No room in the recipient's queue.
    QueueFull,
    /// The store did not confirm.
    Unavailable,
    /// The other node stops.
    ShuttingDown,
    /// No such device.
    UnknownRecipient,
}

impl Outcome {
    /// Whether the sender is to send the same envelope again.
    pub const fn is_to_come_again(&self) -> bool {
        match self {
            Self::Accepted { .. } | Self::UnknownRecipient => false,
            Self::Busy | Self::QueueFull | Self::Unavailable | Self::ShuttingDown => true,
        }
    }
}

/// What connections on all nodes must hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum News {
    /// An account's list of devices has changed.
    DevicesChanged {
        /// Whose.
        #[serde(with = "fields::account")]
        account: AccountTag,
        /// Of the list.
        version: u32,
    },
    /// A device may go on no more.
    DeviceRevoked {
        /// Which.
        #[serde(with = "fields::address")]
        device: Address,
    },
    /// A login may go on no more.
    FamilyRevoked {
        /// Whose.
        #[serde(with = "fields::account")]
        account: AccountTag,
        /// Which family of tokens.
        family: [u8; 16],
    },
    /// No login of an account may go on, but one.
    AccountRevoked {
        /// Whose.
        #[serde(with = "fields::account")]
        account: AccountTag,
        /// The family of tokens that may.
        except: Option<[u8; 16]>,
    },
    /// What an account lets others do has changed: nobody may go by what he remembers of it.
    StandingChanged {
        /// Whose.
        #[serde(with = "fields::account")]
        account: AccountTag,
    },
}
