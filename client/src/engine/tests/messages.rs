//! Two devices' databases and no network: what one seals the other stores.

use std::time::Duration;

use endtoend_protocol::{
    AccountTag, Address, Bundle, Bundles, Content, ContentKind, DeviceKeys, Envelope, EnvelopeId, Identity, MessageId,
    NewDevice, Text, UnixMillis,
};
use tempfile::TempDir;

use crate::clock;
use crate::database::{Body, Database, DatabaseError, Direction, HeldEnvelope, MessageState, StoredMessage};
use crate::engine::account::{self, prepare_registration};
use crate::engine::receive::{Arrival, Learned, learn, receive, receive_held, refuse_held};
use crate::engine::seal::{Opened, Sealed, open_sessions, seal_row};
use crate::handle::Handle;
use crate::profile::DatabaseKey;

pub(super) struct Device {
    pub(super) database: Database,
    pub(super) handle: Handle,
    pub(super) own: Address,
    /// How far its clock is ahead of the real one.
    pub(super) ahead: Duration,
    pub(super) published: Box<NewDevice>,
    pub(super) folder: TempDir,
}

/// What stands for the server's oblivious function.
pub(super) fn tag_of(handle: &Handle) -> AccountTag {
    AccountTag::new(*blake3::hash(handle.as_str().as_bytes()).as_bytes())
}

impl Device {
    /// The server has confirmed a name.
    pub(super) fn knows(&mut self, other: &Device) {
        let (tag, handle) = (other.own.account, other.handle.clone());
        self.database.write(|store| store.put_contact(tag, Some(&handle))).unwrap();
    }

    pub(super) fn profile() -> (Database, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endtoend.db");
        std::fs::write(&path, b"").unwrap();
        (Database::create(&path, &DatabaseKey::of(&[7; 32])).unwrap(), folder)
    }

    pub(super) fn new(handle: &str) -> Self {
        let (mut database, folder) = Self::profile();
        let handle: Handle = handle.parse().unwrap();
        let server = format!("endtoend://127.0.0.1:1/#pin={}", "00".repeat(64)).parse().unwrap();
        let (account, published, again) = prepare_registration(&mut database, server, None, handle.clone()).unwrap();
        assert!(!again);
        let own = Address { account: tag_of(&handle), device: account.device };
        database
            .write(|store| {
                store.name_account(own, &[0; 32])?;
                account::trust_oneself(store, own.account)
            })
            .unwrap();
        Self { database, handle, own, ahead: Duration::ZERO, published, folder }
    }

    /// The profile is one that the first version of this program wrote, and is opened by this one.
    pub(super) fn go_back_to_the_first_version(&mut self) {
        self.database.downgrade();
        let key = DatabaseKey::of(&[7; 32]);
        self.database = Database::open(&self.folder.path().join("endtoend.db"), &key).unwrap();
    }

    pub(super) fn now(&self) -> UnixMillis {
        clock::now().plus(self.ahead)
    }

    /// The server has these signed keys now.
    pub(super) fn publish(&mut self, keys: DeviceKeys) {
        self.published.signed_pre_key = keys.signed_pre_key.unwrap();
        self.published.last_resort_kem_pre_key = keys.last_resort_kem_pre_key.unwrap();
        self.published.envelope_key = keys.envelope_key.unwrap();
    }

    /// What a server would hand out to somebody who wants to write to this device.
    pub(super) fn bundles(&self) -> Bundles {
        let keys = &self.published;
        Bundles {
            devices_version: 1,
            identity_key: keys.identity_key,
            devices: vec![Bundle {
                device: self.own.device,
                registration_id: keys.registration_id,
                signed_pre_key: keys.signed_pre_key.clone(),
                one_time_pre_key: keys.one_time_pre_keys.first().cloned(),
                kem_pre_key: keys.one_time_kem_pre_keys[0].clone(),
                envelope_key: keys.envelope_key.clone(),
            }],
        }
    }

    pub(super) fn meet(&mut self, peer: &Self) -> Opened {
        let (own, to, bundles, now) = (self.own, peer.own.account, peer.bundles(), self.now());
        self.knows(peer);
        self.database.write(|store| open_sessions(store, own, to, &bundles, now)).unwrap()
    }

    /// Somebody has fetched the bundles.
    pub(super) fn spend_one_time_keys(&mut self) {
        let keys = &mut self.published;
        if keys.one_time_kem_pre_keys.len() > 1 {
            keys.one_time_kem_pre_keys.remove(0);
        }
        if !keys.one_time_pre_keys.is_empty() {
            keys.one_time_pre_keys.remove(0);
        }
    }

    /// The server says who the peer is.
    pub(super) fn introduce(&mut self, peer: &Self) -> Learned {
        let (own, from, key, now) = (self.own, peer.own.account, &peer.published, self.now());
        let identity = Identity {
            devices_version: 1,
            identity_key: key.identity_key,
            envelope_keys: vec![(peer.own.device, key.envelope_key.clone())],
        };
        self.knows(peer);
        self.database.write(|store| learn(store, own, from, &identity, now)).unwrap()
    }

    pub(super) fn queue(&mut self, to: AccountTag, text: &str) -> i64 {
        let now = clock::now();
        let id = MessageId::new(now, rand::random());
        let text = Text::new(text.to_owned()).unwrap();
        let kind = ContentKind::Said(text.clone().into());
        let parcel = Content { id, sent_at: now, sender_handle: Some(self.handle.to_string()), kind }.encode();
        let message = StoredMessage {
            seq: 0,
            peer: to,
            handle: None,
            direction: Direction::Out,
            id,
            state: MessageState::Queued,
            body: Body::Text(text),
            sent_at: now,
            accepted_at: None,
            received_at: None,
            wire_bytes: None,
            shown: true,
            marks: crate::database::Marks::default(),
        };
        self.database
            .write(|store| {
                store.put_message(&message)?;
                store.enqueue(id, to, &parcel)
            })
            .unwrap()
    }

    pub(super) fn seal(&mut self, seq: i64, to: AccountTag) -> Sealed {
        let (own, now) = (self.own, self.now());
        self.database.write(|store| seal_row(store, own, seq, to, now)).unwrap()
    }

    pub(super) fn envelope(&mut self, to: AccountTag, text: &str) -> Envelope {
        let seq = self.queue(to, text);
        match self.seal(seq, to) {
            Sealed::Ready { envelope, .. } => envelope,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn take(&mut self, envelope: &Envelope) -> Arrival {
        let (own, now) = (self.own, self.now());
        let envelope = arrived(envelope);
        self.database.write(|store| receive(store, own, &envelope, now)).unwrap()
    }

    pub(super) fn texts(&self) -> Vec<(Option<Handle>, String)> {
        let unread = self.database.read().unread(None, 99).unwrap();
        unread
            .into_iter()
            .map(|message| match message.body {
                Body::Text(text) => (message.handle, text.into_string()),
                Body::File(_) | Body::Card(_) | Body::Unknown | Body::Deleted => panic!("not a text"),
            })
            .collect()
    }
}

pub(super) fn arrived(envelope: &Envelope) -> HeldEnvelope {
    HeldEnvelope {
        id: envelope.id,
        body: envelope.body.clone(),
        accepted_at: UnixMillis::new(5),
        received_at: UnixMillis::new(6),
        wire_bytes: 7,
    }
}

#[test]
fn what_one_sends_the_other_stores_with_its_senders_name() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    assert_eq!(alice.meet(&bob), Opened::Ready);
    bob.introduce(&alice);
    let envelope = alice.envelope(bob.own.account, "hello");
    assert!(matches!(bob.take(&envelope), Arrival::Message { new_session: true, .. }));
    assert_eq!(bob.texts(), [(Some(alice.handle.clone()), "hello".to_owned())]);
    // The answer needs no keys from a server.
    let answer = bob.envelope(alice.own.account, "hello yourself");
    assert!(matches!(alice.take(&answer), Arrival::Message { new_session: false, .. }));
    assert_eq!(alice.texts(), [(Some(bob.handle), "hello yourself".to_owned())]);
}

#[test]
fn a_repeated_envelope_is_stored_once() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    let envelope = alice.envelope(bob.own.account, "hello");
    bob.take(&envelope);
    assert!(matches!(bob.take(&envelope), Arrival::Repeat));
    assert_eq!(bob.texts().len(), 1);
}

#[test]
fn a_message_is_sealed_once_whatever_happens_to_the_connection() {
    let (mut alice, bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    let seq = alice.queue(bob.own.account, "hello");
    let (Sealed::Ready { envelope: first, .. }, Sealed::Ready { envelope: again, .. }) =
        (alice.seal(seq, bob.own.account), alice.seal(seq, bob.own.account))
    else {
        panic!("not sealed")
    };
    assert_eq!(first, again);
}

#[test]
fn without_keys_a_message_waits() {
    let (mut alice, bob) = (Device::new("alice"), Device::new("bob"));
    let seq = alice.queue(bob.own.account, "hello");
    assert!(matches!(alice.seal(seq, bob.own.account), Sealed::NoKeys));
    alice.meet(&bob);
    assert!(matches!(alice.seal(seq, bob.own.account), Sealed::Ready { .. }));
    alice.database.write(|store| store.accepted(seq, UnixMillis::new(1), None)).unwrap();
    assert!(matches!(alice.seal(seq, bob.own.account), Sealed::Settled));
}

#[test]
fn an_envelope_that_does_not_open_leaves_a_note_and_comes_no_more() {
    let mut bob = Device::new("bob");
    let garbage = Envelope {
        id: EnvelopeId::new(UnixMillis::new(1), [1; 10]),
        to: bob.own,
        body: vec![1; 2000].into(),
        devices_version: 1,
    };
    assert!(matches!(bob.take(&garbage), Arrival::Unreadable { .. }));
    assert!(matches!(bob.take(&garbage), Arrival::Repeat));
    let notes = bob.database.read().unreadable().unwrap();
    assert_eq!(notes.iter().map(|note| note.id).collect::<Vec<_>>(), [garbage.id]);
}

#[test]
fn a_failed_write_leaves_the_ratchet_where_it_was() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    let envelope = alice.envelope(bob.own.account, "hello");
    let own = bob.own;
    let failed: Result<(), DatabaseError> = bob.database.write(|store| {
        receive(store, own, &arrived(&envelope), clock::now())?;
        Err(DatabaseError::Full)
    });
    assert!(matches!(failed, Err(DatabaseError::Full)));
    // Not acknowledged, so it comes again, and opens: no key was spent.
    assert!(matches!(bob.take(&envelope), Arrival::Message { .. }));
}

#[test]
fn a_changed_identity_holds_what_came_until_it_is_accepted() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    let first = alice.envelope(bob.own.account, "old me");
    bob.take(&first);
    let mut alice_again = Device::new("alice");
    bob.published.one_time_pre_keys.remove(0);
    bob.published.one_time_kem_pre_keys.remove(0);
    alice_again.meet(&bob);
    let envelope = alice_again.envelope(bob.own.account, "new me");
    let alice_tag = alice.own.account;
    assert!(matches!(bob.take(&envelope), Arrival::Held { from } if from == alice_tag));
    assert!(matches!(bob.take(&envelope), Arrival::Repeat), "acknowledged: it is kept here");
    assert_eq!(bob.database.read().blocked_contacts().unwrap(), [], "a message alone raises no alarm");
    assert!(matches!(bob.introduce(&alice_again), Learned::IdentityChanged));
    assert_eq!(bob.database.read().blocked_contacts().unwrap(), [alice_tag]);
    assert_eq!(bob.texts().len(), 1);

    let verification = account::verification(&bob.database.read(), bob.own, alice.own.account, &alice.handle).unwrap();
    assert!(verification.changed);
    assert_eq!(verification.peer_identity, alice_again.published.identity_key);
    let opened = account::accept_identity(&mut bob.database, bob.own, alice.own.account, &alice.handle).unwrap();
    assert!(matches!(opened[..], [(_, Arrival::Message { .. })]));
    assert_eq!(bob.texts().iter().map(|(_, text)| &**text).collect::<Vec<_>>(), ["old me", "new me"]);
    assert_eq!(bob.database.read().blocked_contacts().unwrap(), []);
    let none_left = bob.database.write(|store| receive_held(store, bob.own, alice_tag, clock::now())).unwrap();
    assert!(none_left.is_empty());
}

#[test]
fn a_stranger_is_believed_when_the_server_has_said_who_it_is() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    let letters = [alice.envelope(bob.own.account, "one"), alice.envelope(bob.own.account, "two")];
    let alice_tag = alice.own.account;
    for letter in &letters {
        assert!(matches!(bob.take(letter), Arrival::Held { from } if from == alice_tag));
    }
    assert!(bob.texts().is_empty());
    assert_eq!(bob.database.read().strangers().unwrap(), [alice_tag].into(), "asked about on every connection");
    assert!(matches!(bob.introduce(&alice), Learned::Known(arrivals) if arrivals.len() == 2));
    assert_eq!(bob.texts().iter().map(|(_, text)| &**text).collect::<Vec<_>>(), ["one", "two"]);
    assert!(bob.database.read().strangers().unwrap().is_empty());
}

#[test]
fn nobody_is_believed_to_be_somebody_else() {
    let (alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    // Mallory says that she is Alice: to a Bob who does not know her, and to one who does.
    for round in 0..2 {
        let mut mallory = Device::new("alice");
        mallory.meet(&bob);
        let forged = mallory.envelope(bob.own.account, "I am Alice");
        assert!(matches!(bob.take(&forged), Arrival::Held { .. }));
        match bob.introduce(&alice) {
            Learned::Known(arrivals) => {
                assert!(matches!(arrivals[..], [(_, Arrival::Unreadable { reason: "other_identity", .. })]), "{round}");
            }
            other => panic!("{other:?}"),
        }
        assert!(bob.texts().is_empty());
        assert_eq!(bob.database.read().blocked_contacts().unwrap(), [], "and Alice is not blocked by it");
    }
}

#[test]
fn a_sender_whom_the_server_does_not_know_is_refused() {
    let (mut nobody, mut bob) = (Device::new("nobody"), Device::new("bob"));
    nobody.meet(&bob);
    let letter = nobody.envelope(bob.own.account, "hello");
    let tag = nobody.own.account;
    bob.take(&letter);
    let refused = bob.database.write(|store| refuse_held(store, tag)).unwrap();
    assert!(matches!(refused[..], [(_, Arrival::Unreadable { reason: "unknown_sender", .. })]));
    assert!(bob.database.read().strangers().unwrap().is_empty());
}

#[test]
fn another_identity_at_the_server_blocks_sending() {
    let (mut alice, bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    let impostor = Device::new("bob");
    assert_eq!(alice.meet(&impostor), Opened::IdentityChanged);
    assert_eq!(alice.database.read().blocked_contacts().unwrap(), [bob.own.account]);
    let verification = account::verification(&alice.database.read(), alice.own, bob.own.account, &bob.handle).unwrap();
    assert_eq!((verification.changed, verification.peer_identity), (true, impostor.published.identity_key));
}

#[test]
fn keys_that_contradict_each_other_change_nothing() {
    let (mut alice, bob) = (Device::new("alice"), Device::new("bob"));
    let mut bundles = bob.bundles();
    bundles.devices[0].signed_pre_key.signature[5] ^= 1;
    let (own, to) = (alice.own, bob.own.account);
    let opened = alice.database.write(|store| open_sessions(store, own, to, &bundles, clock::now())).unwrap();
    assert_eq!(opened, Opened::BadKeys);
    assert_eq!(alice.database.read().devices(to).unwrap(), []);
}

#[test]
fn both_sides_read_the_same_safety_number() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    let envelope = alice.envelope(bob.own.account, "hello");
    bob.take(&envelope);
    let seen_by = |device: &Device, peer: &Device| {
        account::verification(&device.database.read(), device.own, peer.own.account, &peer.handle).unwrap()
    };
    let (a, b) = (seen_by(&alice, &bob), seen_by(&bob, &alice));
    assert_eq!(a.safety_number, b.safety_number);
    assert_eq!(a.safety_number.len(), 60);
    assert!(!a.changed && !b.changed);
}

#[test]
fn a_registration_that_was_cut_short_keeps_device_and_identity() {
    let mut alice = Device::new("alice");
    let seed = alice.database.read().account().unwrap().unwrap().seed;
    let server = format!("endtoend://127.0.0.1:1/#pin={}", "00".repeat(64)).parse().unwrap();
    let (account, published, again) =
        prepare_registration(&mut alice.database, server, None, alice.handle.clone()).unwrap();
    assert!(again);
    assert_eq!((account.seed, published.identity_key), (seed, alice.published.identity_key));
}
