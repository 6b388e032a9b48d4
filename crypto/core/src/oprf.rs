//! Blind handles: an account is named by a function of its handle that only the server can compute, of inputs that it does
//! not see. RFC 9497, VOPRF mode with ristretto255 and SHA-512.
//!
//! Whoever has the server's database but not its key cannot try handles against it. Whoever asks the server proves nothing
//! and learns one account name for each question, so the questions are what is limited. The server proves that it used the
//! key that it is known by: it cannot give one person another answer than the rest.

use std::fmt;

use rand_core::CryptoRng;
use voprf::{BlindedElement, EvaluationElement, Proof, Ristretto255, VoprfClient, VoprfServer};
use zeroize::{Zeroize as _, Zeroizing};

use crate::random::Rand08;

const TAG_CONTEXT: &str = "endtoend 2026-11 account tag v1";
/// Length in bytes of an element of the group.
pub const ELEMENT_BYTES: usize = 32;
/// Length in bytes of an evaluation: element and proof (two scalars).
pub const EVALUATION_BYTES: usize = ELEMENT_BYTES + 64;

/// The bytes are no element of the group, or the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a blinded element")]
pub struct BadElement;

/// The evaluation is not of this key, or not of this question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the evaluation does not verify")]
pub struct BadEvaluation;

/// The server's key. `Debug` shows nothing of it.
pub struct OprfKey(VoprfServer<Ristretto255>);

impl fmt::Debug for OprfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OprfKey(..)")
    }
}

impl OprfKey {
    /// A new key.
    ///
    /// # Errors
    /// When the library fails, which it does once in 2^252 times.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Result<Self, BadElement> {
        VoprfServer::new(&mut Rand08(rng)).map(Self).map_err(|_| BadElement)
    }

    /// # Errors
    /// Unless [`OprfKey::to_bytes`] made the bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BadElement> {
        VoprfServer::new_with_key(bytes).map(Self).map_err(|_| BadElement)
    }

    /// All there is to keep: the scalar.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut serialized = self.0.serialize();
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.iter_mut().zip(serialized.iter()).for_each(|(to, from)| *to = *from);
        serialized.zeroize();
        bytes
    }

    /// What evaluations are verified with.
    pub fn public(&self) -> [u8; ELEMENT_BYTES] {
        self.0.get_public_key().compress().to_bytes()
    }

    /// Evaluates a blinded handle: element and proof.
    ///
    /// # Errors
    /// When the bytes are no element, or the identity.
    pub fn evaluate<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        blinded: &[u8; ELEMENT_BYTES],
    ) -> Result<[u8; EVALUATION_BYTES], BadElement> {
        let blinded = BlindedElement::deserialize(blinded).map_err(|_| BadElement)?;
        let evaluated = self.0.blind_evaluate(&mut Rand08(rng), &blinded);
        let (element, proof) = (evaluated.message.serialize(), evaluated.proof.serialize());
        let mut bytes = [0; EVALUATION_BYTES];
        bytes.iter_mut().zip(element.iter().chain(proof.iter())).for_each(|(to, from)| *to = *from);
        Ok(bytes)
    }

    /// The account of a handle, for those who have the key: an operator's commands.
    ///
    /// # Errors
    /// When the handle is empty or longer than 65535 bytes.
    pub fn tag(&self, handle: &str) -> Result<[u8; 32], BadElement> {
        self.0.evaluate(handle.as_bytes()).map(|output| tag(&output)).map_err(|_| BadElement)
    }
}

/// A client between question and answer. `Debug` shows nothing of it.
pub struct Blinding {
    handle: Zeroizing<Vec<u8>>,
    client: VoprfClient<Ristretto255>,
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinding(..)")
    }
}

impl Blinding {
    /// Blinds a handle: state, and the element for the server.
    ///
    /// # Errors
    /// When the handle is empty or longer than 65535 bytes.
    pub fn start<R: CryptoRng + ?Sized>(rng: &mut R, handle: &str) -> Result<(Self, [u8; ELEMENT_BYTES]), BadElement> {
        let blinded = VoprfClient::blind(handle.as_bytes(), &mut Rand08(rng)).map_err(|_| BadElement)?;
        let message = blinded.message.serialize().as_slice().try_into().map_err(|_| BadElement)?;
        Ok((Self { handle: Zeroizing::new(handle.as_bytes().to_vec()), client: blinded.state }, message))
    }

    /// The account's tag, from the server's answer.
    ///
    /// # Errors
    /// Unless the evaluation is of what was asked, with the key that `public` belongs to.
    pub fn finish(
        self,
        evaluation: &[u8; EVALUATION_BYTES],
        public: &[u8; ELEMENT_BYTES],
    ) -> Result<[u8; 32], BadEvaluation> {
        let (element, proof) = evaluation.split_at_checked(ELEMENT_BYTES).ok_or(BadEvaluation)?;
        let element = EvaluationElement::deserialize(element).map_err(|_| BadEvaluation)?;
        let proof = Proof::deserialize(proof).map_err(|_| BadEvaluation)?;
        // The public key is a point like any other.
        let public = EvaluationElement::<Ristretto255>::deserialize(public).map_err(|_| BadEvaluation)?;
        let output = self.client.finalize(&self.handle, &element, &proof, public.value()).map_err(|_| BadEvaluation)?;
        Ok(tag(&output))
    }
}

/// `BLAKE3-derive(context, output(64))`
fn tag(output: &[u8]) -> [u8; 32] {
    blake3::derive_key(TAG_CONTEXT, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> OprfKey {
        OprfKey::generate(&mut rand::rng()).unwrap()
    }

    fn ask(key: &OprfKey, handle: &str) -> (Blinding, [u8; EVALUATION_BYTES]) {
        let (blinding, blinded) = Blinding::start(&mut rand::rng(), handle).unwrap();
        (blinding, key.evaluate(&mut rand::rng(), &blinded).unwrap())
    }

    #[test]
    fn both_ways_lead_to_one_tag_and_another_key_to_another() {
        let key = key();
        let (blinding, evaluation) = ask(&key, "alice");
        let alice = blinding.finish(&evaluation, &key.public()).unwrap();
        assert_eq!(key.tag("alice").unwrap(), alice);
        assert_ne!(key.tag("bob").unwrap(), alice);
        let restored = OprfKey::from_bytes(&key.to_bytes()).unwrap();
        assert_eq!((restored.tag("alice").unwrap(), restored.public()), (alice, key.public()));
        assert_ne!(self::key().tag("alice").unwrap(), alice);
    }

    #[test]
    fn the_server_sees_something_else_each_time() {
        let blinded = || Blinding::start(&mut rand::rng(), "alice").unwrap().1;
        assert_ne!(blinded(), blinded());
    }

    #[test]
    fn an_answer_under_another_key_is_refused() {
        let (key, other) = (key(), key());
        let (blinding, evaluation) = ask(&other, "alice");
        assert_eq!(blinding.finish(&evaluation, &key.public()), Err(BadEvaluation));
    }

    #[test]
    fn an_answer_to_another_question_is_refused() {
        let key = key();
        let (blinding, _) = ask(&key, "alice");
        let (_, of_bob) = ask(&key, "bob");
        assert_eq!(blinding.finish(&of_bob, &key.public()), Err(BadEvaluation));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let key = key();
        for bit in 0..EVALUATION_BYTES * 8 {
            let (blinding, mut evaluation) = ask(&key, "alice");
            evaluation[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(blinding.finish(&evaluation, &key.public()), Err(BadEvaluation), "bit {bit}");
        }
    }

    #[test]
    fn what_is_no_element_is_refused() {
        for bytes in [[0; 32], [0xff; 32]] {
            assert_eq!(key().evaluate(&mut rand::rng(), &bytes), Err(BadElement));
        }
        assert!(OprfKey::from_bytes(&[0; 32]).is_err());
        assert!(OprfKey::from_bytes(&[0xff; 32]).is_err());
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?}", key()), "OprfKey(..)");
        assert_eq!(format!("{:?}", Blinding::start(&mut rand::rng(), "alice").unwrap().0), "Blinding(..)");
    }
}
