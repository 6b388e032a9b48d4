//! Frames among bytes.

use bytes::{Buf as _, Bytes, BytesMut};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Answer, FRAME_BYTES_MAX, Frame, Hello};

/// Of the length before each body.
const HEAD_BYTES: usize = 4;

/// Bytes that are no frame. The link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than [`FRAME_BYTES_MAX`], whether to be sent or met.
    #[error("a frame of {len} bytes is too long")]
    TooLong {
        /// Of its body.
        len: usize,
    },
    /// Not a frame of this version.
    #[error("not a frame")]
    Malformed,
}

/// Appends to a `Vec`, which postcard's own way does byte by byte or by giving the `Vec` away.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Appends `frame`, a [`Frame`] or a [`Hello`], with its length to `out`.
///
/// # Errors
/// `TooLong`. `out` is as it was.
pub fn put<T: Serialize>(frame: &T, out: &mut Vec<u8>) -> Result<(), WireError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let encoded = postcard::serialize_with_flavor(frame, Append(out)).map_err(|_| WireError::Malformed);
    let len = out.len().saturating_sub(start + HEAD_BYTES);
    let result = encoded.and_then(|()| match u32::try_from(len) {
        Ok(head) if len <= FRAME_BYTES_MAX => Ok(head),
        _ => Err(WireError::TooLong { len }),
    });
    match (result, out.get_mut(start..start + HEAD_BYTES)) {
        (Ok(head), Some(place)) => {
            place.copy_from_slice(&head.to_be_bytes());
            Ok(())
        }
        (result, _) => {
            out.truncate(start);
            result.map(|_| ())
        }
    }
}

/// Appends bytes that are a body already, of at most `max`, with their length to `out`.
pub(in crate::link) fn put_bytes(body: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
    let len = body.len();
    let head = u32::try_from(len).ok().filter(|_| len <= max).ok_or(WireError::TooLong { len })?;
    out.extend_from_slice(&head.to_be_bytes());
    out.extend_from_slice(body);
    Ok(())
}

/// Takes the body of the first frame off `read`; `None` when it is not whole yet.
///
/// # Errors
/// `TooLong`, as soon as its length is known: it is never collected.
pub fn take(read: &mut BytesMut) -> Result<Option<Bytes>, WireError> {
    let Some(head) = read.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let len = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    if len > FRAME_BYTES_MAX {
        return Err(WireError::TooLong { len });
    }
    if read.len() < HEAD_BYTES + len {
        read.reserve(HEAD_BYTES + len - read.len());
        return Ok(None);
    }
    read.advance(HEAD_BYTES);
    Ok(Some(read.split_to(len).freeze()))
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<(T, &[u8]), WireError> {
    postcard::take_from_bytes(body).map_err(|_| WireError::Malformed)
}

impl Frame {
    /// It takes at most so many bytes on the wire, its length included.
    pub(in crate::link) fn len_max(&self) -> usize {
        /// All but bodies and payloads: the longest are two addresses' worth.
        const REST_BYTES_MAX: usize = 128;
        REST_BYTES_MAX
            + match self {
                Self::Forward { forward, .. } => forward.envelope.body.len(),
                Self::Call { question, .. } | Self::Answer { answer: Answer::Bytes(question), .. } => question.0.len(),
                _ => 0,
            }
    }

    /// # Errors
    /// `Malformed` unless `body` is a frame and nothing else.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        match decode(body)? {
            (frame, []) => Ok(frame),
            _ => Err(WireError::Malformed),
        }
    }
}

impl Hello {
    /// Ignores what a later version has appended.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        decode(body).map(|(hello, _)| hello)
    }
}
