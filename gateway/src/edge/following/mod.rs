//! An edge that follows its cluster: it has a key and a certificate of its own, hears from any node which nodes there are, and goes
//! on with what it has heard last when there is nobody to ask.
//!
//! `round` says whom to ask and when, `members` what the news mean for HAProxy, `addresses` where names lead; they are rules.
//! `follower` does it, `kept` is its directory, `joining` the way in.

mod addresses;
mod follower;
mod joining;
mod kept;
mod members;
mod round;

pub(crate) use follower::ClusterSource;
pub(crate) use kept::Kept;
use kept::KeptError;

use std::collections::BTreeMap;
use std::path::PathBuf;

use endtoend_haproxy::{Name, Weight};
use serde::Deserialize;

/// `[cluster]` of an edge's file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowConfig {
    /// Its key, and what it has heard last; mode 0700. It outlives the machine's restart.
    pub(crate) directory: PathBuf,
    /// Shares of new connections by names of nodes; 100 for all others.
    #[serde(default)]
    pub(crate) weights: BTreeMap<Name, Weight>,
}
