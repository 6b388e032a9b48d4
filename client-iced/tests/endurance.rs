//! Eight hours of use in a moment: what the window remembers does not grow with what has happened to it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "test code: a failed step fails the test")]

use endtoend_client::database::{Body, Contact, Conversation, Direction, Marks, MessageState, Standing, StoredMessage};
use endtoend_client::engine::{Change, Event};
use endtoend_client_iced::action::Action;
use endtoend_client_iced::app::{App, Message};
use endtoend_client_iced::desktop;
use endtoend_client_iced::order::{Me, News, Order};
use endtoend_client_iced::preferences::{Notices, Preferences};
use endtoend_client_iced::screens::home;
use endtoend_protocol::{AccountTag, Arrangement, MessageId, Text, UnixMillis};
use jiff::tz::TimeZone;

const NOW: u64 = 1_795_701_900_000;
const PEOPLE: u32 = 200;
const SECONDS: u32 = 8 * 3_600;

/// In bytes. Only whole pages are counted, and the allocator keeps some.
fn resident() -> u64 {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap();
    told.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

fn name(number: u32) -> String {
    format!("person{number}")
}

fn message(second: u32, from: u32) -> StoredMessage {
    let at = UnixMillis::new(NOW + u64::from(second) * 1_000);
    let mut random = [0; 10];
    random.iter_mut().zip(second.to_be_bytes()).for_each(|(to, from)| *to = from);
    let mut peer = [0; 32];
    peer.iter_mut().zip(from.to_be_bytes()).for_each(|(to, from)| *to = from);
    StoredMessage {
        seq: second.into(),
        peer: AccountTag::new(peer),
        handle: Some(name(from).parse().unwrap()),
        direction: Direction::In,
        id: MessageId::new(at, random),
        state: MessageState::Received,
        body: Body::Text(Text::new(format!("{second}: {}", "words ".repeat(40))).unwrap()),
        sent_at: at,
        accepted_at: Some(at),
        received_at: Some(at),
        wire_bytes: None,
        shown: true,
        marks: Marks::default(),
    }
}

fn conversation(with: u32, last: StoredMessage) -> Conversation {
    let contact = Contact {
        tag: last.peer,
        handle: last.handle.clone(),
        changed_identity: None,
        standing: Standing::Accepted,
        told: true,
        nickname: None,
        verified: false,
        arrangement: Arrangement::default(),
        face_name: None,
        portrait: None,
    };
    Conversation { contact, last: Some(last), unread: u64::from(with % 3) }
}

/// A second of somebody's day: something comes, somebody types, one looks around, searches, writes, and leaves.
fn second(app: &mut App, second: u32) {
    let with = second % PEOPLE;
    let (handle, said) = (name(with).parse().unwrap(), message(second, with));
    let news = |app: &mut App, news| answered(app, Message::News(news), second);
    let id = said.id;
    news(app, News::Event(Box::new(Event::Received { from: Some(handle), id })));
    let line = Box::new(conversation(with, said));
    news(app, News::Conversation(name(with).parse().unwrap(), Ok(Some(line))));
    let typing =
        Event::Changed { with: Some(name(with).parse().unwrap()), id: None, change: Change::Typing { stopped: false } };
    news(app, News::Event(Box::new(typing)));
    let mut does = |message| answered(app, Message::Home(message), second);
    match second % 10 {
        0 => does(home::Message::Open(name((second / 10) % PEOPLE).parse().unwrap())),
        2 => {
            let words = iced::widget::text_editor::Edit::Paste(format!("draft {second}").into());
            let typed = iced::widget::text_editor::Action::Edit(words);
            does(home::Message::Chat(home::ChatMessage::Edited(typed)));
        }
        4 => does(home::Message::Filtered(format!("words {second}"))),
        5 => does(home::Message::Filtered(String::new())),
        7 => does(home::Message::Settings(true)),
        8 => does(home::Message::Settings(false)),
        _ => {}
    }
    answered(app, Message::Focused(second % 60 < 30), second);
    news(app, News::Now(UnixMillis::new(NOW + u64::from(second) * 1_000)));
    drop(app.view());
}

fn answered(app: &mut App, message: Message, second: u32) {
    for action in app.update(message) {
        if let Action::Order(Order::Load(load)) = action {
            let with = second % PEOPLE;
            let page = (0..load.limit).map(|back| message_before(second, back, with)).rev().collect();
            drop(app.update(Message::News(News::Loaded(load, Ok((page, Vec::new()))))));
        }
    }
}

fn message_before(second: u32, back: u32, with: u32) -> StoredMessage {
    message(SECONDS.wrapping_add(second).wrapping_sub(back), with)
}

#[test]
fn eight_hours_of_use_leave_as_much_in_memory_as_the_first_of_them() {
    let preferences = Preferences { notices: Notices::Words, ..Preferences::default() };
    let (mut app, _) = App::new(preferences, UnixMillis::new(NOW), TimeZone::UTC, true);
    let server = format!("endtoend://chat.example.org:8443/#pin={}", "5f".repeat(64)).parse().unwrap();
    let me = Me { handle: "alice".parse().unwrap(), device: 1, server };
    app.update(Message::News(News::Entered(Box::new(me))));
    app.update(Message::Desktop(desktop::News::Tray(true)));
    (0..SECONDS / 8).for_each(|at| second(&mut app, at));
    let before = resident();
    (SECONDS / 8..SECONDS).for_each(|at| second(&mut app, at));
    let after = resident();
    let grown = after.saturating_sub(before);
    // A hundredth of what has come in these hours would be more.
    assert!(grown < 4 * 1024 * 1024, "{before} bytes, and then {after}");
}
