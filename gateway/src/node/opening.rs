//! The secrets of a node, and the store that depends on them.

use std::sync::Arc;
use std::time::Duration;

use endtoend_crypto_core::opaque::ServerSetup;
use endtoend_crypto_core::oprf::OprfKey;
use endtoend_crypto_core::signature::SigningKey;
use endtoend_storage::Store;
use zeroize::Zeroizing;

use super::certificates::Authority;
use super::data_dir::{DataDir, DataDirError};
use super::error::ServeError;
use super::secrets::{CA_KEY, IDENTITY_KEY, OPAQUE_SETUP, OPRF_KEY, STORE_KEY, Secret, TOKEN_KEY};
use super::store::{ChosenStore, NodeStore};
use crate::clock;
use crate::limits::{Limits, LimitsConfig};
use crate::metrics::Metrics;
use crate::services::{Auditor, Policy, Registration, ServiceSecrets, Services};

/// The secrets and the store that depends on them. New secrets are made only for a store that has no accounts.
pub(super) async fn open(data: DataDir, chosen: &ChosenStore) -> Result<(DataDir, Secrets, NodeStore), ServeError> {
    match chosen {
        // The file is what tells a second start from the first one, so it comes last.
        ChosenStore::Sqlite(_) => {
            let secrets = Secrets::load(&data)?;
            let store = chosen.open().await?;
            Ok((data, secrets, store))
        }
        ChosenStore::Postgres(_) => {
            let store = chosen.open().await?;
            let data = data.with_accounts(store.maintenance().stats().await?.accounts);
            let secrets = Secrets::load(&data)?;
            data.mark_elsewhere(&chosen.place())
                .map_err(|source| DataDirError::NotWritable { path: data.path().to_owned(), source })?;
            tracing::info!(database = chosen.place(), "opened the store");
            Ok((data, secrets, store))
        }
    }
}

/// What only this node knows. Made on the first run.
pub(super) struct Secrets {
    pub(super) authority: Authority,
    pub(super) identity: SigningKey,
    pub(super) services: ServiceSecrets,
}

impl Secrets {
    fn load(data: &DataDir) -> Result<Self, ServeError> {
        let new_key = Authority::new_key()?;
        let ca_key = data.secret(&CA_KEY, || Zeroizing::new(new_key))?;
        let authority = Authority::from_key(&ca_key).map_err(|_| data.damaged(&CA_KEY))?;
        let setup = data.secret(&OPAQUE_SETUP, || ServerSetup::generate(&mut rand::rng()).to_bytes())?;
        let opaque = ServerSetup::from_bytes(&setup).map_err(|_| data.damaged(&OPAQUE_SETUP))?;
        let signing_key = |secret: &Secret| {
            let seed =
                data.secret(secret, || Zeroizing::new(SigningKey::generate(&mut rand::rng()).seed().to_vec()))?;
            let seed = seed.as_slice().try_into().map_err(|_| data.damaged(secret))?;
            Ok::<_, ServeError>(SigningKey::from_seed(seed))
        };
        let bytes = |secret: &Secret, make: fn() -> Zeroizing<[u8; 32]>| {
            let bytes = data.secret(secret, || Zeroizing::new(make().to_vec()))?;
            let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| data.damaged(secret))?;
            Ok::<_, ServeError>(Zeroizing::new(bytes))
        };
        // A scalar like any other: the one time in 2^252 that there is none, the next start makes one.
        let new_oprf_key =
            || OprfKey::generate(&mut rand::rng()).map_or_else(|_| Zeroizing::default(), |key| key.to_bytes());
        let oprf = OprfKey::from_bytes(&*bytes(&OPRF_KEY, new_oprf_key)?).map_err(|_| data.damaged(&OPRF_KEY))?;
        let store = bytes(&STORE_KEY, || Zeroizing::new(rand::random()))?;
        let services = ServiceSecrets::new(opaque, oprf, signing_key(&TOKEN_KEY)?, &store);
        Ok(Self { authority, identity: signing_key(&IDENTITY_KEY)?, services })
    }
}

/// The services of a stopped node, for one command.
pub(crate) fn services_alone(data: &DataDir, store: Arc<dyn Store>) -> Result<Arc<Services>, ServeError> {
    let secrets = Secrets::load(data)?.services;
    let audit = Auditor::start(store.clone(), secrets.audit(), Arc::new(Metrics::new(clock::monotonic())));
    // Nobody comes who could ask for these.
    let limits = Arc::new(Limits::new(&LimitsConfig::default(), Zeroizing::new(rand::random())));
    let policy =
        Policy { registration: Registration::Closed, server_password: None, password_device_delay: Duration::ZERO };
    Ok(Arc::new(Services::new(store, secrets, policy, limits, Arc::default(), audit)))
}
