//! The sealed file.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `e2ebckup` |
//! | 8 | version, 1 |
//! | 9..21 | Argon2id: memory in KiB, passes, lanes, each LE32 |
//! | 21..37 | salt |
//! | 37.. | chunks of a sealed stream ([`endtoend_crypto_core::stream`]); its context is bytes 0..37 |
//!
//! The stream's key is `BLAKE3-derive-key("endtoend 2026-11 profile backup v1", Argon2id(passphrase, salt))`; with the salt it is another
//! one for each file.

use std::io::{self, BufRead, Read as _, Write};

use endtoend_crypto_core::aead::Key;
use endtoend_crypto_core::passphrase::{self, Params};
use endtoend_crypto_core::stream::{CHUNK_BYTES, PART_BYTES, StreamOpener, StreamSealer};
use rand::Rng as _;
use zeroize::Zeroizing;

use super::record::LINE_BYTES_MAX;
use super::restore::RestoreError;
use crate::profile::vault::PARAMS_MAX;

const MAGIC: &[u8; 8] = b"e2ebckup";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 37;
const KEY_CONTEXT: &str = "endtoend 2026-11 profile backup v1";

fn header(params: Params, salt: &[u8; 16]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let numbers = [params.memory_kib, params.passes, params.lanes].map(u32::to_le_bytes);
    let fields: [&[u8]; 4] = [MAGIC, &[VERSION], numbers.as_flattened(), salt];
    for (to, from) in header.iter_mut().zip(fields.into_iter().flatten()) {
        *to = *from;
    }
    header
}

/// `None` when Argon2id refuses.
fn key(passphrase: &[u8], salt: &[u8; 16], params: Params) -> Option<Key> {
    let derived = passphrase::derive(passphrase, salt, params).ok()?;
    Some(Key::new(blake3::derive_key(KEY_CONTEXT, derived.as_ref())))
}

/// Seals what is written to it. Nothing of it can be read before [`SealedWriter::finish`] has returned.
pub(super) struct SealedWriter<W> {
    out: W,
    sealer: StreamSealer,
    part: Zeroizing<Vec<u8>>,
}

impl<W: Write> SealedWriter<W> {
    /// `Ok(None)` when Argon2id refuses.
    pub(super) fn create(mut out: W, passphrase: &[u8], params: Params) -> io::Result<Option<Self>> {
        let mut salt = [0; 16];
        rand::rng().fill_bytes(&mut salt);
        let header = header(params, &salt);
        let Some(key) = key(passphrase, &salt, params) else { return Ok(None) };
        out.write_all(&header)?;
        // Never grown, so that no plaintext is left behind.
        let part = Zeroizing::new(Vec::with_capacity(PART_BYTES));
        Ok(Some(Self { out, sealer: StreamSealer::new(key, &header), part }))
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // A full part is sealed when something comes after it: the last one is never empty.
            if self.part.len() == PART_BYTES {
                let chunk = self.sealer.seal(&self.part).map_err(io::Error::other)?;
                self.out.write_all(&chunk)?;
                self.part.clear();
            }
            let (now, rest) = bytes.split_at(bytes.len().min(PART_BYTES - self.part.len()));
            self.part.extend_from_slice(now);
            bytes = rest;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<W> {
        let Self { mut out, sealer, part } = self;
        out.write_all(&sealer.seal_last(&part).map_err(io::Error::other)?)?;
        Ok(out)
    }
}

/// Opens a sealed file line by line, each chunk before its lines are given out.
pub(super) struct SealedReader<R> {
    input: R,
    /// `None` after the last chunk.
    opener: Option<StreamOpener>,
    first: bool,
    part: Zeroizing<Vec<u8>>,
    at: usize,
}

impl<R: BufRead> SealedReader<R> {
    pub(super) fn open(mut input: R, passphrase: &[u8]) -> Result<Self, RestoreError> {
        let mut header = [0; HEADER_BYTES];
        input.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => RestoreError::NotABackup,
            _ => RestoreError::Read(error),
        })?;
        let rest = header.strip_prefix(MAGIC).ok_or(RestoreError::NotABackup)?;
        let Some((&version, rest)) = rest.split_first() else { return Err(RestoreError::NotABackup) };
        if version != VERSION {
            return Err(if version > VERSION { RestoreError::Newer } else { RestoreError::NotABackup });
        }
        let mut rest = rest;
        let mut number = || {
            let (number, after) = rest.split_first_chunk()?;
            rest = after;
            Some(u32::from_le_bytes(*number))
        };
        let params = (number(), number(), number());
        let (Some(memory_kib), Some(passes), Some(lanes)) = params else { return Err(RestoreError::NotABackup) };
        let params = Params { memory_kib, passes, lanes };
        let salt: [u8; 16] = rest.try_into().map_err(|_| RestoreError::NotABackup)?;
        // A planted file must not take all memory.
        if memory_kib > PARAMS_MAX.memory_kib || passes > PARAMS_MAX.passes || lanes > PARAMS_MAX.lanes {
            return Err(RestoreError::NotABackup);
        }
        let key = key(passphrase, &salt, params).ok_or(RestoreError::Derive)?;
        let opener = Some(StreamOpener::new(key, &header));
        Ok(Self { input, opener, first: true, part: Zeroizing::new(Vec::new()), at: 0 })
    }

    /// The next line without its end; `None` after the last one.
    pub(super) fn line(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, RestoreError> {
        let mut line = Zeroizing::new(Vec::new());
        loop {
            let rest = self.part.get(self.at..).unwrap_or_default();
            let (taken, ended) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end, true),
                None => (rest.len(), false),
            };
            if line.len() + taken > LINE_BYTES_MAX {
                return Err(RestoreError::Damaged);
            }
            line.extend_from_slice(rest.get(..taken).unwrap_or_default());
            self.at += taken;
            if ended {
                self.at += 1;
                return Ok(Some(line));
            }
            if !self.next_part()? {
                return if line.is_empty() { Ok(None) } else { Err(RestoreError::Damaged) };
            }
        }
    }

    fn next_part(&mut self) -> Result<bool, RestoreError> {
        let Some(mut opener) = self.opener.take() else { return Ok(false) };
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        self.input.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk).map_err(RestoreError::Read)?;
        let last = self.input.fill_buf().map_err(RestoreError::Read)?.is_empty();
        let part = match last {
            true => opener.open_last(&chunk),
            false => {
                let part = opener.open(&chunk);
                self.opener = Some(opener);
                part
            }
        };
        let wrong = if self.first { RestoreError::WrongPassphrase } else { RestoreError::Damaged };
        self.part = part.map_err(|_| wrong)?;
        (self.first, self.at) = (false, 0);
        Ok(true)
    }
}
