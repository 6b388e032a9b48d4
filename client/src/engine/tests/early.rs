//! What comes before its time: words about a message that has not come, and kinds of content that are not known yet.

use std::time::Duration;

use endtoend_protocol::{
    Attached, BlobId, Card, Content, ContentKind, Envelope, File, FileName, Lifetime, MediaType, MessageId, Progress,
    Reference, Said, Shown, Text, UnixMillis, Written,
};

use super::linking::{linked, sealed};
use super::messages::Device;
use super::said::changes;
use crate::contact_link::ContactLink;
use crate::database::{
    Body, Direction, EARLY_AGE_MAX, EARLY_MAX, EARLY_MAX_PER_PEER, FileState, MessageRef, Question, Standing,
    StoredFile,
};
use crate::engine::receive::{Arrival, read_again};
use crate::engine::repair::queue_errand;
use crate::engine::seal::open_sessions;

fn words(words: &str) -> Text {
    Text::new(words.to_owned()).unwrap()
}

/// A letter of Alice's that Bob, who has accepted her, does not have yet.
fn on_its_way() -> (Device, Device, Envelope, MessageId) {
    let (mut alice, mut bob) = (Device::new("alice"), Device::new("bob"));
    alice.meet(&bob);
    bob.introduce(&alice);
    let (with, now) = (alice.own.account, bob.now());
    bob.database.write(|store| store.decide(with, Standing::Accepted, now)).unwrap();
    let letter = alice.envelope(bob.own.account, "first words");
    let id = alice.all(bob.own.account)[0].id;
    (alice, bob, letter, id)
}

fn early(id: MessageId) -> MessageRef {
    MessageRef { direction: Direction::In, id }
}

#[test]
fn an_edit_that_comes_before_its_message_is_in_force_when_that_comes() {
    let (mut alice, mut bob, letter, id) = on_its_way();
    let at = |ms| UnixMillis::new(ms);
    let edit = |text| Said::Edit { id, text: words(text) };
    for (said, at) in [(edit("third"), at(30)), (edit("second"), at(20))] {
        assert_eq!(changes(&alice.says(&mut bob, said, at)), 0);
    }
    let to = Reference { id, of_reader: false };
    let emoji = endtoend_protocol::Emoji::new("👍".to_owned());
    alice.says(&mut bob, Said::React { to, emoji: emoji.clone() }, at(40));
    assert_eq!(bob.all(alice.own.account), []);
    assert!(matches!(bob.take(&letter), Arrival::Message { .. }));
    let message = bob.all(alice.own.account).remove(0);
    assert_eq!((message.body, message.marks.edited_at), (Body::Text(words("third")), Some(at(30))));
    assert_eq!(message.marks.their_reaction, emoji);
    assert_eq!(bob.database.read().take_early(alice.own.account, early(id)).unwrap(), [], "nothing is left");
}

#[test]
fn a_deletion_that_comes_before_its_message_leaves_no_words() {
    let (mut alice, mut bob, letter, id) = on_its_way();
    alice.says(&mut bob, Said::Delete(id), UnixMillis::new(9));
    bob.take(&letter);
    assert_eq!(bob.all(alice.own.account).remove(0).body, Body::Deleted);
    let question = Question { words: "first".to_owned(), ..Question::default() };
    assert_eq!(bob.database.read().search(&question, 9).unwrap(), []);
}

#[test]
fn what_is_kept_too_long_is_forgotten() {
    let (mut alice, mut bob, letter, id) = on_its_way();
    let edit = Said::Edit { id, text: words("second") };
    alice.says(&mut bob, edit, UnixMillis::new(20));
    bob.ahead = EARLY_AGE_MAX + Duration::from_secs(1);
    bob.take(&letter);
    assert_eq!(bob.all(alice.own.account).remove(0).body, Body::Text(words("first words")));

    // Where messages disappear nothing is kept longer than they live.
    let (mut alice, mut bob, letter, id) = on_its_way();
    let (with, now) = (alice.own.account, bob.now());
    bob.database.write(|store| store.set_timer(with, Lifetime::from_secs(60), now)).unwrap();
    alice.says(&mut bob, Said::Edit { id, text: words("second") }, UnixMillis::new(20));
    bob.ahead = Duration::from_secs(61);
    bob.take(&letter);
    assert_eq!(bob.all(alice.own.account).remove(0).body, Body::Text(words("first words")));
}

#[test]
fn nobody_fills_a_disk_with_what_is_kept() {
    let (_, mut bob, ..) = on_its_way();
    let id = |n: u32| MessageId::new(UnixMillis::new(n.into()), [7; 10]);
    let kept = |bob: &mut Device, peers: u8| {
        let take = |store: &crate::database::Store<'_>| -> Result<usize, crate::database::DatabaseError> {
            let mut count = 0;
            for peer in 0..peers {
                for n in 0..40 {
                    count += store.take_early(endtoend_protocol::AccountTag::new([peer; 32]), early(id(n)))?.len();
                }
            }
            Ok(count)
        };
        bob.database.write(take).unwrap()
    };
    let put = |bob: &mut Device, peers: u8| {
        bob.database
            .write(|store| {
                for peer in 0..peers {
                    for n in 0..40 {
                        let peer = endtoend_protocol::AccountTag::new([peer; 32]);
                        store.put_early(peer, early(id(n)), Direction::In, b"words", UnixMillis::new(u64::MAX))?;
                    }
                }
                Ok::<_, crate::database::DatabaseError>(())
            })
            .unwrap();
    };
    put(&mut bob, 1);
    assert_eq!(kept(&mut bob, 1), EARLY_MAX_PER_PEER as usize);
    put(&mut bob, 40);
    assert_eq!(kept(&mut bob, 40), EARLY_MAX as usize);
}

#[test]
fn of_a_stranger_nothing_is_kept_and_nobody_speaks_for_another() {
    let (mut alice, mut bob, letter, id) = on_its_way();
    let (with, now) = (alice.own.account, bob.now());
    bob.database.write(|store| store.decide(with, Standing::Request, now)).unwrap();
    alice.says(&mut bob, Said::Edit { id, text: words("of a stranger") }, UnixMillis::new(20));
    bob.database.write(|store| store.decide(with, Standing::Accepted, now)).unwrap();
    // A reaction to a message of the reader's does not touch the writer's of the same id.
    let to = Reference { id, of_reader: true };
    alice.says(&mut bob, Said::React { to, emoji: endtoend_protocol::Emoji::new("👍".to_owned()) }, now);
    alice.says(&mut bob, Said::Receipt { progress: Progress::Read, ids: vec![id] }, now);
    bob.take(&letter);
    let message = bob.all(with).remove(0);
    assert_eq!((message.body, message.marks.their_reaction), (Body::Text(words("first words")), None));
}

#[test]
fn what_the_other_own_device_says_may_come_early_too() {
    let (mut phone, bob) = (Device::new("alice"), Device::new("bob"));
    phone.meet(&bob);
    let mut laptop = linked(&phone);
    let (own, bundles, now) = (phone.own, laptop.bundles(), phone.now());
    phone.database.write(|store| open_sessions(store, own, own.account, &bundles, now)).unwrap();
    laptop.introduce(&phone);
    let (to, id) = (bob.own.account, MessageId::new(now, [3; 10]));
    let mut copy = |id, said| {
        let kind = ContentKind::Copy { to, handle: "bob".to_owned(), said };
        let (seq, _) = phone.database.write(|store| queue_errand(store, own.account, id, now, kind)).unwrap();
        sealed(&mut phone, seq, own.account)
    };
    let text = copy(id, words("first words").into());
    let edit = copy(MessageId::new(now, [4; 10]), Said::Edit { id, text: words("second") });
    laptop.take(&edit);
    assert_eq!(laptop.all(to), []);
    laptop.take(&text);
    assert_eq!(laptop.all(to).remove(0).body, Body::Text(words("second")));
}

/// Content as Alice's newer program writes it.
fn newer(id: MessageId) -> Vec<u8> {
    let content = Content { id, sent_at: UnixMillis::new(5), sender_handle: None, kind: ContentKind::Unknown };
    // Field 100, with three bytes.
    [content.encode(), vec![0xa2, 0x06, 3, 1, 2, 3]].concat()
}

#[test]
fn what_is_not_understood_is_kept_and_read_after_an_update() {
    let (mut alice, mut bob, ..) = on_its_way();
    let (with, to, now) = (alice.own.account, bob.own.account, bob.now());
    let ids = [1, 2, 3].map(|n| MessageId::new(UnixMillis::new(n), [5; 10]));
    for id in ids {
        let seq = alice.database.write(|store| store.enqueue(id, to, &newer(id))).unwrap();
        assert!(matches!(bob.take(&sealed(&mut alice, seq, to)), Arrival::Message { .. }));
    }
    let unknown = bob.all(with);
    assert!(unknown.iter().all(|message| message.body == Body::Unknown));
    let (_, kept) = bob.database.read().next_raw(0).unwrap().unwrap();
    assert_eq!(*kept, newer(ids[0]));
    bob.database
        .write(|store| store.mark_shown(&unknown.iter().map(|message| message.seq).collect::<Vec<_>>()))
        .unwrap();
    let again = |bob: &mut Device| bob.database.write(|store| read_again(store, Some(to), now)).unwrap();
    again(&mut bob);
    assert_eq!(bob.all(with).len(), 3, "this version does not understand it either");

    // As if the newer kinds were those of today.
    let known = |id, said| Content { id, sent_at: now, sender_handle: None, kind: ContentKind::Said(said) }.encode();
    let written = Written { text: words("understood"), reply_to: None, lives_for: Lifetime::from_secs(60) };
    let timer = Said::Timer(Lifetime::from_secs(7));
    let file = File {
        blob: BlobId([1; 16]),
        key: [2; 32],
        hash: [3; 32],
        bytes: 4,
        name: FileName::new("understood.txt"),
        media_type: MediaType::new("text/plain"),
        shown: Shown::File,
    };
    let attached = Said::File(Box::new(Attached { file: file.clone(), reply_to: None, lives_for: None }));
    for (id, said) in [(ids[0], Said::Text(written)), (ids[1], timer), (ids[2], attached)] {
        bob.database.write(|store| store.keep_raw(with, early(id), &known(id, said))).unwrap();
    }
    again(&mut bob);
    let mut read = bob.all(with);
    assert_eq!(read.len(), 2, "what is said about a conversation is no message");
    let text = read.remove(0);
    let stored = StoredFile { file, state: FileState::Offered };
    assert_eq!((read.remove(0).body, unknown.len()), (Body::File(Box::new(stored)), 3));
    assert_eq!((text.body, text.shown, text.seq), (Body::Text(words("understood")), false, unknown[0].seq));
    assert_eq!(text.marks.lives_for, Lifetime::from_secs(60));
    let store = bob.database.read();
    assert_eq!(store.timer(with).unwrap(), Lifetime::from_secs(7));
    let question = Question { words: "understood".to_owned(), ..Question::default() };
    assert_eq!(store.search(&question, 9).unwrap().len(), 2);
    assert!(store.next_raw(0).unwrap().is_none());
}

/// A card that came to a program of before there were cards, which is brought up to date then.
#[test]
fn a_card_is_read_after_an_update() {
    let (mut alice, mut bob, ..) = on_its_way();
    let (with, to, now) = (alice.own.account, bob.own.account, bob.now());
    let ids = [1, 2].map(|n| MessageId::new(UnixMillis::new(n), [6; 10]));
    for id in ids {
        let seq = alice.database.write(|store| store.enqueue(id, to, &newer(id))).unwrap();
        bob.take(&sealed(&mut alice, seq, to));
    }
    let before = bob.all(with);
    assert!(before.iter().all(|message| message.body == Body::Unknown));
    bob.database.write(|store| store.mark_shown(&before.iter().map(|m| m.seq).collect::<Vec<_>>())).unwrap();
    let address = format!("endtoend://node.example.org:443/#pin={}", "5f".repeat(64));
    let link = ContactLink { server: address.parse().unwrap(), handle: "carol".parse().unwrap(), identity: [5; 33] };
    let card = crate::card::Card { link, name: Some("Carol from work".parse().unwrap()) };
    let (text, name) = card.said();
    let letter = alice.all(to)[0].id;
    let said = |link: String| {
        let reply_to = Some(Reference { id: letter, of_reader: false });
        let card = Card { link, name: name.clone(), reply_to, lives_for: Lifetime::from_secs(60) };
        Said::Card(Box::new(card))
    };
    // What Alice's program has said, and a link of a form that this one does not know either.
    for (id, link) in [(ids[0], text), (ids[1], "endtoend2:carol".to_owned())] {
        let kind = ContentKind::Said(said(link));
        let content = Content { id, sent_at: now, sender_handle: None, kind }.encode();
        bob.database.write(|store| store.keep_raw(with, early(id), &content)).unwrap();
    }
    bob.database.write(|store| read_again(store, Some(to), now)).unwrap();
    let read = bob.all(with);
    assert_eq!(read[0].body, Body::Card(Box::new(card)));
    assert_eq!((read[0].seq, read[0].shown), (before[0].seq, false), "in its place, and nobody has seen it");
    assert_eq!(read[0].marks.reply_to, Some(early(letter)));
    assert_eq!(read[0].marks.lives_for, Lifetime::from_secs(60));
    assert_eq!((&read[1].body, read[1].shown), (&Body::Unknown, true), "kept for a version that knows it");
    let store = bob.database.read();
    let question = Question { words: "carol".to_owned(), ..Question::default() };
    assert_eq!(store.search(&question, 9).unwrap().len(), 1);
    assert!(store.next_raw(read[0].seq).unwrap().is_some_and(|(message, _)| message.id == ids[1]));
    assert!(store.next_raw(0).unwrap().is_some_and(|(message, _)| message.id == ids[1]), "the first is read");
}

#[test]
fn what_was_deleted_is_not_kept_for_a_later_version() {
    let (mut alice, mut bob, ..) = on_its_way();
    let (with, to) = (alice.own.account, bob.own.account);
    let id = MessageId::new(UnixMillis::new(1), [5; 10]);
    let seq = alice.database.write(|store| store.enqueue(id, to, &newer(id))).unwrap();
    bob.take(&sealed(&mut alice, seq, to));
    bob.database.write(|store| store.delete_for_me(with, early(id))).unwrap().unwrap();
    assert!(bob.database.read().next_raw(0).unwrap().is_none());
}

#[test]
fn it_is_read_again_once_for_each_version() {
    let (_, mut bob, ..) = on_its_way();
    let more = |bob: &mut Device| bob.database.write(|store| store.understands_more()).unwrap();
    assert_eq!([more(&mut bob), more(&mut bob)], [true, false]);
}
