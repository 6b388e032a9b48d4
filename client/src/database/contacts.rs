//! The people on the other side.

use endtoend_protocol::{AccountTag, Arrangement, DeviceId, MessageId, Relation, UnixMillis};
use rusqlite::{OptionalExtension as _, params};

use super::{DatabaseError, Store, arranged, array, integer, unsigned};
use crate::handle::Handle;
use crate::nickname::Nickname;

/// What was decided about somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing yet: what they write is a request.
    Request,
    /// They may write.
    Accepted,
    /// The server keeps them away, and does not tell them.
    Blocked,
    /// Their request stays unanswered. They may go on writing a little; it is not shown.
    Ignored,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Request, Self::Accepted, Self::Blocked, Self::Ignored];

    /// Stable name, for `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Accepted => "accepted",
            Self::Blocked => "blocked",
            Self::Ignored => "ignored",
        }
    }

    /// What the server hears of it.
    pub const fn relation(self) -> Option<Relation> {
        match self {
            Self::Request | Self::Ignored => None,
            Self::Accepted => Some(Relation::Accepted),
            Self::Blocked => Some(Relation::Blocked),
        }
    }

    /// As it is stored: nothing for a request.
    fn relation_text(self) -> Option<&'static str> {
        (self != Self::Request).then(|| self.as_str())
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == name)
    }

    fn read(text: Option<String>) -> Result<Self, DatabaseError> {
        let Some(text) = text else { return Ok(Self::Request) };
        Self::named(&text).ok_or(DatabaseError::Invalid("contacts.relation"))
    }
}

/// Somebody who wrote to us or whom we wrote to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// What the server knows the account by.
    pub tag: AccountTag,
    /// `None` for somebody who wrote without naming himself.
    pub handle: Option<Handle>,
    /// An identity key other than the trusted one: nothing is sent until a person accepts it.
    pub changed_identity: Option<[u8; 33]>,
    /// What was decided about them.
    pub standing: Standing,
    /// Whether the server has heard of that.
    pub told: bool,
    /// What they are called on this device.
    pub nickname: Option<Nickname>,
    /// Whether a person has compared their identity, and no other was met since.
    pub verified: bool,
    /// How the conversation with them is kept.
    pub arrangement: Arrangement,
    /// What they call themselves, of those who are accepted. It proves nothing.
    pub face_name: Option<Nickname>,
    /// BLAKE3 of the picture that they show, of those who are accepted; another one is another picture.
    pub portrait: Option<[u8; 32]>,
}

impl Contact {
    /// By what name they are shown, beside the handle: what this person calls them, or else what they call themselves.
    pub fn name(&self) -> Option<&Nickname> {
        self.nickname.as_ref().or(self.face_name.as_ref())
    }
}

impl Store<'_> {
    /// Adds somebody, or gives somebody known a name. A name once known stays.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_contact(&self, tag: AccountTag, handle: Option<&Handle>) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached(
                "INSERT INTO contacts (tag, handle) VALUES (?, ?)
                 ON CONFLICT (tag) DO UPDATE SET handle = coalesce(handle, excluded.handle), gone = 0",
            )?
            .execute(params![tag.as_bytes(), handle.map(Handle::as_str)])?;
        Ok(())
    }

    /// Keeps a place for what is known of an account that nobody is shown: one that was asked about, or that has said nothing to be read.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn note_peer(&self, tag: AccountTag) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO contacts (tag, gone) VALUES (?, 1)")?
            .execute([tag.as_bytes()])?;
        Ok(())
    }

    /// Gives somebody who is shown the name that the server has confirmed. A name once known stays, and so does one that another has here.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn name_contact(&self, tag: AccountTag, handle: &Handle) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("UPDATE OR IGNORE contacts SET handle = ? WHERE tag = ? AND handle IS NULL AND gone = 0")?
            .execute(params![handle.as_str(), tag.as_bytes()])?;
        Ok(())
    }

    /// # Errors
    /// See [`DatabaseError`].
    pub fn contact(&self, tag: AccountTag) -> Result<Option<Contact>, DatabaseError> {
        type Row = (Option<String>, Option<Vec<u8>>, Option<String>, bool, Option<Vec<u8>>, Option<Vec<u8>>);
        type Face = (Option<Vec<u8>>, Option<Vec<u8>>);
        let row: Option<(Row, (bool, Option<i64>), Face)> = self
            .connection
            .prepare_cached(
                "SELECT c.handle, c.changed_identity, c.relation, c.untold, c.nickname, c.verified, c.pinned, c.muted_until,
                 f.name, f.hash FROM contacts c LEFT JOIN faces f ON f.tag = c.tag WHERE c.tag = ? AND c.gone = 0",
            )?
            .query_row([tag.as_bytes()], |row| {
                let person = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
                Ok((person, (row.get(6)?, row.get(7)?), (row.get(8)?, row.get(9)?)))
            })
            .optional()?;
        let Some((person, (pinned, muted_until), (name, hash))) = row else { return Ok(None) };
        let (handle, identity, relation, untold, nickname, compared) = person;
        let standing = Standing::read(relation)?;
        let shown = standing == Standing::Accepted;
        Ok(Some(Contact {
            tag,
            handle: parse_handle(handle)?,
            changed_identity: identity.map(|key| array(&key, "contacts.changed_identity")).transpose()?,
            standing,
            told: !untold,
            nickname: nickname.map(|sealed| self.nickname(tag, &sealed)).transpose()?,
            verified: self.is_verified(tag, compared)?,
            arrangement: arranged::read(pinned, muted_until)?,
            face_name: name.filter(|_| shown).map(|sealed| self.face_name(tag, &sealed)).transpose()?,
            portrait: hash.filter(|_| shown).map(|hash| array(&hash, "faces.hash")).transpose()?,
        }))
    }

    /// Everybody that is known, by name.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn contacts(&self) -> Result<Vec<Contact>, DatabaseError> {
        let mut query =
            self.connection.prepare("SELECT tag FROM contacts WHERE gone = 0 ORDER BY handle IS NULL, handle, tag")?;
        let tags: Vec<Vec<u8>> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let contact = |tag: Vec<u8>| self.contact(AccountTag::new(array(&tag, "contacts.tag")?));
        tags.into_iter().filter_map(|tag| contact(tag).transpose()).collect()
    }

    /// Notes what was decided about somebody on this device; the server has to hear of it. Says whether that is new.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn decide(&self, tag: AccountTag, standing: Standing, now: UnixMillis) -> Result<bool, DatabaseError> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE contacts SET relation = ?1, untold = 1, decided_at = max(decided_at, ?3),
                 unblocked_at = iif(relation = 'blocked', ?3, unblocked_at)
                 WHERE tag = ?2 AND relation IS NOT ?1",
            )?
            .execute(params![standing.relation_text(), tag.as_bytes(), integer(now.get())])?;
        Ok(changed > 0)
    }

    /// Notes what was decided about somebody on another device of this account, which has told the server, and tells him how this account
    /// shows itself, unless something was decided later. Says whether it counts.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn was_decided(&self, tag: AccountTag, standing: Standing, at: UnixMillis) -> Result<bool, DatabaseError> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE contacts SET relation = ?1, untold = 0, decided_at = ?3, face_due = 0,
                 unblocked_at = iif(relation = 'blocked' AND ?1 IS NOT 'blocked', ?3, unblocked_at)
                 WHERE tag = ?2 AND decided_at <= ?3",
            )?
            .execute(params![standing.relation_text(), tag.as_bytes(), integer(at.get())])?;
        Ok(changed > 0)
    }

    /// What counts about somebody was decided at this moment, or later.
    pub(super) fn was_decided_at(&self, tag: AccountTag, at: UnixMillis) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("UPDATE contacts SET decided_at = max(decided_at, ?) WHERE tag = ?")?
            .execute(params![integer(at.get()), tag.as_bytes()])?;
        Ok(())
    }

    /// Decisions that the server has not heard of, at most `max`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn untold(&self, max: u32) -> Result<Vec<(AccountTag, Standing)>, DatabaseError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT tag, relation FROM contacts WHERE untold = 1 ORDER BY tag LIMIT ?")?;
        let rows = query.query_map([max], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (tag, relation) = row?;
            Ok((AccountTag::new(array(&tag, "contacts.tag")?), Standing::read(relation)?))
        })
        .collect()
    }

    /// The server has heard of a decision, unless another was made since.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn told(&self, tag: AccountTag, standing: Standing) -> Result<(), DatabaseError> {
        self.connection.execute(
            "UPDATE contacts SET untold = 0 WHERE tag = ? AND relation IS ?",
            params![tag.as_bytes(), standing.relation_text()],
        )?;
        self.connection.execute("DELETE FROM contacts WHERE tag = ? AND gone = 1 AND untold = 0", [tag.as_bytes()])?;
        Ok(())
    }

    /// The account of a handle, if it is known here.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn tag_of(&self, handle: &Handle) -> Result<Option<AccountTag>, DatabaseError> {
        let tag: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT tag FROM contacts WHERE handle = ? AND unaddressed = 0")?
            .query_row([handle.as_str()], |row| row.get(0))
            .optional()?;
        tag.map(|tag| Ok(AccountTag::new(array(&tag, "contacts.tag")?))).transpose()
    }

    /// What the conversation with a handle lies under: its account, or what stands in for it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn peer_of(&self, handle: &Handle) -> Result<Option<AccountTag>, DatabaseError> {
        let tag: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT tag FROM contacts WHERE handle = ?")?
            .query_row([handle.as_str()], |row| row.get(0))
            .optional()?;
        tag.map(|tag| Ok(AccountTag::new(array(&tag, "contacts.tag")?))).transpose()
    }

    /// Adds somebody whose account the server has to be asked for; `stand_in` is random and takes its place until then.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_unaddressed(&self, stand_in: AccountTag, handle: &Handle) -> Result<(), DatabaseError> {
        self.connection.execute(
            "INSERT INTO contacts (tag, handle, unaddressed) VALUES (?, ?, 1)",
            params![stand_in.as_bytes(), handle.as_str()],
        )?;
        Ok(())
    }

    /// Everybody whose account is not known yet, at most `max`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn unaddressed(&self, max: u32) -> Result<Vec<(AccountTag, Handle)>, DatabaseError> {
        let mut query = self
            .connection
            .prepare("SELECT tag, handle FROM contacts WHERE unaddressed = 1 ORDER BY handle LIMIT ?")?;
        let rows = query.query_map([max], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?)))?;
        rows.map(|row| {
            let (tag, handle) = row?;
            let handle = handle.parse().map_err(|_| DatabaseError::Invalid("contacts.handle"))?;
            Ok((AccountTag::new(array(&tag, "contacts.tag")?), handle))
        })
        .collect()
    }

    /// The server has said which account somebody has: what was written meanwhile goes there, namely these messages.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn address(
        &self,
        stand_in: AccountTag,
        tag: AccountTag,
        handle: &Handle,
        now: UnixMillis,
    ) -> Result<Vec<MessageId>, DatabaseError> {
        let before = self.contact(stand_in)?;
        self.connection.execute("UPDATE contacts SET handle = NULL WHERE tag = ?", [stand_in.as_bytes()])?;
        self.put_contact(tag, Some(handle))?;
        if let Some(nickname) = before.as_ref().and_then(|contact| contact.nickname.as_ref()) {
            self.set_nickname(tag, Some(nickname))?;
        }
        if let Some(arrangement) = before.map(|contact| contact.arrangement).filter(|it| *it != Arrangement::default())
        {
            self.set_arrangement(tag, arrangement)?;
        }
        self.decide(tag, Standing::Accepted, now)?;
        self.move_messages(stand_in, tag)?;
        let messages = self.readdress(stand_in, tag)?;
        self.connection.execute("DELETE FROM contacts WHERE tag = ?", [stand_in.as_bytes()])?;
        Ok(messages)
    }

    /// Notes by which handle somebody who is shown goes, to be confirmed by the server. Nothing when a name is known.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_claim(&self, tag: AccountTag, claimed: &Handle) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("UPDATE contacts SET claimed = ? WHERE tag = ? AND handle IS NULL AND gone = 0")?
            .execute(params![claimed.as_str(), tag.as_bytes()])?;
        Ok(())
    }

    /// By which handle somebody goes whose name is not known; `None` when it is, or when none was said.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn claim(&self, tag: AccountTag) -> Result<Option<Handle>, DatabaseError> {
        let claimed: Option<Option<String>> = self
            .connection
            .prepare_cached("SELECT claimed FROM contacts WHERE tag = ? AND handle IS NULL")?
            .query_row([tag.as_bytes()], |row| row.get(0))
            .optional()?;
        parse_handle(claimed.flatten())
    }

    /// Everybody whose name is not known and who goes by one, at most `max`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn claims(&self, max: u32) -> Result<Vec<(AccountTag, Handle)>, DatabaseError> {
        let mut query = self.connection.prepare(
            "SELECT tag, claimed FROM contacts WHERE handle IS NULL AND claimed IS NOT NULL ORDER BY tag LIMIT ?",
        )?;
        let rows = query.query_map([max], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?)))?;
        rows.map(|row| {
            let (tag, claimed) = row?;
            let claimed = claimed.parse().map_err(|_| DatabaseError::Invalid("contacts.claimed"))?;
            Ok((AccountTag::new(array(&tag, "contacts.tag")?), claimed))
        })
        .collect()
    }

    /// The server has said that the handle by which somebody goes is another's: it is not asked again.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn refuse_claim(&self, tag: AccountTag) -> Result<(), DatabaseError> {
        self.connection.execute("UPDATE contacts SET claimed = NULL WHERE tag = ?", [tag.as_bytes()])?;
        Ok(())
    }

    /// The version of somebody's list of devices as it is known here; 0 when it is not.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn devices_version(&self, tag: AccountTag) -> Result<u32, DatabaseError> {
        let version: Option<u32> = self
            .connection
            .prepare_cached("SELECT devices_version FROM contacts WHERE tag = ?")?
            .query_row([tag.as_bytes()], |row| row.get(0))
            .optional()?;
        Ok(version.unwrap_or_default())
    }

    /// Contacts whose changed identity waits to be accepted.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn blocked_contacts(&self) -> Result<Vec<AccountTag>, DatabaseError> {
        let mut query = self.connection.prepare("SELECT tag FROM contacts WHERE changed_identity IS NOT NULL")?;
        let rows = query.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|tag| Ok(AccountTag::new(array(&tag?, "contacts.tag")?))).collect()
    }

    /// Notes a changed identity, or with `None` that it was accepted. Whatever was compared before does not count any more.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_changed_identity(&self, tag: AccountTag, key: Option<&[u8; 33]>) -> Result<(), DatabaseError> {
        self.put_contact(tag, None)?;
        self.connection.execute(
            "UPDATE contacts SET changed_identity = ?, verified = NULL, compared_devices = NULL WHERE tag = ?",
            params![key, tag.as_bytes()],
        )?;
        Ok(())
    }

    /// When the server last said which keys an account has.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn keys_at(&self, tag: AccountTag) -> Result<Option<UnixMillis>, DatabaseError> {
        let at: Option<Option<i64>> = self
            .connection
            .prepare_cached("SELECT keys_at FROM contacts WHERE tag = ?")?
            .query_row([tag.as_bytes()], |row| row.get(0))
            .optional()?;
        at.flatten().map(|at| unsigned(at, "contacts.keys_at").map(UnixMillis::new)).transpose()
    }

    /// Notes that the server has just said which devices and keys an account has.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_keys_at(&self, tag: AccountTag, version: u32, now: UnixMillis) -> Result<(), DatabaseError> {
        self.note_peer(tag)?;
        self.connection.execute(
            "UPDATE contacts SET keys_at = ?, devices_version = ? WHERE tag = ?",
            params![integer(now.get()), version, tag.as_bytes()],
        )?;
        self.list_devices(tag)?;
        self.owe_face_to_new_devices(tag, version)
    }

    /// Devices of an account, as far as is known.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn devices(&self, tag: AccountTag) -> Result<Vec<DeviceId>, DatabaseError> {
        let mut query = self.connection.prepare_cached("SELECT device FROM devices WHERE tag = ? ORDER BY device")?;
        let rows = query.query_map([tag.as_bytes()], |row| row.get::<_, u32>(0))?;
        rows.map(|device| DeviceId::new(device?).map_err(|_| DatabaseError::Invalid("devices.device"))).collect()
    }

    /// A device of an account is known, since `now` if it was not before.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn put_device(&self, tag: AccountTag, device: DeviceId, now: UnixMillis) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO devices (tag, device) VALUES (?, ?)")?
            .execute(params![tag.as_bytes(), device.get()])?;
        self.see_device(tag, device, now)
    }

    /// Forgets the devices of an account, so that its bundles are fetched anew.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn forget_devices(&self, tag: AccountTag) -> Result<(), DatabaseError> {
        self.connection.execute("DELETE FROM devices WHERE tag = ?", [tag.as_bytes()])?;
        self.connection.execute("UPDATE contacts SET devices_version = 0 WHERE tag = ?", [tag.as_bytes()])?;
        Ok(())
    }
}

pub(super) fn parse_handle(handle: Option<String>) -> Result<Option<Handle>, DatabaseError> {
    handle.map(|handle| handle.parse().map_err(|_| DatabaseError::Invalid("contacts.handle"))).transpose()
}
