//! The pattern hybridNK:
//!
//! ```text
//! <- s
//! ...
//! -> skem, e, es
//! <- ekem, e, ee
//! ```
//!
//! `e` and `s` are an X25519 key followed by an ML-KEM-1024 key; `skem` and `ekem` encapsulate to the other side's static
//! and ephemeral one, as in Post-Quantum Noise (Angel, Dowling, Hülsing, Schwabe, Weber; CCS 2022). Everything goes into
//! one chaining key, so whoever would read along has to break both.

use std::fmt;

use ml_kem::array::Array;
use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::{B32, DecapsulationKey1024, EncapsulationKey1024, Seed};
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

use super::noise::{Symmetric, TAG_BYTES};
use super::transport::{Opener, Sealer};
use super::{Channel, ChannelError};

const PROTOCOL: &str = "Noise_hybridNK_25519+MLKEM1024_AESGCM_SHA512";
/// Before the introduction in the prologue: another version of the channel has another one.
const PROLOGUE: &[u8] = b"endtoend 2026-11 secure channel v1";

const X25519_BYTES: usize = 32;
const ML_KEM_KEY_BYTES: usize = 1568;
const ML_KEM_CIPHERTEXT_BYTES: usize = 1568;

/// Length in bytes of a pair of public keys.
pub(super) const PUBLIC_BYTES: usize = X25519_BYTES + ML_KEM_KEY_BYTES;

/// A pair of secret keys, with its public half.
pub struct StaticKeys {
    x25519: StaticSecret,
    ml_kem: DecapsulationKey1024,
    public: StaticPublic,
}

/// A pair of public keys.
#[derive(Clone)]
pub struct StaticPublic {
    x25519: PublicKey,
    ml_kem: EncapsulationKey1024,
}

impl StaticKeys {
    /// New keys.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let (mut scalar, mut seed) = (Zeroizing::new([0; X25519_BYTES]), Seed::default());
        rng.fill_bytes(scalar.as_mut());
        rng.fill_bytes(&mut seed);
        let x25519 = StaticSecret::from(*scalar);
        let ml_kem = DecapsulationKey1024::from_seed(seed);
        seed.zeroize();
        let public = StaticPublic { x25519: PublicKey::from(&x25519), ml_kem: ml_kem.encapsulation_key().clone() };
        Self { x25519, ml_kem, public }
    }

    /// The public half.
    pub const fn public(&self) -> &StaticPublic {
        &self.public
    }

    fn agree(&self, other: &PublicKey) -> Result<SharedSecret, ChannelError> {
        let shared = self.x25519.diffie_hellman(other);
        if shared.was_contributory() { Ok(shared) } else { Err(ChannelError::BadKey) }
    }

    fn decapsulate(&self, ciphertext: &[u8; ML_KEM_CIPHERTEXT_BYTES]) -> Result<Zeroizing<[u8; 32]>, ChannelError> {
        let ciphertext = Array::try_from(&ciphertext[..]).map_err(|_| ChannelError::Malformed)?;
        let mut secret = self.ml_kem.decapsulate(&ciphertext);
        let shared = Zeroizing::new(secret.into());
        secret.zeroize();
        Ok(shared)
    }
}

impl fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticKeys(..)")
    }
}

impl StaticPublic {
    /// # Errors
    /// `BadKey` when the ML-KEM key fails the check of FIPS 203, section 7.2. An X25519 key of low order is found when it
    /// is used.
    pub fn from_bytes(bytes: &[u8; PUBLIC_BYTES]) -> Result<Self, ChannelError> {
        let (x25519, ml_kem) = bytes.split_first_chunk::<X25519_BYTES>().ok_or(ChannelError::BadKey)?;
        let ml_kem = Array::try_from(ml_kem).map_err(|_| ChannelError::BadKey)?;
        let ml_kem = EncapsulationKey1024::new(&ml_kem).map_err(|_| ChannelError::BadKey)?;
        Ok(Self { x25519: PublicKey::from(*x25519), ml_kem })
    }

    /// `x25519(32) || ml_kem(1568)`
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.x25519.as_bytes()[..], &self.ml_kem.to_bytes()].concat()
    }

    fn encapsulate<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> (Vec<u8>, Zeroizing<[u8; 32]>) {
        let mut randomness = B32::default();
        rng.fill_bytes(&mut randomness);
        let (ciphertext, mut secret) = self.ml_kem.encapsulate_deterministic(&randomness);
        randomness.zeroize();
        let shared = Zeroizing::new(secret.into());
        secret.zeroize();
        (ciphertext.to_vec(), shared)
    }

    /// The token `e`, when it is sent or has come.
    fn mix_into(&self, symmetric: &mut Symmetric) {
        symmetric.mix_hash(self.x25519.as_bytes());
        symmetric.mix_hash(&self.ml_kem.to_bytes());
    }
}

impl fmt::Debug for StaticPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.x25519.to_bytes();
        write!(f, "StaticPublic({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// A client that has spoken and waits for the answer.
pub struct Initiator {
    symmetric: Symmetric,
    ephemeral: StaticKeys,
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Initiator(..)")
    }
}

impl Initiator {
    /// Begins: state, and the message `Initiate` of 3184 bytes. `introduction` is what brought `server`, byte for byte.
    ///
    /// # Errors
    /// `BadKey` when the server's X25519 key is of low order.
    pub fn start<R: CryptoRng + ?Sized>(
        rng: &mut R,
        server: &StaticPublic,
        introduction: &[u8],
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let mut symmetric = begin(server, introduction);
        let ephemeral = StaticKeys::generate(rng);
        let (mut message, shared) = server.encapsulate(rng);
        symmetric.mix_hash(&message); // skem: there is no key yet, so it travels as it is
        symmetric.mix_key_and_hash(shared.as_ref());
        message.extend_from_slice(&ephemeral.public.to_bytes());
        ephemeral.public.mix_into(&mut symmetric);
        symmetric.mix_key(ephemeral.agree(&server.x25519)?.as_bytes());
        symmetric.seal_onto(&[], &mut message)?;
        Ok((Self { symmetric, ephemeral }, message))
    }

    /// Ends with the message `Respond`. Only now it is certain that the server holds its static keys.
    ///
    /// # Errors
    /// `Malformed`, `BadKey`, or `Forged` when this is not the answer of that server.
    pub fn finish(self, message: &[u8]) -> Result<Channel, ChannelError> {
        let Self { mut symmetric, ephemeral } = self;
        let (ciphertext, theirs, payload) = parts(message)?;
        symmetric.mix_hash(ciphertext);
        symmetric.mix_key(ephemeral.decapsulate(ciphertext)?.as_ref());
        theirs.mix_into(&mut symmetric);
        symmetric.mix_key(ephemeral.agree(&theirs.x25519)?.as_bytes());
        symmetric.open(payload)?;
        let (out, back, hash) = symmetric.split();
        Ok(channel(out, back, &hash))
    }
}

/// Answers an `Initiate` with the message `Respond` of 3184 bytes. `introduction` is what was sent before, byte for byte.
///
/// # Errors
/// `Malformed`, `BadKey`, or `Forged` when it was not made for these keys and this introduction.
pub fn respond<R: CryptoRng + ?Sized>(
    rng: &mut R,
    keys: &StaticKeys,
    introduction: &[u8],
    message: &[u8],
) -> Result<(Vec<u8>, Channel), ChannelError> {
    let mut symmetric = begin(&keys.public, introduction);
    let (ciphertext, theirs, payload) = parts(message)?;
    symmetric.mix_hash(ciphertext);
    symmetric.mix_key_and_hash(keys.decapsulate(ciphertext)?.as_ref());
    theirs.mix_into(&mut symmetric);
    symmetric.mix_key(keys.agree(&theirs.x25519)?.as_bytes());
    symmetric.open(payload)?;

    let (mut answer, shared) = theirs.encapsulate(rng);
    symmetric.mix_hash(&answer);
    symmetric.mix_key(shared.as_ref());
    // The pattern sends an ML-KEM key here that nobody uses; leaving it out would make another pattern of it.
    let ephemeral = StaticKeys::generate(rng);
    answer.extend_from_slice(&ephemeral.public.to_bytes());
    ephemeral.public.mix_into(&mut symmetric);
    symmetric.mix_key(ephemeral.agree(&theirs.x25519)?.as_bytes());
    symmetric.seal_onto(&[], &mut answer)?;
    let (back, out, hash) = symmetric.split();
    Ok((answer, channel(out, back, &hash)))
}

/// Up to the pre-message: the client knows the server's static keys.
fn begin(server: &StaticPublic, introduction: &[u8]) -> Symmetric {
    let mut symmetric = Symmetric::new(PROTOCOL, &[PROLOGUE, introduction]);
    server.mix_into(&mut symmetric);
    symmetric
}

type Parts<'a> = (&'a [u8; ML_KEM_CIPHERTEXT_BYTES], StaticPublic, &'a [u8]);

/// Both messages are `ciphertext(1568) || public keys(1600) || sealed nothing(16)`.
fn parts(message: &[u8]) -> Result<Parts<'_>, ChannelError> {
    let (ciphertext, rest) = message.split_first_chunk().ok_or(ChannelError::Malformed)?;
    let (public, payload) = rest.split_first_chunk::<PUBLIC_BYTES>().ok_or(ChannelError::Malformed)?;
    if payload.len() != TAG_BYTES {
        return Err(ChannelError::Malformed);
    }
    Ok((ciphertext, StaticPublic::from_bytes(public)?, payload))
}

fn channel(out: super::noise::Cipher, back: super::noise::Cipher, hash: &[u8; 64]) -> Channel {
    let mut binding = [0; 32];
    let (head, _) = hash.split_at(32);
    binding.copy_from_slice(head);
    Channel { sealer: Sealer::new(out), opener: Opener::new(back), binding }
}
