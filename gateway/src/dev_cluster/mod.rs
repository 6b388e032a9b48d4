//! A whole cluster on this machine, of real programs: for `endtoend dev-cluster` and the demo of several nodes.
//!
//! Each program ends with this one, however that ends: a shell of `endtoend_keeper` sees to it.

mod cluster;
mod edge;
mod error;
mod member;
mod operate;
mod ports;
mod stop;

pub(crate) use cluster::{Cluster, Wanted};
pub(crate) use error::DevError;
pub(crate) use stop::Stop;
