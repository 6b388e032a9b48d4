//! The secrets that services need.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use endtoend_cluster::claims::NameKey;
use endtoend_crypto_core::handle::Handle;
use endtoend_crypto_core::opaque::ServerSetup;
use endtoend_crypto_core::oprf::OprfKey;
use endtoend_crypto_core::refresh::RefreshKey;
use endtoend_crypto_core::signature::{SigningKey, VerifyingKey};
use endtoend_protocol::{AccountTag, InviteCode};
use endtoend_storage::{AuditKey, BudgetHash, InviteHash, PeerHash};
use zeroize::Zeroizing;

const RELATION_CONTEXT: &str = "endtoend 2026-11 relation v1";
const BUDGET_CONTEXT: &str = "endtoend 2026-11 budget v1";
const REFRESH_CONTEXT: &str = "endtoend 2026-11 refresh key v1";
const LIMITS_CONTEXT: &str = "endtoend 2026-11 limits v1";
const NAMES_CONTEXT: &str = "endtoend 2026-11 names of claims v1";
const INVITE_CONTEXT: &str = "endtoend 2026-11 invitation v1";

/// What turns accounts, codes and tokens into what the store keeps. `Debug` shows nothing.
pub(crate) struct ServiceSecrets {
    pub(super) opaque: ServerSetup,
    pub(super) oprf: OprfKey,
    token: RwLock<TokenKey>,
    pub(super) refresh: RefreshKey,
    relation: Zeroizing<[u8; 32]>,
    invite: Zeroizing<[u8; 32]>,
    limits: Zeroizing<[u8; 32]>,
    names: Zeroizing<[u8; 32]>,
    budget: Zeroizing<[u8; 32]>,
    audit: AuditKey,
}

/// What access tokens are signed with, and checked.
#[derive(Clone)]
pub(super) struct TokenKey {
    pub(super) signing: Arc<SigningKey>,
    pub(super) verifying: Arc<VerifyingKey>,
}

impl TokenKey {
    fn new(key: SigningKey) -> Self {
        Self { verifying: Arc::new(key.verifying_key()), signing: Arc::new(key) }
    }
}

impl fmt::Debug for ServiceSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceSecrets(..)")
    }
}

impl ServiceSecrets {
    /// `store` is the secret of 32 bytes from which the keys for hashes are derived.
    pub(crate) fn new(opaque: ServerSetup, oprf: OprfKey, token: SigningKey, store: &[u8; 32]) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, store));
        Self {
            opaque,
            oprf,
            token: RwLock::new(TokenKey::new(token)),
            refresh: RefreshKey::from_bytes(&derive(REFRESH_CONTEXT)),
            relation: derive(RELATION_CONTEXT),
            invite: derive(INVITE_CONTEXT),
            limits: derive(LIMITS_CONTEXT),
            names: derive(NAMES_CONTEXT),
            budget: derive(BUDGET_CONTEXT),
            audit: AuditKey::new(store),
        }
    }

    pub(super) fn token(&self) -> TokenKey {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on nothing that was signed with the key before is believed: devices go on with their refresh tokens.
    pub(super) fn replace_token_key(&self, key: SigningKey) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = TokenKey::new(key);
    }

    /// What devices are called in the directory of claims.
    pub(crate) fn names(&self) -> NameKey {
        NameKey::derive(&self.names)
    }

    pub(crate) fn audit(&self) -> AuditKey {
        self.audit.clone()
    }

    /// What those who are limited are hashed with. Nodes with the same store have the same.
    pub(crate) fn limits(&self) -> Zeroizing<[u8; 32]> {
        self.limits.clone()
    }

    /// `BLAKE3-keyed(owner(32) || peer(32))`
    pub(crate) fn relation(&self, owner: AccountTag, peer: AccountTag) -> PeerHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.relation);
        hasher.update(owner.as_bytes()).update(peer.as_bytes());
        PeerHash(*hasher.finalize().as_bytes())
    }

    /// `BLAKE3-keyed(account(32))`: under which is counted what an account leaves.
    pub(crate) fn budget(&self, account: AccountTag) -> BudgetHash {
        BudgetHash(*blake3::keyed_hash(&self.budget, account.as_bytes()).as_bytes())
    }

    /// `BLAKE3-keyed(code(16))`
    pub(crate) fn invite(&self, code: &InviteCode) -> InviteHash {
        InviteHash(*blake3::keyed_hash(&self.invite, &code.0).as_bytes())
    }

    /// The account of a handle, for an operator's commands.
    pub(crate) fn account(&self, handle: &Handle) -> Option<AccountTag> {
        self.oprf.tag(handle).ok().map(AccountTag::new)
    }
}
