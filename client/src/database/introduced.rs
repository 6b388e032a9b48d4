//! What was settled before a device came to the account: gathered here for it, and taken over there.

use endtoend_crypto_e2e::accept_identity;
use endtoend_protocol::{AccountTag, OwnNews, Person, Settled, UnixMillis};
use rusqlite::OptionalExtension as _;

use super::{Contact, DatabaseError, Standing, Store, array, unsigned};
use crate::amend::not_after;
use crate::face::Face;
use crate::handle::Handle;

/// Up to whom the own other devices have heard of people; nothing while all have heard of all.
const INTRODUCED: &str = "introduced";

impl Store<'_> {
    /// Up to which account, in the order of accounts, the own other devices were told of people, since one of them came: `Some(None)`
    /// before the first of them, `None` when there is nothing to tell.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn introduced(&self) -> Result<Option<Option<AccountTag>>, DatabaseError> {
        let Some(kept) = self.setting(INTRODUCED)? else { return Ok(None) };
        match kept.is_empty() {
            true => Ok(Some(None)),
            false => Ok(Some(Some(AccountTag::new(array(&kept, "settings.introduced")?)))),
        }
    }

    /// Notes that they were told of everybody up to this account, or with `None` that they are to be told of all.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn introduce_from(&self, after: Option<AccountTag>) -> Result<(), DatabaseError> {
        self.set_setting(INTRODUCED, after.as_ref().map_or(&[], |tag| tag.as_bytes().as_slice()))
    }

    /// There is nothing to tell them.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn introduced_all(&self) -> Result<(), DatabaseError> {
        self.connection.execute("DELETE FROM settings WHERE name = ?", [INTRODUCED])?;
        Ok(())
    }

    /// What was settled about the next of those that are known, in the order of accounts; nobody whose account is not known yet, and none
    /// about whom nothing was.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn person_after(&self, after: Option<AccountTag>) -> Result<Option<Person>, DatabaseError> {
        let own = self.account()?.and_then(|account| account.tag);
        let mut after = after.map_or_else(Vec::new, |tag| tag.as_bytes().to_vec());
        loop {
            let next: Option<Vec<u8>> = self
                .connection
                .prepare_cached(
                    "SELECT tag FROM contacts WHERE tag > ? AND unaddressed = 0 AND gone = 0 ORDER BY tag LIMIT 1",
                )?
                .query_row([&after], |row| row.get(0))
                .optional()?;
            let Some(next) = next else { return Ok(None) };
            let tag = AccountTag::new(array(&next, "contacts.tag")?);
            if Some(tag) != own
                && let Some(contact) = self.contact(tag)?
                && let Some(person) = self.person(&contact)?
            {
                return Ok(Some(person));
            }
            after = next;
        }
    }

    /// What was settled about somebody; nothing about oneself, nor about somebody who is not known or about whom nothing was.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn person_of(&self, tag: AccountTag) -> Result<Option<Person>, DatabaseError> {
        if self.account()?.and_then(|account| account.tag) == Some(tag) || self.is_unaddressed(tag)? {
            return Ok(None);
        }
        self.contact(tag)?.map_or(Ok(None), |contact| self.person(&contact))
    }

    fn person(&self, contact: &Contact) -> Result<Option<Person>, DatabaseError> {
        let tag = contact.tag;
        type Times = (i64, i64, i64, i64, i64);
        let times: Times = self
            .connection
            .prepare_cached(
                "SELECT decided_at, nickname_at, verified_at, arranged_at, timer_at FROM contacts WHERE tag = ?",
            )?
            .query_row([tag.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?;
        // What was settled before anybody noted when counts as settled long ago.
        let moment = |at: i64, is_something: bool| {
            let at = unsigned(at, "contacts.settled_at")?;
            Ok::<_, DatabaseError>(UnixMillis::new(if is_something { at.max(1) } else { at }))
        };
        let nickname = contact.nickname.as_ref().map(|name| name.as_str().to_owned());
        let (compared, timer) = (self.comparison(tag)?, self.timer(tag)?);
        let face_at = self.face_at(tag)?.filter(|_| contact.standing == Standing::Accepted);
        let person = Person {
            account: tag,
            handle: contact.handle.as_ref().map(Handle::to_string).unwrap_or_default(),
            // A changed identity is decided about on the device that noticed it.
            identity: if contact.changed_identity.is_none() { self.trusted_identity(tag)? } else { None },
            standing: Settled {
                value: contact.standing.as_str().to_owned(),
                at: moment(times.0, contact.standing != Standing::Request)?,
            },
            nickname: Settled { at: moment(times.1, nickname.is_some())?, value: nickname.unwrap_or_default() },
            compared: Settled { at: moment(times.2, compared.is_some())?, value: compared },
            arrangement: Settled {
                at: moment(times.3, contact.arrangement != endtoend_protocol::Arrangement::default())?,
                value: contact.arrangement,
            },
            face: match face_at {
                Some(at) => Settled { value: self.face(tag)?.said(), at },
                None => Settled { value: Face::default().said(), at: UnixMillis::new(0) },
            },
            timer: Settled { at: moment(times.4, timer.is_some())?, value: timer },
        };
        let times =
            [person.standing.at, person.nickname.at, person.compared.at, person.arrangement.at, person.timer.at];
        Ok(times.iter().any(|at| at.get() > 0).then_some(person))
    }

    /// Notes somebody of whom another device of this account has told, unless his name is another's here.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn meet(&self, account: AccountTag, handle: &str) -> Result<(), DatabaseError> {
        let handle: Option<Handle> = handle.parse().ok();
        // What was restored may have somebody of that name whose account was not known.
        let taken = |handle: &Handle| Ok::<_, DatabaseError>(self.peer_of(handle)?.is_some_and(|of| of != account));
        let handle = match handle {
            Some(handle) if taken(&handle)? => None,
            handle => handle,
        };
        self.put_contact(account, handle.as_ref())
    }

    /// Another device of this account has told what was settled about somebody before this one came. Says whether anything is otherwise.
    pub(super) fn was_introduced(&self, person: &Person, now: UnixMillis) -> Result<bool, DatabaseError> {
        let Person { account: about, handle, identity, standing, nickname, compared, arrangement, face, timer } =
            person;
        let about = *about;
        let before = self.contact(about)?;
        let told = |at: UnixMillis| (at.get() > 0).then(|| not_after(at, now));
        if let (Some(at), Some(standing)) = (told(standing.at), Standing::named(&standing.value)) {
            match before.as_ref().is_some_and(|before| before.standing == standing) {
                true => self.was_decided_at(about, at)?,
                false => _ = self.was_decided_elsewhere(about, None, standing, at)?,
            }
        }
        let mut later = false;
        for at in [standing.at, nickname.at, compared.at, arrangement.at, timer.at].into_iter().filter_map(told) {
            later |= self.outlives_removal(about, at)?;
        }
        if !later && self.contact(about)?.is_none() {
            return Ok(before.is_some());
        }
        self.meet(about, handle)?;
        // One that is no key says nothing, and one that is trusted here stays.
        if let Some(identity) = identity
            && self.trusted_identity(about)?.is_none()
            && let Ok(changes) = accept_identity(about, identity)
        {
            self.apply(&changes)?;
        }
        let news = [
            (OwnNews::Nickname { about, name: nickname.value.clone() }, nickname.at),
            (OwnNews::Compared { about, compared: compared.value.clone() }, compared.at),
            (OwnNews::Arranged { with: about, arrangement: arrangement.value }, arrangement.at),
        ];
        for (news, at) in news {
            if let Some(at) = told(at) {
                self.counts(&news, at)?;
            }
        }
        let mut otherwise = false;
        if let Some(at) = told(timer.at)
            && self.outlives_removal(about, at)?
        {
            otherwise |= self.set_timer(about, timer.value, at)?;
        }
        let after = self.contact(about)?;
        if let Some(at) = told(face.at)
            && after.as_ref().is_some_and(|contact| contact.standing == Standing::Accepted)
        {
            otherwise |= self.set_face(about, &Face::read(&face.value), at)?;
        }
        Ok(otherwise || before != after)
    }
}
