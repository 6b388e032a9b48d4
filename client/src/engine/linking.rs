//! A further device of the same person: what the new one does before it has an account, and what an existing one gives it.
//!
//! The new device shows a code and waits. The existing one takes the code, and both show six digits. When the person has
//! said that they are the same, the existing one gives away the account's identity, a secret that lets the new one in, and
//! whom the account knows. Whatever else was settled before, the existing devices tell the new one when it is there
//! (`introducing`).

use std::collections::HashSet;
use std::time::Duration;

use endtoend_crypto_core::proof::{DeviceStatement, Purpose, sign_device_proof};
use endtoend_crypto_core::provision::{ANSWER_BYTES, LinkCode, LinkDigits, NewDevice, ProvisionError};
use endtoend_crypto_core::signature::SigningKey;
use endtoend_crypto_e2e::{accept_identity, export_identity, import_identity};
use endtoend_protocol::{
    AccountTag, Acquaintance, Address, Answer, DeviceId, Provision, Request, UnixMillis, VERSION, limits,
};
use rand::Rng as _;
use zeroize::Zeroizing;

use super::account;
use super::command::AccountError;
use super::establish::{EstablishError, Talk, open_talk};
use super::event::OfflineReason;
use crate::address::ServerAddress;
use crate::database::{Account, AccountState, DatabaseError, Seed, Standing, Store};
use crate::handle::Handle;
use crate::profile::Profile;
use crate::transport::{Network, Traffic};

/// How often the new device asks whether it was answered.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// What the person has to be shown.
#[derive(Clone, Debug)]
pub enum LinkNews {
    /// To be typed or scanned on an existing device: 96 hex digits.
    Code(String),
    /// To be compared with what the existing device shows.
    Digits(String),
}

/// Why the device was not linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkDeviceError {
    /// This profile has an account.
    #[error("this profile belongs to an account already")]
    Registered,
    /// The server cannot be reached, is not the right one, or said no.
    #[error(transparent)]
    Offline(#[from] OfflineReason),
    /// What came from the existing device does not fit: somebody is in between, or one program is too old.
    #[error("the other device's answer is not good: {0}")]
    Provision(#[from] ProvisionError),
    /// The other device's answer makes no sense.
    #[error("the other device's answer makes no sense")]
    Malformed,
    /// The history in this profile is another account's.
    #[error("the history that was restored here is another account's")]
    OtherAccount,
    /// The server has none: link this device from one that is in the account.
    #[error("there is no backup of this account")]
    NoBackup,
    /// Keys could not be made.
    #[error("the keys of this device could not be made")]
    Keys,
    /// The profile could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<EstablishError> for LinkDeviceError {
    fn from(error: EstablishError) -> Self {
        Self::Offline(error.reason())
    }
}

impl From<AccountError> for LinkDeviceError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Database(error) => Self::Database(error),
            _ => Self::Keys,
        }
    }
}

/// The code as people pass it on.
pub(super) fn code_text(code: &LinkCode) -> String {
    hex::encode(code.to_bytes())
}

pub(super) fn read_code(text: &str) -> Option<LinkCode> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    LinkCode::from_bytes(&hex::decode(digits).ok()?).ok()
}

pub(super) fn digits_text(digits: LinkDigits) -> String {
    let digits = digits.to_string();
    let (first, second) = digits.split_at_checked(3).unwrap_or((&digits, ""));
    format!("{first} {second}")
}

/// Makes this profile a further device of an account. Takes as long as the person does, at most [`limits::LINK_LIFE`].
///
/// When the connection ends just as the server lets the device in, it is in the account's list and not here: remove it there
/// and begin anew. `network` is the profile's, or has what is going to be; whoever made it closes it.
///
/// # Errors
/// See [`LinkDeviceError`].
pub async fn link(
    profile: &mut Profile,
    network: &Network,
    server: ServerAddress,
    server_password: Option<Zeroizing<Vec<u8>>>,
    connect_timeout: Duration,
    mut news: impl FnMut(LinkNews),
) -> Result<Handle, LinkDeviceError> {
    if profile.database().read().account()?.is_some() {
        return Err(LinkDeviceError::Registered);
    }
    let server_password_too = server_password.clone();
    let mut visit =
        Visit { network, server: &server, server_password: server_password_too, connect_timeout, here: None };
    let new = NewDevice::start(&mut rand::rng());
    let (code, offer) = (new.code(), new.offer().to_vec().into());
    visit.ask(Request::OfferLink { link: code.link_id, offer }).await?;
    news(LinkNews::Code(code_text(&code)));
    let answer = wait_for(&mut visit, code.link_id, |sealed| sealed.len() == ANSWER_BYTES).await?;
    let receiver = new.agree(&answer)?;
    news(LinkNews::Digits(digits_text(receiver.digits())));
    let sealed = wait_for(&mut visit, code.link_id, |sealed| *sealed != answer).await?;
    let opened = receiver.open(&sealed)?;
    let given = Provision::decode(&opened).map_err(|_| LinkDeviceError::Malformed)?;
    let handle: Handle = given.handle.parse().map_err(|_| LinkDeviceError::Malformed)?;
    // What was asked so far may have been asked on several connections; this is said on one.
    let here = visit.arrive().await?;
    enter(profile, here, &server, server_password, handle, given, Some(code.link_id)).await
}

/// Adds this device to the account of which it was given everything: with the secret that an existing device has left under
/// the name of the link, or on a connection that has proved the password.
pub(super) async fn enter(
    profile: &mut Profile,
    here: Here,
    server: &ServerAddress,
    server_password: Option<Zeroizing<Vec<u8>>>,
    handle: Handle,
    given: Provision,
    link: Option<[u8; limits::LINK_BYTES]>,
) -> Result<Handle, LinkDeviceError> {
    let Here { mut talk, channel_binding, challenge, oprf_key } = here;
    if given.oprf_key != oprf_key {
        return Err(EstablishError::OtherHandles.into());
    }
    if profile.database().read().restored()?.is_some_and(|account| account != given.account) {
        return Err(LinkDeviceError::OtherAccount);
    }
    let mut seed: Seed = Box::new(Zeroizing::new([0; 64]));
    rand::rng().fill_bytes(seed.as_mut_slice());
    let mut account = Account {
        server: server.clone(),
        handle: handle.clone(),
        tag: Some(given.account),
        oprf_key: Some(oprf_key),
        server_password,
        // Not known yet: the server gives it.
        device: DeviceId::FIRST,
        state: AccountState::Registered,
        seed,
    };
    let device = profile.database().write(|store| -> Result<_, LinkDeviceError> {
        let changes = import_identity(&mut rand::rng(), &given.identity).map_err(|_| LinkDeviceError::Malformed)?;
        store.apply(&changes)?;
        Ok(account::new_device(store, &account)?)
    })?;
    let statement = DeviceStatement {
        challenge: &challenge,
        channel_binding: &channel_binding,
        account: given.account.as_bytes(),
        device: 0,
        purpose: Purpose::AddDevice,
    };
    let device_proof = sign_device_proof(&SigningKey::from_seed(&account.seed), &statement).into();
    let link = link.map(|link| (link, given.secret));
    let add = Request::AddDevice { account: given.account, link, device_proof, device: Box::new(device) };
    let Answer::Authenticated { address, token, token_expires, refresh_token, .. } = talk.ask(add).await? else {
        return Err(EstablishError::Protocol.into());
    };
    account.device = address.device;
    profile.database().write(|store| -> Result<(), LinkDeviceError> {
        store.put_account(&account)?;
        store.set_token(Some((&token, token_expires)))?;
        store.set_refresh_token(refresh_token.as_deref())?;
        given.people.iter().try_for_each(|person| meet(store, person))
    })?;
    Ok(handle)
}

/// A connection of somebody who has not logged in.
pub(super) struct Here {
    pub(super) talk: Talk,
    pub(super) channel_binding: [u8; 32],
    pub(super) challenge: [u8; limits::CHALLENGE_BYTES],
    pub(super) oprf_key: [u8; limits::OPRF_ELEMENT_BYTES],
}

impl Here {
    /// A new connection.
    pub(super) async fn arrive(
        network: &Network,
        server: &ServerAddress,
        server_password: Option<&Zeroizing<Vec<u8>>>,
        connect_timeout: Duration,
    ) -> Result<Self, EstablishError> {
        let (mut talk, channel_binding) = open_talk(network, server, Traffic::Arrival, connect_timeout).await?;
        let server_password = server_password.map(|password| password.to_vec().into()).unwrap_or_default();
        let hello = Request::Hello { version_min: VERSION, version_max: VERSION, server_password };
        match talk.ask(hello).await? {
            Answer::Welcome { oprf_key, challenge, .. } => Ok(Self { talk, channel_binding, challenge, oprf_key }),
            _ => Err(EstablishError::Protocol),
        }
    }
}

/// Questions to a server by somebody without a login, whose connections it ends after a minute.
struct Visit<'a> {
    network: &'a Network,
    server: &'a ServerAddress,
    server_password: Option<Zeroizing<Vec<u8>>>,
    connect_timeout: Duration,
    here: Option<Here>,
}

impl Visit<'_> {
    async fn arrive(&self) -> Result<Here, EstablishError> {
        Here::arrive(self.network, self.server, self.server_password.as_ref(), self.connect_timeout).await
    }

    /// Asks what may be asked again, on another connection if this one has ended.
    async fn ask(&mut self, request: Request) -> Result<Answer, EstablishError> {
        if let Some(here) = &mut self.here {
            match here.talk.ask(request.clone()).await {
                Err(EstablishError::Link(_) | EstablishError::Silent) => self.here = None,
                answer => return answer,
            }
        }
        let mut here = self.arrive().await?;
        let answer = here.talk.ask(request).await;
        self.here = Some(here);
        answer
    }
}

/// Asks until there is an answer of the kind.
async fn wait_for(
    visit: &mut Visit<'_>,
    link: [u8; limits::LINK_BYTES],
    is_it: impl Fn(&bytes::Bytes) -> bool,
) -> Result<bytes::Bytes, EstablishError> {
    loop {
        match visit.ask(Request::FetchAnswer { link }).await? {
            Answer::LinkAnswer(Some((_, sealed))) if is_it(&sealed) => return Ok(sealed),
            Answer::LinkAnswer(_) => tokio::time::sleep(ASK_INTERVAL).await,
            _ => return Err(EstablishError::Protocol),
        }
    }
}

/// Notes what the other device knew of somebody.
pub(super) fn meet(store: &Store<'_>, person: &Acquaintance) -> Result<(), LinkDeviceError> {
    store.meet(person.account, &person.handle)?;
    if let Some(standing) = Standing::named(&person.standing) {
        // When is not known: whatever is decided from now on is later.
        store.was_decided(person.account, standing, UnixMillis::new(0))?;
    }
    if let Some(identity) = &person.identity {
        let changes = accept_identity(person.account, identity).map_err(|_| LinkDeviceError::Malformed)?;
        store.apply(&changes)?;
    }
    Ok(())
}

/// What an existing device gives. `secret` lets the new one in; zero in a backup, which needs the password instead.
pub(super) fn provision(
    store: &Store<'_>,
    own: Address,
    oprf_key: [u8; 32],
    secret: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, DatabaseError> {
    let handle = store.account()?.map(|account| account.handle.to_string()).unwrap_or_default();
    let identity = export_identity(store).map_err(|_| DatabaseError::Invalid("identity"))?;
    let unaddressed: HashSet<AccountTag> = store.unaddressed(u32::MAX)?.into_iter().map(|(tag, _)| tag).collect();
    let mut people = Vec::new();
    for contact in store.contacts()?.into_iter().filter(|contact| contact.tag != own.account) {
        // What stands in for an account means nothing to another device.
        let Some(handle) = contact.handle.as_ref().filter(|_| !unaddressed.contains(&contact.tag)) else { continue };
        // A changed identity is decided about on the device that noticed it.
        let identity = if contact.changed_identity.is_none() { store.trusted_identity(contact.tag)? } else { None };
        let standing = contact.standing.relation().map_or("", |_| contact.standing.as_str()).to_owned();
        people.push(Acquaintance { account: contact.tag, handle: handle.to_string(), identity, standing });
    }
    people.truncate(limits::ACQUAINTANCES_MAX);
    let (identity, secret) = (identity.to_vec(), *secret);
    let provision = Provision { handle, account: own.account, oprf_key, identity, secret, people };
    Ok(Zeroizing::new(provision.encode()))
}
