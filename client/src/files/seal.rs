//! Writes a file sealed, a chunk at a time.

use std::fs::File;
use std::io::{self, Write};

use endtoend_crypto_core::stream::{PART_BYTES, StreamSealer};
use endtoend_crypto_e2e::padded_bytes;
use endtoend_protocol::limits;
use zeroize::Zeroizing;

/// Takes the bytes of a file. What was written is of use only after [`SealedWriter::finish`].
pub(super) struct SealedWriter {
    sealer: StreamSealer,
    /// The part that is not full, or the last one that was.
    part: Zeroizing<Vec<u8>>,
    out: File,
    hash: blake3::Hasher,
    bytes: u64,
}

/// The file is longer than [`limits::FILE_BYTES_MAX`].
#[derive(Debug, thiserror::Error)]
#[error("the file is longer than {} bytes", limits::FILE_BYTES_MAX)]
pub(super) struct TooLong;

impl SealedWriter {
    pub(super) fn new(sealer: StreamSealer, out: File) -> Self {
        let part = Zeroizing::new(Vec::with_capacity(PART_BYTES));
        Self { sealer, part, out, hash: blake3::Hasher::new(), bytes: 0 }
    }

    /// A part is sealed when it is known that it is not the last.
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.part.len() == PART_BYTES {
                let chunk = self.sealer.seal(&self.part).map_err(io::Error::other)?;
                self.out.write_all(&chunk)?;
                self.part.clear();
            }
            let room = PART_BYTES.saturating_sub(self.part.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.part.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Fills up and ends the file, which is on disk then. Says its own length and hash.
    pub(super) fn finish(mut self) -> io::Result<(u64, [u8; 32])> {
        let mut left = padded_bytes(self.bytes).saturating_sub(self.bytes);
        while left > 0 {
            let zeros = usize::try_from(left).unwrap_or(usize::MAX).min(PART_BYTES);
            self.put(&vec![0; zeros])?;
            left = left.saturating_sub(zeros as u64);
        }
        let Self { sealer, part, mut out, hash, bytes } = self;
        out.write_all(&sealer.seal_last(&part).map_err(io::Error::other)?)?;
        out.sync_all()?;
        Ok((bytes, *hash.finalize().as_bytes()))
    }
}

impl Write for SealedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.bytes.saturating_add(bytes.len() as u64);
        if length > limits::FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, TooLong));
        }
        self.put(bytes)?;
        self.hash.update(bytes);
        self.bytes = length;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
