//! Cryptography that clients and servers share. Published constructions, composed; docs/cryptography.md gives every
//! byte layout and domain string.
//!
//! No I/O, no clock, no globals: time and randomness are arguments. What opens a message is in `crypto/e2e`, which
//! no server links.
#![deny(missing_docs)]

pub mod aead;
pub mod channel;
pub mod handle;
pub mod opaque;
pub mod oprf;
pub mod passphrase;
pub mod proof;
pub mod provision;
mod random;
pub mod refresh;
pub mod signature;
pub mod token;
pub mod work;

/// The tag that names an account to a server, from its normalised handle.
///
/// **Interim.** A public function of the handle: whoever has the tags can try handles. [`oprf`] takes its place, which
/// needs the server's key for every try.
pub fn account_tag(handle: &str) -> [u8; 32] {
    blake3::derive_key("endtoend 2026-11 account tag v0", handle.as_bytes())
}
