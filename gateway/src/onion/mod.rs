//! The node as an onion service of the Tor network: reached without its address being known, and by nobody who is not told.
//!
//! `key` is who it is, `files` what a `tor` beside the node is given to host it; both are rules. `host` hosts it within the node, by arti, on a thread and a runtime of its own: building circuits takes nothing from
//! the actors. Whoever connects comes out at `[onion] target` as a connection of this machine; TLS and the secure channel end
//! where they always do.

mod files;
#[cfg(feature = "onion")]
mod host;
mod key;
mod state;

pub(crate) use files::{export, torrc};
#[cfg(feature = "onion")]
pub(crate) use host::{Hosted, Hosting};
pub(crate) use key::{KEY_BYTES, OnionKey};
pub(crate) use state::OnionState;

/// Below the data directory: what arti keeps. The key is not in it.
pub(crate) const FOLDER: &str = "onion";
