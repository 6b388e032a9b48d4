//! What goes into the ratchet: a message, and its place among all that one device has said to another.

use std::fmt;
use std::num::NonZeroU64;

use prost::Message as _;

use crate::codec::DecodeError;
use crate::ids::EnvelopeId;
use crate::{limits, wire};

/// Names a chain: random, chosen anew when a device begins one for another device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainId(pub [u8; 8]);

/// The hash over everything that a chain has carried so far. `Debug` shows the first four bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHead(pub [u8; 16]);

impl fmt::Debug for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "ChainHead({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Where a message stands among all that its sending device has said to the receiving one: docs/cryptography.md, "Chains".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which chain.
    pub chain: ChainId,
    /// 1, 2, 3, … without a gap.
    pub number: NonZeroU64,
    /// The chain's head before this message.
    pub previous: ChainHead,
}

impl Place {
    /// `chain(8) || number(8, LE) || previous(16)`.
    pub fn to_bytes(&self) -> [u8; limits::PLACE_BYTES] {
        let mut bytes = [0; limits::PLACE_BYTES];
        let (chain, rest) = bytes.split_at_mut(8);
        let (number, previous) = rest.split_at_mut(8);
        chain.copy_from_slice(&self.chain.0);
        number.copy_from_slice(&self.number.get().to_le_bytes());
        previous.copy_from_slice(&self.previous.0);
        bytes
    }

    /// Reads what [`Place::to_bytes`] wrote. `None` for another length, or the number 0.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (chain, rest) = bytes.split_first_chunk::<8>()?;
        let (number, previous) = rest.split_first_chunk::<8>()?;
        Some(Self {
            chain: ChainId(*chain),
            number: NonZeroU64::new(u64::from_le_bytes(*number))?,
            previous: ChainHead(previous.try_into().ok()?),
        })
    }
}

/// What goes into the ratchet. `Debug` shows the content's length.
#[derive(Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Where the message stands; the same however often it is sealed for this device.
    pub place: Place,
    /// The envelopes that have carried this message to this device before: at most [`limits::COPIES_MAX`].
    pub copies: Vec<EnvelopeId>,
    /// An encoded [`Content`](crate::Content). The chain hashes these bytes, so they are kept as they came.
    pub content: bytes::Bytes,
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parcel({:?}, {:?}, {} B)", self.place, self.copies, self.content.len())
    }
}

impl Parcel {
    /// The bytes that go into the ratchet.
    pub fn encode(&self) -> Vec<u8> {
        wire::Parcel {
            place: bytes::Bytes::copy_from_slice(&self.place.to_bytes()),
            copies: self.copies.iter().map(|id| bytes::Bytes::copy_from_slice(id.as_bytes())).collect(),
            content: self.content.clone(),
        }
        .encode_to_vec()
    }

    /// # Errors
    /// `Malformed` when the bytes are no protobuf, `Invalid` when a field breaks its rule. The content is not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let parcel = wire::Parcel::decode(bytes).map_err(|_| DecodeError::Malformed)?;
        let invalid = |field| DecodeError::Invalid { id: None, field };
        Ok(Self {
            place: Place::from_bytes(&parcel.place).ok_or(invalid("place"))?,
            copies: match parcel.copies.len() {
                0..=limits::COPIES_MAX => {
                    let copies = parcel.copies.iter().map(|id| EnvelopeId::from_slice(id));
                    copies.collect::<Result<_, _>>().map_err(|_| invalid("copies"))?
                }
                _ => return Err(invalid("copies")),
            },
            content: parcel.content,
        })
    }
}
