//! This node as a member of a cluster: its keys, how it comes in, what it shares with the others, and how it goes.
//!
//! Nothing here runs on a node without `[cluster] listen`.

mod begin;
mod chores;
mod error;
mod follow;
mod joining;
mod keys;
mod levels;
mod mark;
mod offers;
mod reports;
mod shared;
mod stop;

use std::sync::Arc;

use endtoend_cluster::claims::{Incarnation, NameKey, RedisClaims};
use endtoend_cluster::control::Control;
use endtoend_cluster::edge::Offers;
use endtoend_cluster::link::{Links, LinksTask};
use tokio::sync::watch;

use crate::elsewhere::Others;

pub(super) use begin::{Begun, Intended};
pub use error::MemberError;
pub(super) use follow::{follow_secrets, follow_state, until_out};
pub(crate) use joining::{ANOTHER_AUTHORITY, Stranger};
pub use joining::{JoinError, Joining};
pub(super) use mark::is_member;
pub(crate) use offers::is_loopback;
pub(crate) use reports::{Report, Reports};
pub(super) use shared::read_stopped;
pub(super) use stop::STOP_MAX;

/// A member that runs.
pub(super) struct Member {
    pub(super) membership: Arc<Membership>,
    me: Incarnation,
    /// The links live as long as this.
    _links: LinksTask,
}

/// What commands and those who watch see of it.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) control: Arc<Control>,
    pub(crate) links: Links,
    pub(crate) reports: Arc<Reports>,
    /// Where edges reach the nodes.
    offers: Arc<watch::Sender<Offers>>,
    claims: Arc<RedisClaims>,
    /// `HOST:PORT` where other nodes ask to join.
    pub(crate) peer_address: String,
}

impl Member {
    /// What the actors need to know of other nodes.
    pub(super) fn others(&self, names: NameKey) -> Others {
        let links = self.membership.links.clone();
        let hears = links.clone();
        Others {
            me: self.me,
            names,
            claims: Arc::clone(&self.membership.claims) as _,
            peers: Arc::new(links),
            on_hearing: Box::new(move |ears| hears.hear(ears)),
        }
    }
}
