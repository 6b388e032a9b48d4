//! What is on other nodes: devices, their claims, and the way there.

mod actor;
mod answers;
mod door;
mod ears;
mod entry;
mod forwards;
mod keeper;
mod known;
mod messages;
mod parts;
mod rules;
mod seen;
mod teller;
#[cfg(test)]
mod tests;
mod unheard;
mod unwoken;
mod waker;

pub(crate) use known::{AfterCommit, Elsewhere, say};
pub(crate) use messages::Departed;
pub(crate) use parts::{Others, Started};
pub(crate) use teller::{FromPeer, Teller};

#[cfg(test)]
pub(crate) use {
    entry::{Entry, FORWARDS_MAX},
    forwards::Forwards,
    keeper::{AfterTaking, Keeper},
    rules::{READS_FROM, from_wire, to_wire},
    unwoken::{Step, Unwoken},
};
