//! What this account has settled for itself on any of its devices: nicknames, compared identities, choices, how conversations are kept,
//! how it shows itself, what was seen, what was removed. Of two about the same the later counts, by the clock of the device on which it was said.

use endtoend_protocol::{AccountTag, Comparison, MessageId, OwnNews, UnixMillis};
use rusqlite::{OptionalExtension as _, params};

use super::{DatabaseError, Settings, Store, array, integer, unsigned};
use crate::face::Face;

const CHOSEN_AT: &str = "chosen at";

impl Store<'_> {
    /// A moment for what is settled now that is later than that of whatever counts until now, whatever the clock does.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn settles(&self, news: &OwnNews, now: UnixMillis) -> Result<UnixMillis, DatabaseError> {
        let before = match news {
            // Everything that is here was said before.
            OwnNews::Removed { with, .. } => self.last_said(*with)?.max(self.last_settled(*with)?),
            OwnNews::Nickname { about, .. }
            | OwnNews::Compared { about, .. }
            | OwnNews::Arranged { with: about, .. } => self.settled_at(news)?.max(self.removed_at(*about)?),
            _ => self.settled_at(news)?,
        };
        let at = match before {
            Some(before) => now.max(before.plus(std::time::Duration::from_millis(1))),
            None => now,
        };
        self.note_settled(news, at)?;
        Ok(at)
    }

    /// Another device of this account has settled something: takes it over, unless something later counts. Says about whom that is, if
    /// it does; about this account where it is about nobody else.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn was_settled(
        &self,
        news: &OwnNews,
        at: UnixMillis,
        now: UnixMillis,
    ) -> Result<Vec<AccountTag>, DatabaseError> {
        let Some(own) = self.account()?.and_then(|account| account.tag) else { return Ok(Vec::new()) };
        let about = match news {
            OwnNews::Nickname { about, .. } | OwnNews::Compared { about, .. } => *about,
            OwnNews::Arranged { with, .. } | OwnNews::Seen { with, .. } | OwnNews::Removed { with, .. } => *with,
            OwnNews::Choices { .. } | OwnNews::Face(_) => own,
            OwnNews::People(people) => {
                let mut otherwise = Vec::new();
                for person in people.iter().filter(|person| person.account != own) {
                    if self.was_introduced(person, now)? {
                        otherwise.push(person.account);
                    }
                }
                return Ok(otherwise);
            }
        };
        Ok(if self.counts(news, at)? { vec![about] } else { Vec::new() })
    }

    /// Takes one thing over, unless something later counts. Says whether it has; of what was seen, whether any of that was not seen here.
    pub(super) fn counts(&self, news: &OwnNews, at: UnixMillis) -> Result<bool, DatabaseError> {
        if let OwnNews::Nickname { about, .. }
        | OwnNews::Compared { about, .. }
        | OwnNews::Arranged { with: about, .. } = news
        {
            if !self.outlives_removal(*about, at)? {
                return Ok(false);
            }
            self.put_contact(*about, None)?;
        }
        if self.settled_at(news)?.is_some_and(|before| before >= at) {
            return Ok(false);
        }
        match news {
            OwnNews::Nickname { about, name } => {
                // A name that this version does not take is none.
                self.set_nickname(*about, name.parse().ok().as_ref())?;
            }
            // What was compared counts here only for the identity that is trusted here.
            OwnNews::Compared { about, compared } => {
                self.set_verified(*about, compared.as_ref().map(|compared| &compared.identity))?;
                if let Some(Comparison { devices, .. }) = compared {
                    self.set_compared_devices(*about, Some(devices.as_slice()).filter(|known| !known.is_empty()))?;
                }
            }
            OwnNews::Choices { receipts, typing } => {
                self.set_settings(Settings { receipts: *receipts, typing: *typing })?;
            }
            OwnNews::Arranged { with, arrangement } => self.set_arrangement(*with, *arrangement)?,
            // Those who are accepted hear of it from the other device; those who come later may hear of it from this one.
            OwnNews::Face(face) => {
                let Some(own) = self.account()?.and_then(|account| account.tag) else { return Ok(false) };
                self.set_face(own, &Face::read(face), at)?;
                return self.learn_face(own, at).map(|()| true);
            }
            OwnNews::Removed { with, contact } => {
                self.was_removed(*with, *contact, at)?;
                return Ok(true);
            }
            OwnNews::People(_) => return Ok(false),
            OwnNews::Seen { with, ids } => {
                return ids.iter().try_fold(false, |any, id| Ok(self.was_shown(*with, *id)? || any));
            }
        }
        self.note_settled(news, at)?;
        Ok(true)
    }

    fn settled_at(&self, news: &OwnNews) -> Result<Option<UnixMillis>, DatabaseError> {
        let (sql, about) = match news {
            OwnNews::Nickname { about, .. } => ("SELECT nickname_at FROM contacts WHERE tag = ?", about),
            OwnNews::Compared { about, .. } => ("SELECT verified_at FROM contacts WHERE tag = ?", about),
            OwnNews::Arranged { with, .. } => ("SELECT arranged_at FROM contacts WHERE tag = ?", with),
            OwnNews::Face(_) => {
                let Some(own) = self.account()?.and_then(|account| account.tag) else { return Ok(None) };
                return self.face_at(own);
            }
            OwnNews::Choices { .. } => return self.chosen_at(),
            // What was seen was seen, what has gone has gone, and of people each thing has its own moment.
            OwnNews::Seen { .. } | OwnNews::Removed { .. } | OwnNews::People(_) => return Ok(None),
        };
        let at: Option<i64> =
            self.connection.prepare_cached(sql)?.query_row([about.as_bytes()], |row| row.get(0)).optional()?;
        at.filter(|at| *at > 0).map(|at| unsigned(at, "contacts.settled_at").map(UnixMillis::new)).transpose()
    }

    /// When the latest was settled about somebody that counts.
    pub(super) fn last_settled(&self, about: AccountTag) -> Result<Option<UnixMillis>, DatabaseError> {
        let at: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT max(decided_at, nickname_at, verified_at, arranged_at, timer_at) FROM contacts WHERE tag = ?",
            )?
            .query_row([about.as_bytes()], |row| row.get(0))
            .optional()?;
        at.filter(|at| *at > 0).map(|at| unsigned(at, "contacts.settled_at").map(UnixMillis::new)).transpose()
    }

    /// When a person has last chosen, on any device of the account.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn chosen_at(&self) -> Result<Option<UnixMillis>, DatabaseError> {
        let Some(kept) = self.setting(CHOSEN_AT)? else { return Ok(None) };
        Ok(Some(UnixMillis::new(u64::from_le_bytes(array(&kept, "settings.chosen_at")?))))
    }

    fn note_settled(&self, news: &OwnNews, at: UnixMillis) -> Result<(), DatabaseError> {
        let (sql, about) = match news {
            OwnNews::Nickname { about, .. } => ("UPDATE contacts SET nickname_at = ? WHERE tag = ?", about),
            OwnNews::Compared { about, .. } => ("UPDATE contacts SET verified_at = ? WHERE tag = ?", about),
            OwnNews::Arranged { with, .. } => ("UPDATE contacts SET arranged_at = ? WHERE tag = ?", with),
            OwnNews::Choices { .. } => return self.set_setting(CHOSEN_AT, &at.get().to_le_bytes()),
            OwnNews::Face(_) | OwnNews::Seen { .. } | OwnNews::Removed { .. } | OwnNews::People(_) => return Ok(()),
        };
        self.connection.prepare_cached(sql)?.execute(params![integer(at.get()), about.as_bytes()])?;
        Ok(())
    }

    /// Which of these messages, named by [`StoredMessage::seq`](super::StoredMessage::seq), are of others and were not seen yet.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn not_seen(&self, seqs: &[i64]) -> Result<Vec<(AccountTag, MessageId)>, DatabaseError> {
        let mut query = self.connection.prepare_cached(
            "SELECT peer, message_id FROM messages WHERE seq = ? AND shown = 0 AND direction = 'in' AND deleted = 0",
        )?;
        let mut found = Vec::new();
        for seq in seqs {
            let row: Option<(Vec<u8>, Vec<u8>)> =
                query.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            if let Some((peer, id)) = row {
                let id = MessageId::from_slice(&id).map_err(|_| DatabaseError::Invalid("messages.message_id"))?;
                found.push((AccountTag::new(array(&peer, "messages.peer")?), id));
            }
        }
        Ok(found)
    }
}
