//! Two devices of one account, and those who would like to be one.

use endtoend_crypto_e2e::import_identity;
use endtoend_protocol::{
    AccountTag, Address, Arrangement, Comparison, Content, ContentKind, DeviceId, MessageId, Muted, OwnNews, Provision,
    Text, UnixMillis,
};
use rand::Rng as _;
use zeroize::Zeroizing;

use super::messages::Device;
use crate::clock;
use crate::database::{Account, AccountState, Body, DatabaseError, Direction, MessageState, SealedItem, Standing};
use crate::engine::Change;
use crate::engine::account;
use crate::engine::linking::{meet, provision};
use crate::engine::people::addressed;
use crate::engine::receive::{Arrival, Learned};
use crate::engine::repair::copy_for_own_devices;
use crate::engine::say::News;
use crate::engine::seal::{Opened, Sealed, open_sessions};

/// What an existing device gives, on a new one.
pub(super) fn linked(first: &Device) -> Device {
    let given = provision(&first.database.read(), first.own, [0; 32], &[9; 32]).unwrap();
    let given = Provision::decode(&given).unwrap();
    let (mut database, folder) = Device::profile();
    let mut seed = Box::new(Zeroizing::new([0; 64]));
    rand::rng().fill_bytes(seed.as_mut_slice());
    let own = Address { account: given.account, device: DeviceId::new(2).unwrap() };
    let account = Account {
        server: format!("endtoend://127.0.0.1:1/#pin={}", "00".repeat(64)).parse().unwrap(),
        handle: given.handle.parse().unwrap(),
        tag: Some(own.account),
        oprf_key: Some([0; 32]),
        server_password: None,
        device: own.device,
        state: AccountState::Registered,
        seed,
    };
    let published = database
        .write(|store| -> Result<_, DatabaseError> {
            store.apply(&import_identity(&mut rand::rng(), &given.identity).unwrap())?;
            let device = account::new_device(store, &account).unwrap();
            store.put_account(&account)?;
            account::trust_oneself(store, own.account)?;
            given.people.iter().for_each(|person| meet(store, person).unwrap());
            Ok(device)
        })
        .unwrap();
    let ahead = std::time::Duration::ZERO;
    Device { database, handle: account.handle, own, ahead, published: Box::new(published), folder }
}

/// What the outbox of one holds for an account, sealed.
pub(super) fn sealed(device: &mut Device, seq: i64, to: AccountTag) -> endtoend_protocol::Envelope {
    match device.seal(seq, to) {
        Sealed::Ready { envelope, .. } => envelope,
        other => panic!("{other:?}"),
    }
}

/// Takes this for an account's devices through an outbox.
fn told(
    device: &mut Device,
    for_account: AccountTag,
    kind: ContentKind,
    sent_at: UnixMillis,
) -> endtoend_protocol::Envelope {
    let id = MessageId::new(sent_at, rand::random());
    let content = Content { id, sent_at, sender_handle: None, kind };
    let seq = device.database.write(|store| store.enqueue(id, for_account, &content.encode())).unwrap();
    sealed(device, seq, for_account)
}

/// A claim about what `account` has said to somebody, for its devices.
fn copy(device: &mut Device, for_account: AccountTag, to: AccountTag) -> endtoend_protocol::Envelope {
    let text = Text::new("never said".to_owned()).unwrap();
    told(device, for_account, ContentKind::Copy { to, handle: "carol".to_owned(), said: text.into() }, clock::now())
}

#[test]
fn what_one_device_says_the_other_knows() {
    let (mut phone, mut bob) = (Device::new("alice"), Device::new("bob"));
    assert_eq!(phone.meet(&bob), Opened::Ready);
    bob.introduce(&phone);
    let mut laptop = linked(&phone);
    assert_eq!(laptop.published.identity_key, phone.published.identity_key);
    let of = bob.own.account;
    let trusted = |it: &Device| account::verification(&it.database.read(), it.own, of, &bob.handle).unwrap();
    assert_eq!(trusted(&laptop).safety_number, trusted(&phone).safety_number, "known without asking the server");

    let own = phone.own;
    let bundles = laptop.bundles();
    let now = clock::now();
    phone.database.write(|store| open_sessions(store, own, own.account, &bundles, now)).unwrap();
    laptop.introduce(&phone);
    let to_bob = phone.queue(bob.own.account, "from the phone");
    let message = phone.database.read().history(bob.own.account, 1).unwrap().remove(0);
    let (row, for_whom) = phone.database.write(|store| copy_for_own_devices(store, message.id)).unwrap().unwrap();
    assert_eq!(for_whom, own.account);
    let envelope = sealed(&mut phone, row, own.account);
    assert!(matches!(laptop.take(&envelope), Arrival::Unseen { .. }));
    let heard = laptop.database.read().history(bob.own.account, 9).unwrap().remove(0);
    assert_eq!((heard.id, heard.direction, heard.state), (message.id, Direction::Out, MessageState::Accepted));
    assert!(matches!(heard.body, Body::Text(text) if text.as_str() == "from the phone"));
    let bob_there = laptop.database.read().contact(bob.own.account).unwrap().unwrap();
    assert_eq!(bob_there.standing, Standing::Accepted);

    // The copy says nothing about the message: that is accepted when Bob's devices have it.
    let settled = phone.database.write(|store| store.accepted(row, now, None)).unwrap();
    assert_eq!(settled, None);
    let state = |device: &Device| device.database.read().history(bob.own.account, 1).unwrap().remove(0).state;
    assert_eq!(state(&phone), MessageState::Queued);
    let settled = phone.database.write(|store| store.accepted(to_bob, now, None)).unwrap();
    assert_eq!((settled, state(&phone)), (Some(message.id), MessageState::Accepted));
}

#[test]
fn a_server_cannot_add_a_device_of_its_own() {
    let (mut phone, mut impostor) = (Device::new("alice"), Device::new("alice"));
    impostor.own.device = DeviceId::new(2).unwrap();
    let (own, bundles) = (phone.own, impostor.bundles());
    let opened = phone.database.write(|store| open_sessions(store, own, own.account, &bundles, clock::now())).unwrap();
    assert_eq!(opened, Opened::BadKeys);
    assert_eq!(phone.database.read().devices(own.account).unwrap(), []);
    assert_eq!(phone.database.read().blocked_contacts().unwrap(), [], "nobody is asked to accept it");

    // Nor say in the name of one what the account has said.
    let (phone_keys, theirs) = (phone.bundles(), impostor.own);
    impostor
        .database
        .write(|store| {
            let trusted = endtoend_crypto_e2e::accept_identity(own.account, &phone_keys.identity_key).unwrap();
            store.apply(&trusted)
        })
        .unwrap();
    let opened =
        impostor.database.write(|store| open_sessions(store, theirs, own.account, &phone_keys, clock::now())).unwrap();
    assert_eq!(opened, Opened::Ready);
    let carol = AccountTag::new([3; 32]);
    let envelope = copy(&mut impostor, own.account, carol);
    assert!(matches!(phone.take(&envelope), Arrival::Held { from } if from == own.account));
    assert!(matches!(phone.introduce(&impostor), Learned::BadKeys));
    assert_eq!(phone.database.read().blocked_contacts().unwrap(), []);
    assert!(phone.database.read().history(carol, 9).unwrap().is_empty());
}

#[test]
fn nobody_else_says_what_an_account_has_said() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    bob.meet(&alice);
    alice.introduce(&bob);
    let carol = AccountTag::new([3; 32]);
    let envelope = copy(&mut bob, alice.own.account, carol);
    assert!(matches!(alice.take(&envelope), Arrival::Unreadable { reason: "malformed", .. }));
    assert!(alice.database.read().history(carol, 9).unwrap().is_empty());
    assert!(alice.database.read().contact(carol).unwrap().is_none());
}

#[test]
fn what_was_decided_last_counts_on_every_device() {
    let (mut phone, bob) = (Device::new("alice"), Device::new("bob"));
    phone.meet(&bob);
    let (mut laptop, own, to) = (linked(&phone), phone.own, bob.own.account);
    let bundles = laptop.bundles();
    phone.database.write(|store| open_sessions(store, own, own.account, &bundles, clock::now())).unwrap();
    laptop.introduce(&phone);
    let standing = |laptop: &Device| laptop.database.read().contact(to).unwrap().unwrap().standing;
    let decision = |standing: Standing| ContentKind::Decision {
        about: to,
        handle: "bob".to_owned(),
        standing: standing.as_str().to_owned(),
    };
    let at = UnixMillis::new(1_000);
    let mut hear = |laptop: &mut Device, kind: ContentKind, at: UnixMillis| {
        let envelope = told(&mut phone, own.account, kind, at);
        laptop.take(&envelope)
    };
    let arrival = hear(&mut laptop, decision(Standing::Blocked), at);
    assert!(matches!(&arrival, Arrival::Unseen { news, .. } if news.len() == 1), "{arrival:?}");
    assert_eq!(standing(&laptop), Standing::Blocked);
    // A message that was written before, and a decision that was taken before, say nothing about now.
    let text = Text::new("written before".to_owned()).unwrap();
    let earlier = ContentKind::Copy { to, handle: "bob".to_owned(), said: text.into() };
    hear(&mut laptop, earlier, UnixMillis::new(999));
    assert_eq!(standing(&laptop), Standing::Blocked);
    laptop.database.write(|store| store.decide(to, Standing::Ignored, UnixMillis::new(2_000))).unwrap();
    hear(&mut laptop, decision(Standing::Accepted), UnixMillis::new(1_999));
    assert_eq!(standing(&laptop), Standing::Ignored);
    hear(&mut laptop, decision(Standing::Request), UnixMillis::new(2_001));
    assert_eq!(standing(&laptop), Standing::Request);
    assert_eq!(laptop.database.read().untold(9).unwrap(), [], "the other device has told the server");
}

#[test]
fn what_one_device_settles_counts_on_the_others_and_the_later_of_two_does() {
    let (mut phone, bob) = (Device::new("alice"), Device::new("bob"));
    phone.meet(&bob);
    let (with, own, at) = (bob.own.account, phone.own.account, clock::now());
    let mut laptop = linked(&phone);
    phone.meet(&laptop);
    let identity = laptop.database.read().trusted_identity(with).unwrap().unwrap();
    let compared = Some(Comparison { identity, devices: vec![DeviceId::FIRST] });
    let said = [
        OwnNews::Nickname { about: with, name: "Bobby".to_owned() },
        OwnNews::Compared { about: with, compared },
        OwnNews::Choices { receipts: true, typing: false },
        OwnNews::Arranged { with, arrangement: Arrangement { pinned: true, muted: Muted::ForGood } },
    ];
    for news in said {
        let about = if matches!(news, OwnNews::Choices { .. }) { own } else { with };
        let Arrival::Unseen { news, .. } = laptop.take(&told(&mut phone, own, ContentKind::Own(news), at)) else {
            panic!("no news")
        };
        assert_eq!(news, [News { peer: about, id: None, change: Change::Settled }]);
    }
    let seen = |laptop: &Device| {
        let contact = laptop.database.read().contact(with).unwrap().unwrap();
        let settings = laptop.database.read().settings().unwrap();
        let name = contact.nickname.map(|name| name.as_str().to_owned());
        (name, contact.verified, (settings.receipts, settings.typing), contact.arrangement)
    };
    let pinned = Arrangement { pinned: true, muted: Muted::ForGood };
    let settled = (Some("Bobby".to_owned()), true, (true, false), pinned);
    assert_eq!(seen(&laptop), settled);
    // What was said before that and comes late, and a key that is not the one that is trusted here.
    let earlier = UnixMillis::new(at.get() - 1);
    for news in [
        OwnNews::Nickname { about: with, name: "Old".to_owned() },
        OwnNews::Compared { about: with, compared: None },
        OwnNews::Choices { receipts: false, typing: true },
        OwnNews::Arranged { with, arrangement: Arrangement::default() },
    ] {
        let arrival = laptop.take(&told(&mut phone, own, ContentKind::Own(news), earlier));
        assert!(matches!(&arrival, Arrival::Unseen { news, .. } if news.is_empty()), "{arrival:?}");
    }
    assert_eq!(seen(&laptop), settled);
    let other =
        OwnNews::Compared { about: with, compared: Some(Comparison { identity: [5; 33], devices: Vec::new() }) };
    let later = UnixMillis::new(at.get() + 1);
    laptop.take(&told(&mut phone, own, ContentKind::Own(other), later));
    assert!(!seen(&laptop).1, "another key was compared than the one that is trusted here");
    // A clock that was set back does not make what is settled now older than that.
    let news = OwnNews::Nickname { about: with, name: String::new() };
    assert!(laptop.database.write(|store| store.settles(&news, UnixMillis::new(1))).unwrap() > at);
}

/// A name that was given, and a place in the list, when nobody knew yet whose it is.
#[test]
fn what_somebody_is_called_and_where_he_stands_is_told_when_his_account_is_known() {
    let mut phone = Device::new("alice");
    let (stand_in, bob, now) = (AccountTag::new([7; 32]), AccountTag::new([8; 32]), clock::now());
    let handle = "bob".parse().unwrap();
    phone.database.write(|store| store.put_unaddressed(stand_in, &handle)).unwrap();
    phone.database.write(|store| store.set_nickname(stand_in, Some(&"Bobby".parse().unwrap()))).unwrap();
    let arrangement = Arrangement { pinned: true, muted: Muted::No };
    phone.database.write(|store| store.set_arrangement(stand_in, arrangement)).unwrap();
    let queued = phone.database.write(|store| addressed(store, stand_in, bob, &handle, false, now)).unwrap();
    let told: Vec<ContentKind> = queued
        .into_iter()
        .map(|(row, to)| {
            assert_eq!(to, phone.own.account);
            let Some(SealedItem::Open { content, .. }) = phone.database.read().outbox_item(row).unwrap() else {
                panic!("no content")
            };
            Content::decode(&content).unwrap().kind
        })
        .collect();
    let name = OwnNews::Nickname { about: bob, name: "Bobby".to_owned() };
    let place = OwnNews::Arranged { with: bob, arrangement };
    assert_eq!(told, [ContentKind::Own(name), ContentKind::Own(place)]);
    assert_eq!(phone.database.read().contact(bob).unwrap().unwrap().arrangement, arrangement);
}

#[test]
fn nobody_else_settles_anything_here() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    let (with, to) = (alice.own.account, bob.own.account);
    let before = bob.database.read().settings().unwrap();
    for news in [
        OwnNews::Choices { receipts: true, typing: false },
        OwnNews::Nickname { about: with, name: "a friend".to_owned() },
    ] {
        let arrival = bob.take(&told(&mut alice, to, ContentKind::Own(news), clock::now()));
        assert!(matches!(arrival, Arrival::Unreadable { reason: "malformed", .. }), "{arrival:?}");
    }
    assert_eq!(bob.database.read().settings().unwrap(), before);
    assert_eq!(bob.database.read().contact(with).unwrap().unwrap().nickname, None);
}
