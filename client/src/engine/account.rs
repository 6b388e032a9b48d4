//! Registration and identities: what goes into the database around them.

use endtoend_crypto_e2e::{
    NewKeys, accept_identity as trust, create_identity, identity_public, new_device_keys, registration_id,
    safety_number,
};
use endtoend_protocol::{AccountTag, Address, DeviceId, DeviceKeys, KeyCounts, NewDevice, limits};
use rand::Rng as _;
use zeroize::Zeroizing;

use super::command::{AccountError, AddError, Verification, VerifyError};
use super::receive::{self, Arrival};
use super::rotation;
use crate::address::ServerAddress;
use crate::clock;
use crate::database::{Account, AccountState, Database, DatabaseError, HeldEnvelope, OwnKeys, Seed, Store};
use crate::handle::Handle;

/// What a device keeps published of each kind of one-time key: as much as one upload takes.
const ONE_TIME_KEYS: usize = limits::ONE_TIME_PRE_KEYS_UPLOAD_MAX;
const ONE_TIME_KEM_KEYS: usize = limits::ONE_TIME_KEM_PRE_KEYS_UPLOAD_MAX;

/// Makes and stores everything that a registration publishes, before the server hears of it. The last value says
/// whether an earlier attempt may have created this account.
pub(super) fn prepare_registration(
    database: &mut Database,
    server: ServerAddress,
    server_password: Option<Zeroizing<Vec<u8>>>,
    handle: Handle,
) -> Result<(Account, Box<NewDevice>, bool), AccountError> {
    database.write(|store| {
        let before = store.account()?;
        // What was restored is an account's that exists: this becomes a device of that one, or of none.
        if store.restored()?.is_some() {
            return Err(AccountError::Registered);
        }
        if before.as_ref().is_some_and(|account| account.state == AccountState::Registered) {
            return Err(AccountError::Registered);
        }
        let again = before.as_ref().is_some_and(|account| account.server == server && account.handle == handle);
        let mut seed: Seed = Box::new(Zeroizing::new([0; 64]));
        match before {
            Some(account) => seed = account.seed,
            None => {
                rand::rng().fill_bytes(seed.as_mut_slice());
                // Of this account alone, even where a profile was to be linked to another one and was not.
                store.apply(&create_identity(&mut rand::rng()).map_err(|_| AccountError::Keys)?)?;
            }
        }
        let (device, state) = (DeviceId::FIRST, AccountState::Submitted);
        let account = Account { server, handle, tag: None, oprf_key: None, server_password, device, state, seed };
        let device = new_device(store, &account)?;
        store.put_account(&account)?;
        Ok((account, Box::new(device), again))
    })
}

/// What is published of a device whose identity is stored.
pub(super) fn new_device(store: &Store<'_>, account: &Account) -> Result<NewDevice, AccountError> {
    let rng = &mut rand::rng();
    let counts = NewKeys { one_time: ONE_TIME_KEYS, one_time_kem: ONE_TIME_KEM_KEYS, signed: true };
    let (keys, changes) = new_device_keys(store, rng, counts).map_err(|_| AccountError::Keys)?;
    store.apply(&changes)?;
    rotation::note_set(store, &keys, true, clock::now())?;
    let verifying_key = endtoend_crypto_core::signature::SigningKey::from_seed(&account.seed).verifying_key();
    Ok(NewDevice {
        device_key: verifying_key.to_bytes().to_vec().into(),
        registration_id: registration_id(store).map_err(|_| AccountError::Keys)?,
        identity_key: identity_public(store).map_err(|_| AccountError::Keys)?,
        signed_pre_key: keys.signed_pre_key.ok_or(AccountError::Keys)?,
        last_resort_kem_pre_key: keys.last_resort_kem_pre_key.ok_or(AccountError::Keys)?,
        envelope_key: keys.envelope_key.ok_or(AccountError::Keys)?,
        one_time_pre_keys: keys.one_time_pre_keys,
        one_time_kem_pre_keys: keys.one_time_kem_pre_keys,
    })
}

/// Whether the server holds so few one-time keys that it needs more.
pub(super) const fn keys_are_low(held: KeyCounts) -> bool {
    held.one_time < limits::ONE_TIME_KEYS_LOW_WATER || held.one_time_kem < limits::ONE_TIME_KEYS_LOW_WATER
}

/// Which one-time keys are in an upload: the first and the last id of each kind, `None` when there are none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OneTimeIds {
    curve: Option<(u32, u32)>,
    kem: Option<(u32, u32)>,
}

impl OneTimeIds {
    fn of(keys: &DeviceKeys) -> Self {
        let ends = |first: Option<u32>, last: Option<u32>| first.zip(last);
        let (curve, kem) = (&keys.one_time_pre_keys, &keys.one_time_kem_pre_keys);
        Self {
            curve: ends(curve.first().map(|key| key.id), curve.last().map(|key| key.id)),
            kem: ends(kem.first().map(|key| key.id), kem.last().map(|key| key.id)),
        }
    }

    /// Notes that the server has them, inside a transaction.
    pub(super) fn published(self, store: &Store<'_>) -> Result<(), DatabaseError> {
        for (keys, ids) in [(OwnKeys::OneTimePreKeys, self.curve), (OwnKeys::KemPreKeys, self.kem)] {
            ids.map_or(Ok(()), |ids| store.one_time_keys_published(keys, ids))?;
        }
        Ok(())
    }
}

/// Makes and stores the one-time keys that are missing at the server. `None` when they could not be made.
pub(super) fn more_keys(
    database: &mut Database,
    held: KeyCounts,
) -> Result<Option<(OneTimeIds, DeviceKeys)>, DatabaseError> {
    let missing = |full: usize, held: u32| full.saturating_sub(usize::try_from(held).unwrap_or(usize::MAX));
    let counts = NewKeys {
        one_time: missing(ONE_TIME_KEYS, held.one_time),
        one_time_kem: missing(ONE_TIME_KEM_KEYS, held.one_time_kem),
        signed: false,
    };
    database.write(|store| {
        let Ok((keys, changes)) = new_device_keys(store, &mut rand::rng(), counts) else { return Ok(None) };
        store.apply(&changes)?;
        Ok(Some((OneTimeIds::of(&keys), keys)))
    })
}

/// This account has this identity, whatever a server says.
pub(super) fn trust_oneself(store: &Store<'_>, own: AccountTag) -> Result<(), DatabaseError> {
    let invalid = || DatabaseError::Invalid("identity");
    let identity = identity_public(store).map_err(|_| invalid())?;
    if store.trusted_identity(own)? != Some(identity) {
        store.apply(&trust(own, &identity).map_err(|_| invalid())?)?;
    }
    Ok(())
}

/// Trusts an identity that somebody has shown by another way than the server, unless another is known already.
pub(super) fn expect_identity(
    store: &Store<'_>,
    tag: AccountTag,
    with: &Handle,
    identity: &[u8; 33],
) -> Result<(), AddError> {
    let changed = store.contact(tag)?.is_some_and(|contact| contact.changed_identity.is_some());
    match store.trusted_identity(tag)? {
        _ if changed => Err(AddError::OtherIdentity(with.clone())),
        Some(known) if known == *identity => Ok(()),
        Some(_) => Err(AddError::OtherIdentity(with.clone())),
        None => Ok(store.apply(&trust(tag, identity).map_err(|_| AddError::BadKey)?)?),
    }
}

/// What to compare with somebody whose identity is known here.
pub(super) fn verification(
    store: &Store<'_>,
    own: Address,
    tag: AccountTag,
    with: &Handle,
) -> Result<Verification, VerifyError> {
    let contact = store.contact(tag)?;
    let verified = contact.as_ref().is_some_and(|contact| contact.verified);
    let changed = contact.and_then(|contact| contact.changed_identity);
    let peer_identity = match changed {
        Some(identity) => identity,
        None => store.trusted_identity(tag)?.ok_or_else(|| VerifyError::Unknown(with.clone()))?,
    };
    let own_identity = identity_public(store).map_err(|_| VerifyError::NotRegistered)?;
    let safety_number = safety_number(&own.account, &own_identity, &tag, &peer_identity)
        .map_err(|_| VerifyError::BadKeys(with.clone()))?;
    let changed = changed.is_some();
    Ok(Verification { with: with.clone(), safety_number, own_identity, peer_identity, changed, verified })
}

/// Trusts the changed identity of somebody, and opens what was held because of it.
pub(super) fn accept_identity(
    database: &mut Database,
    own: Address,
    tag: AccountTag,
    with: &Handle,
) -> Result<Vec<(HeldEnvelope, Arrival)>, VerifyError> {
    let now = clock::now();
    database.write(|store| {
        let changed = store.contact(tag)?.and_then(|contact| contact.changed_identity);
        let identity = changed.ok_or_else(|| VerifyError::NotChanged(with.clone()))?;
        let changes = trust(tag, &identity).map_err(|_| VerifyError::BadKeys(with.clone()))?;
        store.apply(&changes)?;
        store.set_changed_identity(tag, None)?;
        // The old identity's sessions are of no use: keys are fetched anew before the next message.
        store.forget_devices(tag)?;
        store.forget_chains(tag)?;
        Ok(receive::receive_held(store, own, tag, now)?)
    })
}
