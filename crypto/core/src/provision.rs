//! Linking a device: what one that is logged in hands to a new one of the same person.
//!
//! ```text
//! new device                         server                        existing device
//! NewDevice::start ── offer(1601) ──►  ══►  ── offer ──►  Offer::read, against the code
//!        └───── link code(48), shown and scanned ─────────────────►  │
//! NewDevice::agree ◄── answer ──  ◄══  ◄── answer(1601) ──  Offer::answer
//!        └── six digits ══ the person compares ══ six digits ──┘
//! Receiver::open   ◄── sealed ──  ◄══  ◄── sealed ──────  Sender::seal
//! ```
//!
//! The code carries a hash of the offer, so nobody can put another offer before the existing device. Nothing proves the
//! existing device to the new one but the six digits: they come out of the agreement's secrets, so whoever answers in its
//! place does not know which digits to aim at, and is found out but for one time in a million. That holds if a person has
//! compared them *before* anything is sealed or taken over; it is why answer and payload are two messages.
//!
//! The agreement is that of the PQ envelope: X25519 and ML-KEM-1024, both results and everything public into one key, so
//! it stands while either does. All lengths are fixed but the payload's, which is not hidden: 64 bytes shorter than what
//! the server sees.

use std::fmt;

use ml_kem::array::Array;
use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::{B32, DecapsulationKey1024, EncapsulationKey1024, Seed};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

use crate::aead::{self, Key, NONCE_BYTES};

const OFFER_CONTEXT: &str = "endtoend 2026-11 device link v1 offer";
const KEY_CONTEXT: &str = "endtoend 2026-11 device link v1 key";
const PAYLOAD_DOMAIN: &[u8] = b"endtoend 2026-11 device link v1 payload";
const VERSION: u8 = 1;
const X25519_BYTES: usize = 32;
const ML_KEM_BYTES: usize = 1568;
const DIGITS: u64 = 1_000_000;

/// Length in bytes of an offer: `version(1, = 1) || x25519(32) || ml_kem(1568)`.
pub const OFFER_BYTES: usize = 1 + X25519_BYTES + ML_KEM_BYTES;
/// Length in bytes of an answer: `version(1, = 1) || ephemeral x25519(32) || ml_kem ciphertext(1568)`.
pub const ANSWER_BYTES: usize = 1 + X25519_BYTES + ML_KEM_BYTES;
/// Length in bytes of a link code: `link id(16) || hash of the offer(32)`.
pub const LINK_CODE_BYTES: usize = 16 + 32;
/// Longest payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 60 * 1024;
/// Bytes by which a sealed payload is longer than the payload.
pub const PAYLOAD_OVERHEAD: usize = aead::OVERHEAD;

/// Why linking cannot go on. All are final for this code; a new one begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// Not a message of this version, or of another length.
    #[error("not a message of device linking")]
    Malformed,
    /// The offer is not the one that the code was made for.
    #[error("the server gave another offer than the code is for")]
    WrongOffer,
    /// A public key that no honest device has: of low order, not in its only encoding, or out of ML-KEM's range.
    #[error("a public key of device linking is not valid")]
    BadKey,
    /// The payload is longer than [`PAYLOAD_BYTES_MAX`].
    #[error("a payload for a new device has at most {PAYLOAD_BYTES_MAX} bytes, not {len}")]
    TooLong {
        /// Of the payload.
        len: usize,
    },
    /// Sealed by somebody else, for something else, or changed.
    #[error("the payload for this device does not open")]
    Forged,
}

/// What the new device shows, and the existing one scans. `Debug` shows nothing: who has it can answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LinkCode {
    /// Where the server keeps the offer, and the answer.
    pub link_id: [u8; 16],
    offer_hash: [u8; 32],
}

impl LinkCode {
    /// `link id(16) || hash of the offer(32)`
    pub fn to_bytes(&self) -> [u8; LINK_CODE_BYTES] {
        let mut bytes = [0; LINK_CODE_BYTES];
        for (to, from) in bytes.iter_mut().zip(self.link_id.iter().chain(&self.offer_hash)) {
            *to = *from;
        }
        bytes
    }

    /// # Errors
    /// `Malformed` unless there are [`LINK_CODE_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProvisionError> {
        let (link_id, offer_hash) = bytes.split_first_chunk().ok_or(ProvisionError::Malformed)?;
        let offer_hash = offer_hash.try_into().map_err(|_| ProvisionError::Malformed)?;
        Ok(Self { link_id: *link_id, offer_hash })
    }
}

/// Six digits that both devices show. `Display` is what the person compares; `Debug` shows nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LinkDigits(u32);

impl fmt::Display for LinkDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// A new device that has made an offer. Its keys live for one agreement.
pub struct NewDevice {
    code: LinkCode,
    offer: Box<[u8; OFFER_BYTES]>,
    x25519: StaticSecret,
    ml_kem: DecapsulationKey1024,
}

impl NewDevice {
    /// New keys, and a new link id.
    pub fn start<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let (mut link_id, mut scalar, mut seed) = ([0; 16], Zeroizing::new([0; X25519_BYTES]), Seed::default());
        rng.fill_bytes(&mut link_id);
        rng.fill_bytes(scalar.as_mut());
        rng.fill_bytes(&mut seed);
        let x25519 = StaticSecret::from(*scalar);
        let ml_kem = DecapsulationKey1024::from_seed(seed);
        seed.zeroize();
        let ml_kem_public = ml_kem.encapsulation_key().to_bytes();
        let offer = message(&PublicKey::from(&x25519).to_bytes(), &ml_kem_public);
        Self {
            code: LinkCode { link_id, offer_hash: blake3::derive_key(OFFER_CONTEXT, &*offer) },
            offer,
            x25519,
            ml_kem,
        }
    }

    /// What is shown to the existing device, past the server.
    pub const fn code(&self) -> LinkCode {
        self.code
    }

    /// What the server keeps for the existing device.
    pub fn offer(&self) -> &[u8; OFFER_BYTES] {
        &self.offer
    }

    /// Takes the answer. Whose it is, the digits decide.
    ///
    /// # Errors
    /// `Malformed`, `BadKey`.
    pub fn agree(self, answer: &[u8]) -> Result<Receiver, ProvisionError> {
        let (answer, ephemeral, ciphertext) = parts(answer)?;
        let agreed = agree(&self.x25519, ephemeral)?;
        let ciphertext = Array::try_from(&ciphertext[..]).map_err(|_| ProvisionError::Malformed)?;
        let mut shared = self.ml_kem.decapsulate(&ciphertext);
        let link = Link::derive(&shared, &agreed, &self.code.link_id, &self.offer, answer);
        shared.zeroize();
        Ok(Receiver(link))
    }
}

/// An offer that is the one of a code.
pub struct Offer {
    link_id: [u8; 16],
    bytes: Box<[u8; OFFER_BYTES]>,
    x25519: [u8; X25519_BYTES],
    ml_kem: EncapsulationKey1024,
}

impl Offer {
    /// What the server gave, against what was scanned.
    ///
    /// # Errors
    /// `Malformed`, `WrongOffer`, `BadKey`. The hash is looked at first.
    pub fn read(code: &LinkCode, bytes: &[u8]) -> Result<Self, ProvisionError> {
        let bytes: Box<[u8; OFFER_BYTES]> =
            bytes.to_vec().into_boxed_slice().try_into().map_err(|_| ProvisionError::Malformed)?;
        if !bool::from(blake3::derive_key(OFFER_CONTEXT, &*bytes).ct_eq(&code.offer_hash)) {
            return Err(ProvisionError::WrongOffer);
        }
        let (_, x25519, ml_kem) = parts(&*bytes)?;
        let x25519 = *x25519;
        // Any scalar will do: clamped ones are multiples of the cofactor, and the order of the rest is prime.
        agree(&StaticSecret::from([0x42; 32]), &x25519)?;
        let ml_kem = Array::try_from(&ml_kem[..]).map_err(|_| ProvisionError::Malformed)?;
        let ml_kem = EncapsulationKey1024::new(&ml_kem).map_err(|_| ProvisionError::BadKey)?;
        Ok(Self { link_id: code.link_id, bytes, x25519, ml_kem })
    }

    /// Agrees on a key with the new device: what seals for it, and the answer that it needs.
    ///
    /// # Errors
    /// `BadKey`, which [`Offer::read`] has ruled out.
    pub fn answer<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
    ) -> Result<(Sender, Box<[u8; ANSWER_BYTES]>), ProvisionError> {
        let mut scalar = Zeroizing::new([0; X25519_BYTES]);
        rng.fill_bytes(scalar.as_mut());
        let secret = StaticSecret::from(*scalar);
        let agreed = agree(&secret, &self.x25519)?;
        let mut randomness = B32::default();
        rng.fill_bytes(&mut randomness);
        let (ciphertext, mut shared) = self.ml_kem.encapsulate_deterministic(&randomness);
        randomness.zeroize();
        let answer = message(&PublicKey::from(&secret).to_bytes(), &ciphertext);
        let link = Link::derive(&shared, &agreed, &self.link_id, &self.bytes, &answer);
        shared.zeroize();
        Ok((Sender(link), answer))
    }
}

/// What came out of an agreement: good for one payload.
struct Link {
    key: Key,
    nonce: [u8; NONCE_BYTES],
    digits: LinkDigits,
    ad: Vec<u8>,
}

impl Link {
    /// `BLAKE3-derive(ss || dh || link id || offer || answer)`, 76 bytes: key, nonce, digits. Every part has a fixed length.
    fn derive(
        shared: &[u8],
        agreed: &[u8; 32],
        link_id: &[u8; 16],
        offer: &[u8; OFFER_BYTES],
        answer: &[u8; ANSWER_BYTES],
    ) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        hasher.update(shared).update(agreed).update(link_id).update(offer).update(answer);
        let mut stream = hasher.finalize_xof();
        let (mut key, mut nonce, mut digits) = (Zeroizing::new([0; 32]), [0; NONCE_BYTES], [0; 8]);
        stream.fill(key.as_mut());
        stream.fill(&mut nonce);
        stream.fill(&mut digits);
        stream.zeroize();
        hasher.zeroize();
        let digits = LinkDigits((u64::from_le_bytes(digits) % DIGITS) as u32);
        Self { key: Key::new(*key), nonce, digits, ad: [PAYLOAD_DOMAIN, link_id].concat() }
    }
}

/// The existing device after its answer. Seals once.
pub struct Sender(Link);

impl Sender {
    /// To be compared with the new device's, by the person, before anything is sealed.
    pub const fn digits(&self) -> LinkDigits {
        self.0.digits
    }

    /// Seals the payload, [`PAYLOAD_OVERHEAD`] bytes longer.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn seal(self, payload: &[u8]) -> Result<Vec<u8>, ProvisionError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(ProvisionError::TooLong { len: payload.len() });
        }
        Ok(aead::seal(&self.0.key, &self.0.nonce, &self.0.ad, payload))
    }
}

/// The new device after the answer.
pub struct Receiver(Link);

impl Receiver {
    /// To be compared with the existing device's, by the person, before anything of the payload is used.
    pub const fn digits(&self) -> LinkDigits {
        self.0.digits
    }

    /// Opens the payload. What does not open changes nothing: the honest one still does.
    ///
    /// # Errors
    /// `Malformed` when it is too long, `Forged`.
    pub fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProvisionError> {
        if sealed.len() > PAYLOAD_BYTES_MAX + PAYLOAD_OVERHEAD {
            return Err(ProvisionError::Malformed);
        }
        aead::open(&self.0.key, &self.0.nonce, &self.0.ad, sealed).map_err(|_| ProvisionError::Forged)
    }
}

macro_rules! hidden {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}
hidden! { LinkCode LinkDigits NewDevice Offer Sender Receiver }

/// `version(1) || x25519(32) || key or ciphertext of ML-KEM(1568)`
fn message(x25519: &[u8; X25519_BYTES], ml_kem: &[u8]) -> Box<[u8; OFFER_BYTES]> {
    let mut bytes = Box::new([0; OFFER_BYTES]);
    for (to, from) in bytes.iter_mut().zip([VERSION].iter().chain(x25519).chain(ml_kem)) {
        *to = *from;
    }
    bytes
}

type Parts<'a> = (&'a [u8; OFFER_BYTES], &'a [u8; X25519_BYTES], &'a [u8; ML_KEM_BYTES]);

/// Reads what [`message`] wrote.
fn parts(bytes: &[u8]) -> Result<Parts<'_>, ProvisionError> {
    let whole = bytes.try_into().map_err(|_| ProvisionError::Malformed)?;
    let Some((&[VERSION], rest)) = bytes.split_first_chunk() else { return Err(ProvisionError::Malformed) };
    let (x25519, ml_kem) = rest.split_first_chunk().ok_or(ProvisionError::Malformed)?;
    Ok((whole, x25519, ml_kem.try_into().map_err(|_| ProvisionError::Malformed)?))
}

/// X25519 with keys in their only encoding (below 2^255 - 19), and never a result of zero (RFC 7748, 6.1).
fn agree(secret: &StaticSecret, public: &[u8; X25519_BYTES]) -> Result<Zeroizing<[u8; 32]>, ProvisionError> {
    let [low, middle @ .., high] = public;
    let above = *high == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *low >= 0xed;
    let shared = secret.diffie_hellman(&PublicKey::from(*public));
    if *high >= 0x80 || above || !shared.was_contributory() {
        return Err(ProvisionError::BadKey);
    }
    Ok(Zeroizing::new(shared.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn rng(seed: u8) -> StdRng {
        StdRng::from_seed([seed; 32])
    }

    /// A new device (always the same), the existing one's end, and the answer.
    fn linked() -> (NewDevice, Sender, Box<[u8; ANSWER_BYTES]>) {
        let new = NewDevice::start(&mut rng(1));
        let (sender, answer) = Offer::read(&new.code(), new.offer()).unwrap().answer(&mut rng(2)).unwrap();
        (new, sender, answer)
    }

    fn with_hash_of(offer: &[u8]) -> LinkCode {
        LinkCode { link_id: [1; 16], offer_hash: blake3::derive_key(OFFER_CONTEXT, offer) }
    }

    fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
        let mut bent = bytes.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        bent
    }

    /// All bits of version and X25519 key, and every 61st after that; 61 shares no factor with 8.
    fn bits() -> impl Iterator<Item = usize> {
        (0..33 * 8).chain((33 * 8..OFFER_BYTES * 8).step_by(61)).chain([OFFER_BYTES * 8 - 1])
    }

    #[test]
    fn what_the_existing_device_seals_the_new_one_opens() {
        for payload in [&b""[..], b"keys", &[7; PAYLOAD_BYTES_MAX]] {
            let (new, sender, answer) = linked();
            let receiver = new.agree(&*answer).unwrap();
            assert_eq!(sender.digits(), receiver.digits());
            let sealed = sender.seal(payload).unwrap();
            assert_eq!(sealed.len(), payload.len() + PAYLOAD_OVERHEAD);
            assert_eq!(*receiver.open(&sealed).unwrap(), payload);
        }
        let (_, sender, _) = linked();
        let len = PAYLOAD_BYTES_MAX + 1;
        assert_eq!(sender.seal(&vec![0; len]), Err(ProvisionError::TooLong { len }));
    }

    #[test]
    fn an_offer_is_the_one_of_its_code_bit_for_bit() {
        let new = NewDevice::start(&mut rng(1));
        for bit in 0..OFFER_BYTES * 8 {
            let refused = Offer::read(&new.code(), &flipped(new.offer(), bit)).unwrap_err();
            assert_eq!(refused, ProvisionError::WrongOffer, "bit {bit}");
        }
        let other = NewDevice::start(&mut rng(3));
        assert_eq!(Offer::read(&new.code(), other.offer()).unwrap_err(), ProvisionError::WrongOffer);
        for len in [0, 1, 33, OFFER_BYTES - 1] {
            assert_eq!(Offer::read(&new.code(), &new.offer()[..len]).unwrap_err(), ProvisionError::Malformed);
        }
        let longer = [&new.offer()[..], &[0]].concat();
        assert_eq!(Offer::read(&new.code(), &longer).unwrap_err(), ProvisionError::Malformed);
        for bit in 128..LINK_CODE_BYTES * 8 {
            let code = LinkCode::from_bytes(&flipped(&new.code().to_bytes(), bit)).unwrap();
            assert_eq!(
                Offer::read(&code, new.offer()).unwrap_err(),
                ProvisionError::WrongOffer,
                "bit {bit} of the code"
            );
        }
    }

    #[test]
    fn keys_that_no_honest_device_has_are_refused_on_both_sides() {
        let prime_plus = |more: u8| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xed + more, 0x7f);
            bytes
        };
        let (new, _, answer) = linked();
        let unused_bit = <[u8; 32]>::try_from(&flipped(&new.offer()[1..33], 255)[..]).unwrap();
        let one = std::array::from_fn(|at| u8::from(at == 0));
        for bad in [[0; 32], one, prime_plus(0), prime_plus(1), prime_plus(9), unused_bit] {
            let bent = |honest: &[u8]| [&honest[..1], &bad, &honest[33..]].concat();
            let offer = bent(new.offer());
            assert_eq!(Offer::read(&with_hash_of(&offer), &offer).unwrap_err(), ProvisionError::BadKey, "{bad:x?}");
            let (new, ..) = linked();
            assert_eq!(new.agree(&bent(&*answer)).unwrap_err(), ProvisionError::BadKey, "{bad:x?}");
        }
        let mut offer = new.offer().to_vec();
        offer[33..36].fill(0xff); // a coefficient above the modulus of ML-KEM
        assert_eq!(Offer::read(&with_hash_of(&offer), &offer).unwrap_err(), ProvisionError::BadKey);
        let mut offer = new.offer().to_vec();
        offer[0] = 2;
        assert_eq!(Offer::read(&with_hash_of(&offer), &offer).unwrap_err(), ProvisionError::Malformed);
    }

    #[test]
    fn a_bent_answer_leads_to_other_digits_and_opens_nothing() {
        let (_, sender, answer) = linked();
        let digits = sender.digits();
        let sealed = sender.seal(b"keys").unwrap();
        let mut same_digits = 0;
        for bit in bits() {
            let (new, ..) = linked();
            match new.agree(&flipped(&*answer, bit)) {
                Ok(receiver) => {
                    assert_eq!(receiver.open(&sealed), Err(ProvisionError::Forged), "bit {bit}");
                    same_digits += u8::from(receiver.digits() == digits);
                }
                Err(refused) if bit < 8 => assert_eq!(refused, ProvisionError::Malformed),
                Err(refused) => assert_eq!(refused, ProvisionError::BadKey, "bit {bit}"),
            }
        }
        assert_eq!(same_digits, 0, "of some 450, each with one chance in a million");
        for len in [0, 1, 33, ANSWER_BYTES - 1] {
            assert_eq!(linked().0.agree(&answer[..len]).unwrap_err(), ProvisionError::Malformed);
        }
        assert_eq!(linked().0.agree(&[&answer[..], &[0]].concat()).unwrap_err(), ProvisionError::Malformed);
    }

    #[test]
    fn every_flipped_bit_of_a_payload_is_refused_and_the_honest_one_still_opens() {
        let (new, sender, answer) = linked();
        let receiver = new.agree(&*answer).unwrap();
        let sealed = sender.seal(b"the keys of an account").unwrap();
        for bit in 0..sealed.len() * 8 {
            assert_eq!(receiver.open(&flipped(&sealed, bit)), Err(ProvisionError::Forged), "bit {bit}");
        }
        for len in [0, 1, 63, sealed.len() - 1] {
            assert_eq!(receiver.open(&sealed[..len]), Err(ProvisionError::Forged));
        }
        let too_long = vec![0; PAYLOAD_BYTES_MAX + PAYLOAD_OVERHEAD + 1];
        assert_eq!(receiver.open(&too_long), Err(ProvisionError::Malformed));
        assert_eq!(**receiver.open(&sealed).unwrap(), *b"the keys of an account");
    }

    #[test]
    fn whoever_answers_in_the_place_of_the_existing_device_shows_other_digits() {
        let (new, honest, _) = linked();
        let (mallory, answer) = Offer::read(&new.code(), new.offer()).unwrap().answer(&mut rng(9)).unwrap();
        let receiver = new.agree(&*answer).unwrap();
        assert_eq!(receiver.digits(), mallory.digits(), "an agreement it is");
        assert_ne!(receiver.digits(), honest.digits(), "but not with the one that the person looks at");
        assert_eq!(receiver.open(&honest.seal(b"keys").unwrap()), Err(ProvisionError::Forged));
    }

    #[test]
    fn another_link_id_is_another_link() {
        let new = NewDevice::start(&mut rng(1));
        let code = LinkCode { link_id: [9; 16], ..new.code() };
        let (sender, answer) = Offer::read(&code, new.offer()).unwrap().answer(&mut rng(2)).unwrap();
        let receiver = new.agree(&*answer).unwrap();
        assert_ne!(receiver.digits(), sender.digits());
        assert_eq!(receiver.open(&sender.seal(b"keys").unwrap()), Err(ProvisionError::Forged));
    }

    #[test]
    fn both_agreements_are_in_the_key() {
        let of = |shared: u8, agreed: u8| {
            let link = Link::derive(&[shared; 32], &[agreed; 32], &[0; 16], &[0; OFFER_BYTES], &[0; ANSWER_BYTES]);
            Sender(link).seal(b"keys").unwrap()
        };
        assert_eq!(of(1, 1), of(1, 1));
        assert_ne!(of(1, 1), of(1, 2));
        assert_ne!(of(1, 1), of(2, 1));
    }

    #[test]
    fn a_code_is_48_bytes_and_digits_are_six() {
        let code = NewDevice::start(&mut rng(1)).code();
        assert!(LinkCode::from_bytes(&code.to_bytes()).unwrap() == code);
        for len in [0, 16, 47] {
            assert_eq!(LinkCode::from_bytes(&code.to_bytes()[..len]).unwrap_err(), ProvisionError::Malformed);
        }
        assert!(LinkCode::from_bytes(&[0; 49]).is_err());
        assert_eq!(LinkDigits(42).to_string(), "000042");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let (new, sender, answer) = linked();
        assert_eq!(format!("{:?} {new:?} {sender:?}", new.code()), "LinkCode(..) NewDevice(..) Sender(..)");
        assert_eq!(format!("{:?}", Offer::read(&new.code(), new.offer()).unwrap()), "Offer(..)");
        assert_eq!(format!("{:?}", sender.digits()), "LinkDigits(..)");
        assert_eq!(format!("{:?}", new.agree(&*answer).unwrap()), "Receiver(..)");
    }
}
