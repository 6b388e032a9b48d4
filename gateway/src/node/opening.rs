//! The secrets of a node, and the store that depends on them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use endtoend_cluster::ClusterId;
use endtoend_crypto_core::opaque::ServerSetup;
use endtoend_crypto_core::oprf::OprfKey;
use endtoend_crypto_core::signature::SigningKey;
use endtoend_storage::Store;
use zeroize::Zeroizing;

use super::certificates::Authority;
use super::data_dir::{DataDir, DataDirError};
use super::error::ServeError;
use super::member::{MemberError, is_member, read_stopped};
use super::secrets::{CA_KEY, IDENTITY_KEY, OPAQUE_SETUP, OPRF_KEY, STORE_KEY, Secret, TOKEN_KEY};
use super::store::{ChosenStore, NodeStore};
use crate::clock;
use crate::limits::{Limits, LimitsConfig};
use crate::metrics::Metrics;
use crate::services::{Auditor, Policy, Registration, ServiceSecrets, Services};

/// The secrets and the store that depends on them, of a node that is alone. New secrets are made only for a store that has no
/// accounts.
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
            if let Some(cluster) = store.cluster().await? {
                let (place, cluster) = (chosen.place(), ClusterId::new(cluster).to_string());
                return Err(MemberError::DatabaseOfCluster { place, cluster }.into());
            }
            let data = data.with_accounts(store.maintenance().stats().await?.accounts);
            let secrets = Secrets::load(&data)?;
            mark_elsewhere(&data, chosen)?;
            Ok((data, secrets, store))
        }
    }
}

/// The directory remembers where its store is.
pub(super) fn mark_elsewhere(data: &DataDir, chosen: &ChosenStore) -> Result<(), DataDirError> {
    tracing::info!(database = chosen.place(), "opened the store");
    data.mark_elsewhere(&chosen.place())
        .map_err(|source| DataDirError::NotWritable { path: data.path().to_owned(), source })
}

/// The bytes of every secret of the data directory. Made on the first run.
///
/// # Errors
/// `DataDir`, `Certificate`.
pub(super) fn gather(data: &DataDir) -> Result<Gathered, ServeError> {
    let new_ca_key = Authority::new_key()?;
    let seed = || Zeroizing::new(SigningKey::generate(&mut rand::rng()).seed().to_vec());
    // A scalar like any other: the one time in 2^252 that there is none, the next start makes one.
    let oprf = || OprfKey::generate(&mut rand::rng()).map_or_else(|_| Zeroizing::default(), |key| key.to_bytes());
    Ok(Gathered(BTreeMap::from([
        (CA_KEY.file, data.secret(&CA_KEY, || Zeroizing::new(new_ca_key))?),
        (OPAQUE_SETUP.file, data.secret(&OPAQUE_SETUP, || ServerSetup::generate(&mut rand::rng()).to_bytes())?),
        (TOKEN_KEY.file, data.secret(&TOKEN_KEY, seed)?),
        (IDENTITY_KEY.file, data.secret(&IDENTITY_KEY, seed)?),
        (OPRF_KEY.file, data.secret(&OPRF_KEY, || Zeroizing::new(oprf().to_vec()))?),
        (STORE_KEY.file, data.secret(&STORE_KEY, || Zeroizing::new(rand::random::<[u8; 32]>().to_vec()))?),
    ])))
}

/// All secrets, as bytes by the names of their files.
pub(super) struct Gathered(BTreeMap<&'static str, Zeroizing<Vec<u8>>>);

impl Gathered {
    pub(super) fn get(&self, secret: &Secret) -> Option<&[u8]> {
        self.0.get(secret.file).map(|bytes| bytes.as_slice())
    }
}

/// What only this node knows, or this node and the others of its cluster.
pub(super) struct Secrets {
    pub(super) authority: Authority,
    pub(super) identity: SigningKey,
    pub(super) services: ServiceSecrets,
}

impl Secrets {
    /// From the data directory. Made on the first run.
    fn load(data: &DataDir) -> Result<Self, ServeError> {
        let gathered = gather(data)?;
        Self::of(|secret| gathered.get(secret)).map_err(|secret| data.damaged(secret).into())
    }

    /// From their bytes.
    ///
    /// # Errors
    /// The secret that is not there, or makes no sense.
    pub(super) fn of<'a>(bytes: impl Fn(&'static Secret) -> Option<&'a [u8]>) -> Result<Self, &'static Secret> {
        let get = |secret: &'static Secret| bytes(secret).ok_or(secret);
        let authority = Authority::from_key(get(&CA_KEY)?).map_err(|_| &CA_KEY)?;
        let opaque = ServerSetup::from_bytes(get(&OPAQUE_SETUP)?).map_err(|_| &OPAQUE_SETUP)?;
        let oprf: &[u8; 32] = get(&OPRF_KEY)?.try_into().map_err(|_| &OPRF_KEY)?;
        let oprf = OprfKey::from_bytes(oprf).map_err(|_| &OPRF_KEY)?;
        let store: &[u8; 32] = get(&STORE_KEY)?.try_into().map_err(|_| &STORE_KEY)?;
        let token = signing_key(get(&TOKEN_KEY)?).ok_or(&TOKEN_KEY)?;
        let identity = signing_key(get(&IDENTITY_KEY)?).ok_or(&IDENTITY_KEY)?;
        Ok(Self { authority, identity, services: ServiceSecrets::new(opaque, oprf, token, store) })
    }
}

/// The key of a seed.
pub(super) fn signing_key(seed: &[u8]) -> Option<SigningKey> {
    seed.try_into().ok().map(SigningKey::from_seed)
}

/// The secrets of the cluster as a stopped member has them; none for a node that is alone.
pub(crate) async fn shared_secrets(data: &DataDir) -> Result<Option<Arc<endtoend_cluster::Secrets>>, ServeError> {
    match is_member(data.path()) {
        true => Ok(Some(read_stopped(data).await?.1)),
        false => Ok(None),
    }
}

/// The services of a stopped node, for one command.
pub(crate) async fn services_alone(data: &DataDir, store: Arc<dyn Store>) -> Result<Arc<Services>, ServeError> {
    let secrets = match is_member(data.path()) {
        true => read_stopped(data).await?.0.services,
        false => Secrets::load(data)?.services,
    };
    let audit = Auditor::start(store.clone(), secrets.audit(), Arc::new(Metrics::new(clock::monotonic())));
    // Nobody comes who could ask for these.
    let limits = Arc::new(Limits::new(&LimitsConfig::default(), None, Zeroizing::new(rand::random())));
    let policy =
        Policy { registration: Registration::Closed, server_password: None, password_device_delay: Duration::ZERO };
    Ok(Arc::new(Services::new(store, secrets, policy, limits, Arc::default(), audit)))
}
