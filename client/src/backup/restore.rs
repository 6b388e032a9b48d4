//! From a sealed file to a profile that is being made.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use endtoend_crypto_e2e::accept_identity;
use endtoend_protocol::{
    AccountTag, Arrangement, Content, ContentKind, Emoji, Lifetime, MessageId, Muted, Provision, Said, Text, UnixMillis,
};

use super::record::{CardRecord, ContactRecord, End, FaceRecord, FileRecord, Head, MessageRecord, Record, VERSION};
use super::sealed::SealedReader;
use crate::address::ServerAddress;
use crate::card::Card;
use crate::database::{
    Body, Database, DatabaseError, Direction, Draft, Edits, FileFault, FileState, Marks, MessageRef, MessageState,
    Settings, Standing, Store, StoredFile, StoredMessage,
};
use crate::face::{Face, Portrait};
use crate::handle::Handle;
use crate::profile::{Profile, ProfileError};

/// What was restored.
pub type Restored = End;

/// Why nothing was restored. There is no profile that was not there before.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file cannot be opened.
    #[error("{} cannot be read", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read any further.
    #[error("the backup cannot be read")]
    Read(#[source] io::Error),
    /// Something else.
    #[error("the file is not a backup of a profile")]
    NotABackup,
    /// Use a newer program.
    #[error("the backup was written by a newer version of this program")]
    Newer,
    /// Ask again; a damaged beginning looks the same.
    #[error("the passphrase does not open this backup")]
    WrongPassphrase,
    /// Use another copy of the file.
    #[error("the backup is damaged")]
    Damaged,
    /// Argon2id refused, most likely for want of memory.
    #[error("the key could not be derived from the passphrase")]
    Derive,
    /// The profile could not be made.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The database could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A backup whose passphrase was right. What follows its head is not read yet.
pub struct OpenedBackup {
    reader: SealedReader<BufReader<File>>,
    head: Head,
    server: ServerAddress,
    handle: Handle,
    account: AccountTag,
}

impl std::fmt::Debug for OpenedBackup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenedBackup({:?})", self.head)
    }
}

fn record(line: &[u8]) -> Result<Record, RestoreError> {
    serde_json::from_slice(line).map_err(|_| RestoreError::Damaged)
}

fn parsed<T: FromStr>(text: &str) -> Result<T, RestoreError> {
    text.parse().map_err(|_| RestoreError::Damaged)
}

fn digits<const N: usize>(text: &str) -> Result<[u8; N], RestoreError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| RestoreError::Damaged)?;
    Ok(bytes)
}

fn tag(text: &str) -> Result<AccountTag, RestoreError> {
    digits(text).map(AccountTag::new)
}

impl OpenedBackup {
    /// Opens a backup as far as its head.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn open(path: &Path, passphrase: &[u8]) -> Result<Self, RestoreError> {
        let file = File::open(path).map_err(|source| RestoreError::Unusable { path: path.to_owned(), source })?;
        let mut reader = SealedReader::open(BufReader::new(file), passphrase)?;
        let line = reader.line()?.ok_or(RestoreError::Damaged)?;
        let Record::Head(head) = record(&line)? else { return Err(RestoreError::Damaged) };
        if head.version != VERSION {
            return Err(if head.version > VERSION { RestoreError::Newer } else { RestoreError::Damaged });
        }
        let (server, handle, account) = (parsed(&head.server)?, parsed(&head.handle)?, tag(&head.account)?);
        Ok(Self { reader, head: *head, server, handle, account })
    }

    /// Where the account lived.
    pub const fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// How it is called.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Its tag.
    pub const fn account(&self) -> AccountTag {
        self.account
    }

    /// What lets a new device speak for the account, once the server has let it in.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn provision(&self) -> Result<Provision, RestoreError> {
        let secrets = self.head.secrets.as_ref().ok_or(RestoreError::Damaged)?;
        Ok(Provision {
            handle: self.handle.to_string(),
            account: self.account,
            oprf_key: digits(&secrets.oprf_key)?,
            identity: hex::decode(&secrets.identity).map_err(|_| RestoreError::Damaged)?,
            secret: [0; 32],
            // They come as contacts, with all that is known of them.
            people: Vec::new(),
        })
    }

    /// Makes a profile in `home` with everything that the backup has, and without an account. Until all of it was read there is no
    /// profile.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn restore(self, home: &Path, password: &[u8]) -> Result<(Profile, Restored), RestoreError> {
        Profile::create_filled(home, password, |database| self.fill(database))
    }

    pub(super) fn fill(mut self, database: &mut Database) -> Result<Restored, RestoreError> {
        database.write(|store| {
            store.set_restored(self.account)?;
            store.set_settings(Settings { receipts: self.head.receipts, typing: self.head.typing })?;
            store.put_contact(self.account, Some(&self.handle))?;
            if let Some(face) = &self.head.face {
                put_face(store, self.account, face)?;
                // Those who come now hear of it from here; the others have heard.
                store.learn_face(self.account, UnixMillis::new(face.at_ms))?;
            }
            let mut found = End::default();
            while let Some(line) = self.reader.line()? {
                match record(&line)? {
                    Record::Contact(contact) => {
                        put_contact(store, &contact)?;
                        found.contacts += 1;
                    }
                    Record::Message(message) => {
                        put_message(store, *message)?;
                        found.messages += 1;
                    }
                    Record::End(end) if end == found && self.reader.line()?.is_none() => return Ok(found),
                    Record::End(_) | Record::Head(_) => return Err(RestoreError::Damaged),
                }
            }
            Err(RestoreError::Damaged)
        })
    }
}

fn put_contact(store: &Store<'_>, contact: &ContactRecord) -> Result<(), RestoreError> {
    let tag = tag(&contact.account)?;
    let handle: Option<Handle> = contact.handle.as_deref().map(parsed).transpose()?;
    match (contact.unaddressed, &handle) {
        (true, Some(handle)) => store.put_unaddressed(tag, handle)?,
        (true, None) => return Err(RestoreError::Damaged),
        (false, handle) => store.put_contact(tag, handle.as_ref())?,
    }
    let standing = Standing::named(&contact.standing).ok_or(RestoreError::Damaged)?;
    // When is not known: whatever is decided from now on is later.
    store.was_decided(tag, standing, UnixMillis::new(0))?;
    if let Some(nickname) = &contact.nickname {
        store.set_nickname(tag, Some(&parsed(nickname)?))?;
    }
    if let Some(seconds) = contact.lives_for_s {
        let lifetime = Lifetime::from_secs(seconds).ok_or(RestoreError::Damaged)?;
        store.set_timer(tag, Some(lifetime), UnixMillis::new(0))?;
    }
    let muted = contact
        .muted
        .map_or(Muted::No, |muted| muted.until_ms.map_or(Muted::ForGood, |until| Muted::Until(UnixMillis::new(until))));
    store.set_arrangement(tag, Arrangement { pinned: contact.pinned, muted })?;
    if let (Some(draft), Some(handle)) = (&contact.draft, &handle) {
        let text = |text: &String| Text::new(text.clone()).map_err(|_| RestoreError::Damaged);
        let edits = match draft.edits.as_deref() {
            Some(of) => Some(Edits { of: parsed(of)?, before: draft.before.as_ref().map(text).transpose()? }),
            None => None,
        };
        let answers = draft.answers.as_deref().map(parsed).transpose()?;
        let draft = Draft { text: text(&draft.text)?, answers, edits };
        store.set_draft(handle, Some(&draft), UnixMillis::new(0))?;
    }
    if let Some(face) = &contact.face {
        put_face(store, tag, face)?;
    }
    if let Some(identity) = &contact.identity {
        let identity = digits(identity)?;
        store.apply(&accept_identity(tag, &identity).map_err(|_| RestoreError::Damaged)?)?;
        if contact.verified {
            store.set_verified(tag, Some(&identity))?;
        }
    }
    Ok(())
}

fn put_face(store: &Store<'_>, of: AccountTag, record: &FaceRecord) -> Result<(), RestoreError> {
    let portrait = match &record.picture {
        Some(picture) => {
            let bytes = hex::decode(picture).map_err(|_| RestoreError::Damaged)?;
            Some(Portrait::from_bytes(bytes).ok_or(RestoreError::Damaged)?)
        }
        None => None,
    };
    let face = Face { name: record.name.as_deref().map(parsed).transpose()?, portrait };
    store.set_face(of, &face, UnixMillis::new(record.at_ms))?;
    Ok(())
}

fn card(CardRecord { link, name }: &CardRecord) -> Result<Body, RestoreError> {
    Ok(Body::Card(Box::new(Card { link: parsed(link)?, name: name.as_deref().map(parsed).transpose()? })))
}

/// The bytes of a file are in no backup: it is at the server for a while. One that had not got there is nowhere.
fn file(record: Option<FileRecord>) -> Result<StoredFile, RestoreError> {
    let FileRecord { content, unsent, .. } = record.ok_or(RestoreError::Damaged)?;
    let content = hex::decode(&content.ok_or(RestoreError::Damaged)?.0).map_err(|_| RestoreError::Damaged)?;
    let state = if unsent { FileState::Failed(FileFault::Gone) } else { FileState::Offered };
    match Content::decode(&content).map_err(|_| RestoreError::Damaged)?.kind {
        ContentKind::Said(Said::File(attached)) => Ok(StoredFile { file: attached.file, state }),
        _ => Err(RestoreError::Damaged),
    }
}

fn put_message(store: &Store<'_>, record: MessageRecord) -> Result<(), RestoreError> {
    let peer = tag(&record.with)?;
    let direction = Direction::named(&record.direction).ok_or(RestoreError::Damaged)?;
    let id: MessageId = parsed(&record.id)?;
    let body = match record.text {
        Some(text) => Body::Text(Text::new(text).map_err(|_| RestoreError::Damaged)?),
        None if record.card.is_some() => record.card.as_ref().map_or(Err(RestoreError::Damaged), card)?,
        None if record.file.is_some() => Body::File(Box::new(file(record.file)?)),
        None if record.deleted => Body::Deleted,
        None => Body::Unknown,
    };
    let reply_to = match record.reply_to {
        Some(reply) => Some(MessageRef {
            direction: Direction::named(&reply.direction).ok_or(RestoreError::Damaged)?,
            id: parsed(&reply.id)?,
        }),
        None => None,
    };
    let message = StoredMessage {
        seq: 0,
        peer,
        handle: None,
        direction,
        id,
        state: MessageState::named(&record.state).ok_or(RestoreError::Damaged)?,
        body,
        sent_at: UnixMillis::new(record.sent_at_ms),
        accepted_at: record.accepted_at_ms.map(UnixMillis::new),
        received_at: record.received_at_ms.map(UnixMillis::new),
        wire_bytes: record.wire_bytes,
        shown: record.shown,
        marks: Marks {
            reply_to,
            edited_at: record.edited_at_ms.map(UnixMillis::new),
            delivered_at: record.delivered_at_ms.map(UnixMillis::new),
            read_at: record.read_at_ms.map(UnixMillis::new),
            ..Marks::default()
        },
    };
    if !store.put_message(&message)? {
        return Err(RestoreError::Damaged);
    }
    let named = MessageRef { direction, id };
    if let Some(raw) = record.unknown {
        store.keep_raw(peer, named, &hex::decode(raw).map_err(|_| RestoreError::Damaged)?)?;
    }
    for (by, emoji) in [(Direction::In, record.their_reaction), (Direction::Out, record.own_reaction)] {
        let Some(emoji) = emoji else { continue };
        let emoji = Emoji::new(emoji).ok_or(RestoreError::Damaged)?;
        // When is not known: whatever is said from now on is later.
        store.react(peer, named, by, Some(&emoji), UnixMillis::new(0))?.map_err(|_| RestoreError::Damaged)?;
    }
    Ok(())
}
