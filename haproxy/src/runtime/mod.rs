//! What a running HAProxy says and is told, through its Unix sockets.

mod client;
mod csv;
mod parse;

pub use client::{Master, Runtime, RuntimeError};
pub use parse::{
    Info, Process, ProcessKind, ServerState, Stat, Unreadable, parse_info, parse_parts, parse_proc,
    parse_servers_state, parse_stat,
};
