//! The edge: HAProxy in front of the nodes.
//!
//! [`EdgeView`] says what is wanted: which nodes, and how the edge is set. [`render()`] makes HAProxy's configuration of it.
//! [`Runtime`] and [`Master`] talk to a HAProxy that runs, [`plan()`] says what has to change there, and [`Pace`] when.
//! [`ProxyHeader`] is what a node hears of whoever comes through an edge. Nothing
//! here knows of clusters, and nothing but `runtime` does I/O: who starts HAProxy and writes files is
//! `gateway::edge`.

mod model;
mod pace;
mod plan;
mod proxy_header;
mod render;
mod runtime;
mod version;

pub use model::{
    Checks, EdgeView, FilePath, Limits, Member, MemberState, Membership, Mode, Name, Network, NotAName, NotANetwork,
    NotAPath, NotAView, Peer, Settings, Terminate, Times, Weight,
};
pub use pace::Pace;
pub use plan::{Change, Leaving, Plan, Seen, SeenServer, plan};
pub use proxy_header::{NotAHeader, ProxyHeader};
pub use render::{Rendered, Server, Structure, render};
pub use runtime::{
    Info, Master, Process, ProcessKind, Runtime, RuntimeError, ServerState, Stat, Unreadable, parse_info, parse_parts,
    parse_proc, parse_servers_state, parse_stat,
};
pub use version::{Capabilities, Version};
