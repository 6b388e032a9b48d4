//! Links, verified contacts, nicknames and notes to oneself.

use endtoend_protocol::{Arrangement, Muted, Text};
use tokio::time::timeout;

use super::messages::Device;
use super::node::Node;
use super::wiring::{PATIENCE, Person};
use crate::contact_link::ContactLink;
use crate::database::{Body, Contact, Direction, Draft, Edits, MessageState, Standing};
use crate::engine::account::{accept_identity, expect_identity};
use crate::engine::receive::Learned;
use crate::engine::seal::Opened;
use crate::engine::{AddError, ArrangeError, Deed, Event, NicknameError, VerifyError};
use crate::handle::Handle;

fn contact(device: &Device, of: &Device) -> Contact {
    device.database.read().contact(of.own.account).unwrap().unwrap()
}

#[test]
fn an_identity_from_a_link_is_trusted_before_the_server_says_another() {
    let (mut alice, bob, impostor) = (Device::new("alice"), Device::new("bob"), Device::new("bob"));
    alice.knows(&bob);
    let (tag, key) = (bob.own.account, bob.published.identity_key);
    let mut expect = |key| alice.database.write(|store| expect_identity(store, tag, &bob.handle, key));
    expect(&key).unwrap();
    expect(&key).unwrap();
    let other = expect(&impostor.published.identity_key);
    assert!(matches!(other, Err(AddError::OtherIdentity(_))), "{other:?}");
    assert_eq!(alice.meet(&impostor), Opened::IdentityChanged);
    let changed = alice.database.write(|store| expect_identity(store, tag, &bob.handle, &key));
    assert!(matches!(changed, Err(AddError::OtherIdentity(_))), "a person has to look first: {changed:?}");
    assert_eq!(alice.meet(&bob), Opened::Ready);
}

#[test]
fn a_verified_mark_falls_with_the_identity() {
    let (mut alice, bob, again) = (Device::new("alice"), Device::new("bob"), Device::new("bob"));
    alice.meet(&bob);
    let (tag, key) = (bob.own.account, bob.published.identity_key);
    let mark = |alice: &mut Device, key| alice.database.write(|store| store.set_verified(tag, key)).unwrap();
    mark(&mut alice, Some(&again.published.identity_key));
    assert!(!contact(&alice, &bob).verified, "not the key that is trusted");
    mark(&mut alice, Some(&key));
    assert!(contact(&alice, &bob).verified);
    assert!(matches!(alice.introduce(&again), Learned::IdentityChanged));
    assert!(!contact(&alice, &bob).verified);
    let own = alice.own;
    accept_identity(&mut alice.database, own, tag, &bob.handle).unwrap();
    assert!(!contact(&alice, &bob).verified, "the new one was not compared");
    mark(&mut alice, Some(&again.published.identity_key));
    assert!(contact(&alice, &bob).verified);
    mark(&mut alice, None);
    assert!(!contact(&alice, &bob).verified);
}

async fn only_contact(person: &Person) -> Contact {
    let mut contacts = person.engine.handle().contacts().await.unwrap();
    assert_eq!(contacts.len(), 1, "{contacts:?}");
    contacts.remove(0)
}

#[tokio::test]
async fn a_link_makes_a_contact_that_a_nickname_stays_with() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let to_bob: Handle = "bob".parse().unwrap();
    let link = bob.engine.handle().own_link().await.unwrap();
    let read: ContactLink = link.to_string().parse().unwrap();
    assert_eq!((&read, read.handle.as_str()), (&link, "bob"));
    let handle = alice.engine.handle();
    let nobody = handle.set_nickname(to_bob.clone(), Some("Bobby".parse().unwrap())).await;
    assert!(matches!(nobody, Err(NicknameError::Unknown(_))), "{nobody:?}");
    let added = handle.add_contact(link.clone(), true).await.unwrap();
    assert!(added.verified && !added.changed);
    assert_eq!(added.peer_identity, link.identity);
    handle.set_nickname(to_bob.clone(), Some("Bobby".parse().unwrap())).await.unwrap();
    let id = alice.send("bob", "by your link").await;
    assert_eq!(alice.settled(id).await, MessageState::Accepted);
    assert_eq!(bob.unread(1).await, ["by your link"]);

    let alice = alice.restarted(false).await;
    let known = only_contact(&alice).await;
    assert_eq!((known.standing, known.verified), (Standing::Accepted, true));
    assert_eq!(known.nickname.unwrap().as_str(), "Bobby");
    let handle = alice.engine.handle();
    let unmarked = handle.mark_verified(to_bob.clone(), None).await.unwrap();
    assert!(!unmarked.verified);
    let other = handle.mark_verified(to_bob.clone(), Some(unmarked.own_identity)).await;
    assert!(matches!(other, Err(VerifyError::NotCompared(_))), "{other:?}");
    let marked = handle.mark_verified(to_bob.clone(), Some(unmarked.peer_identity)).await.unwrap();
    assert!(marked.verified);
    handle.set_nickname(to_bob, None).await.unwrap();
    assert_eq!(only_contact(&alice).await.nickname, None);
}

#[tokio::test]
async fn a_link_with_another_identity_than_the_servers_stops_the_conversation() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let handle = alice.engine.handle();
    let link = bob.engine.handle().own_link().await.unwrap();
    let own = handle.own_link().await.unwrap();
    let oneself = handle.add_contact(own.clone(), false).await;
    assert!(matches!(oneself, Err(AddError::Oneself)), "{oneself:?}");
    let elsewhere = Node::start().await;
    let of_another = ContactLink { server: elsewhere.address.clone(), ..link.clone() };
    let other = handle.add_contact(of_another, false).await;
    assert!(matches!(other, Err(AddError::OtherServer)), "{other:?}");

    // The server gives out other keys for Bob than he has himself, or the link is an old one.
    let mut events = alice.engine.events();
    let old = ContactLink { identity: own.identity, ..link.clone() };
    assert!(!handle.add_contact(old, false).await.unwrap().verified);
    let id = alice.send("bob", "not for whoever this is").await;
    loop {
        if let Event::IdentityChanged { .. } = timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            break;
        }
    }
    assert_eq!(handle.find(id).await.unwrap().unwrap().state, MessageState::Queued);
    assert!(handle.verify("bob".parse().unwrap()).await.unwrap().changed);
    let looked_at = handle.add_contact(link, true).await;
    assert!(matches!(looked_at, Err(AddError::OtherIdentity(_))), "a person has to decide: {looked_at:?}");
    assert!(node.ledger().sends.is_empty());
}

#[tokio::test]
async fn a_note_to_oneself_needs_nobody() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await.restarted(false).await;
    let oneself: Handle = "alice".parse().unwrap();
    let note = alice.send("alice", "milk").await;
    assert_eq!(alice.engine.handle().find(note).await.unwrap().unwrap().state, MessageState::Queued);
    let alice = alice.restarted(true).await;
    assert_eq!(alice.settled(note).await, MessageState::Accepted, "there is no other device");
    let second = alice.send("alice", "bread").await;
    let handle = alice.engine.handle();
    assert_eq!(handle.find(second).await.unwrap().unwrap().state, MessageState::Accepted);
    handle.act(oneself.clone(), Deed::Edit(note, Text::new("oat milk".to_owned()).unwrap())).await.unwrap();
    let notes = handle.history(oneself.clone(), 9).await.unwrap();
    let texts: Vec<_> = notes.iter().map(|note| (note.direction, &note.body, note.shown)).collect();
    let said = |text: &str| Body::Text(Text::new(text.to_owned()).unwrap());
    assert_eq!(texts, [(Direction::Out, &said("oat milk"), true), (Direction::Out, &said("bread"), true)]);
    assert_eq!(handle.contacts().await.unwrap(), []);
    assert_eq!(handle.waiting_for(oneself).await.unwrap(), 0);
    assert!(node.ledger().sends.is_empty());
}

#[tokio::test]
async fn a_pinned_conversation_stands_above_the_others() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await.restarted(false).await;
    let handle = alice.engine.handle();
    let [bob, carol]: [Handle; 2] = ["bob", "carol"].map(|name| name.parse().unwrap());
    let pinned = Arrangement { pinned: true, muted: Muted::ForGood };
    let nobody = handle.arrange(bob.clone(), pinned).await;
    assert!(matches!(nobody, Err(ArrangeError::Unknown(_))), "{nobody:?}");
    alice.send("bob", "the first").await;
    alice.send("carol", "the last").await;
    let listed = |found: Vec<crate::database::Conversation>| -> Vec<_> {
        found.into_iter().map(|it| (it.contact.handle.unwrap(), it.contact.arrangement)).collect()
    };
    let none = Arrangement::default();
    let before = listed(handle.conversations(9).await.unwrap());
    assert_eq!(before, [(carol.clone(), none), (bob.clone(), none)]);
    handle.arrange(bob.clone(), pinned).await.unwrap();
    let alice = alice.restarted(false).await;
    let handle = alice.engine.handle();
    let after = listed(handle.conversations(9).await.unwrap());
    assert_eq!(after, [(bob.clone(), pinned), (carol.clone(), none)]);
    handle.arrange(bob.clone(), none).await.unwrap();
    assert_eq!(listed(handle.conversations(9).await.unwrap()), [(carol, none), (bob, none)]);
}

#[tokio::test]
async fn a_draft_stays_until_its_words_are_sent() {
    let node = Node::start().await;
    let alice = Person::registered(&node, "alice").await.restarted(false).await;
    let handle = alice.engine.handle();
    let [bob, carol]: [Handle; 2] = ["bob", "carol"].map(|name| name.parse().unwrap());
    let said = alice.send("bob", "first").await;
    let text = |words: &str| Text::new(words.to_owned()).unwrap();
    let draft = |words: &str| Draft { text: text(words), answers: Some(said), edits: None };
    handle.set_draft(bob.clone(), Some(draft("half a tho"))).await.unwrap();
    handle.set_draft(bob.clone(), Some(draft("half a thought\n"))).await.unwrap();
    handle.set_draft(carol.clone(), Some(draft("nobody knows her yet"))).await.unwrap();

    let alice = alice.restarted(false).await;
    let handle = alice.engine.handle();
    assert_eq!(handle.draft(bob.clone()).await.unwrap(), Some(draft("half a thought\n")));
    let kept = handle.drafts(9).await.unwrap();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(handle.drafts(1).await.unwrap(), [(carol.clone(), draft("nobody knows her yet"))]);
    alice.send("bob", "something else").await;
    assert!(handle.draft(bob.clone()).await.unwrap().is_some(), "other words are no end of it");
    alice.send("bob", "half a thought").await;
    assert_eq!(handle.draft(bob.clone()).await.unwrap(), None);
    // Other words for a message are not those that are sent, though they may be the same; and what was begun before waits.
    let edits = Edits { of: said, before: Some(text("before")) };
    let other = Draft { text: text("first of all"), answers: None, edits: Some(edits) };
    handle.set_draft(bob.clone(), Some(other.clone())).await.unwrap();
    alice.send("bob", "first of all").await;
    assert_eq!(handle.draft(bob.clone()).await.unwrap(), Some(other));
    handle.set_draft(bob.clone(), None).await.unwrap();
    handle.set_draft(carol.clone(), None).await.unwrap();
    assert_eq!(handle.drafts(9).await.unwrap(), []);
    assert!(node.ledger().sends.is_empty(), "nobody was told");
}
