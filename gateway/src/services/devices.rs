//! The devices of an account, and how another one comes to be.

use bytes::Bytes;
use endtoend_crypto_core::proof::Purpose;
use endtoend_protocol::{
    AccountTag, Address, Answer, DeviceId, ListedDevice, NewDevice, RefusalCode, UnixMillis, limits,
};
use endtoend_storage::{AddDevice, AddDeviceError, LinkAnswer, LinkId};

use super::audit::{Event, Outcome};
use super::{Answered, Guest, Login, Services, check_proof, unavailable};
use crate::limits::{Operation, Subject};

impl Services {
    /// Adds a device: with what an existing one has given, at once; after a proof of the password, so that it waits. It gets
    /// its tokens in both cases; one that waits has no login yet.
    pub(crate) async fn add_device(
        &self,
        account: AccountTag,
        link: Option<([u8; limits::LINK_BYTES], [u8; 32])>,
        device: NewDevice,
        proof: Bytes,
        guest: &mut Guest,
        now: UnixMillis,
    ) -> Answered<(Option<Login>, Answer)> {
        self.admit(Operation::Register, guest).await?;
        check_proof(device.device_key.clone(), account.as_bytes(), 0, Purpose::AddDevice, proof, guest).await?;
        let delay = if link.is_some() { std::time::Duration::ZERO } else { self.policy.password_device_delay };
        let signal = if link.is_some() { "linked" } else { "by_password" };
        let link = link.map(|(link, secret)| (LinkId(link), *blake3::hash(&secret).as_bytes()));
        let add = AddDevice { account, device, added_at: now, active_at: now.plus(delay), link };
        let added = match self.store.add_device(add).await {
            Ok(device) => Address { account, device },
            Err(error) => {
                self.audit.note_account(Event::DeviceAdd, Outcome::Refused, Some(account), None, &[signal], now);
                return Err(match error {
                    // Whoever has no link learns nothing of accounts.
                    AddDeviceError::UnknownAccount if link.is_some() => RefusalCode::UnknownLink.into(),
                    AddDeviceError::UnknownAccount => RefusalCode::BadCredentials.into(),
                    AddDeviceError::TooMany => RefusalCode::TooManyDevices.into(),
                    AddDeviceError::Link => RefusalCode::UnknownLink.into(),
                    AddDeviceError::Store(error) => unavailable(&error),
                });
            }
        };
        self.audit.note(Event::DeviceAdd, Outcome::Ok, Some(added), &[signal], now);
        self.list_changed(account).await?;
        let (login, answer) = self.begin_family(added, now).await?;
        Ok((delay.is_zero().then_some(login), answer))
    }

    /// The waiting of a device is over: from now on others write to it.
    pub(super) async fn activate(&self, device: Address) -> Answered<()> {
        self.store.activate_device(device).await.map_err(|error| unavailable(&error))?;
        self.list_changed(device.account).await
    }

    async fn list_changed(&self, account: AccountTag) -> Answered<()> {
        self.changed(account);
        let (_, version) = self.store.devices(account).await.map_err(|error| unavailable(&error))?;
        self.sessions.devices_changed(account, version);
        Ok(())
    }

    pub(crate) async fn devices(&self, account: AccountTag) -> Answered<Answer> {
        let (devices, version) = self.store.devices(account).await.map_err(|error| unavailable(&error))?;
        let listed = |device: endtoend_storage::ListedDevice| ListedDevice {
            device: device.device,
            name: device.name,
            added_at: device.added_at,
            active_at: device.active_at,
        };
        Ok(Answer::Devices { version, devices: devices.into_iter().map(listed).collect() })
    }

    pub(crate) async fn rename_device(&self, login: Login, device: DeviceId, name: Bytes) -> Answered<Answer> {
        let account = login.device.account;
        self.limits.check(Operation::Change, Subject::Account(account)).await?;
        match self.store.rename_device(Address { account, device }, name).await {
            Ok(true) => Ok(Answer::Done),
            Ok(false) => Err(RefusalCode::UnknownDevice.into()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// From the store first, then its connections: whoever is just logging in finds no device.
    pub(crate) async fn remove_device(&self, login: Login, device: DeviceId, now: UnixMillis) -> Answered<Answer> {
        let account = login.device.account;
        self.limits.check(Operation::Change, Subject::Account(account)).await?;
        let removed = Address { account, device };
        if !self.store.remove_device(removed).await.map_err(|error| unavailable(&error))? {
            return Err(RefusalCode::UnknownDevice.into());
        }
        self.sessions.end_device(removed);
        self.audit.note(Event::DeviceRemove, Outcome::Ok, Some(removed), &[], now);
        self.list_changed(account).await?;
        Ok(Answer::Done)
    }

    /// A new device waits to be linked.
    pub(crate) async fn offer_link(
        &self,
        link: [u8; limits::LINK_BYTES],
        offer: Bytes,
        guest: &mut Guest,
        now: UnixMillis,
    ) -> Answered<Answer> {
        self.admit(Operation::Link, guest).await?;
        match self.store.put_link(LinkId(link), offer, now, now.plus(limits::LINK_LIFE)).await {
            Ok(true) => Ok(Answer::Done),
            Ok(false) => Err(RefusalCode::Busy.into()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// The new device asks whether it was answered.
    pub(crate) async fn link_answer(
        &self,
        link: [u8; limits::LINK_BYTES],
        guest: &mut Guest,
        now: UnixMillis,
    ) -> Answered<Answer> {
        self.admit(Operation::Link, guest).await?;
        match self.store.link_answer(LinkId(link), now).await {
            Ok(Some(answer)) => Ok(Answer::LinkAnswer(answer)),
            Ok(None) => Err(RefusalCode::UnknownLink.into()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// An existing device asks what a new one has offered.
    pub(crate) async fn link_offer(
        &self,
        login: Login,
        link: [u8; limits::LINK_BYTES],
        now: UnixMillis,
    ) -> Answered<Answer> {
        self.limits.check(Operation::Link, Subject::Account(login.device.account)).await?;
        match self.store.link_offer(LinkId(link), now).await {
            Ok(Some(offer)) => Ok(Answer::Offer { offer }),
            Ok(None) => Err(RefusalCode::UnknownLink.into()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// An existing device lets a new one in.
    pub(crate) async fn answer_link(
        &self,
        login: Login,
        link: [u8; limits::LINK_BYTES],
        sealed: Bytes,
        secret_hash: Option<[u8; 32]>,
        now: UnixMillis,
    ) -> Answered<Answer> {
        let account = login.device.account;
        self.limits.check(Operation::Link, Subject::Account(account)).await?;
        match self.store.answer_link(LinkId(link), LinkAnswer { account, sealed, secret_hash }, now).await {
            Ok(true) => Ok(Answer::Done),
            Ok(false) => Err(RefusalCode::UnknownLink.into()),
            Err(error) => Err(unavailable(&error)),
        }
    }
}
