//! The chain over everything that one device says to another: docs/cryptography.md, "Chains".
//!
//! ```text
//! head 0 = first 16 bytes of BLAKE3-derive-key("endtoend 2026-11 message chain v1 start", chain(8) || sender(33) || recipient(33))
//! head n = first 16 bytes of BLAKE3-derive-key("endtoend 2026-11 message chain v1 link", head n-1(16) || n(8, LE) || content)
//! ```
//!
//! The server sees none of it. What keeps its numbers is `client`'s: here they are only hashed.

use endtoend_protocol::{Address, ChainHead, ChainId, Place};

use crate::session::address_bytes;

const START_CONTEXT: &str = "endtoend 2026-11 message chain v1 start";
const LINK_CONTEXT: &str = "endtoend 2026-11 message chain v1 link";

/// The head of a chain that has carried nothing yet.
pub fn chain_start(chain: ChainId, sender: Address, recipient: Address) -> ChainHead {
    let mut hasher = blake3::Hasher::new_derive_key(START_CONTEXT);
    hasher.update(&chain.0).update(&address_bytes(sender)).update(&address_bytes(recipient));
    first_half(&hasher)
}

/// The head after a message: `content` is the encoded [`Content`](endtoend_protocol::Content), as it was sent.
pub fn chain_head(place: &Place, content: &[u8]) -> ChainHead {
    let mut hasher = blake3::Hasher::new_derive_key(LINK_CONTEXT);
    hasher.update(&place.previous.0).update(&place.number.get().to_le_bytes()).update(content);
    first_half(&hasher)
}

/// 16 bytes: nobody outside of the ratchet can try anything, so what counts is that a second content is not found for a head,
/// and half of the bytes of a small message are saved.
fn first_half(hasher: &blake3::Hasher) -> ChainHead {
    let mut head = [0; 16];
    hasher.finalize_xof().fill(&mut head);
    ChainHead(head)
}
