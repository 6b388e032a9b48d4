//! The one place of the client that opens sockets: a way to the server, TLS 1.3 to a pinned key, WebSocket, secure
//! channel to a pinned identity.
//!
//! Whatever sends a byte does it through a [`Link`] from [`connect()`]. `clippy.toml` of this crate and of the window forbids the
//! names of sockets and resolvers everywhere else; a test reads the sources and the dependencies to keep it so. Failures are typed
//! by what a person or the reconnecting engine can do next.
//!
//! | module | what it is |
//! |---|---|
//! | [`choice`] | rules: which way leads to a server |
//! | `circuits` | rules: which streams share a circuit, and when another one is tried |
//! | [`bridges`], [`programs`] | where Tor begins when its public relays must not be seen, and who speaks to those |
//! | [`keys`] | by which onion services that are not for everybody are found |
//! | [`trouble`] | how it stands with Tor; rules: why it does not start |
//! | `pace` | how long things may take |
//! | `network` | the way out of one profile |
//! | `orders` | what Tor is told by it |
//! | `direct`, `socks`, `tor` | the three ways: a socket, a proxy, Tor in this program |
//! | `connect`, `pinning`, `channel`, `link` | from a stream to frames |

pub mod bridges;
mod channel;
pub mod choice;
mod circuits;
mod connect;
mod direct;
mod errors;
pub mod keys;
mod link;
mod network;
mod orders;
mod pace;
mod pinning;
pub mod programs;
mod socks;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(feature = "tor")]
mod tor;
#[cfg(not(feature = "tor"))]
#[path = "tor_absent.rs"]
mod tor;
pub mod trouble;

pub use bridges::BridgeLine;
pub use choice::{BadChoice, Choice, NetworkSettings, Way};
pub use circuits::{FAILURES_ANEW, FAILURES_RESTART, Traffic};
pub use connect::connect;
pub use errors::{ConnectError, LinkError, OnionKeyTrouble, Said, Untrusted};
pub use link::{Link, LinkReceiver, LinkSender};
pub use network::{Network, NetworkStatus, TOR_FOLDER};
pub use pace::Pace;
pub use socks::ProxyError;
#[cfg(all(feature = "tor", any(debug_assertions, feature = "private-tor-network")))]
pub use tor::PRIVATE_NETWORK;
pub use trouble::{TorState, TorTrouble};
