//! The secrets that all members share, and how they reach exactly them.
//!
//! ```text
//! place(what) = "endtoend 2026-11 cluster secrets v1 " || what || 0 || cluster(16) || generation(8, BE)
//! blob        = nonce(36) || PQ AEAD(cluster key, nonce, place("blob"), postcard of the secrets)
//! sealed key  = sealed for one(member's sealing keys, place("key") || node(8, BE), cluster key(32))
//! ```

use std::collections::BTreeMap;
use std::fmt;

use endtoend_crypto_core::aead::{self, Key};
use endtoend_crypto_core::sealing::{self, SealingError, SealingSecret};
use rand::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use crate::control::{BLOB_BYTES_MAX, Sealed};
use crate::{ClusterId, NodeId};

const DOMAIN: &[u8] = b"endtoend 2026-11 cluster secrets v1 ";
/// Under this name [`Secrets`] has the key of the link authority, PKCS #8.
pub const LINK_AUTHORITY: &str = "link-authority";
/// Most secrets.
pub const SECRETS_MAX: usize = 32;
/// Longest name of a secret, in bytes.
pub const SECRET_NAME_BYTES_MAX: usize = 32;
/// Longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Named secrets: of the link authority, and of whatever the program around shares with its like. `Debug` shows names.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why secrets were not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// More or longer than there may be.
    #[error("at most {SECRETS_MAX} secrets of {SECRET_BYTES_MAX} bytes, and {BLOB_BYTES_MAX} bytes of all, are shared")]
    TooLong,
    /// There is none for this node.
    #[error("this node has no key to the cluster's secrets")]
    NoKey,
    /// A member's key cannot be sealed for.
    #[error("cannot seal for a member")]
    Sealing(#[from] SealingError),
    /// Not what was sealed, or for another cluster or generation.
    #[error("the cluster's secrets do not open")]
    Damaged,
}

impl Secrets {
    /// The secret of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|secret| secret.as_slice())
    }

    /// Puts a secret under a name, in place of an earlier one.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn put(&mut self, name: &str, secret: &[u8]) -> Result<(), SecretsError> {
        let room = self.0.len() < SECRETS_MAX || self.0.contains_key(name);
        if !room || !(1..=SECRET_NAME_BYTES_MAX).contains(&name.len()) || secret.len() > SECRET_BYTES_MAX {
            return Err(SecretsError::TooLong);
        }
        self.0.insert(name.to_owned(), Zeroizing::new(secret.to_vec()));
        Ok(())
    }

    /// The names that there are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
        let plain: BTreeMap<&str, &[u8]> = self.0.iter().map(|(name, secret)| (name.as_str(), &***secret)).collect();
        // Room for all of it at once: a buffer that grows leaves copies behind.
        let mut buffer = Zeroizing::new(vec![0; BLOB_BYTES_MAX]);
        let length = postcard::to_slice(&plain, &mut buffer).map_err(|_| SecretsError::TooLong)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, SecretsError> {
        let (plain, []) =
            postcard::take_from_bytes::<BTreeMap<&str, &[u8]>>(bytes).map_err(|_| SecretsError::Damaged)?
        else {
            return Err(SecretsError::Damaged);
        };
        let mut secrets = Self::default();
        plain.into_iter().try_for_each(|(name, secret)| secrets.put(name, secret))?;
        Ok(secrets)
    }
}

/// A cluster key: what the secrets are under. `Debug` shows nothing of it.
pub struct ClusterKey {
    bytes: Zeroizing<[u8; 32]>,
    cluster: ClusterId,
    generation: u64,
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterKey(generation {})", self.generation)
    }
}

impl ClusterKey {
    /// A new one.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R, cluster: ClusterId, generation: u64) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self { bytes, cluster, generation }
    }

    /// Which one it is: they are counted from 1.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The key of these secrets, if `node` has it.
    ///
    /// # Errors
    /// `NoKey`, `Damaged`.
    pub fn open(
        sealed: &Sealed,
        cluster: ClusterId,
        node: NodeId,
        secret: &SealingSecret,
    ) -> Result<Self, SecretsError> {
        let key = sealed.keys.get(&node).ok_or(SecretsError::NoKey)?;
        let generation = sealed.generation;
        let opened = secret.open(&key_place(cluster, generation, node), key).map_err(|_| SecretsError::Damaged)?;
        let mut bytes: [u8; 32] = opened.as_slice().try_into().map_err(|_| SecretsError::Damaged)?;
        let key = Self { bytes: Zeroizing::new(bytes), cluster, generation };
        bytes.zeroize();
        Ok(key)
    }

    /// The key, sealed for one member.
    ///
    /// # Errors
    /// `Sealing`.
    pub fn seal_for<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        node: NodeId,
        sealing: &[u8],
    ) -> Result<Vec<u8>, SecretsError> {
        let place = key_place(self.cluster, self.generation, node);
        Ok(sealing::seal(rng, sealing, &place, self.bytes.as_slice())?)
    }

    /// The secrets under this key, and the key for each of these members.
    ///
    /// # Errors
    /// `TooLong`, `Sealing`.
    pub fn seal<'a, R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        secrets: &Secrets,
        members: impl Iterator<Item = (NodeId, &'a [u8])>,
    ) -> Result<Sealed, SecretsError> {
        let place = place("blob", self.cluster, self.generation);
        let blob = aead::seal_record(&Key::new(*self.bytes), rng, &place, &secrets.to_bytes()?);
        if blob.len() > BLOB_BYTES_MAX {
            return Err(SecretsError::TooLong);
        }
        let keys = members
            .map(|(node, sealing)| Ok((node, self.seal_for(rng, node, sealing)?)))
            .collect::<Result<_, SecretsError>>()?;
        Ok(Sealed { generation: self.generation, blob, keys })
    }

    /// The secrets of a blob.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn open_blob(&self, blob: &[u8]) -> Result<Secrets, SecretsError> {
        let place = place("blob", self.cluster, self.generation);
        let plain = aead::open_record(&Key::new(*self.bytes), &place, blob).map_err(|_| SecretsError::Damaged)?;
        Secrets::from_bytes(&plain)
    }
}

fn place(what: &str, cluster: ClusterId, generation: u64) -> Vec<u8> {
    [DOMAIN, what.as_bytes(), &[0], &cluster.to_bytes(), &generation.to_be_bytes()].concat()
}

fn key_place(cluster: ClusterId, generation: u64, node: NodeId) -> Vec<u8> {
    [&place("key", cluster, generation)[..], &node.get().to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId::new([7; 16]);

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.put("identity", b"a seed").unwrap();
        secrets.put(LINK_AUTHORITY, &[3; 200]).unwrap();
        secrets
    }

    #[test]
    fn exactly_the_members_it_is_sealed_for_open_it() {
        let rng = &mut rand::rng();
        let [one, two, removed] = [(); 3].map(|()| SealingSecret::generate(rng));
        let [a, b, c] = [1, 2, 3].map(NodeId::new);
        let key = ClusterKey::generate(rng, CLUSTER, 4);
        let (first, second) = (one.public(), two.public());
        let members = [(a, first.as_slice()), (b, second.as_slice())];
        let sealed = key.seal(rng, &secrets(), members.into_iter()).unwrap();
        for (node, secret) in [(a, &one), (b, &two)] {
            let opened = ClusterKey::open(&sealed, CLUSTER, node, secret).unwrap().open_blob(&sealed.blob).unwrap();
            assert_eq!(opened.get("identity"), Some(&b"a seed"[..]));
            assert_eq!(opened.get(LINK_AUTHORITY), Some(&[3; 200][..]));
        }
        let open = |sealed: &Sealed, cluster, node, secret| ClusterKey::open(sealed, cluster, node, secret).map(drop);
        assert_eq!(open(&sealed, CLUSTER, c, &removed), Err(SecretsError::NoKey));
        assert_eq!(open(&sealed, CLUSTER, a, &removed), Err(SecretsError::Damaged));
        assert_eq!(open(&sealed, CLUSTER, b, &one), Err(SecretsError::Damaged), "another member's");
        assert_eq!(open(&sealed, ClusterId::new([8; 16]), a, &one), Err(SecretsError::Damaged), "another cluster");
        let later = Sealed { generation: 5, ..sealed };
        assert_eq!(open(&later, CLUSTER, a, &one), Err(SecretsError::Damaged), "another generation");
    }

    #[test]
    fn an_old_key_opens_nothing_that_was_sealed_later() {
        let rng = &mut rand::rng();
        let (old, new) = (ClusterKey::generate(rng, CLUSTER, 1), ClusterKey::generate(rng, CLUSTER, 2));
        let sealed = new.seal(rng, &secrets(), std::iter::empty()).unwrap();
        assert_eq!(old.open_blob(&sealed.blob).map(drop), Err(SecretsError::Damaged));
        let mut bent = sealed.blob;
        *bent.last_mut().unwrap() ^= 1;
        assert_eq!(new.open_blob(&bent).map(drop), Err(SecretsError::Damaged));
    }

    #[test]
    fn secrets_are_bounded_and_not_shown() {
        let mut many = secrets();
        assert_eq!(format!("{many:?}"), r#"{"identity", "link-authority"}"#);
        assert_eq!(many.put("long", &[0; SECRET_BYTES_MAX + 1]), Err(SecretsError::TooLong));
        assert_eq!(many.put("", b"x"), Err(SecretsError::TooLong));
        for at in many.0.len()..SECRETS_MAX {
            many.put(&at.to_string(), &[0; SECRET_BYTES_MAX]).unwrap();
        }
        assert_eq!(many.put("one more", b"x"), Err(SecretsError::TooLong));
        many.put("identity", b"another").unwrap();
        let rng = &mut rand::rng();
        let key = ClusterKey::generate(rng, CLUSTER, 1);
        assert_eq!(key.seal(rng, &many, std::iter::empty()), Err(SecretsError::TooLong), "all of them together");
        assert_eq!(format!("{key:?}"), "ClusterKey(generation 1)");
    }
}
