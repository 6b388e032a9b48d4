//! What an edge is to be. Every value is of a type that cannot hold a line break, a space or a quote, so that nothing that
//! comes from elsewhere can become a directive.

mod names;
mod settings;

pub use names::{FilePath, Name, Network, NotAName, NotANetwork, NotAPath};
pub use settings::{Checks, Limits, Mode, Peer, Settings, Terminate, Times};

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What is wanted of an edge.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeView {
    /// Which nodes there are.
    pub membership: Membership,
    /// How the edge is set.
    pub settings: Settings,
}

/// The nodes behind the edge, as whoever knows them tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Grows with each change; an older one is not applied.
    pub generation: u64,
    /// By name, at most [`Membership::MEMBERS_MAX`].
    #[serde(default)]
    pub members: BTreeMap<Name, Member>,
}

/// A node behind the edge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Where it takes clients.
    pub address: SocketAddr,
    /// Its admin listener, which has `/readyz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<SocketAddr>,
    /// Whether it gets new connections.
    #[serde(default)]
    pub state: MemberState,
    /// Its share of new connections, beside the others'.
    #[serde(default)]
    pub weight: Weight,
}

/// Where a node stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// Gets new connections.
    #[default]
    Active,
    /// Keeps those it has.
    Draining,
}

/// Share of new connections, 1 to 256; 100 unless something else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Weight(u16);

/// Why a list of nodes, or what the edge is set to, cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAView {
    /// Beyond what an edge is made for.
    #[error("{count} {what}, and there may be {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// An edge that listens nowhere.
    #[error("the edge listens nowhere: name an address")]
    NoAddress,
    /// An address that cannot be connected to.
    #[error("{address} of {name} is no address that one can connect to")]
    NotConnectable {
        /// Whose.
        name: Name,
        /// Which.
        address: SocketAddr,
    },
    /// Two nodes cannot be one.
    #[error("{address} of {name} is another node's, too")]
    Twice {
        /// Whose.
        name: Name,
        /// Which.
        address: SocketAddr,
    },
    /// Checks by `/readyz` need to know where that is.
    #[error(
        "{0} has no `ready` address, and the edge asks /readyz: name its admin listener, or set checks = \"connect\""
    )]
    NoReadyAddress(Name),
    /// The peers share tables under their own names.
    #[error("there are peers, and {0}, this edge, is not one of them")]
    NotAPeer(Name),
    /// A number that HAProxy or sense refuses.
    #[error("{name} is {value}, and may be {min} to {max}")]
    OutOfRange {
        /// Which.
        name: &'static str,
        /// What it is.
        value: u64,
        /// At least.
        min: u64,
        /// At most.
        max: u64,
    },
}

impl Weight {
    /// Unless something else is said.
    pub const USUAL: Self = Self(100);

    /// The number, 1 to 256.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::USUAL
    }
}

impl TryFrom<u16> for Weight {
    type Error = NotAView;

    fn try_from(value: u16) -> Result<Self, NotAView> {
        match value {
            1..=256 => Ok(Self(value)),
            value => Err(NotAView::OutOfRange { name: "weight", value: value.into(), min: 1, max: 256 }),
        }
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl Member {
    /// What HAProxy is told: a node that drains has none.
    pub const fn effective_weight(&self) -> u16 {
        match self.state {
            MemberState::Active => self.weight.get(),
            MemberState::Draining => 0,
        }
    }

    /// Whether there can be connections to it; `name` is what it is called.
    ///
    /// # Errors
    /// [`NotAView::NotConnectable`].
    pub fn validate(&self, name: &Name) -> Result<(), NotAView> {
        for address in [Some(self.address), self.ready].into_iter().flatten() {
            if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
                return Err(NotAView::NotConnectable { name: name.clone(), address });
            }
        }
        Ok(())
    }
}

impl Membership {
    /// An edge before more nodes than that would spend itself on checks.
    pub const MEMBERS_MAX: usize = 256;
}

impl EdgeView {
    /// Whether it can be applied, beyond what the types say.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), NotAView> {
        self.settings.validate()?;
        let members = &self.membership.members;
        if members.len() > Membership::MEMBERS_MAX {
            return Err(NotAView::TooMany { what: "nodes", count: members.len(), max: Membership::MEMBERS_MAX });
        }
        let mut seen = BTreeSet::new();
        for (name, member) in members {
            member.validate(name)?;
            if !seen.insert(member.address) {
                return Err(NotAView::Twice { name: name.clone(), address: member.address });
            }
            if self.settings.checks == Checks::Ready && member.ready.is_none() {
                return Err(NotAView::NoReadyAddress(name.clone()));
            }
        }
        Ok(())
    }
}
