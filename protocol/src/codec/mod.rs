//! Bytes to frames and back. The only place that sees the generated structs of the frames.

mod client;
mod keys;
mod numbers;
mod parts;
mod server;

use std::num::NonZeroU64;

use bytes::Bytes;

use crate::frame::RequestId;
use crate::ids::{AccountTag, BlobId, DeviceId, EnvelopeId};
use crate::limits;

pub use server::PreparedServerFrame;

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`limits::FRAME_BYTES_MAX`]. Close the connection.
    #[error("a frame of {len} bytes, {max} are allowed", max = limits::FRAME_BYTES_MAX)]
    TooLarge {
        /// In bytes.
        len: usize,
    },
    /// Not the protobuf message that was expected. Close the connection.
    #[error("not a frame")]
    Malformed,
    /// A kind of frame that this build does not know. Refuse it and go on.
    #[error("unknown kind of frame")]
    Unsupported {
        /// What to refuse, if it can be named.
        id: Option<RequestId>,
    },
    /// A field breaks its rule. Refuse the frame and go on.
    #[error("field {field} breaks its rule")]
    Invalid {
        /// What to refuse, if it can be named.
        id: Option<RequestId>,
        /// Name in the `.proto` file.
        field: &'static str,
    },
}

/// A rule that a field breaks: its name in the `.proto` file. [`DecodeError::Invalid`] adds the request.
struct Broken(&'static str);
type Checked<T> = Result<T, Broken>;

fn array<const N: usize>(bytes: &[u8], field: &'static str) -> Checked<[u8; N]> {
    bytes.try_into().map_err(|_| Broken(field))
}
fn exactly(bytes: Bytes, len: usize, field: &'static str) -> Checked<Bytes> {
    if bytes.len() == len { Ok(bytes) } else { Err(Broken(field)) }
}
fn within(bytes: Bytes, max: usize, field: &'static str) -> Checked<Bytes> {
    if (1..=max).contains(&bytes.len()) { Ok(bytes) } else { Err(Broken(field)) }
}
fn present<T>(value: Option<T>, field: &'static str) -> Checked<T> {
    value.ok_or(Broken(field))
}
fn at_most<T, U>(
    items: Vec<T>,
    max: usize,
    field: &'static str,
    check: impl FnMut(T) -> Checked<U>,
) -> Checked<Vec<U>> {
    if items.len() > max {
        return Err(Broken(field));
    }
    items.into_iter().map(check).collect()
}
/// Empty bytes stand for nothing.
fn optional<T>(bytes: Bytes, check: impl FnOnce(Bytes) -> Checked<T>) -> Checked<Option<T>> {
    if bytes.is_empty() { Ok(None) } else { check(bytes).map(Some) }
}
fn or_empty(bytes: &Option<Bytes>) -> Bytes {
    bytes.clone().unwrap_or_default()
}
fn link(bytes: &[u8]) -> Checked<[u8; limits::LINK_BYTES]> {
    array(bytes, "link")
}
fn blob(bytes: &[u8]) -> Checked<BlobId> {
    array(bytes, "blob").map(BlobId)
}
fn offset(bytes: u64) -> Checked<u64> {
    if bytes <= limits::BLOB_BYTES_MAX { Ok(bytes) } else { Err(Broken("offset")) }
}
fn opaque(bytes: Bytes) -> Checked<Bytes> {
    within(bytes, limits::OPAQUE_BYTES_MAX, "opaque")
}
fn proof(bytes: Bytes) -> Checked<Bytes> {
    exactly(bytes, limits::HYBRID_SIGNATURE_BYTES, "device_proof")
}
fn account(bytes: &[u8]) -> Checked<AccountTag> {
    AccountTag::from_slice(bytes).map_err(|_| Broken("account"))
}
fn device(number: u32) -> Checked<DeviceId> {
    DeviceId::new(number).map_err(|_| Broken("device"))
}
fn envelope_id(bytes: &[u8]) -> Checked<EnvelopeId> {
    EnvelopeId::from_slice(bytes).map_err(|_| Broken("id"))
}
fn body(bytes: Bytes) -> Checked<Bytes> {
    within(bytes, limits::ENVELOPE_BYTES_MAX, "body")
}
fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
fn request_id(number: u64) -> Option<RequestId> {
    NonZeroU64::new(number).map(RequestId)
}
fn decode<M: prost::Message + Default>(bytes: Bytes) -> Result<M, DecodeError> {
    if bytes.len() > limits::FRAME_BYTES_MAX {
        return Err(DecodeError::TooLarge { len: bytes.len() });
    }
    M::decode(bytes).map_err(|_| DecodeError::Malformed)
}
