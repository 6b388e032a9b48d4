//! Messages of the handshake in pieces, so that a stranger makes nobody hold more than a little.
//!
//! A chunk is `step(1) || still to come(1) || bytes`; all but the last are full.

use super::ChannelError;

/// Bytes of a message in one chunk, at most. A page: what an edge or a small device surely passes.
pub const CHUNK_BYTES_MAX: usize = 4096;
/// Longest message of a handshake in bytes. The longest there is, the introduction, has 8 932.
pub const MESSAGE_BYTES_MAX: usize = 4 * CHUNK_BYTES_MAX;

const CHUNKS_MAX: usize = MESSAGE_BYTES_MAX / CHUNK_BYTES_MAX;
const HEADER_BYTES: usize = 2;

/// Which message of the handshake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// From the server, first.
    Introduction = 1,
    /// From the client.
    Initiate = 2,
    /// From the server, last.
    Respond = 3,
}

/// Cuts a message into chunks. None for a message over [`MESSAGE_BYTES_MAX`] or an empty one, which do not exist.
pub fn chunks(step: Step, message: &[u8]) -> Vec<Vec<u8>> {
    let pieces = message.chunks(CHUNK_BYTES_MAX);
    let count = pieces.len();
    if count > CHUNKS_MAX {
        return Vec::new();
    }
    let still_to_come = (0..count).rev().filter_map(|left| u8::try_from(left).ok());
    pieces.zip(still_to_come).map(|(piece, left)| [&[step as u8, left], piece].concat()).collect()
}

/// Puts the chunks of one message together.
#[derive(Debug)]
pub struct Assembler {
    step: Step,
    bytes: Vec<u8>,
    still_to_come: Option<u8>,
}

impl Assembler {
    /// For the message that is due.
    pub const fn new(step: Step) -> Self {
        Self { step, bytes: Vec::new(), still_to_come: None }
    }

    /// Takes the next chunk; gives the message with its last one.
    ///
    /// # Errors
    /// `Malformed` for anything that is not the next chunk of this step; `TooLarge`.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Option<Vec<u8>>, ChannelError> {
        if chunk.len() > HEADER_BYTES + CHUNK_BYTES_MAX {
            return Err(ChannelError::TooLarge);
        }
        let Some((&[step, left], piece)) = chunk.split_first_chunk() else { return Err(ChannelError::Malformed) };
        let expected = self.still_to_come.map_or(Some(left), |before| before.checked_sub(1));
        let whole = if left == 0 { !piece.is_empty() } else { piece.len() == CHUNK_BYTES_MAX };
        if step != self.step as u8 || expected != Some(left) || !whole {
            return Err(ChannelError::Malformed);
        }
        if usize::from(left) >= CHUNKS_MAX {
            return Err(ChannelError::TooLarge);
        }
        self.still_to_come = Some(left);
        self.bytes.extend_from_slice(piece);
        Ok((left == 0).then(|| std::mem::take(&mut self.bytes)))
    }
}
