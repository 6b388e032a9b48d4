//! Search and pages of histories, on real files.

use endtoend_protocol::{AccountTag, MessageId, Text, UnixMillis};

use super::tests::{PEER, at, key, message, message_id, new, write};
use super::*;

fn say(database: &mut Database, n: u8, direction: Direction, text: &str) {
    let body = Body::Text(Text::new(text.to_owned()).unwrap());
    assert!(write(database, |store| store.put_message(&StoredMessage { body, ..message(n, direction) })));
}

fn ask(words: &str) -> Question {
    Question { words: words.to_owned(), ..Question::default() }
}

fn found(database: &Database, question: &Question) -> Vec<MessageId> {
    database.read().search(question, 99).unwrap().into_iter().map(|message| message.id).collect()
}

#[test]
fn words_are_found_whatever_their_case_and_accents_and_the_best_first() {
    let (_folder, mut database) = new();
    say(&mut database, 1, Direction::In, "the café by the river, and many other words that stand here besides");
    say(&mut database, 2, Direction::Out, "Cafe, cafe!");
    say(&mut database, 3, Direction::In, "nothing of the kind");
    assert_eq!(found(&database, &ask("CAFÉ")), [message_id(2), message_id(1)]);
    assert_eq!(found(&database, &ask("river ca")), [message_id(1)], "all of them, the last may be begun");
    assert_eq!(found(&database, &ask("")), []);
    for odd in ["\"", "a OR b", "body:cafe*", "NEAR(", "cafe\" OR \"nothing", "-cafe", "*"] {
        found(&database, &ask(odd));
    }
    assert_eq!(found(&database, &ask("kind OR cafe")), [], "no operators");
}

#[test]
fn a_search_keeps_to_who_and_when() {
    let (_folder, mut database) = new();
    (1..=6).for_each(|n| say(&mut database, n, if n % 2 == 0 { Direction::In } else { Direction::Out }, "hello"));
    let theirs = Question { direction: Some(Direction::In), ..ask("hello") };
    assert_eq!(found(&database, &theirs).len(), 3);
    let then = Question { since: Some(at(3)), until: Some(at(5)), ..ask("hello") };
    assert_eq!(found(&database, &then), [message_id(4), message_id(3)]);
    assert_eq!(found(&database, &Question { with: Some(AccountTag::new([9; 32])), ..ask("hello") }), []);
    assert_eq!(found(&database, &Question { with: Some(PEER), ..ask("hello") }).len(), 6);
    assert_eq!(database.read().search(&ask("hello"), 2).unwrap().len(), 2);
}

#[test]
fn words_that_are_gone_are_not_found() {
    let (_folder, mut database) = new();
    (1..=4).for_each(|n| say(&mut database, n, Direction::In, "secret"));
    let text = Text::new("harmless".to_owned()).unwrap();
    let by = Direction::In;
    write(&mut database, |store| store.edit(PEER, message_id(1), by, &text, at(9))).unwrap();
    write(&mut database, |store| store.delete_for_everyone(PEER, message_id(2), by)).unwrap();
    let hidden = MessageRef { direction: by, id: message_id(3) };
    write(&mut database, |store| store.delete_for_me(PEER, hidden)).unwrap();
    database.connection.execute("UPDATE messages SET expires_at = 5 WHERE seq = 4", []).unwrap();
    assert_eq!(write(&mut database, |store| store.expire(5)).len(), 1);
    assert_eq!(found(&database, &ask("secret")), []);
    assert_eq!(found(&database, &ask("harmless")), [message_id(1)]);
    // Not even in the index: its pages hold no such word any more.
    let held: i64 = database
        .connection
        .query_row("SELECT count(*) FROM words_data WHERE instr(block, CAST('ecret' AS BLOB)) > 0", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(held, 0);
}

#[test]
fn a_profile_of_before_there_was_a_search_is_searched() {
    let (folder, mut database) = new();
    say(&mut database, 1, Direction::In, "written long ago");
    database.downgrade();
    drop(database);
    let database = Database::open(&folder.path().join("endtoend.db"), &key()).unwrap();
    assert_eq!(found(&database, &ask("ago")), [message_id(1)]);
    assert_eq!(
        database.read().history(PEER, 9).unwrap(),
        [StoredMessage {
            seq: 1,
            body: Body::Text(Text::new("written long ago".to_owned()).unwrap()),
            ..message(1, Direction::In)
        }]
    );
}

#[test]
fn pages_cover_a_history_without_gap_or_repeat() {
    let (_folder, mut database) = new();
    (1..=10).for_each(|n| say(&mut database, n, Direction::In, "page"));
    let page = |page| -> Vec<MessageId> {
        database.read().history_page(PEER, page, 4).unwrap().into_iter().map(|message| message.id).collect()
    };
    let ids = |range: std::ops::RangeInclusive<u8>| range.map(message_id).collect::<Vec<_>>();
    assert_eq!(page(Page::Last), ids(7..=10));
    assert_eq!(page(Page::Before(message_id(7))), ids(3..=6));
    assert_eq!(page(Page::Before(message_id(3))), ids(1..=2));
    assert_eq!(page(Page::After(message_id(8))), ids(9..=10));
    assert_eq!(page(Page::After(message_id(99))), []);
    assert_eq!(page(Page::From(message_id(8))), ids(8..=10));
    assert_eq!(page(Page::From(message_id(3))), ids(3..=6));
    assert_eq!(page(Page::From(message_id(99))), []);
    let sent_at =
        database.read().history(PEER, 10).unwrap().into_iter().map(|message| message.sent_at).collect::<Vec<_>>();
    assert_eq!(page(Page::Since(UnixMillis::new(0))), ids(1..=4));
    assert_eq!(page(Page::Since(sent_at[7])), ids(8..=10));
    assert_eq!(page(Page::Since(UnixMillis::new(sent_at[9].get() + 1))), []);
}

#[test]
fn what_waits_is_told_with_its_reason() {
    let (_folder, mut database) = new();
    let whys = |database: &Database| -> Vec<Why> {
        database.read().pending(9).unwrap().into_iter().map(|pending| pending.why).collect()
    };
    say(&mut database, 1, Direction::Out, "one");
    let seq = write(&mut database, |store| {
        store.put_contact(PEER, None)?;
        store.enqueue(message_id(1), PEER, b"content")
    });
    assert_eq!(whys(&database), [Why::Waits]);
    write(&mut database, |store| store.set_changed_identity(PEER, Some(&[5; 33])));
    assert_eq!(whys(&database), [Why::IdentityChanged]);
    write(&mut database, |store| store.set_changed_identity(PEER, None));
    let reason = endtoend_protocol::RejectReason::UnknownRecipient;
    write(&mut database, |store| store.rejected(seq, reason));
    assert_eq!(whys(&database), [Why::Refused(reason)]);
    assert!(write(&mut database, |store| store.try_again(PEER, message_id(1))));
    assert!(!write(&mut database, |store| store.try_again(PEER, message_id(1))), "once");
    assert_eq!(whys(&database), [Why::Waits]);
    assert_eq!(UnixMillis::new(1), at(1));
}

#[test]
fn a_list_has_the_latest_conversation_first_and_counts_what_nobody_has_seen() {
    let (_folder, mut database) = new();
    let (other, silent) = (AccountTag::new([77; 32]), AccountTag::new([78; 32]));
    write(&mut database, |store| {
        store.put_contact(PEER, None)?;
        store.put_contact(silent, None)?;
        store.put_contact(other, None)
    });
    say(&mut database, 1, Direction::In, "one");
    say(&mut database, 2, Direction::In, "two");
    let body = Body::Text(Text::new("of somebody else".to_owned()).unwrap());
    let theirs = StoredMessage { body, peer: other, ..message(3, Direction::Out) };
    assert!(write(&mut database, |store| store.put_message(&theirs)));
    let list = |database: &mut Database, limit| -> Vec<(AccountTag, Option<MessageId>, u64)> {
        let found = database.read().conversations(limit).unwrap().into_iter();
        found.map(|it| (it.contact.tag, it.last.map(|last| last.id), it.unread)).collect()
    };
    let all = [(other, Some(message_id(3)), 0), (PEER, Some(message_id(2)), 2), (silent, None, 0)];
    assert_eq!(list(&mut database, 9), all);
    assert_eq!(list(&mut database, 2), all[..2]);

    // A message that is hidden here is neither shown nor counted.
    let second = MessageRef { direction: Direction::In, id: message_id(2) };
    assert_eq!(write(&mut database, |store| store.delete_for_me(PEER, second)), Ok(()));
    assert_eq!(list(&mut database, 9)[1], (PEER, Some(message_id(1)), 1));
    assert_eq!(database.read().conversation(AccountTag::new([9; 32])).unwrap(), None);
}
