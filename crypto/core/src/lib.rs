//! Cryptography that clients and servers share. Published constructions, composed; docs/cryptography.md gives every
//! byte layout and domain string.
//!
//! No I/O, no clock, no globals: time and randomness are arguments. What opens a message is in `crypto/e2e`, which
//! no server links.
#![deny(missing_docs)]

pub mod aead;
pub mod backup;
pub mod base32;
pub mod channel;
pub mod handle;
pub mod opaque;
pub mod oprf;
pub mod passphrase;
pub mod proof;
pub mod provision;
mod random;
pub mod refresh;
pub mod sealing;
pub mod signature;
pub mod stream;
pub mod token;
pub mod visitor;
pub mod work;
