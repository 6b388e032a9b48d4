//! Whether the node is well, and the listener that tells programs: `/healthz`, `/readyz`, `/metrics`.
//!
//! Plain HTTP without a login, so it listens on loopback unless an operator says otherwise, and on nothing by default. It
//! changes nothing, and no answer names a client or an account.

mod listener;
mod oldest;
mod readiness;
mod scrape;

pub(crate) use listener::{AdminListener, listen};
pub(crate) use oldest::Oldest;
pub(crate) use readiness::{Readiness, Reason};
pub(crate) use scrape::Watched;
