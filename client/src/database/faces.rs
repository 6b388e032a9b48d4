//! How people show themselves, and how this account does: names and pictures, and who has still to hear of the own ones.

use endtoend_protocol::{AccountTag, MessageId, UnixMillis};
use rand::RngExt as _;
use rusqlite::{OptionalExtension as _, params};

use super::{DatabaseError, Store, array, integer, unsigned};
use crate::face::{Face, Portrait};
use crate::nickname::Nickname;

const NAME: &str = "face name";
const PICTURE: &str = "face picture";

/// The own face, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFace {
    /// What is shown.
    pub face: Face,
    /// Since when, by the clock of the device that it was chosen on.
    pub at: UnixMillis,
    /// Under which id those who are accepted hear of it.
    pub message: MessageId,
}

impl Store<'_> {
    /// How an account shows itself; nothing when that is not known. Of somebody else nothing is to be shown unless he is accepted.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn face(&self, of: AccountTag) -> Result<Face, DatabaseError> {
        type Row = (Option<Vec<u8>>, Option<Vec<u8>>);
        let row: Option<Row> = self
            .connection
            .prepare_cached("SELECT name, picture FROM faces WHERE tag = ?")?
            .query_row([of.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((name, picture)) = row else { return Ok(Face::default()) };
        let portrait = picture
            .map(|sealed| {
                let opened = self.sealer.open(PICTURE, of.as_bytes(), &sealed)?;
                Portrait::from_bytes(opened.to_vec()).ok_or(DatabaseError::Invalid("faces.picture"))
            })
            .transpose()?;
        Ok(Face { name: name.map(|sealed| self.face_name(of, &sealed)).transpose()?, portrait })
    }

    /// Since when an account shows itself so, by the clock of whoever said it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn face_at(&self, of: AccountTag) -> Result<Option<UnixMillis>, DatabaseError> {
        let at: Option<i64> = self
            .connection
            .prepare_cached("SELECT at FROM faces WHERE tag = ?")?
            .query_row([of.as_bytes()], |row| row.get(0))
            .optional()?;
        at.map(|at| unsigned(at, "faces.at").map(UnixMillis::new)).transpose()
    }

    /// Somebody shows himself so from `at` on, unless something later is known. Says whether anything is otherwise.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn set_face(&self, of: AccountTag, face: &Face, at: UnixMillis) -> Result<bool, DatabaseError> {
        if self.face_at(of)?.is_some_and(|before| before >= at) {
            return Ok(false);
        }
        let changed = self.face(of)? != *face;
        let name = face.name.as_ref().map(|name| self.sealer.seal(NAME, of.as_bytes(), name.as_str().as_bytes()));
        let picture = face.portrait.as_ref();
        let sealed = picture.map(|portrait| self.sealer.seal(PICTURE, of.as_bytes(), portrait.as_bytes()));
        let hash = picture.map(Portrait::hash);
        self.connection
            .prepare_cached(
                "INSERT INTO faces (tag, name, picture, hash, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (tag) DO UPDATE
                 SET name = excluded.name, picture = excluded.picture, hash = excluded.hash, at = excluded.at",
            )?
            .execute(params![of.as_bytes(), name, sealed, hash, integer(at.get())])?;
        Ok(changed)
    }

    /// This account shows itself otherwise: all who are accepted are to hear of it, under this id, and with `devices` the own other
    /// devices.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn owe_face(&self, own: AccountTag, message: MessageId, devices: bool) -> Result<(), DatabaseError> {
        self.put_contact(own, None)?;
        self.connection
            .execute("UPDATE faces SET message_id = ? WHERE tag = ?", params![message.as_bytes(), own.as_bytes()])?;
        self.connection.execute("UPDATE contacts SET face_due = 1 WHERE tag <> ?", [own.as_bytes()])?;
        self.connection.execute("UPDATE contacts SET face_due = ? WHERE tag = ?", params![devices, own.as_bytes()])?;
        Ok(())
    }

    /// Another device of this account has chosen it, and tells all who are accepted now.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn learn_face(&self, own: AccountTag, at: UnixMillis) -> Result<(), DatabaseError> {
        let message = MessageId::new(at, rand::rng().random());
        self.owe_face(own, message, false)?;
        self.connection.execute("UPDATE contacts SET face_due = 0 WHERE relation = 'accepted'", [])?;
        Ok(())
    }

    /// The own face, if one was chosen on this device or another, and it is told from here.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn own_face(&self, own: AccountTag) -> Result<Option<OwnFace>, DatabaseError> {
        let row: Option<(i64, Option<Vec<u8>>)> = self
            .connection
            .prepare_cached("SELECT at, message_id FROM faces WHERE tag = ?")?
            .query_row([own.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((at, Some(message))) = row else { return Ok(None) };
        let message = MessageId::from_slice(&message).map_err(|_| DatabaseError::Invalid("faces.message_id"))?;
        let at = UnixMillis::new(unsigned(at, "faces.at")?);
        Ok(Some(OwnFace { face: self.face(own)?, at, message }))
    }

    /// Those who are accepted, who have said something, so that they have this person for no stranger, and who have not heard how this
    /// account shows itself: at most `limit`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn face_due(&self, own: AccountTag, limit: u32) -> Result<Vec<AccountTag>, DatabaseError> {
        let mut query = self.connection.prepare_cached(
            "SELECT tag FROM contacts WHERE face_due = 1 AND relation = 'accepted' AND tag <> ?1 AND unaddressed = 0
               AND changed_identity IS NULL AND EXISTS (SELECT 1 FROM chains_in WHERE sender = tag) ORDER BY tag LIMIT ?2",
        )?;
        let rows = query.query_map(params![own.as_bytes(), limit], |row| row.get::<_, Vec<u8>>(0))?;
        rows.map(|tag| Ok(AccountTag::new(array(&tag?, "contacts.tag")?))).collect()
    }

    /// Whether an account, which may be the own one, has still to hear of it.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn is_face_due(&self, to: AccountTag) -> Result<bool, DatabaseError> {
        Ok(self
            .connection
            .prepare_cached("SELECT 1 FROM contacts WHERE tag = ? AND face_due = 1")?
            .exists([to.as_bytes()])?)
    }

    /// It is told.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn face_told(&self, to: AccountTag) -> Result<(), DatabaseError> {
        self.connection.prepare_cached("UPDATE contacts SET face_due = 0 WHERE tag = ?")?.execute([to.as_bytes()])?;
        Ok(())
    }

    /// An account has these devices: those that came since the last time have not heard how this one shows itself.
    pub(super) fn owe_face_to_new_devices(&self, tag: AccountTag, version: u32) -> Result<(), DatabaseError> {
        self.connection
            .prepare_cached(
                "UPDATE contacts SET face_due = iif(face_devices IN (0, ?1), face_due, 1), face_devices = ?1 WHERE tag = ?2",
            )?
            .execute(params![version, tag.as_bytes()])?;
        Ok(())
    }

    pub(super) fn face_name(&self, of: AccountTag, sealed: &[u8]) -> Result<Nickname, DatabaseError> {
        let opened = self.sealer.open(NAME, of.as_bytes(), sealed)?;
        let text = std::str::from_utf8(&opened).ok().and_then(|text| text.parse().ok());
        text.ok_or(DatabaseError::Invalid("faces.name"))
    }
}
