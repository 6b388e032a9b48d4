//! Blind handles: the tag that names an account, which takes the server's key and never shows it the handle.
//!
//! The verifiable mode of RFC 9497 over ristretto255 with SHA-512, through `voprf`, which is also under OPAQUE. The client
//! blinds the handle ([`Blinding::start`]), the server evaluates what it cannot read ([`OprfKey::evaluate`]), the client
//! checks the proof that this was done with the one key, and unblinds ([`Blinding::finish`]):
//!
//! `tag = BLAKE3-derive("endtoend 2026-11 account tag v1", OPRF output(64))`
//!
//! Whoever has the tags, but not the key, cannot try handles; whoever asks the server can, one question each. A server can
//! try handles by itself: its key is what the tags are hidden by. Lost, it takes every account with it.

use std::fmt;

use rand_core::CryptoRng;
use voprf::{BlindedElement, EvaluationElement, Group as _, Proof, Ristretto255, VoprfClient, VoprfServer};
use zeroize::{Zeroize as _, Zeroizing};

use crate::handle::Handle;
use crate::random::Rand08;

const TAG_CONTEXT: &str = "endtoend 2026-11 account tag v1";
const PROOF_BYTES: usize = 64;

/// Length in bytes of a group element, blinded or not, and of a public key.
pub const ELEMENT_BYTES: usize = 32;
/// Length in bytes of what the server answers: `element(32) || proof(64)`, the proof being two scalars.
pub const EVALUATION_BYTES: usize = ELEMENT_BYTES + PROOF_BYTES;

/// The bytes are no element of the group that is used: not canonical, the identity, or not 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no blinded handle or public key")]
pub struct BadElement;

/// The bytes are no key: not a canonical scalar, or zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no key for blind handles")]
pub struct BadOprfKey;

/// The answer is not an evaluation of what was asked, by the key that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer for a blind handle does not verify")]
pub struct BadEvaluation;

/// The server's key. Wiped when dropped; `Debug` shows nothing of it.
pub struct OprfKey(VoprfServer<Ristretto255>);

impl OprfKey {
    /// A new key: DeriveKeyPair (RFC 9497, 3.2.1) of 32 random bytes.
    ///
    /// # Errors
    /// When 256 attempts at a scalar give zero, which does not happen.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Result<Self, BadOprfKey> {
        VoprfServer::new(&mut Rand08(rng)).map(Self).map_err(|_| BadOprfKey)
    }

    /// # Errors
    /// Unless [`OprfKey::to_bytes`] can make the bytes: a scalar in its only encoding, not zero.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BadOprfKey> {
        VoprfServer::new_with_key(bytes).map(Self).map_err(|_| BadOprfKey)
    }

    /// The scalar, little-endian: all there is to keep.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut both = self.0.serialize();
        let mut bytes = Zeroizing::new([0; 32]);
        for (to, from) in bytes.iter_mut().zip(&both) {
            *to = *from;
        }
        both.zeroize();
        bytes
    }

    /// What clients check the server's answers against.
    pub fn public(&self) -> OprfPublic {
        OprfPublic(Ristretto255::serialize_elem(self.0.get_public_key()).into())
    }

    /// Answers a blinded handle: `element(32) || proof(64)`. The randomness is the proof's.
    ///
    /// # Errors
    /// When `blinded` is no element.
    pub fn evaluate<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        blinded: &[u8],
    ) -> Result<[u8; EVALUATION_BYTES], BadElement> {
        // The library reads the beginning of what is longer.
        let blinded: &[u8; ELEMENT_BYTES] = blinded.try_into().map_err(|_| BadElement)?;
        let blinded = BlindedElement::deserialize(blinded).map_err(|_| BadElement)?;
        let result = self.0.blind_evaluate(&mut Rand08(rng), &blinded);
        let mut evaluation = [0; EVALUATION_BYTES];
        let (element, proof) = (result.message.serialize(), result.proof.serialize());
        for (to, from) in evaluation.iter_mut().zip(element.iter().chain(&proof)) {
            *to = *from;
        }
        Ok(evaluation)
    }

    /// The tag of a handle that is known, without a client: for the operator's tools.
    ///
    /// # Errors
    /// When the handle's element is the identity, which no handle is known to have.
    pub fn tag(&self, handle: &Handle) -> Result<[u8; 32], BadElement> {
        self.0.evaluate(handle.as_str().as_bytes()).map(tag).map_err(|_| BadElement)
    }
}

impl fmt::Debug for OprfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OprfKey(..)")
    }
}

/// The public half of an [`OprfKey`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OprfPublic([u8; ELEMENT_BYTES]);

impl OprfPublic {
    /// # Errors
    /// Unless the bytes are an element in its only encoding, and not the identity.
    pub fn from_bytes(bytes: &[u8; ELEMENT_BYTES]) -> Result<Self, BadElement> {
        Ristretto255::deserialize_elem(bytes).map(|_| Self(*bytes)).map_err(|_| BadElement)
    }

    /// The element's encoding.
    pub const fn to_bytes(self) -> [u8; ELEMENT_BYTES] {
        self.0
    }
}

impl fmt::Debug for OprfPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "OprfPublic({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// A client that has asked for a tag and waits for the answer. Wiped when dropped; `Debug` shows nothing.
pub struct Blinding {
    client: VoprfClient<Ristretto255>,
    input: Zeroizing<Vec<u8>>,
}

impl Blinding {
    /// Blinds a handle: state, and the element for the server, which is random whatever the handle is.
    ///
    /// # Errors
    /// When the handle's element is the identity, which no handle is known to have.
    pub fn start<R: CryptoRng + ?Sized>(
        rng: &mut R,
        handle: &Handle,
    ) -> Result<(Self, [u8; ELEMENT_BYTES]), BadElement> {
        Self::start_with(rng, handle.as_str().as_bytes())
    }

    fn start_with<R: CryptoRng + ?Sized>(rng: &mut R, input: &[u8]) -> Result<(Self, [u8; ELEMENT_BYTES]), BadElement> {
        let blinded = VoprfClient::blind(input, &mut Rand08(rng)).map_err(|_| BadElement)?;
        let state = Self { client: blinded.state, input: Zeroizing::new(input.to_vec()) };
        Ok((state, blinded.message.serialize().into()))
    }

    /// Checks the server's answer and gives the tag.
    ///
    /// # Errors
    /// Unless `evaluation` is `element(32) || proof(64)`, both in their only encodings, and proves that the element is
    /// this blinded handle's under the key of `public`.
    pub fn finish(self, evaluation: &[u8], public: &OprfPublic) -> Result<[u8; 32], BadEvaluation> {
        let (element, proof) = evaluation.split_first_chunk::<ELEMENT_BYTES>().ok_or(BadEvaluation)?;
        let proof: &[u8; PROOF_BYTES] = proof.try_into().map_err(|_| BadEvaluation)?;
        let element = EvaluationElement::deserialize(element).map_err(|_| BadEvaluation)?;
        let proof = Proof::deserialize(proof).map_err(|_| BadEvaluation)?;
        let public = Ristretto255::deserialize_elem(&public.0).map_err(|_| BadEvaluation)?;
        self.client.finalize(&self.input, &element, &proof, public).map(tag).map_err(|_| BadEvaluation)
    }
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinding(..)")
    }
}

/// Takes the tag out of the 64 bytes that the library returned, which does not wipe them by itself.
fn tag(mut output: impl AsMut<[u8]>) -> [u8; 32] {
    let output = output.as_mut();
    let tag = blake3::derive_key(TAG_CONTEXT, output);
    output.zeroize();
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    /// Order of the group: the first scalar that is not canonical.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];

    fn key(seed: u8) -> OprfKey {
        OprfKey::generate(&mut StdRng::from_seed([seed; 32])).unwrap()
    }

    fn handle(text: &str) -> Handle {
        text.parse().unwrap()
    }

    fn asked(key: &OprfKey, text: &str) -> [u8; 32] {
        let rng = &mut rand::rng();
        let (blinding, blinded) = Blinding::start(rng, &handle(text)).unwrap();
        let evaluation = key.evaluate(rng, &blinded).unwrap();
        blinding.finish(&evaluation, &key.public()).unwrap()
    }

    /// The client's state of one and the same question.
    fn question() -> (Blinding, [u8; 32]) {
        Blinding::start(&mut StdRng::from_seed([9; 32]), &handle("alice")).unwrap()
    }

    #[test]
    fn both_sides_give_the_same_tag_after_a_restart_too() {
        let key = key(1);
        let again = OprfKey::from_bytes(&key.to_bytes()).unwrap();
        assert_eq!(key.public(), again.public());
        for text in ["alice", "bob", "Straße", "山田太郎"] {
            assert_eq!(asked(&key, text), again.tag(&handle(text)).unwrap());
        }
        assert_eq!(asked(&key, "ALICE"), asked(&key, "alice"));
        assert_ne!(asked(&key, "alice"), asked(&key, "alicf"));
    }

    #[test]
    fn another_key_gives_another_tag_and_its_proof_is_refused() {
        let (ours, theirs) = (key(1), key(2));
        assert_ne!(asked(&ours, "alice"), asked(&theirs, "alice"));
        let (blinding, blinded) = question();
        let evaluation = theirs.evaluate(&mut rand::rng(), &blinded).unwrap();
        assert_eq!(blinding.finish(&evaluation, &ours.public()), Err(BadEvaluation));
        let (blinding, _) = question();
        let evaluation = ours.evaluate(&mut rand::rng(), &blinded).unwrap();
        assert_eq!(blinding.finish(&evaluation, &theirs.public()), Err(BadEvaluation));
    }

    #[test]
    fn an_answer_to_another_question_is_refused() {
        let key = key(1);
        let (_, other) = Blinding::start(&mut rand::rng(), &handle("alice")).unwrap();
        let evaluation = key.evaluate(&mut rand::rng(), &other).unwrap();
        assert_eq!(question().0.finish(&evaluation, &key.public()), Err(BadEvaluation));
    }

    #[test]
    fn the_same_handle_never_looks_the_same() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..64 {
            assert!(seen.insert(Blinding::start(&mut rand::rng(), &handle("alice")).unwrap().1));
        }
    }

    #[test]
    fn every_flipped_bit_of_an_answer_is_refused() {
        let key = key(1);
        let evaluation = key.evaluate(&mut rand::rng(), &question().1).unwrap();
        assert_eq!(
            question().0.finish(&evaluation, &key.public()),
            key.tag(&handle("alice")).map_err(|_| BadEvaluation)
        );
        for bit in 0..evaluation.len() * 8 {
            let mut bent = evaluation;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(question().0.finish(&bent, &key.public()), Err(BadEvaluation), "bit {bit}");
        }
        for len in [0, 31, 32, 95] {
            assert_eq!(question().0.finish(&evaluation[..len], &key.public()), Err(BadEvaluation));
        }
        assert_eq!(question().0.finish(&[&evaluation[..], &[0]].concat(), &key.public()), Err(BadEvaluation));
    }

    #[test]
    fn what_is_no_element_is_refused_everywhere() {
        let key = key(1);
        let good = question().1;
        let mut negative = good;
        negative[0] |= 1;
        // p - 19 + ..: 2^255 - 19 itself and above encode smaller numbers once more (RFC 9496, 4.3.1).
        let prime = {
            let mut bytes = [0xff; 32];
            bytes[0] = 0xed;
            bytes[31] = 0x7f;
            bytes
        };
        let evaluation = key.evaluate(&mut rand::rng(), &good).unwrap();
        for bad in [[0; 32], negative, prime, [0xff; 32]] {
            assert_eq!(key.evaluate(&mut rand::rng(), &bad), Err(BadElement), "{bad:x?}");
            assert_eq!(OprfPublic::from_bytes(&bad), Err(BadElement));
            let bent = [&bad[..], &evaluation[32..]].concat();
            assert_eq!(question().0.finish(&bent, &key.public()), Err(BadEvaluation));
        }
        for len in [0, 31] {
            assert_eq!(key.evaluate(&mut rand::rng(), &good[..len]), Err(BadElement));
        }
        assert_eq!(key.evaluate(&mut rand::rng(), &[&good[..], &[0]].concat()), Err(BadElement), "one byte more");
        assert_eq!(OprfPublic::from_bytes(&key.public().to_bytes()), Ok(key.public()));
    }

    #[test]
    fn scalars_have_one_encoding_and_are_not_zero() {
        for bad in [[0; 32], ORDER, [0xff; 32]] {
            assert_eq!(OprfKey::from_bytes(&bad).unwrap_err(), BadOprfKey);
        }
        // A proof with the order added to a scalar would verify if it were read.
        let key = key(1);
        let evaluation = key.evaluate(&mut rand::rng(), &question().1).unwrap();
        for at in [32, 64] {
            let mut carry = 0;
            let mut bent = evaluation;
            for (byte, add) in bent[at..at + 32].iter_mut().zip(ORDER) {
                carry += u16::from(*byte) + u16::from(add);
                *byte = carry as u8;
                carry >>= 8;
            }
            assert_eq!(question().0.finish(&bent, &key.public()), Err(BadEvaluation));
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?}", key(1)), "OprfKey(..)");
        assert_eq!(format!("{:?}", question().0), "Blinding(..)");
        assert!(format!("{:?}", key(1).public()).ends_with("…)"), "public: its head");
    }

    /// Gives 64 bytes that are a scalar and zeros, so that the reduction leaves it as it is.
    struct Fixed([u8; 32]);

    impl rand_core::TryRng for Fixed {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(0)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(0)
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            assert_eq!(bytes.len(), 64, "a scalar is drawn as 64 bytes");
            bytes.fill(0);
            bytes[..32].copy_from_slice(&self.0);
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Fixed {}

    /// RFC 9497, A.1.2: VOPRF(ristretto255, SHA-512), batches of one, through what callers use.
    #[test]
    fn the_vectors_of_the_standard() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../vectors/primitives.json")).unwrap();
        let cases = file["voprf_ristretto255"].as_array().unwrap();
        assert_eq!(cases.len(), 2);
        for case in cases {
            let bytes = |name: &str| hex::decode(case[name].as_str().unwrap()).unwrap();
            let array = |name: &str| <[u8; 32]>::try_from(bytes(name)).unwrap();
            let derived = VoprfServer::<Ristretto255>::new_from_seed(&bytes("seed"), &bytes("key_info")).unwrap();
            let key = OprfKey::from_bytes(&array("key")).unwrap();
            assert_eq!(OprfKey(derived).to_bytes(), key.to_bytes());
            assert_eq!(key.public().to_bytes(), array("public"));
            let (blinding, blinded) = Blinding::start_with(&mut Fixed(array("blind")), &bytes("input")).unwrap();
            assert_eq!(blinded, array("blinded"));
            let evaluation = key.evaluate(&mut Fixed(array("proof_random")), &blinded).unwrap();
            assert_eq!(evaluation[..], [bytes("element"), bytes("proof")].concat());
            let expected = blake3::derive_key(TAG_CONTEXT, &bytes("output"));
            assert_eq!(blinding.finish(&evaluation, &key.public()), Ok(expected));
            assert_eq!(key.0.evaluate(&bytes("input")).unwrap().to_vec(), bytes("output"));
        }
    }
}
