//! The headless engine: commands in, events out, on a thread of its own.
//!
//! | module | what it is |
//! |---|---|
//! | [`command`], [`event`] | everything it can be told, everything it tells |
//! | [`handle`] | its outside: start it, send commands, hear events |
//! | `outbox`, `acks` | rules: what to send next, when to acknowledge; no I/O, the time is an argument |
//! | `seal`, `receive`, `parcel`, `heard` | one message out, one envelope or frame in: each inside one transaction |
//! | `say` | what is said about messages, by either side, and what disappears |
//! | `chains` | what is missing of what somebody has said: the rules of [`crate::chain`], kept and told |
//! | `repair`, `rotation` | rules: a session that broke, keys that grew old |
//! | `establish` | from nothing to an authenticated connection |
//! | [`linking`], [`recovery`] | a further device: let in by an existing one, or by the password and a backup |
//! | `lock`, `idle` | a profile that is closed until the password comes; when it closes itself |
//! | `introducing` | what a device that comes to the account hears of before |
//! | `faces` | how this account shows itself: who has still to hear of it |
//! | `files`, `lanes`, `courier` | files of messages: who seals, moves and saves them |
//! | `run`, `told` | the wiring: plans and waits; commands and their answers |
//! | `rewiring` | another way to the network while the engine runs |
//! | `online`, `asking`, `sending`, `effects`, `answers` | one live connection |
//! | `account`, `people`, `conversing`, `removing` | registration and identities; the other side; what is said to it; its end here |
//!
//! Nothing here knows a terminal or a window.

mod account;
mod acks;
mod answers;
mod asking;
mod chains;
mod clearing;
pub mod command;
mod conversing;
mod copying;
mod courier;
mod effects;
mod establish;
pub mod event;
mod faces;
mod files;
pub mod handle;
mod heard;
mod idle;
mod introducing;
mod lanes;
mod later;
pub mod linking;
mod lock;
mod lookup;
mod online;
mod outbox;
mod parcel;
mod people;
mod receive;
pub mod recovery;
mod removing;
mod repair;
pub mod requests;
mod rewiring;
mod rotation;
mod run;
mod say;
mod seal;
mod sending;
mod told;

#[cfg(test)]
mod tests;

pub use acks::Misnumbered;
pub use command::{
    AccountError, AddError, ArrangeError, AttachError, Attaching, DecideError, FaceError, FileError, NicknameError,
    Registration, RemoveError, Removing, SendError, Status, Stopped, UnlockError, Verification, VerifyError,
};
pub use courier::Way;
pub use event::{Change, ConnectionState, Event, FileStep, OfflineReason};
pub use handle::{Engine, EngineHandle, Options, StartError};
pub use requests::{AccountAnswer, AccountRequest, OwnDevice, RequestError};
pub use say::Deed;
