//! Registration, login, tokens and published keys.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use endtoend_crypto_core::opaque::{ServerLogin, ServerSetup};
use endtoend_crypto_core::proof::{DeviceStatement, Purpose, verify_device_proof};
use endtoend_crypto_core::signature::{SigningKey, VerifyingKey};
use endtoend_crypto_core::token;
use endtoend_protocol::{
    AccountTag, Address, Answer, DeviceId, DeviceKeys, NewDevice, Refusal, RefusalCode, UnixMillis, limits,
};
use endtoend_storage::{CreateAccountError, NewAccount, PublishKeysError, Store, StoreError};
use serde::Deserialize;

/// Who may create an account.
#[derive(Clone, Copy, Debug, Default, Deserialize, serde::Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Whoever reaches the server.
    #[default]
    Open,
    /// Nobody.
    Closed,
}

/// What a device proof on one connection covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub challenge: [u8; limits::CHALLENGE_BYTES],
    /// TLS exporter (RFC 9266): a proof cannot be carried over to another connection.
    pub channel_binding: [u8; 32],
}

/// A login between its two steps.
pub(crate) struct Login {
    account: AccountTag,
    state: ServerLogin,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?})", self.account)
    }
}

/// Accounts, as connections need them. Refusals do not tell what of a credential was wrong.
pub(crate) struct Accounts {
    store: Arc<dyn Store>,
    opaque: ServerSetup,
    token_key: Arc<SigningKey>,
    token_verifier: Arc<VerifyingKey>,
    registration: Registration,
}

type Answered<T> = Result<T, Refusal>;

impl Accounts {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        opaque: ServerSetup,
        token_key: SigningKey,
        registration: Registration,
    ) -> Self {
        let token_verifier = Arc::new(token_key.verifying_key());
        Self { store, opaque, token_key: Arc::new(token_key), token_verifier, registration }
    }

    /// OPAQUE registration, first step. Nothing is kept: a request that is not finished leaves no trace.
    pub(crate) fn register_start(&self, account: AccountTag, request: &[u8]) -> Answered<Bytes> {
        if self.registration == Registration::Closed {
            return Err(RefusalCode::RegistrationClosed.into());
        }
        let response = self.opaque.register(account.as_bytes(), request).map_err(|_| RefusalCode::Invalid)?;
        Ok(response.into())
    }

    /// Creates the account and its first device.
    pub(crate) async fn register_finish(
        &self,
        account: AccountTag,
        opaque_record: Bytes,
        device: NewDevice,
        proof: Bytes,
        peer: Peer,
        now: UnixMillis,
    ) -> Answered<Answer> {
        if self.registration == Registration::Closed {
            return Err(RefusalCode::RegistrationClosed.into());
        }
        self.opaque.check_record(&opaque_record).map_err(|_| RefusalCode::Invalid)?;
        let address = Address { account, device: DeviceId::FIRST };
        check_proof(device.device_key.clone(), address, Purpose::Register, proof, peer).await?;
        let new = NewAccount { tag: account, opaque_record, device, invite: None, created_at: now };
        match self.store.create_account(new).await {
            Ok(()) => self.authenticated(address, now).await,
            Err(CreateAccountError::Exists) => Err(RefusalCode::HandleTaken.into()),
            Err(CreateAccountError::Invite) => Err(RefusalCode::RegistrationClosed.into()),
            Err(CreateAccountError::Store(error)) => Err(unavailable(&error)),
        }
    }

    /// OPAQUE login, first step. An unknown account is answered like a known one.
    pub(crate) async fn login_start(&self, account: AccountTag, ke1: &[u8]) -> Answered<(Login, Bytes)> {
        let record = self.store.opaque_record(account).await.map_err(|e| unavailable(&e))?;
        let (state, ke2) = self
            .opaque
            .login_start(&mut rand::rng(), record.as_deref(), account.as_bytes(), ke1)
            .map_err(|_| RefusalCode::Invalid)?;
        Ok((Login { account, state }, ke2.into()))
    }

    /// OPAQUE login, last step.
    pub(crate) async fn login_finish(
        &self,
        Login { account, state }: Login,
        ke3: &[u8],
        device: DeviceId,
        proof: Bytes,
        peer: Peer,
        now: UnixMillis,
    ) -> Answered<Answer> {
        state.finish(ke3).map_err(|_| RefusalCode::BadCredentials)?;
        let address = Address { account, device };
        self.check_device(address, Purpose::Login, proof, peer).await?;
        self.authenticated(address, now).await
    }

    /// Goes on with a token. It is given back as it is: only a login makes a new one.
    pub(crate) async fn resume(&self, token: Bytes, proof: Bytes, peer: Peer, now: UnixMillis) -> Answered<Answer> {
        let (verifier, bytes) = (Arc::clone(&self.token_verifier), token.clone());
        let skew = u64::try_from(limits::CLOCK_SKEW_MAX.as_millis()).unwrap_or_default();
        let claims = off_thread(move || token::verify(&verifier, &bytes, now.get(), skew))
            .await?
            .map_err(|_| RefusalCode::BadCredentials)?;
        let device = DeviceId::new(claims.device.into()).map_err(|_| RefusalCode::BadCredentials)?;
        let address = Address { account: AccountTag::new(claims.account), device };
        let purpose = Purpose::Resume { token_id: claims.token_id };
        self.check_device(address, purpose, proof, peer).await?;
        self.answer(address, token, UnixMillis::new(claims.expires_ms)).await
    }

    /// Adds to the published keys of a device.
    pub(crate) async fn publish_keys(&self, device: Address, keys: DeviceKeys) -> Answered<Answer> {
        match self.store.publish_keys(device, keys).await {
            Ok(counts) => Ok(Answer::KeysPublished(counts)),
            Err(PublishKeysError::TooMany) => Err(RefusalCode::TooManyKeys.into()),
            Err(PublishKeysError::UnknownDevice) => Err(RefusalCode::NotAuthenticated.into()),
            Err(PublishKeysError::Store(error)) => Err(unavailable(&error)),
        }
    }

    /// Who an account is, and how its devices are written to within a session.
    pub(crate) async fn identity(&self, account: AccountTag) -> Answered<Answer> {
        match self.store.identity(account).await {
            Ok(Some(identity)) => Ok(Answer::Identity(Box::new(identity))),
            Ok(None) => Err(RefusalCode::UnknownAccount.into()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// What is needed to write to an account.
    pub(crate) async fn bundles(&self, account: AccountTag) -> Answered<Answer> {
        match self.store.take_bundles(account).await {
            Ok(Some(bundles)) => Ok(Answer::Bundles(Box::new(bundles))),
            Ok(None) => Err(RefusalCode::UnknownAccount.into()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn check_device(&self, device: Address, purpose: Purpose, proof: Bytes, peer: Peer) -> Answered<()> {
        let known = self.store.device(device).await.map_err(|e| unavailable(&e))?;
        let known = known.ok_or(RefusalCode::BadCredentials)?;
        check_proof(known.device_key, device, purpose, proof, peer).await
    }

    async fn authenticated(&self, device: Address, now: UnixMillis) -> Answered<Answer> {
        let expires = now.plus(limits::ACCESS_TOKEN_LIFE);
        let key = Arc::clone(&self.token_key);
        let token = off_thread(move || {
            let id = rand::random::<[u8; 16]>();
            token::issue(&key, device.account.as_bytes(), device.device.get(), &id, now.get(), expires.get())
        })
        .await?;
        self.answer(device, token.into(), expires).await
    }

    async fn answer(&self, address: Address, token: Bytes, token_expires: UnixMillis) -> Answered<Answer> {
        let keys = self.store.key_counts(address).await.map_err(|e| unavailable(&e))?;
        Ok(Answer::Authenticated { address, token, token_expires, keys })
    }
}

async fn check_proof(key: Bytes, device: Address, purpose: Purpose, proof: Bytes, peer: Peer) -> Answered<()> {
    off_thread(move || {
        let statement = DeviceStatement {
            challenge: &peer.challenge,
            channel_binding: &peer.channel_binding,
            account: device.account.as_bytes(),
            device: device.device.get(),
            purpose,
        };
        VerifyingKey::from_bytes(&key).and_then(|key| verify_device_proof(&key, &statement, &proof)).is_ok()
    })
    .await?
    .then_some(())
    .ok_or(RefusalCode::BadCredentials.into())
}

/// ML-DSA takes about a millisecond: not on a thread that carries messages.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answered<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RefusalCode::Unavailable.into())
}

fn unavailable(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "store did not answer");
    Refusal { code: RefusalCode::Unavailable, retry_after_ms: std::num::NonZeroU64::new(1_000) }
}
