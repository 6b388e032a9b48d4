//! What is said about messages: two devices' databases without a network, and whole engines against a small node.

use std::time::Duration;

use endtoend_protocol::{
    AccountTag, Content, ContentKind, Emoji, Lifetime, MessageId, Progress, Reference, Said, Text, UnixMillis, Written,
};
use tokio::time::timeout;

use super::messages::Device;
use super::node::Node;
use super::wiring::{PATIENCE, Person};
use crate::amend::Refused;
use crate::clock;
use crate::database::{Body, Direction, MessageRef, MessageState, Settings, Standing, StoredMessage};
use crate::engine::receive::Arrival;
use crate::engine::repair::{content_again, queue_errand};
use crate::engine::seal::Sealed;
use crate::engine::{Change, Deed, Event, SendError};
use crate::life::Kept;

fn words(words: &str) -> Text {
    Text::new(words.to_owned()).unwrap()
}

fn emoji(emoji: &str) -> Emoji {
    Emoji::new(emoji.to_owned()).unwrap()
}

/// Two who have met, with one message from Alice.
fn with_a_message() -> (Device, Device, MessageId) {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    let letter = alice.envelope(bob.own.account, "first words");
    assert!(matches!(bob.take(&letter), Arrival::Message { .. }));
    let id = bob.all(alice.own.account)[0].id;
    (alice, bob, id)
}

impl Device {
    pub(super) fn all(&self, with: AccountTag) -> Vec<StoredMessage> {
        self.database.read().history(with, 99).unwrap()
    }

    /// What a peer that follows no rules can say, at any time by its clock.
    pub(super) fn says(&mut self, to: &mut Device, said: Said, at: UnixMillis) -> Arrival {
        let (own, account, now) = (self.own, to.own.account, self.now());
        let id = MessageId::new(now, rand::random());
        let (seq, _) =
            self.database.write(|store| queue_errand(store, account, id, at, ContentKind::Said(said))).unwrap();
        let Sealed::Ready { envelope, .. } = self.seal(seq, account) else { panic!("not sealed") };
        assert_eq!(envelope.to, to.own);
        assert_eq!(self.own, own);
        to.take(&envelope)
    }
}

pub(super) fn changes(arrival: &Arrival) -> usize {
    match arrival {
        Arrival::Unseen { news, .. } => news.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_edit_changes_the_words_and_the_latest_counts() {
    let (mut alice, mut bob, id) = with_a_message();
    let with = alice.own.account;
    let edit = |text| Said::Edit { id, text: words(text) };
    let at = |ms| UnixMillis::new(ms);
    assert_eq!(changes(&alice.says(&mut bob, edit("second"), at(20))), 1);
    assert_eq!(changes(&alice.says(&mut bob, edit("an earlier one"), at(10))), 0);
    let message = bob.all(with).remove(0);
    assert_eq!((message.body, message.marks.edited_at), (Body::Text(words("second")), Some(at(20))));
    assert_eq!(changes(&alice.says(&mut bob, Said::Delete(id), at(5))), 1);
    assert_eq!(changes(&alice.says(&mut bob, edit("after the end"), at(99))), 0);
    assert_eq!(bob.all(with).remove(0).body, Body::Deleted);
}

#[test]
fn nobody_changes_what_another_wrote() {
    let (mut alice, mut bob, id) = with_a_message();
    // Bob follows no rules: he says it about Alice's message, which has the direction 'in' at his side only.
    let at = alice.now();
    bob.meet(&alice);
    let edit = Said::Edit { id, text: words("words in her mouth") };
    for said in
        [edit, Said::Delete(id), Said::Receipt { progress: Progress::Read, ids: vec![MessageId::new(at, [1; 10])] }]
    {
        assert_eq!(changes(&bob.says(&mut alice, said, at)), 0);
    }
    assert_eq!(alice.all(bob.own.account).remove(0).body, Body::Text(words("first words")));
}

#[test]
fn what_is_said_about_unknown_messages_leaves_nothing() {
    let (mut alice, mut bob, _) = with_a_message();
    let id = MessageId::new(UnixMillis::new(1), [9; 10]);
    let to = Reference { id, of_reader: true };
    for said in [
        Said::Edit { id, text: words("of nothing") },
        Said::Delete(id),
        Said::React { to, emoji: Some(emoji("👍")) },
        Said::React { to: Reference { of_reader: false, ..to }, emoji: Some(emoji("👍")) },
        Said::Receipt { progress: Progress::Delivered, ids: vec![id; 64] },
        Said::Timer(Lifetime::from_secs(1)),
    ] {
        let at = alice.now();
        assert_eq!(changes(&alice.says(&mut bob, said, at)), 0);
    }
    assert_eq!(bob.all(alice.own.account).len(), 1);
    assert_eq!(bob.database.read().timer(alice.own.account).unwrap(), None, "of a stranger");
}

#[test]
fn a_reaction_is_one_for_each_person_and_no_clock_has_the_last_word() {
    let (mut alice, mut bob, id) = with_a_message();
    let (a, b) = (alice.own.account, bob.own.account);
    bob.meet(&alice);
    let to = Reference { id, of_reader: true };
    let react = |text: Option<&str>| Said::React { to, emoji: text.map(emoji) };
    assert_eq!(changes(&bob.says(&mut alice, react(Some("👍")), UnixMillis::new(u64::MAX))), 1);
    alice.ahead = Duration::from_secs(60);
    let now = alice.now();
    assert_eq!(
        changes(&bob.says(&mut alice, react(Some("🎉")), now)),
        1,
        "a clock in the future does not stop the next"
    );
    let marks = alice.all(b).remove(0).marks;
    assert_eq!((marks.their_reaction, marks.own_reaction), (Some(emoji("🎉")), None));
    let later = now.plus(Duration::from_secs(1));
    alice.ahead = Duration::from_secs(120);
    assert_eq!(changes(&bob.says(&mut alice, react(None), later)), 1);
    assert_eq!(alice.all(b).remove(0).marks.their_reaction, None);
    assert_eq!(bob.all(a).len(), 1);
}

#[test]
fn an_edited_message_is_sent_again_as_it_was_first() {
    let (mut alice, bob, id) = with_a_message();
    let to = bob.own.account;
    let again = |alice: &Device| content_again(&alice.database.read(), to, id).unwrap().map(|bytes| bytes.to_vec());
    let first = again(&alice);
    let now = alice.now();
    let deed = Deed::Edit(id, words("other words"));
    alice.database.write(|store| crate::engine::say::act(store, to, deed, true, now)).unwrap().unwrap();
    assert_eq!(alice.all(to).remove(0).body, Body::Text(words("other words")));
    assert_eq!(again(&alice), first, "byte for byte, because the chain covers it");
    let kept = Content::decode(&first.unwrap()).unwrap();
    assert_eq!(kept.kind, ContentKind::Said(words("first words").into()));
    let deed = Deed::DeleteForEveryone(id);
    alice.database.write(|store| crate::engine::say::act(store, to, deed, true, now)).unwrap().unwrap();
    assert_eq!(again(&alice), None, "what was deleted is not said again");
}

#[test]
fn a_message_deleted_here_stays_away_and_is_not_untold() {
    let (mut alice, mut bob, id) = with_a_message();
    let (with, now) = (alice.own.account, bob.now());
    let done = bob.database.write(|store| crate::engine::say::act(store, with, Deed::DeleteForMe(id), true, now));
    assert!(done.unwrap().unwrap().queued.is_empty(), "nobody is told");
    assert_eq!(bob.all(with), []);
    assert_eq!(changes(&alice.says(&mut bob, Said::Edit { id, text: words("back again") }, now)), 0);
    assert_eq!((bob.all(with), bob.database.read().unread_count().unwrap()), (vec![], 0));
}

#[test]
fn lives_end_on_their_own_clock_and_leave_nothing() {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    let (with, at) = (alice.own.account, alice.now());
    let written = Written { text: words("soon gone"), reply_to: None, lives_for: Lifetime::from_secs(60) };
    assert!(matches!(alice.says(&mut bob, Said::Text(written), at), Arrival::Message { .. }));
    let life = |ms| Kept { life_ms: ms, wall: UnixMillis::new(1) };
    let expire = |bob: &mut Device, ms| bob.database.write(|store| store.expire(ms)).unwrap().len();
    assert_eq!(expire(&mut bob, u64::MAX), 0, "nobody has seen it");
    let message = bob.all(with).remove(0);
    bob.database
        .write(|store| {
            store.set_life(life(5_000))?;
            store.mark_shown(&[message.seq])
        })
        .unwrap();
    assert_eq!(bob.database.read().next_expiry().unwrap(), Some(65_000));
    let named = MessageRef { direction: Direction::In, id: message.id };
    bob.database.write(|store| store.react(with, named, Direction::Out, Some(&emoji("👍")), at)).unwrap().unwrap();
    assert_eq!((expire(&mut bob, 64_999), expire(&mut bob, 65_000), expire(&mut bob, u64::MAX)), (0, 1, 0));
    assert_eq!(bob.all(with), []);
}

#[test]
fn a_stranger_hears_of_no_receipt() {
    let (alice, mut bob, _) = with_a_message();
    let with = alice.own.account;
    let seq = bob.all(with)[0].seq;
    let shown = |bob: &mut Device| bob.database.write(|store| store.mark_shown(&[seq])).unwrap();
    let on = Settings { receipts: true, typing: true };
    bob.database.write(|store| store.set_settings(on)).unwrap();
    assert!(!shown(&mut bob));
    assert_eq!(bob.database.read().take_receipts().unwrap(), None);
    // Accepted, but receipts are off.
    let (mut alice, mut bob, _) = with_a_message();
    let now = bob.now();
    bob.database
        .write(|store| {
            store.decide(with, Standing::Accepted, now)?;
            store.set_settings(Settings { receipts: false, typing: true })
        })
        .unwrap();
    assert!(!shown(&mut bob));
    bob.database.write(|store| store.set_settings(on)).unwrap();
    let letter = alice.envelope(bob.own.account, "another");
    assert!(matches!(bob.take(&letter), Arrival::Message { owes: true, .. }));
}

async fn changed(events: &mut tokio::sync::broadcast::Receiver<Event>, wanted: Change) {
    loop {
        if let Event::Changed { change, .. } = timeout(PATIENCE, events.recv()).await.unwrap().unwrap()
            && change == wanted
        {
            return;
        }
    }
}

#[tokio::test]
async fn two_people_edit_react_reply_and_see_what_was_read() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let (to_bob, to_alice) = ("bob".parse::<crate::handle::Handle>().unwrap(), "alice".parse().unwrap());
    let (mut at_alice, mut at_bob) = (alice.engine.events(), bob.engine.events());
    let (a, b) = (alice.engine.handle(), bob.engine.handle());
    b.set_settings(Settings { receipts: true, typing: true }).await.unwrap();
    let hello = alice.send("bob", "hello").await;
    bob.unread(1).await;
    let answer = b.answer(to_alice, words("hello you"), hello).await.unwrap();
    alice.unread(1).await;
    let answered = a.history(to_bob.clone(), 9).await.unwrap();
    assert_eq!(answered[1].marks.reply_to, Some(MessageRef { direction: Direction::Out, id: hello }));

    // Both have accepted each other by now.
    let second = alice.send("bob", "wrods").await;
    changed(&mut at_alice, Change::Delivered).await;
    a.act(to_bob.clone(), Deed::Edit(second, words("words"))).await.unwrap();
    changed(&mut at_bob, Change::Edited).await;
    let unread = bob.unread(2).await;
    assert_eq!(unread, ["hello", "words"]);
    let shown = b.unread(None, 9).await.unwrap().iter().map(|message| message.seq).collect();
    b.mark_shown(shown).await.unwrap();
    changed(&mut at_alice, Change::Read).await;
    let state = |id| {
        let a = a.clone();
        async move { a.find(id).await.unwrap().unwrap().state }
    };
    while state(second).await != MessageState::Read {
        changed(&mut at_alice, Change::Read).await;
    }

    a.act(to_bob.clone(), Deed::React(answer, Some(emoji("🎉")))).await.unwrap();
    changed(&mut at_bob, Change::Reacted).await;
    assert_eq!(b.find(answer).await.unwrap().unwrap().marks.their_reaction, Some(emoji("🎉")));
    a.act(to_bob.clone(), Deed::Typing(true)).await.unwrap();
    changed(&mut at_bob, Change::Typing { stopped: false }).await;
    a.act(to_bob.clone(), Deed::DeleteForEveryone(second)).await.unwrap();
    changed(&mut at_bob, Change::Deleted).await;
    let refused = a.act(to_bob.clone(), Deed::Edit(answer, words("his words"))).await;
    assert!(matches!(refused, Err(SendError::NotAllowed(Refused::NoSuchMessage))), "{refused:?}");
    let stranger = a.act("carol".parse().unwrap(), Deed::Typing(true)).await;
    assert!(matches!(stranger, Err(SendError::NoConversation(_))), "{stranger:?}");
}

#[tokio::test]
async fn a_timer_holds_on_both_sides_and_over_a_restart() {
    let node = Node::start().await;
    let (alice, bob) = (Person::registered(&node, "alice").await, Person::registered(&node, "bob").await);
    let mut at_bob = bob.engine.events();
    alice.send("bob", "stays").await;
    bob.unread(1).await;
    bob.send("alice", "too").await;
    alice.unread(1).await;
    let second = Lifetime::from_secs(1);
    alice.engine.handle().act("bob".parse().unwrap(), Deed::Timer(second)).await.unwrap();
    changed(&mut at_bob, Change::Timer(second)).await;
    assert_eq!(bob.engine.handle().timer("alice".parse().unwrap()).await.unwrap(), second);
    let mut at_alice = alice.engine.events();
    bob.send("alice", "goes").await;
    alice.unread(2).await;
    let unread = alice.engine.handle().unread(None, 9).await.unwrap();
    assert_eq!(unread[1].marks.lives_for, second);
    changed(&mut at_bob, Change::Expired).await;
    alice.engine.handle().mark_shown(unread.iter().map(|message| message.seq).collect()).await.unwrap();
    changed(&mut at_alice, Change::Expired).await;
    let (alice, bob) = (alice.restarted(false).await, bob.restarted(false).await);
    for (person, with) in [(&alice, "bob"), (&bob, "alice")] {
        let handle = person.engine.handle();
        let left = handle.history(with.parse().unwrap(), 9).await.unwrap();
        assert_eq!(left.len(), 2, "what was written before stays");
        assert_eq!(handle.timer(with.parse().unwrap()).await.unwrap(), second);
    }
    assert!(clock::now() > UnixMillis::new(0));
}
