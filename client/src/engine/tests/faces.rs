//! How accounts show themselves, and people who are passed on.

use endtoend_protocol::{Content, ContentKind, MessageId, OwnNews, Said};
use tokio::time::timeout;

use super::linking::{linked, sealed};
use super::messages::Device;
use super::node::Node;
use super::wiring::{PATIENCE, Person};
use crate::card::Card;
use crate::clock;
use crate::database::{Body, Contact, MessageState, SealedItem, Standing};
use crate::engine::faces::{choose, tell};
use crate::engine::receive::Arrival;
use crate::engine::say::News;
use crate::engine::{Change, FaceError};
use crate::face::{Face, Portrait};
use crate::handle::Handle;

fn portrait(shade: u8) -> Portrait {
    let mut bytes = Vec::new();
    let image = image::DynamicImage::ImageRgb8(image::RgbImage::from_pixel(16, 16, image::Rgb([shade; 3])));
    image.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Jpeg).unwrap();
    Portrait::from_bytes(bytes).unwrap()
}

fn face(name: &str, shade: u8) -> Face {
    Face { name: Some(name.parse().unwrap()), portrait: Some(portrait(shade)) }
}

async fn known(person: &Person, handle: &str) -> Option<Contact> {
    let contacts = person.engine.handle().contacts().await.unwrap();
    contacts.into_iter().find(|contact| contact.handle.as_ref().is_some_and(|it| it.as_str() == handle))
}

/// Waits until somebody is seen under a name.
async fn called(person: &Person, handle: &str, name: &str) -> Contact {
    let mut events = person.engine.events();
    loop {
        if let Some(contact) = known(person, handle).await
            && contact.face_name.as_ref().is_some_and(|it| it.as_str() == name)
        {
            return contact;
        }
        timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn those_who_are_accepted_see_a_face_and_strangers_do_not() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let to_alice: Handle = "alice".parse().unwrap();
    alice.engine.handle().set_face(face("Alice A.", 10)).await.unwrap();
    let id = alice.send("bob", "may I?").await;
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
    assert_eq!(bob.unread(1).await, ["may I?"]);
    let sends = node.ledger().sends.len();
    assert_eq!(sends, 1, "Bob has said nothing yet, and may have her for a stranger");
    assert_eq!(known(&bob, "alice").await.unwrap().face_name, None);

    bob.send("alice", "you may").await;
    let seen = called(&bob, "alice", "Alice A.").await;
    assert_eq!(seen.portrait, Some(portrait(10).hash()));
    assert_eq!(bob.engine.handle().face(Some(to_alice.clone())).await.unwrap(), face("Alice A.", 10));
    assert_eq!(seen.name().unwrap().as_str(), "Alice A.");

    // Another picture, and a name of Bob's own, which wins.
    alice.engine.handle().set_face(face("Alice B.", 20)).await.unwrap();
    let seen = called(&bob, "alice", "Alice B.").await;
    assert_eq!(seen.portrait, Some(portrait(20).hash()));
    bob.engine.handle().set_nickname(to_alice.clone(), Some("Ally".parse().unwrap())).await.unwrap();
    assert_eq!(known(&bob, "alice").await.unwrap().name().unwrap().as_str(), "Ally");
    let alice = alice.restarted(true).await;
    assert_eq!(alice.engine.handle().face(None).await.unwrap(), face("Alice B.", 20));

    // Nothing is shown of whoever is not accepted any more.
    bob.engine.handle().decide(to_alice.clone(), Standing::Ignored).await.unwrap();
    let ignored = known(&bob, "alice").await.unwrap();
    assert_eq!((ignored.face_name, ignored.portrait), (None, None));
    assert_eq!(bob.engine.handle().face(Some(to_alice)).await.unwrap(), Face::default());
    let history = bob.engine.handle().history("alice".parse().unwrap(), 9).await.unwrap();
    assert_eq!(history.len(), 2, "it stands in no history: {history:?}");
}

#[tokio::test]
async fn a_profile_without_an_account_has_no_face() {
    let home = tempfile::tempdir().unwrap();
    let profile =
        crate::profile::Profile::create_with(home.path(), super::wiring::PASSWORD.as_bytes(), super::wiring::FAST)
            .unwrap();
    let engine = crate::engine::Engine::start(profile, super::wiring::options(false)).unwrap();
    let refused = engine.handle().set_face(face("Nobody", 1)).await;
    assert!(matches!(refused, Err(FaceError::NotRegistered)), "{refused:?}");
    assert_eq!(engine.handle().face(None).await.unwrap(), Face::default());
    engine.stop().await;
}

/// What waits in an outbox for an account, opened.
fn queued(device: &Device, row: i64) -> Content {
    let Some(SealedItem::Open { content, .. }) = device.database.read().outbox_item(row).unwrap() else {
        panic!("no content")
    };
    Content::decode(&content).unwrap()
}

#[test]
fn a_face_is_told_once_to_each_and_again_to_whoever_has_a_new_device() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.meet(&alice);
    let (own, to, now) = (alice.own.account, bob.own.account, clock::now());
    alice.database.write(|store| choose(store, own, &face("Alice", 1), now)).unwrap();
    let told = |alice: &mut Device| alice.database.write(|store| tell(store, own, 8, true, now)).unwrap();
    alice.database.write(|store| store.decide(to, Standing::Accepted, now)).unwrap();
    assert_eq!(told(&mut alice), [], "he has said nothing");
    let row = bob.queue(own, "hello");
    let envelope = sealed(&mut bob, row, own);
    alice.take(&envelope);
    let rows = told(&mut alice);
    assert_eq!(rows.len(), 1);
    assert!(matches!(queued(&alice, rows[0].0).kind, ContentKind::Said(Said::Face(_))));
    assert_eq!(told(&mut alice), []);

    // The same list of devices, and then another one.
    let version = alice.database.read().devices_version(to).unwrap();
    alice.database.write(|store| store.set_keys_at(to, version, now)).unwrap();
    assert_eq!(told(&mut alice), []);
    alice.database.write(|store| store.set_keys_at(to, version + 1, now)).unwrap();
    assert_eq!(told(&mut alice).len(), 1);
}

#[test]
fn a_strangers_face_is_not_kept_and_a_late_one_changes_nothing() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.meet(&alice);
    let (own, to, now) = (alice.own.account, bob.own.account, clock::now());
    let say = |alice: &mut Device, face: &Face, at| {
        let kind = ContentKind::Said(Said::Face(face.said()));
        let id = MessageId::new(at, rand::random());
        let content = Content { id, sent_at: at, sender_handle: None, kind };
        let row = alice.database.write(|store| store.enqueue(id, to, &content.encode())).unwrap();
        sealed(alice, row, to)
    };
    let envelope = say(&mut alice, &face("Mallory", 1), now);
    assert!(matches!(bob.take(&envelope), Arrival::Unseen { news, .. } if news.is_empty()));
    assert_eq!(bob.database.read().face(own).unwrap(), Face::default());
    bob.database.write(|store| store.decide(own, Standing::Accepted, now)).unwrap();
    assert_eq!(bob.database.read().contact(own).unwrap().unwrap().face_name, None);
    let envelope = say(&mut alice, &face("Alice", 2), now);
    let Arrival::Unseen { news, .. } = bob.take(&envelope) else { panic!("no news") };
    assert_eq!(news, [News { peer: own, id: None, change: Change::Face }]);
    let earlier = endtoend_protocol::UnixMillis::new(now.get() - 1);
    let envelope = say(&mut alice, &face("Before", 3), earlier);
    assert!(matches!(bob.take(&envelope), Arrival::Unseen { news, .. } if news.is_empty()));
    assert_eq!(bob.database.read().face(own).unwrap(), face("Alice", 2));
}

#[test]
fn an_own_device_shows_the_same_face_and_tells_it_to_nobody_who_has_heard() {
    let (mut phone, mut bob) = (Device::new("alice"), Device::new("bob"));
    phone.meet(&bob);
    bob.meet(&phone);
    let mut laptop = linked(&phone);
    phone.meet(&laptop);
    laptop.introduce(&phone);
    let (own, to, now) = (phone.own.account, bob.own.account, clock::now());
    laptop.database.write(|store| store.was_decided(to, Standing::Accepted, now)).unwrap();
    phone.database.write(|store| choose(store, own, &face("Alice", 7), now)).unwrap();
    let rows = phone.database.write(|store| tell(store, own, 8, false, now)).unwrap();
    let [(row, whom)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(*whom, own);
    assert_eq!(queued(&phone, *row).kind, ContentKind::Own(OwnNews::Face(face("Alice", 7).said())));
    let envelope = sealed(&mut phone, *row, own);
    let Arrival::Unseen { news, .. } = laptop.take(&envelope) else { panic!("no news") };
    assert_eq!(news, [News { peer: own, id: None, change: Change::Settled }]);
    assert_eq!(laptop.database.read().face(own).unwrap(), face("Alice", 7));
    assert_eq!(laptop.database.write(|store| tell(store, own, 8, false, now)).unwrap(), []);
}

#[tokio::test]
async fn somebody_who_is_passed_on_is_accepted_by_his_link() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let carol = Person::registered(&node, "carol").await;
    let [to_bob, of_carol]: [Handle; 2] = ["bob", "carol"].map(|name| name.parse().unwrap());
    let hers = carol.engine.handle().own_link().await.unwrap();
    let unknown = alice.engine.handle().link_of(of_carol.clone()).await;
    assert!(matches!(unknown, Err(crate::engine::VerifyError::Unknown(_))), "{unknown:?}");
    alice.engine.handle().add_contact(hers.clone(), false).await.unwrap();
    let link = alice.engine.handle().link_of(of_carol.clone()).await.unwrap();
    assert_eq!(link, hers);
    assert_eq!(carol.engine.handle().link_of(of_carol.clone()).await.unwrap(), hers);

    let card = Card { link, name: Some("Carol from work".parse().unwrap()) };
    let id = alice.engine.handle().send_card(to_bob.clone(), card.clone(), None).await.unwrap();
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
    let mut events = bob.engine.events();
    let came = loop {
        let unread = bob.engine.handle().unread(None, 9).await.unwrap();
        if let Some(message) = unread.into_iter().next() {
            break message;
        }
        timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    };
    let Body::Card(got) = &came.body else { panic!("{came:?}") };
    assert_eq!(**got, card);
    let question = crate::database::Question { words: "carol".to_owned(), ..Default::default() };
    assert_eq!(bob.engine.handle().search(question, None, 9).await.unwrap().len(), 1, "found by her name");
    assert!(known(&bob, "carol").await.is_none(), "showing it accepts nobody");
    let added = bob.engine.handle().add_contact(got.link.clone(), false).await.unwrap();
    assert_eq!((added.peer_identity, added.verified), (hers.identity, false));
    assert_eq!(known(&bob, "carol").await.unwrap().standing, Standing::Accepted);

    // A card with another identity than the one that is known is refused like any such link.
    let forged = Card { link: crate::contact_link::ContactLink { identity: added.own_identity, ..hers }, name: None };
    assert!(bob.engine.handle().add_contact(forged.link, false).await.is_err());
    let bob = bob.restarted(false).await;
    let kept = bob.engine.handle().history("alice".parse().unwrap(), 9).await.unwrap();
    assert_eq!(kept.last().unwrap().body, Body::Card(Box::new(card)));
    let edit = crate::engine::Deed::Edit(id, endtoend_protocol::Text::new("x".to_owned()).unwrap());
    assert!(alice.engine.handle().act(to_bob.clone(), edit).await.is_err(), "a card has no words");
    alice.engine.handle().act(to_bob, crate::engine::Deed::DeleteForEveryone(id)).await.unwrap();
}
