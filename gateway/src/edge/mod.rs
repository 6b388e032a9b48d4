//! `endtoend edge`: keeps a HAProxy as the list of nodes says.
//!
//! `course` says what is done next, `alarms` what is wrong, `source` what is wanted (a file; `following` a cluster); `applier` makes it
//! so and looks whether it is, `process` keeps HAProxy itself alive, `agent` puts them together and `status` tells. What is wanted becomes HAProxy's orders in the crate `endtoend-haproxy`.

mod agent;
mod alarms;
mod applier;
mod config;
mod course;
mod diff;
mod files;
mod following;
mod process;
mod program;
mod source;
mod status;

pub(crate) use agent::run;
pub(crate) use config::{EdgeConfig, Origin};
pub(crate) use diff::diff;
pub(crate) use files::{CONFIG, applied};
pub(crate) use following::{ClusterSource, Kept};
pub(crate) use source::ViewFile;
pub(crate) use status::{Status, status};
