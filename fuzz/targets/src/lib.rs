//! What fuzzing runs: for each target a function that takes any bytes and panics if a promise is broken, and the seeds
//! from which its corpus grew. Ordinary tests replay the corpus; docs/fuzzing.md says how to search for more.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "what fails here has found something"
)]

mod accounts;
mod channel;
mod decoders;
mod edge;
mod images;
mod links;
mod people;
mod ratchet;

pub use accounts::accounts;
pub use channel::{handshake, records};
pub use decoders::{content, credentials, frames, sealed, texts};
pub use edge::edge;
pub use images::images;
pub use links::links;
pub use ratchet::{bundle, letter, spqr_part};

/// A target: its name, what it runs, where its corpus began.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const TARGETS: [Target; 14] = [
    ("frames", frames, decoders::frame_seeds),
    ("content", content, decoders::content_seeds),
    ("texts", texts, decoders::text_seeds),
    ("credentials", credentials, decoders::credential_seeds),
    ("accounts", accounts, accounts::seeds),
    ("sealed", sealed, decoders::sealed_seeds),
    ("handshake", handshake, channel::handshake_seeds),
    ("records", records, channel::record_seeds),
    ("letter", letter, ratchet::letter_seeds),
    ("bundle", bundle, ratchet::bundle_seeds),
    ("spqr_part", spqr_part, ratchet::spqr_part_seeds),
    ("edge", edge, edge::seeds),
    ("links", links, links::seeds),
    ("images", images, images::seeds),
];

fn rng(seed: u8) -> rand::rngs::StdRng {
    rand::SeedableRng::from_seed([seed; 32])
}

/// The first byte says what to do with the rest.
fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

fn chosen(first: u8, rest: &[u8]) -> Vec<u8> {
    [&[first], rest].concat()
}
