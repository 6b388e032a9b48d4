//! Registration, passwords, and the end of an account.

use std::fmt;

use bytes::Bytes;
use endtoend_crypto_core::opaque::ServerLogin;
use endtoend_crypto_core::proof::Purpose;
use endtoend_protocol::{
    AccountTag, Address, Answer, DeviceId, DeviceKeys, InviteCode, NewDevice, Refusal, RefusalCode, UnixMillis,
};
use endtoend_storage::{CreateAccountError, NewAccount, PublishKeysError};
use serde::Deserialize;

use super::audit::{Event, Outcome};
use super::{Answered, Guest, Login, Services, check_proof, unavailable};
use crate::limits::{Operation, Subject, TooMany};

/// Who may create an account.
#[derive(Clone, Copy, Debug, Default, Deserialize, serde::Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Whoever reaches the server.
    #[default]
    Open,
    /// Whoever has an invitation.
    Invite,
    /// Nobody.
    Closed,
}

impl From<Registration> for endtoend_protocol::Registration {
    fn from(registration: Registration) -> Self {
        match registration {
            Registration::Open => Self::Open,
            Registration::Invite => Self::Invite,
            Registration::Closed => Self::Closed,
        }
    }
}

/// A login by password between its two steps.
pub(crate) struct PasswordLogin {
    pub(crate) account: AccountTag,
    state: ServerLogin,
}

impl fmt::Debug for PasswordLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordLogin({:?})", self.account)
    }
}

/// A proof of the password by somebody who is logged in, between its two steps.
pub(crate) struct PasswordCheck {
    state: ServerLogin,
    /// Another password is to follow. If not, the account is to be deleted.
    changes: bool,
}

impl fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordCheck(..)")
    }
}

impl Services {
    pub(crate) fn registration(&self) -> endtoend_protocol::Registration {
        self.policy.registration.into()
    }

    /// What everybody must show before anything else, if the server has a password.
    pub(crate) async fn check_server_password(&self, shown: &[u8], guest: &Guest) -> Answered<()> {
        let Some(password) = &self.policy.server_password else { return Ok(()) };
        self.limits.check(Operation::Login, Subject::Origin(guest.origin)).await?;
        if password.is(shown) { Ok(()) } else { Err(RefusalCode::ServerPassword.into()) }
    }

    /// OPAQUE registration, first step. Nothing is kept: a request that is not finished leaves no trace.
    pub(crate) async fn register_start(
        &self,
        account: AccountTag,
        request: &[u8],
        guest: &mut Guest,
    ) -> Answered<Bytes> {
        if self.policy.registration == Registration::Closed {
            return Err(RefusalCode::RegistrationClosed.into());
        }
        self.admit(Operation::Register, guest).await?;
        let response = self.secrets.opaque.register(account.as_bytes(), request).map_err(|_| RefusalCode::Invalid)?;
        Ok(response.into())
    }

    /// Creates the account and its first device.
    #[expect(clippy::too_many_arguments, reason = "the fields of one frame, and who says it when")]
    pub(crate) async fn register_finish(
        &self,
        account: AccountTag,
        opaque_record: Bytes,
        device: NewDevice,
        invite: Option<InviteCode>,
        proof: Bytes,
        guest: &mut Guest,
        now: UnixMillis,
    ) -> Answered<(Login, Answer)> {
        let invite = match self.policy.registration {
            Registration::Closed => return Err(RefusalCode::RegistrationClosed.into()),
            Registration::Open => None,
            Registration::Invite => Some(self.secrets.invite(&invite.ok_or(RefusalCode::Invite)?)),
        };
        self.secrets.opaque.check_record(&opaque_record).map_err(|_| RefusalCode::Invalid)?;
        let address = Address { account, device: DeviceId::FIRST };
        let key = device.device_key.clone();
        check_proof(key, account.as_bytes(), address.device.get(), Purpose::Register, proof, guest).await?;
        let new = NewAccount { tag: account, opaque_record, device, invite, created_at: now };
        match self.store.create_account(new).await {
            Ok(()) => {
                let signals: &[&str] = if invite.is_some() { &["invited"] } else { &[] };
                self.audit.note(Event::AccountRegister, Outcome::Ok, Some(address), signals, now);
                self.begin_family(address, now).await
            }
            Err(CreateAccountError::Exists) => Err(RefusalCode::HandleTaken.into()),
            Err(CreateAccountError::Invite) => Err(RefusalCode::Invite.into()),
            Err(CreateAccountError::Store(error)) => Err(unavailable(&error)),
        }
    }

    /// OPAQUE login, first step. An unknown account is answered like a known one.
    pub(crate) async fn login_start(
        &self,
        account: AccountTag,
        ke1: &[u8],
        guest: &mut Guest,
        now: UnixMillis,
    ) -> Answered<(PasswordLogin, Bytes)> {
        let password = (Operation::Password, Subject::Account(account));
        let mut checked = self.limits.check_all(&[(Operation::Login, Subject::Origin(guest.origin)), password]).await;
        if let Err(too_many) = checked
            && too_many.operation == Operation::Login
        {
            self.pay(too_many, guest)?;
            checked = self.limits.check_all(&[password]).await;
        }
        self.passwords_tried(checked, account, now)?;
        let (state, ke2) = self.prove_password(account, ke1).await?;
        Ok((PasswordLogin { account, state }, ke2))
    }

    /// Whether another password may be tried. That too many were is written down, of accounts that do not exist too.
    fn passwords_tried(&self, checked: Result<(), TooMany>, account: AccountTag, now: UnixMillis) -> Answered<()> {
        let Err(too_many) = checked else { return Ok(()) };
        if self.limits.is_news(Operation::Password, Subject::Account(account)) {
            self.audit.note_account(Event::PasswordLogin, Outcome::Refused, Some(account), None, &["many"], now);
        }
        Err(too_many.into())
    }

    async fn prove_password(&self, account: AccountTag, ke1: &[u8]) -> Answered<(ServerLogin, Bytes)> {
        let record = self.store.opaque_record(account).await.map_err(|error| unavailable(&error))?;
        let (state, ke2) = self
            .secrets
            .opaque
            .login_start(&mut rand::rng(), record.as_deref(), account.as_bytes(), ke1)
            .map_err(|_| RefusalCode::Invalid)?;
        Ok((state, ke2.into()))
    }

    /// OPAQUE login, last step, of a device that the account has.
    pub(crate) async fn login_finish(
        &self,
        PasswordLogin { account, state }: PasswordLogin,
        ke3: &[u8],
        device: DeviceId,
        proof: Bytes,
        guest: &mut Guest,
        now: UnixMillis,
    ) -> Answered<(Login, Answer)> {
        let address = Address { account, device };
        if state.finish(ke3).is_err() {
            self.audit.note(Event::PasswordLogin, Outcome::Refused, Some(address), &["password"], now);
            return Err(RefusalCode::BadCredentials.into());
        }
        if let Err(refusal) = self.check_device(address, Purpose::Login, proof, guest, now).await {
            self.audit.note(Event::PasswordLogin, Outcome::Refused, Some(address), &["device"], now);
            return Err(refusal);
        }
        self.audit.note(Event::PasswordLogin, Outcome::Ok, Some(address), &[], now);
        self.begin_family(address, now).await
    }

    /// OPAQUE login, last step, of a device that the account does not have yet.
    pub(crate) async fn login_new(
        &self,
        PasswordLogin { account, state }: PasswordLogin,
        ke3: &[u8],
        now: UnixMillis,
    ) -> Answered<(AccountTag, Answer)> {
        if state.finish(ke3).is_err() {
            let signals = &["password", "new_device"];
            let (event, outcome) = (Event::PasswordLogin, Outcome::Refused);
            self.audit.note_account(event, outcome, Some(account), None, signals, now);
            return Err(RefusalCode::BadCredentials.into());
        }
        let backup = self.store.backup(account).await.map_err(|error| unavailable(&error))?;
        self.audit.note_account(Event::PasswordLogin, Outcome::Ok, Some(account), None, &["new_device"], now);
        let delay_ms = u64::try_from(self.policy.password_device_delay.as_millis()).unwrap_or(u64::MAX);
        Ok((account, Answer::PasswordProved { backup, delay_ms }))
    }

    /// Somebody who is logged in proves the password once more, first step.
    pub(crate) async fn password_start(
        &self,
        login: Login,
        ke1: &[u8],
        registration: Option<Bytes>,
        now: UnixMillis,
    ) -> Answered<(PasswordCheck, Answer)> {
        let account = login.device.account;
        let checked = self.limits.check(Operation::Password, Subject::Account(account)).await;
        self.passwords_tried(checked, account, now)?;
        let (state, opaque) = self.prove_password(account, ke1).await?;
        let registration = registration
            .map(|request| self.secrets.opaque.register(account.as_bytes(), &request).map(Bytes::from))
            .transpose()
            .map_err(|_| RefusalCode::Invalid)?;
        let check = PasswordCheck { state, changes: registration.is_some() };
        Ok((check, Answer::PasswordChallenge { opaque, registration }))
    }

    /// Last step: another password, or the end of the account.
    pub(crate) async fn password_finish(
        &self,
        login: Login,
        PasswordCheck { state, changes }: PasswordCheck,
        ke3: &[u8],
        record: Option<Bytes>,
        now: UnixMillis,
    ) -> Answered<Answer> {
        let account = login.device.account;
        let event = if changes { Event::PasswordChange } else { Event::AccountDelete };
        if changes != record.is_some() {
            return Err(RefusalCode::OutOfOrder.into());
        }
        if state.finish(ke3).is_err() {
            self.audit.note(event, Outcome::Refused, Some(login.device), &["password"], now);
            return Err(RefusalCode::BadCredentials.into());
        }
        match record {
            Some(record) => {
                self.secrets.opaque.check_record(&record).map_err(|_| RefusalCode::Invalid)?;
                self.store.set_opaque_record(account, record).await.map_err(|error| unavailable(&error))?;
                // Whoever knew the old password may have tokens by it.
                let except = Some(login.family);
                self.store.remove_families(account, except).await.map_err(|error| unavailable(&error))?;
                self.sessions.end_account(account, except);
            }
            None => {
                self.store.delete_account(account).await.map_err(|error| unavailable(&error))?;
                self.changed(account);
                self.sessions.end_account(account, Some(login.family));
            }
        }
        self.audit.note(event, Outcome::Ok, Some(login.device), &[], now);
        Ok(Answer::Done)
    }

    /// Keeps what devices have sealed for those to come.
    pub(crate) async fn set_backup(&self, account: AccountTag, backup: Option<Bytes>) -> Answered<Answer> {
        self.limits.check(Operation::Change, Subject::Account(account)).await?;
        match self.store.set_backup(account, backup).await {
            Ok(true) => Ok(Answer::Done),
            Ok(false) => Err(RefusalCode::NotAuthenticated.into()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Adds to the published keys of a device.
    pub(crate) async fn publish_keys(&self, device: Address, keys: DeviceKeys) -> Answered<Answer> {
        self.limits.check(Operation::Keys, Subject::Account(device.account)).await?;
        match self.store.publish_keys(device, keys).await {
            Ok(counts) => Ok(Answer::KeysPublished(counts)),
            Err(PublishKeysError::TooMany) => Err(RefusalCode::TooManyKeys.into()),
            Err(PublishKeysError::UnknownDevice) => Err(RefusalCode::NotAuthenticated.into()),
            Err(PublishKeysError::Store(error)) => Err(unavailable(&error)),
        }
    }

    /// Who an account is, and how its devices are written to within a session.
    pub(crate) async fn identity(&self, login: Login, account: AccountTag) -> Answered<Answer> {
        self.limits.check(Operation::Keys, Subject::Account(login.device.account)).await?;
        match self.store.identity(account).await {
            Ok(Some(identity)) => Ok(Answer::Identity(Box::new(identity))),
            Ok(None) => Err(Refusal::from(RefusalCode::UnknownAccount)),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// What is needed to write to an account. Whoever asks means to write, and so accepts the answers.
    pub(crate) async fn bundles(&self, login: Login, account: AccountTag) -> Answered<Answer> {
        let own = login.device.account;
        self.limits.check(Operation::Keys, Subject::Account(own)).await?;
        let bundles = self.store.take_bundles(account).await.map_err(|error| unavailable(&error))?;
        let bundles = bundles.ok_or(RefusalCode::UnknownAccount)?;
        if account != own {
            self.accept_if_new(own, account).await?;
        }
        Ok(Answer::Bundles(Box::new(bundles)))
    }
}
