//! What the nodes of a cluster share, so that each of them is the same server to a client.

use std::sync::Arc;

use endtoend_cluster::Secrets as Shared;
use endtoend_crypto_core::signature::SigningKey;

use super::MemberError;
use super::keys;
use super::mark::CONTROL;
use crate::node::data_dir::DataDir;
use crate::node::error::ServeError;
use crate::node::opening::{Gathered, Secrets, signing_key};
use crate::node::secrets::{SECRETS, TOKEN_KEY};

/// The secrets of the node that founds a cluster, as the cluster keeps them: under the names of their files without `.key`.
///
/// # Errors
/// `Secrets` when they are too long, `BadSecret` when one is missing.
pub(super) fn share(own: &Gathered) -> Result<Shared, MemberError> {
    let mut shared = Shared::default();
    for secret in SECRETS {
        let bytes = own.get(secret).ok_or(MemberError::BadSecret(secret.file))?;
        shared.put(secret.name(), bytes)?;
    }
    Ok(shared)
}

/// The same on every member.
///
/// # Errors
/// `BadSecret`.
pub(super) fn read(shared: &Shared) -> Result<Secrets, MemberError> {
    Secrets::of(|secret| shared.get(secret.name())).map_err(|secret| MemberError::BadSecret(secret.file))
}

/// What signs access tokens.
pub(super) fn token_key(shared: &Shared) -> Option<SigningKey> {
    shared.get(TOKEN_KEY.name()).and_then(signing_key)
}

/// Replaces what a node that is removed knew, as far as it can be: what clients pin, and what accounts were made with, cannot.
pub(super) fn rotate(shared: &mut Shared) {
    let seed = SigningKey::generate(&mut rand::rng()).seed();
    if let Err(error) = shared.put(TOKEN_KEY.name(), seed.as_slice()) {
        tracing::error!(%error, "the key of access tokens is not replaced");
    }
}

/// The secrets of a member that does not run, from its own log, for one command; and as the cluster keeps them.
///
/// # Errors
/// When it is none, or its log cannot be read.
pub(in crate::node) async fn read_stopped(data: &DataDir) -> Result<(Secrets, Arc<Shared>), ServeError> {
    let keys = keys::load(data)?;
    let shared = endtoend_cluster::control::Control::read_stopped(&data.path().join(CONTROL), &keys)
        .await
        .map_err(MemberError::from)?;
    let secrets = read(&shared)?;
    Ok((secrets, Arc::new(shared)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::opening::gather;
    use crate::node::secrets::IDENTITY_KEY;

    #[test]
    fn every_node_is_the_same_server_and_a_removal_replaces_the_key_of_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let gathered = gather(&DataDir::open(dir.path()).unwrap()).unwrap();
        let mut shared = share(&gathered).unwrap();
        assert_eq!(shared.names().count(), SECRETS.len());
        assert_eq!(shared.get("identity"), gathered.get(&IDENTITY_KEY));
        let pin = read(&shared).unwrap().authority.pin();
        rotate(&mut shared);
        assert_eq!(read(&shared).unwrap().authority.pin(), pin);
        for secret in SECRETS {
            assert_eq!(shared.get(secret.name()) == gathered.get(secret), *secret != TOKEN_KEY, "{}", secret.file);
        }
        assert!(matches!(read(&Shared::default()), Err(MemberError::BadSecret("ca.key"))));
    }
}
