//! A long plaintext, sealed in chunks of which each is opened before the next one is read: STREAM (Hoang, Reyhanitabar, Rogaway
//! and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015), as age and Tink have it, over
//! the PQ AEAD.
//!
//! ```text
//! counter(12) = number of the chunk(8, LE, from 0) || 1 for the last chunk, else 0(1) || zeros(3)
//! nonce(36)   = counter || counter || zeros(12)
//! chunk       = PQ AEAD(key, nonce, "endtoend 2026-11 sealed stream v1" || context, part of the plaintext)
//! ```
//!
//! Every part but the last has [`PART_BYTES`]; the last has 1 to as many, or none when the whole plaintext is empty. A chunk that is
//! left out, exchanged, repeated or cut off does not open, nor does one after the last. The key is for one stream only.

use zeroize::Zeroizing;

use crate::aead::{self, Key, NONCE_BYTES, Nonce};

const DOMAIN: &[u8] = b"endtoend 2026-11 sealed stream v1";

/// Length in bytes of each part of the plaintext but the last.
pub const PART_BYTES: usize = 64 * 1024;
/// Length in bytes of each chunk but the last.
pub const CHUNK_BYTES: usize = PART_BYTES + aead::OVERHEAD;

/// Why a part was not sealed or a chunk not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A part of another length than its place allows.
    #[error("a part of a stream has another length")]
    Length,
    /// Another key, context or place, or changed.
    #[error("a chunk does not open")]
    Forged,
}

/// Where in a stream the next chunk is. `Debug` shows nothing of the key.
#[derive(Debug)]
struct Place {
    key: Key,
    ad: Vec<u8>,
    next: u64,
}

impl Place {
    fn new(key: Key, context: &[u8]) -> Self {
        Self { key, ad: [DOMAIN, context].concat(), next: 0 }
    }

    fn nonce(&self, last: bool) -> Nonce {
        let mut counter = [0; 12];
        let number = self.next.to_le_bytes();
        for (to, from) in counter.iter_mut().zip(number.into_iter().chain([last.into()])) {
            *to = from;
        }
        let mut nonce = [0; NONCE_BYTES];
        for (to, from) in nonce.iter_mut().zip([counter, counter].as_flattened()) {
            *to = *from;
        }
        nonce
    }

    fn seal(&mut self, part: &[u8], last: bool) -> Result<Vec<u8>, StreamError> {
        let sealed = aead::seal(&self.key, &self.nonce(last), &self.ad, part);
        self.next = self.next.checked_add(1).ok_or(StreamError::Length)?;
        Ok(sealed)
    }

    fn open(&mut self, chunk: &[u8], last: bool) -> Result<Zeroizing<Vec<u8>>, StreamError> {
        let part = aead::open(&self.key, &self.nonce(last), &self.ad, chunk).map_err(|_| StreamError::Forged)?;
        self.next = self.next.checked_add(1).ok_or(StreamError::Length)?;
        Ok(part)
    }
}

/// Seals the parts of one plaintext, in order.
#[derive(Debug)]
pub struct StreamSealer(Place);

impl StreamSealer {
    /// `key` is used for nothing else. The stream opens with the same `context` only.
    pub fn new(key: Key, context: &[u8]) -> Self {
        Self(Place::new(key, context))
    }

    /// A part that is not the last.
    ///
    /// # Errors
    /// `Length` unless it has [`PART_BYTES`].
    pub fn seal(&mut self, part: &[u8]) -> Result<Vec<u8>, StreamError> {
        match part.len() {
            PART_BYTES => self.0.seal(part, false),
            _ => Err(StreamError::Length),
        }
    }

    /// The last part.
    ///
    /// # Errors
    /// `Length` when it is longer than [`PART_BYTES`], or empty after another.
    pub fn seal_last(mut self, part: &[u8]) -> Result<Vec<u8>, StreamError> {
        match part.len() {
            0 if self.0.next > 0 => Err(StreamError::Length),
            0..=PART_BYTES => self.0.seal(part, true),
            _ => Err(StreamError::Length),
        }
    }
}

/// Opens the chunks of one stream, in order.
#[derive(Debug)]
pub struct StreamOpener(Place);

impl StreamOpener {
    /// With the key and the context that it was sealed with.
    pub fn new(key: Key, context: &[u8]) -> Self {
        Self(Place::new(key, context))
    }

    /// Goes on after the first `chunks` of them, none of which was the last.
    pub fn after(key: Key, context: &[u8], chunks: u64) -> Self {
        Self(Place { next: chunks, ..Place::new(key, context) })
    }

    /// A chunk that is not the last, [`CHUNK_BYTES`] long.
    ///
    /// # Errors
    /// `Forged`. The stream is of no use any more then.
    pub fn open(&mut self, chunk: &[u8]) -> Result<Zeroizing<Vec<u8>>, StreamError> {
        match chunk.len() {
            CHUNK_BYTES => self.0.open(chunk, false),
            _ => Err(StreamError::Forged),
        }
    }

    /// The last chunk.
    ///
    /// # Errors
    /// `Forged`, also when it is not the last.
    pub fn open_last(mut self, chunk: &[u8]) -> Result<Zeroizing<Vec<u8>>, StreamError> {
        let first = self.0.next == 0;
        let part = self.0.open(chunk, true)?;
        match part.len() {
            0 if !first => Err(StreamError::Forged),
            0..=PART_BYTES => Ok(part),
            _ => Err(StreamError::Forged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn sealed(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut sealer = StreamSealer::new(Key::new(KEY), b"context");
        let (last, before) = parts.split_last().unwrap();
        let mut chunks: Vec<_> = before.iter().map(|part| sealer.seal(part).unwrap()).collect();
        chunks.push(sealer.seal_last(last).unwrap());
        chunks
    }

    fn opened(key: [u8; 32], context: &[u8], chunks: &[Vec<u8>]) -> Result<Vec<u8>, StreamError> {
        let mut opener = StreamOpener::new(Key::new(key), context);
        let (last, before) = chunks.split_last().unwrap();
        let mut plaintext = Vec::new();
        for chunk in before {
            plaintext.extend_from_slice(&opener.open(chunk)?);
        }
        plaintext.extend_from_slice(&opener.open_last(last)?);
        Ok(plaintext)
    }

    #[test]
    fn a_stream_opens_whole_and_in_its_order_only() {
        let [a, b] = [[1; PART_BYTES], [2; PART_BYTES]];
        let chunks = sealed(&[&a, &b, b"end"]);
        let open = |chunks: &[Vec<u8>]| opened(KEY, b"context", chunks);
        assert_eq!(open(&chunks).unwrap(), [&a[..], &b, b"end"].concat());
        let [first, second, last] = <[Vec<u8>; 3]>::try_from(chunks.clone()).unwrap();
        for other in [
            vec![second.clone(), first.clone(), last.clone()],
            vec![first.clone(), last.clone()],
            vec![first.clone(), first.clone(), second.clone(), last.clone()],
            vec![first.clone(), second.clone()],
            vec![first.clone(), second.clone(), last.clone(), last.clone()],
            vec![first.clone(), second, vec![]],
            vec![last],
        ] {
            assert_eq!(open(&other), Err(StreamError::Forged));
        }
        assert_eq!(opened([8; 32], b"context", &chunks), Err(StreamError::Forged));
        assert_eq!(opened(KEY, b"other", &chunks), Err(StreamError::Forged));
        for at in [0, first.len() / 2, first.len() - 1] {
            let mut bent = chunks.clone();
            bent[0][at] ^= 1;
            assert_eq!(open(&bent), Err(StreamError::Forged), "byte {at}");
        }
    }

    #[test]
    fn a_plaintext_has_one_way_to_be_cut() {
        for parts in [&[&b""[..]][..], &[b"short"], &[&[3; PART_BYTES]]] {
            assert_eq!(opened(KEY, b"context", &sealed(parts)).unwrap(), parts.concat());
        }
        let mut sealer = StreamSealer::new(Key::new(KEY), b"");
        assert_eq!(sealer.seal(b"short"), Err(StreamError::Length));
        sealer.seal(&[0; PART_BYTES]).unwrap();
        assert_eq!(sealer.seal_last(b""), Err(StreamError::Length));
        let sealer = StreamSealer::new(Key::new(KEY), b"");
        assert_eq!(sealer.seal_last(&[0; PART_BYTES + 1]), Err(StreamError::Length));
        // An empty last chunk after another, which no sealer makes.
        let mut place = Place::new(Key::new(KEY), b"context");
        let chunks = vec![place.seal(&[0; PART_BYTES], false).unwrap(), place.seal(b"", true).unwrap()];
        assert_eq!(opened(KEY, b"context", &chunks), Err(StreamError::Forged));
    }

    #[test]
    fn a_stream_is_gone_on_with_where_it_was_left_and_nowhere_else() {
        let [a, b] = [[1; PART_BYTES], [2; PART_BYTES]];
        let chunks = sealed(&[&a, &b, b"end"]);
        let after = |count| StreamOpener::after(Key::new(KEY), b"context", count);
        assert_eq!(**after(1).open(&chunks[1]).unwrap(), b);
        assert_eq!(**after(2).open_last(&chunks[2]).unwrap(), *b"end");
        assert_eq!(after(0).open(&chunks[1]).unwrap_err(), StreamError::Forged);
        assert_eq!(after(1).open(&chunks[0]).unwrap_err(), StreamError::Forged);
        assert_eq!(after(1).open_last(&chunks[2]).unwrap_err(), StreamError::Forged);
    }

    /// What is stored today must open tomorrow.
    #[test]
    fn the_format_stays() {
        let chunks = sealed(&[&[1; PART_BYTES], b"end"]).concat();
        assert_eq!(chunks.len(), CHUNK_BYTES + 3 + aead::OVERHEAD);
        assert_eq!(
            blake3::hash(&chunks).to_hex().as_str(),
            "cfe8ddd108516f0b6da71ba895de2dc84696f99ee52a206e5ecc302097144a64"
        );
    }
}
