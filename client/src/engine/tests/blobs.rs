//! The blobs of the small node, and what it may do with them.

use std::collections::HashMap;

use bytes::Bytes;
use endtoend_protocol::limits::BLOB_PART_BYTES_MAX;
use endtoend_protocol::{Answer, BlobId, BlobRequest, RefusalCode};

struct Blob {
    secret_hash: [u8; 32],
    total: u64,
    bytes: Vec<u8>,
}

/// What a node that lies gives in place of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlobLie {
    /// Without its end, and says so.
    CutOff,
    /// Without its end, and does not say so.
    Short,
    /// Its first two parts exchanged.
    Exchanged,
    /// Its first part again and again.
    Repeated,
    /// One bit of it is another.
    Bent,
    /// Something else of the same length.
    Other,
    /// Longer than it is.
    Longer,
}

#[derive(Default)]
pub(super) struct Blobs {
    kept: HashMap<BlobId, Blob>,
    pub(super) lie: Option<BlobLie>,
    /// What is asked about blobs is refused.
    pub(super) refuse: Option<RefusalCode>,
    /// After so many parts, up or down, the connection ends each time.
    pub(super) cut_after: Option<usize>,
    parts: usize,
    /// Where the parts began that came.
    pub(super) put: Vec<u64>,
    /// From where it was asked.
    pub(super) fetched: Vec<u64>,
    pub(super) removed: usize,
}

impl Blobs {
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    /// Whether a text is in any of them.
    pub(super) fn contains(&self, text: &[u8]) -> bool {
        self.kept.values().any(|blob| blob.bytes.windows(text.len()).any(|window| window == text))
    }

    /// They expire.
    pub(super) fn expire(&mut self) {
        self.kept.clear();
    }

    /// `Ok(None)` ends the connection.
    pub(super) fn answer(&mut self, request: BlobRequest) -> Result<Option<Answer>, RefusalCode> {
        if let Some(code) = self.refuse {
            return Err(code);
        }
        if matches!(request, BlobRequest::Put { .. } | BlobRequest::Fetch { .. }) {
            self.parts += 1;
            if self.cut_after.is_some_and(|after| self.parts > after) {
                self.parts = 0;
                return Ok(None);
            }
        }
        match request {
            BlobRequest::Open { blob, bytes, secret_hash } => {
                let new = || Blob { secret_hash, total: bytes, bytes: Vec::new() };
                let kept = self.kept.entry(blob).or_insert_with(new);
                match kept.secret_hash == secret_hash && kept.total == bytes {
                    true => Ok(Some(Answer::BlobHas(kept.bytes.len() as u64))),
                    false => Err(RefusalCode::UnknownBlob),
                }
            }
            BlobRequest::Put { blob, secret, offset, part } => {
                self.put.push(offset);
                let kept = self.kept.get_mut(&blob).ok_or(RefusalCode::UnknownBlob)?;
                assert_eq!(kept.secret_hash, *blake3::hash(&secret).as_bytes());
                if offset != kept.bytes.len() as u64 {
                    return Err(RefusalCode::BlobElsewhere);
                }
                kept.bytes.extend_from_slice(&part);
                assert!(kept.bytes.len() as u64 <= kept.total);
                Ok(Some(Answer::BlobHas(kept.bytes.len() as u64)))
            }
            BlobRequest::Fetch { blob, offset } => {
                self.fetched.push(offset);
                let kept = self.kept.get(&blob).ok_or(RefusalCode::UnknownBlob)?;
                let mut bytes = kept.bytes.clone();
                let mut from = usize::try_from(offset).unwrap();
                match self.lie {
                    Some(BlobLie::CutOff) => bytes.truncate(bytes.len() - 10),
                    Some(BlobLie::Exchanged) => {
                        let (first, rest) = bytes.split_at_mut(BLOB_PART_BYTES_MAX);
                        first.swap_with_slice(&mut rest[..BLOB_PART_BYTES_MAX]);
                    }
                    Some(BlobLie::Repeated) => from %= BLOB_PART_BYTES_MAX,
                    Some(BlobLie::Bent) => bytes[BLOB_PART_BYTES_MAX + 7] ^= 1,
                    Some(BlobLie::Other) => bytes.fill(7),
                    Some(BlobLie::Longer) => bytes.extend_from_slice(&[0; 10]),
                    Some(BlobLie::Short) | None => {}
                }
                let total = bytes.len() as u64;
                let end = (from / BLOB_PART_BYTES_MAX + 1) * BLOB_PART_BYTES_MAX;
                let mut part = bytes[from.min(bytes.len())..end.min(bytes.len())].to_vec();
                if self.lie == Some(BlobLie::Short) {
                    part.pop();
                }
                Ok(Some(Answer::BlobPart { bytes: total, part: Bytes::from(part) }))
            }
            BlobRequest::Remove { blob, secret } => {
                let kept = self.kept.remove(&blob).ok_or(RefusalCode::UnknownBlob)?;
                assert_eq!(kept.secret_hash, *blake3::hash(&secret).as_bytes());
                self.removed += 1;
                Ok(Some(Answer::Done))
            }
        }
    }
}
