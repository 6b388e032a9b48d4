//! Records: what travels when the channel is there.
//!
//! A record is AES-256-GCM over `frame || flags(1)` under the direction's key and a counter that is not sent, without
//! associated data. Each direction has its own key, so nothing can be reflected; nothing can be left out, repeated or
//! exchanged, because the counter would be another. Flag 1: the sender changes its key after this record (Noise,
//! section 11.3). The limit of 65 535 bytes of a Noise message is raised to that of a frame.

use std::fmt;
use std::time::Duration;

use super::ChannelError;
use super::noise::{Cipher, TAG_BYTES};

/// Bytes by which a record is longer than its frame.
pub const RECORD_OVERHEAD: usize = 1 + TAG_BYTES;
/// Records under one key, at most. AES-GCM bears 2^32 of them; this is what a stolen key can open.
pub const REKEY_RECORDS: u32 = 1 << 20;
/// A key is changed with the first record after this time.
pub const REKEY_AGE: Duration = Duration::from_secs(3600);

const NO_FLAGS: u8 = 0;
const REKEY: u8 = 1;

/// Seals frames, one after the other.
pub struct Sealer {
    cipher: Cipher,
    records: u32,
    keyed_at: Duration,
}

impl Sealer {
    pub(super) const fn new(cipher: Cipher) -> Self {
        Self { cipher, records: 0, keyed_at: Duration::ZERO }
    }

    /// The record of a frame. `age` is how long ago the channel came about, by a clock that never jumps back.
    ///
    /// # Errors
    /// `TooLarge` above 64 GiB; `NotRekeyed` after 2^64 records. Neither happens to a client or a node.
    pub fn seal(&mut self, frame: &[u8], age: Duration) -> Result<Vec<u8>, ChannelError> {
        let mut record = Vec::with_capacity(frame.len() + RECORD_OVERHEAD);
        record.extend_from_slice(frame);
        self.seal_in_place(&mut record, 0, age)?;
        Ok(record)
    }

    /// Makes a record of the frame that stands in `out` from `start` on: [`RECORD_OVERHEAD`] bytes longer.
    ///
    /// # Errors
    /// As [`Sealer::seal`]; what stands there then is not to be sent.
    pub fn seal_in_place(&mut self, out: &mut Vec<u8>, start: usize, age: Duration) -> Result<(), ChannelError> {
        self.records += 1;
        let rekey = self.records >= REKEY_RECORDS || age.saturating_sub(self.keyed_at) >= REKEY_AGE;
        out.push(if rekey { REKEY } else { NO_FLAGS });
        self.cipher.seal(&[], out, start)?;
        if rekey {
            self.cipher.rekey()?;
            (self.records, self.keyed_at) = (0, age);
        }
        Ok(())
    }
}

/// Opens records, one after the other.
pub struct Opener {
    cipher: Cipher,
    records: u32,
    failed: Option<ChannelError>,
}

impl Opener {
    pub(super) const fn new(cipher: Cipher) -> Self {
        Self { cipher, records: 0, failed: None }
    }

    /// The frame of a record.
    ///
    /// # Errors
    /// `Forged`, `Malformed`, `NotRekeyed`; from then on always the same.
    pub fn open(&mut self, record: &[u8]) -> Result<Vec<u8>, ChannelError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let opened = self.try_open(record);
        self.failed = opened.as_ref().err().copied();
        opened
    }

    fn try_open(&mut self, record: &[u8]) -> Result<Vec<u8>, ChannelError> {
        let mut text = self.cipher.open(&[], record)?;
        self.records += 1;
        match text.pop() {
            Some(NO_FLAGS) if self.records >= REKEY_RECORDS => return Err(ChannelError::NotRekeyed),
            Some(NO_FLAGS) => {}
            Some(REKEY) => {
                self.cipher.rekey()?;
                self.records = 0;
            }
            _ => return Err(ChannelError::Malformed),
        }
        Ok(std::mem::take(&mut *text))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener(..)")
    }
}
