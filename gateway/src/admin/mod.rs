//! What an operator asks of a node: on a running one through a Unix socket in its data directory, on a stopped one by
//! opening that directory. [`execute::execute`] serves both.
//!
//! One request for each connection: a line with one JSON object in; lines with one object each out, of which only the
//! last is not `progress`. Whoever may write to the socket (mode 0600) may do all this; there is no other proof.
//!
//! To add a command:
//! 1. a variant in [`AdminRequest`], which says in `opening` how it takes a stopped node's store, and one in
//!    [`AdminAnswer`], if none fits;
//! 2. an arm in [`execute::execute`], which calls a function in a file of its own and takes what it needs from [`AdminContext`];
//! 3. a file in `commands/` with its options and how its answer is printed, and a line in `main`.
//!
//! `status` is the shortest example of all three.

mod client;
mod cluster;
mod context;
mod execute;
mod operators;
mod request;
mod server;
mod socket;
#[cfg(test)]
mod tests;

pub(crate) use client::ask;
pub(crate) use cluster::{
    Change, Changed, ClusterAnswer, ClusterRequest, ClusterStatus, EdgeView, Elections, NodeView, TokenView, WAIT_MAX,
};
pub(crate) use context::{AdminContext, OnionShown, Running};
pub(crate) use request::{
    AdminAnswer, AdminRequest, AuditView, InviteView, LimitView, Named, OnionView, Progress, Reporter, Status, UserView,
};
pub(crate) use server::AdminSocket;
pub(crate) use socket::SOCKET;

use std::time::Duration;

/// A request or an answer has at most so many bytes, its line end included: twice what the most nodes of a cluster with the longest
/// addresses take. At the bound: refused.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// A line must be taken, and a request must come, within this time.
const LINE_DEADLINE: Duration = Duration::from_secs(5);
/// Connections at one time. At the bound: the next one waits until one ends.
const CONNECTIONS_MAX: usize = 4;
/// How often long work says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// A node that says nothing for this long does not answer any more.
const SILENCE_MAX: Duration = Duration::from_secs(30);
