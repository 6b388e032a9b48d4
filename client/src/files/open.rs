//! Reads sealed files, a chunk at a time: those that come, and those that are here.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};

use endtoend_crypto_core::stream::{CHUNK_BYTES, PART_BYTES, StreamOpener};
use endtoend_crypto_e2e::{attachment_opener, blob_bytes, blob_chunks};
use endtoend_protocol as protocol;
use zeroize::Zeroizing;

/// Why a sealed file is not the one that was meant, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Cut off, exchanged, changed, or another file.
    #[error("the file is not the one that was sent")]
    Forged,
    /// The disk did not give it, or did not take it.
    #[error("the file could not be read or written")]
    Io(#[from] io::Error),
    /// What was opened is not taken where it is to go.
    #[error("what was opened could not be written")]
    Out(#[source] io::Error),
    /// Whoever wanted it does not any more.
    #[error("given up")]
    GivenUp,
}

/// The chunks of a blob in their order, each opened before the next one is looked at.
struct Chunks {
    /// `None` after the last chunk.
    opener: Option<StreamOpener>,
    next: u64,
    count: u64,
    last_bytes: usize,
    /// Bytes of the file that have not come; what follows them is filling.
    left: u64,
    hash: blake3::Hasher,
}

impl Chunks {
    fn new(file: &protocol::File) -> Self {
        let (count, last_bytes) = blob_chunks(file.bytes);
        Self {
            opener: Some(attachment_opener(file.key, &file.blob.0, 0)),
            next: 0,
            count,
            last_bytes,
            left: file.bytes,
            hash: blake3::Hasher::new(),
        }
    }

    /// How long the next chunk is; `None` after the last.
    fn next_bytes(&self) -> Option<usize> {
        match self.count.saturating_sub(self.next) {
            0 => None,
            1 => Some(self.last_bytes),
            _ => Some(CHUNK_BYTES),
        }
    }

    /// Opens the next chunk, and gives what of the file is in it.
    fn open(&mut self, chunk: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let is_last = self.next.saturating_add(1) == self.count;
        let mut part = match (is_last, self.opener.as_mut()) {
            (false, Some(opener)) => opener.open(chunk),
            (true, Some(_)) => {
                let opener = self.opener.take().ok_or(OpenError::Forged)?;
                opener.open_last(chunk)
            }
            (_, None) => return Err(OpenError::Forged),
        }
        .map_err(|_| OpenError::Forged)?;
        self.next = self.next.saturating_add(1);
        part.truncate(usize::try_from(self.left).unwrap_or(PART_BYTES));
        self.left = self.left.saturating_sub(part.len() as u64);
        self.hash.update(&part);
        Ok(part)
    }

    /// Whether all of it has come, and it is the file that was meant.
    fn is_whole(&self, file: &protocol::File) -> bool {
        self.next == self.count && self.left == 0 && self.hash.finalize() == file.hash
    }
}

/// A file that comes. What is on disk of it was opened before; whatever else is found there is cut off.
pub(crate) struct Incoming {
    file: protocol::File,
    disk: File,
    chunks: Chunks,
    /// Has come and is no whole chunk.
    begun: Vec<u8>,
}

impl Incoming {
    /// Goes on with what is on disk of a file.
    pub(crate) fn resume(file: protocol::File, mut disk: File, stop: &dyn Fn() -> bool) -> Result<Self, OpenError> {
        let mut chunks = Chunks::new(&file);
        let mut good = 0;
        disk.seek(SeekFrom::Start(0))?;
        loop {
            // What died in the middle of the last chunk has noted nothing of it.
            let before = (chunks.next, chunks.left, chunks.hash.clone());
            let Some(length) = chunks.next_bytes() else { break };
            let mut chunk = Vec::with_capacity(length);
            (&mut disk).take(length as u64).read_to_end(&mut chunk)?;
            if chunk.len() < length || chunks.open(&chunk).is_err() {
                let opener = attachment_opener(file.key, &file.blob.0, before.0);
                (chunks.next, chunks.left, chunks.hash) = before;
                chunks.opener = Some(opener);
                break;
            }
            good += length as u64;
            if stop() {
                return Err(OpenError::GivenUp);
            }
        }
        disk.set_len(good)?;
        disk.seek(SeekFrom::Start(good))?;
        Ok(Self { file, disk, chunks, begun: Vec::new() })
    }

    /// Where in the blob to go on, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        let whole = match self.chunks.next_bytes() {
            None => return blob_bytes(self.file.bytes),
            Some(_) => self.chunks.next.saturating_mul(CHUNK_BYTES as u64),
        };
        whole.saturating_add(self.begun.len() as u64)
    }

    /// The next bytes of the blob have come. What opens is kept.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        self.begun.extend_from_slice(bytes);
        while let Some(length) = self.chunks.next_bytes() {
            if self.begun.len() < length {
                return Ok(());
            }
            let rest = self.begun.split_off(length);
            let chunk = std::mem::replace(&mut self.begun, rest);
            self.chunks.open(&chunk)?;
            self.disk.write_all(&chunk)?;
        }
        if self.begun.is_empty() { Ok(()) } else { Err(OpenError::Forged) }
    }

    /// All of it has come, and is on disk.
    pub(crate) fn finish(self) -> Result<(), OpenError> {
        if !self.chunks.is_whole(&self.file) {
            return Err(OpenError::Forged);
        }
        Ok(self.disk.sync_all()?)
    }
}

/// Opens a file that is here as a whole, and gives its bytes to `out`, which counts for nothing unless this succeeds.
pub(crate) fn copy_out(
    file: &protocol::File,
    mut disk: impl io::Read,
    out: &mut dyn Write,
    stop: &dyn Fn() -> bool,
) -> Result<(), OpenError> {
    let mut chunks = Chunks::new(file);
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    while let Some(length) = chunks.next_bytes() {
        chunk.clear();
        (&mut disk).take(length as u64).read_to_end(&mut chunk)?;
        out.write_all(&chunks.open(&chunk)?).map_err(OpenError::Out)?;
        if stop() {
            return Err(OpenError::GivenUp);
        }
    }
    if disk.read(&mut [0])? > 0 || !chunks.is_whole(file) {
        return Err(OpenError::Forged);
    }
    out.flush().map_err(OpenError::Out)
}
