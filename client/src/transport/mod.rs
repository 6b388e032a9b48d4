//! The one place of the client that opens sockets: TCP, TLS 1.3 to a pinned key, WebSocket, secure
//! channel to a pinned identity.
//!
//! Whatever sends a byte does it through a [`Link`] from [`connect()`]; a test reads the sources of this crate to keep
//! it so. Failures are typed by what a person or the reconnecting engine can do next.

mod channel;
mod connect;
mod errors;
mod link;
mod pinning;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use connect::connect;
pub use errors::{ConnectError, LinkError, Said, Untrusted};
pub use link::{Link, LinkReceiver, LinkSender};
