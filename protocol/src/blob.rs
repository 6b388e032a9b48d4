//! What is asked about blobs: attachments, sealed by a client, which a server keeps for a while and cannot open.

use std::fmt;

use bytes::Bytes;

use crate::ids::BlobId;
use crate::limits;

/// A request about a blob. `Debug` shows no secret and nothing of the blob.
#[derive(Clone, PartialEq, Eq)]
pub enum BlobRequest {
    /// Begins a blob, or asks how much of it is there.
    Open {
        /// Random.
        blob: BlobId,
        /// Its length, 1 to [`limits::BLOB_BYTES_MAX`].
        bytes: u64,
        /// BLAKE3 of a random secret.
        secret_hash: [u8; 32],
    },
    /// The next part of it. All parts but the last have [`limits::BLOB_PART_BYTES_MAX`].
    Put {
        /// Which.
        blob: BlobId,
        /// Whose hash `Open` told.
        secret: [u8; limits::BLOB_SECRET_BYTES],
        /// Where the part begins: what is there before it, at most [`limits::BLOB_BYTES_MAX`].
        offset: u64,
        /// 1 to [`limits::BLOB_PART_BYTES_MAX`] bytes.
        part: Bytes,
    },
    /// Asks for a part of a blob that is there as a whole.
    Fetch {
        /// Which.
        blob: BlobId,
        /// Where it begins, at most [`limits::BLOB_BYTES_MAX`].
        offset: u64,
    },
    /// Removes a blob.
    Remove {
        /// Which.
        blob: BlobId,
        /// Whose hash `Open` told.
        secret: [u8; limits::BLOB_SECRET_BYTES],
    },
}

impl fmt::Debug for BlobRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { blob, bytes, .. } => write!(f, "Open({blob:?}, {bytes} B)"),
            Self::Put { blob, offset, part, .. } => write!(f, "Put({blob:?}, {} B at {offset})", part.len()),
            Self::Fetch { blob, offset } => write!(f, "Fetch({blob:?}, at {offset})"),
            Self::Remove { blob, .. } => write!(f, "Remove({blob:?})"),
        }
    }
}
