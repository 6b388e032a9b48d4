//! What a person and the bridge do to the main window, and what it asks for in return.

use endtoend_client::database::{MessageRef, MessageState, Page, Standing, StoredMessage};
use endtoend_client::engine::{Change, ConnectionState, Deed, Event, FileStep, OfflineReason};
use endtoend_protocol::{DeviceId, Emoji, Text, UnixMillis, limits};
use iced::keyboard::key::Named;
use iced::keyboard::{Key, Modifiers};
use iced::widget::text_editor::{Action as Typed, Edit};

use super::*;
use crate::order::{Load, News};
use crate::strings::{Language, Strings};
use crate::testing::{NOW, conversation, handle, id as message_id, me, message};

pub(super) const AT: UnixMillis = UnixMillis::new(NOW);

/// The window with an open conversation with bob, who has written these.
pub(super) fn talking(messages: Vec<StoredMessage>) -> Home {
    let (mut home, _) = Home::new(me(), 1_200.0, true);
    let last = messages.last().cloned();
    home.news(News::Conversations(Ok(vec![conversation("bob", last, 0), conversation("carol", None, 0)])), AT);
    let actions = home.update(Message::Open(handle("bob")), AT);
    answer(&mut home, &actions, messages);
    home
}

/// The question among these.
pub(super) fn question(actions: &[Action]) -> Option<Load> {
    actions.iter().find_map(|action| match action {
        Action::Order(Order::Load(load)) => Some(load.clone()),
        _ => None,
    })
}

pub(super) fn answer(home: &mut Home, actions: &[Action], messages: Vec<StoredMessage>) -> Vec<Action> {
    let load = question(actions).unwrap();
    home.news(News::Loaded(load, Ok((messages, Vec::new()))), AT)
}

pub(super) fn write(home: &mut Home, words: &str) {
    let paste = Typed::Edit(Edit::Paste(words.to_owned().into()));
    home.update(Message::Chat(ChatMessage::Edited(paste)), AT);
}

pub(super) fn written(home: &Home) -> String {
    home.chat.as_ref().unwrap().content.text().trim_end().to_owned()
}

pub(super) fn chat(home: &mut Home, message: ChatMessage) -> Vec<Action> {
    home.update(Message::Chat(message), AT)
}

fn sent(actions: &[Action]) -> Vec<&str> {
    fn text(action: &Action) -> Option<&str> {
        match action {
            Action::Order(Order::Send { text, .. }) => Some(text.as_str()),
            _ => None,
        }
    }
    actions.iter().filter_map(text).collect()
}

/// A key that no field has taken.
pub(super) fn press(home: &mut Home, key: &Key, modifiers: Modifiers) -> Vec<Action> {
    home.key(key, modifiers, AT, &Strings::new(Language::English))
}

pub(super) fn escape(home: &mut Home) -> Vec<Action> {
    press(home, &Key::Named(Named::Escape), Modifiers::empty())
}

pub(super) fn theirs(number: u32) -> MessageRef {
    MessageRef { direction: Direction::In, id: message_id(number) }
}

#[test]
fn what_is_sent_leaves_the_field_and_comes_back_if_it_cannot_be_kept() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    write(&mut home, "an answer");
    let actions = chat(&mut home, ChatMessage::Send);
    assert_eq!((sent(&actions), written(&home).as_str()), (vec!["an answer"], ""));
    assert_eq!(home.chat.as_ref().unwrap().sending.len(), 1, "shown as on its way");
    // Written meanwhile, and not lost.
    write(&mut home, "and more");
    let text = Text::new("an answer".to_owned()).unwrap();
    home.news(News::NotQueued(handle("bob"), text, Failure::new("disk-full")), AT);
    assert_eq!(written(&home), "an answer\nand more");
    assert_eq!((home.chat.as_ref().unwrap().sending.len(), home.failure.as_ref().unwrap().key), (0, "disk-full"));
}

#[test]
fn nothing_empty_and_nothing_too_long_is_sent() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    write(&mut home, "  \n ");
    assert!(sent(&chat(&mut home, ChatMessage::Send)).is_empty());
    write(&mut home, &"x".repeat(limits::TEXT_BYTES_MAX + 1));
    assert!(sent(&chat(&mut home, ChatMessage::Send)).is_empty());
    assert_eq!(home.failure.as_ref().unwrap().key, "text-too-long");
    let before = written(&home).len();
    write(&mut home, &"x".repeat(limits::TEXT_BYTES_MAX * 3));
    assert_eq!(written(&home).len(), before, "a field has a bound");
}

#[test]
fn a_draft_waits_in_its_own_conversation() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    write(&mut home, "for bob");
    home.update(Message::Open(handle("carol")), AT);
    assert_eq!(written(&home), "");
    write(&mut home, "for carol");
    home.update(Message::Open(handle("bob")), AT);
    assert_eq!(written(&home), "for bob");
    home.update(Message::Open(handle("carol")), AT);
    assert_eq!(written(&home), "for carol");
}

#[test]
fn an_answer_and_other_words_go_where_they_belong() {
    let own = message(2, Direction::Out, "mine");
    let mut home = talking(vec![message(1, Direction::In, "hello"), own.clone()]);
    write(&mut home, "unfinished");
    chat(&mut home, ChatMessage::Edit(MessageRef { direction: Direction::Out, id: own.id }));
    assert_eq!(written(&home), "mine");
    write(&mut home, ", corrected");
    let actions = chat(&mut home, ChatMessage::Send);
    let edit = |action: &Action| {
        matches!(action, Action::Order(Order::Act(_, Deed::Edit(id, text)))
        if *id == own.id && text.as_str() == "mine, corrected")
    };
    assert!(actions.iter().any(edit), "{actions:?}");
    assert_eq!(written(&home), "unfinished", "what was being written comes back");

    chat(&mut home, ChatMessage::Answer(theirs(1)));
    let actions = chat(&mut home, ChatMessage::Send);
    let answers =
        |action: &Action| matches!(action, Action::Order(Order::Send { answer: Some(id), .. }) if *id == message_id(1));
    assert!(actions.iter().any(answers), "{actions:?}");
}

#[test]
fn a_reaction_is_taken_back_by_the_same_again() {
    let mut reacted = message(1, Direction::In, "hello");
    let emoji = Emoji::new("👍".to_owned()).unwrap();
    reacted.marks.own_reaction = Some(emoji.clone());
    let mut home = talking(vec![reacted, message(2, Direction::In, "more")]);
    let deed = |actions: Vec<Action>| match actions.into_iter().next() {
        Some(Action::Order(Order::Act(_, Deed::React(_, emoji)))) => emoji,
        other => panic!("{other:?}"),
    };
    assert_eq!(deed(chat(&mut home, ChatMessage::React(theirs(1), emoji.clone()))), None);
    assert_eq!(deed(chat(&mut home, ChatMessage::React(theirs(2), emoji.clone()))), Some(emoji));
}

#[test]
fn only_what_is_before_the_eyes_was_seen() {
    let seen = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Order(Order::Seen(..))));
    let (mut home, _) = Home::new(me(), 1_200.0, false);
    home.news(News::Conversations(Ok(vec![conversation("bob", None, 1)])), AT);
    let actions = home.update(Message::Open(handle("bob")), AT);
    assert!(!seen(&answer(&mut home, &actions, vec![message(1, Direction::In, "psst")])), "nobody looks");
    assert!(seen(&home.focused(true)));
    assert!(!seen(&home.focused(true)), "once");

    // Scrolled up, what comes below is not seen, and nothing moves.
    let up = Place { offset: 900.0, height: 600.0, content: 9_000.0 };
    chat(&mut home, ChatMessage::Scrolled(up));
    let event = Event::Received { from: Some(handle("bob")), id: message_id(2) };
    let actions = home.news(News::Event(Box::new(event)), AT);
    let both = vec![message(1, Direction::In, "psst"), message(2, Direction::In, "hey")];
    let actions = answer(&mut home, &actions, both);
    assert!(!seen(&actions));
    assert!(actions.iter().any(|action| matches!(action, Action::KeepPlace(place) if *place == up)), "{actions:?}");
    assert!(home.chat.as_ref().unwrap().news_below);
    assert!(seen(&chat(&mut home, ChatMessage::ShowEnd)));
}

#[test]
fn nothing_is_said_to_somebody_whose_identity_has_changed_or_who_is_blocked() {
    let mut changed = conversation("bob", None, 0);
    changed.contact.changed_identity = Some([5; 33]);
    let mut blocked = conversation("bob", None, 0);
    blocked.contact.standing = Standing::Blocked;
    for refused in [changed, blocked] {
        let mut home = talking(vec![message(1, Direction::In, "hello")]);
        write(&mut home, "hello?");
        home.news(News::Conversation(handle("bob"), Ok(Some(Box::new(refused)))), AT);
        assert!(!home.may_write());
        assert!(sent(&chat(&mut home, ChatMessage::Send)).is_empty());
        assert_eq!(written(&home), "hello?");
    }
}

#[test]
fn the_list_is_in_the_order_of_what_was_said_last_and_hides_who_was_turned_away() {
    let (mut home, _) = Home::new(me(), 1_200.0, true);
    let said = |name: &str, number| conversation(name, Some(message(number, Direction::In, "words")), 1);
    home.news(News::Conversations(Ok(vec![said("carol", 3), said("bob", 2), conversation("dave", None, 0)])), AT);
    let names = |home: &Home| -> Vec<String> { home.listed().map(list::name).collect() };
    assert_eq!(names(&home), ["carol", "bob", "dave"]);
    home.news(News::Conversation(handle("bob"), Ok(Some(Box::new(said("bob", 4))))), AT);
    assert_eq!(names(&home), ["bob", "carol", "dave"]);
    home.news(News::Conversation(handle("erin"), Ok(Some(Box::new(said("erin", 1))))), AT);
    assert_eq!((names(&home), home.unread()), (["bob", "carol", "erin", "dave"].map(str::to_owned).to_vec(), 3));
    let mut turned_away = said("carol", 3);
    turned_away.contact.standing = Standing::Ignored;
    home.news(News::Conversation(handle("carol"), Ok(Some(Box::new(turned_away)))), AT);
    assert_eq!((names(&home), home.unread()), (["bob", "erin", "dave"].map(str::to_owned).to_vec(), 2));
    // Whoever looks for them finds them.
    home.update(Message::Filtered("CAR".to_owned()), AT);
    assert_eq!(names(&home), ["carol"]);
    home.update(Message::OpenFirst, AT);
    assert_eq!(home.chat.as_ref().map(|chat| chat.with.to_string()), Some("carol".to_owned()));
}

#[test]
fn that_somebody_is_writing_is_forgotten_in_time() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let typing = |stopped| {
        let change = Change::Typing { stopped };
        News::Event(Box::new(Event::Changed { with: Some(handle("bob")), id: None, change }))
    };
    home.news(typing(false), AT);
    home.tick(UnixMillis::new(NOW + TYPING_MS - 1));
    assert!(home.typing.contains_key(&handle("bob")));
    home.tick(UnixMillis::new(NOW + TYPING_MS));
    assert!(home.typing.is_empty());
    home.news(typing(false), AT);
    home.news(typing(true), AT);
    assert!(home.typing.is_empty());
    home.news(typing(false), AT);
    let why = OfflineReason::Unreachable("away".to_owned());
    home.news(News::Connection(ConnectionState::Offline { retry_at: None, why }), AT);
    assert!(home.typing.is_empty(), "nobody is heard any more");
}

#[test]
fn others_hear_now_and_then_that_this_person_is_writing() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let mut told = |at| {
        let typed = Typed::Edit(Edit::Insert('x'));
        let actions = home.update(Message::Chat(ChatMessage::Edited(typed)), UnixMillis::new(at));
        actions.iter().any(|action| matches!(action, Action::Order(Order::Act(_, Deed::Typing(true)))))
    };
    assert_eq!([told(NOW), told(NOW + 1_000), told(NOW + 8_000)], [true, false, true]);
}

#[test]
fn what_was_missed_is_looked_at_again() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let actions = home.news(News::Missed, AT);
    assert!(actions.iter().any(|action| matches!(action, Action::Order(Order::Conversations))));
    assert!(question(&actions).is_some());
}

#[test]
fn a_message_that_was_refused_can_be_sent_again() {
    let mut refused = message(1, Direction::Out, "hello");
    refused.state = MessageState::Rejected(endtoend_protocol::RejectReason::UnknownRecipient);
    let mut home = talking(vec![refused]);
    let actions = chat(&mut home, ChatMessage::Retry(MessageRef { direction: Direction::Out, id: message_id(1) }));
    assert!(matches!(actions.first(), Some(Action::Order(Order::Retry(..)))));
}

#[test]
fn a_new_conversation_needs_a_name_that_can_be_one() {
    let mut home = talking(Vec::new());
    for (typed, key) in [("x", "handle-length"), ("not a name", "handle-character")] {
        home.update(Message::NewChat, AT);
        home.update(Message::NewChatEdited(typed.to_owned()), AT);
        home.update(Message::NewChatDone, AT);
        assert_eq!(home.new_chat.as_ref().unwrap().failure.as_ref().unwrap().key, key);
    }
    home.update(Message::NewChatEdited(" Dave ".to_owned()), AT);
    let actions = home.update(Message::NewChatDone, AT);
    assert_eq!(question(&actions).unwrap().with, handle("dave"));
}

#[test]
fn escape_goes_back_one_step_at_a_time() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    chat(&mut home, ChatMessage::Choose(Some(theirs(1))));
    home.update(Message::Panel(true), AT);
    home.update(Message::NewChat, AT);
    escape(&mut home);
    assert!(home.new_chat.is_none() && home.panel);
    escape(&mut home);
    assert!(!home.panel && home.chat.as_ref().unwrap().chosen.is_some());
    escape(&mut home);
    assert!(home.chat.as_ref().unwrap().chosen.is_none());
    let actions = press(&mut home, &Key::Character("f".into()), Modifiers::COMMAND);
    assert!(matches!(actions.as_slice(), [Action::Focus(id::FILTER)]));
}

#[test]
fn a_device_goes_only_when_that_is_meant() {
    let mut home = talking(Vec::new());
    home.update(Message::Settings(true), AT);
    let device = DeviceId::new(2).unwrap();
    let grave = settings::Grave::RemoveDevice(device);
    assert!(home.update(Message::Setting(settings::Message::Ask(Some(grave))), AT).is_empty());
    let actions = home.update(Message::Setting(settings::Message::Meant), AT);
    assert!(matches!(actions.as_slice(), [Action::Order(Order::RemoveDevice(it))] if *it == device));
}

#[test]
fn what_was_found_is_that_of_the_last_words_and_is_gone_to() {
    let mut home = talking(vec![message(90, Direction::In, "hello")]);
    let asked = |actions: &[Action]| match actions {
        [Action::Order(Order::Search(number, words))] => Some((*number, words.clone())),
        _ => None,
    };
    assert_eq!(asked(&home.update(Message::Filtered("b".to_owned()), AT)), None, "too short a word");
    let (first, _) = asked(&home.update(Message::Filtered("bread ".to_owned()), AT)).unwrap();
    let (second, words) = asked(&home.update(Message::Filtered("breads".to_owned()), AT)).unwrap();
    assert_eq!(words, "breads");
    home.news(News::Found(second, Ok(vec![message(7, Direction::In, "two breads")])), AT);
    home.news(News::Found(first, Ok(vec![message(8, Direction::In, "a bread")])), AT);
    assert_eq!(home.found.hits.iter().map(|hit| hit.message).collect::<Vec<_>>(), [theirs(7)]);

    let actions = home.update(Message::OpenAt(handle("bob"), theirs(7)), AT);
    let load = question(&actions).unwrap();
    assert_eq!(load.page, Page::From(message_id(7)));
    let actions = home.news(News::Loaded(load, Ok((vec![message(7, Direction::In, "two breads")], Vec::new()))), AT);
    assert!(matches!(actions.first(), Some(Action::ShowFirst)), "{actions:?}");
    assert_eq!(question(&actions).unwrap().page, Page::Before(message_id(7)));
    assert_eq!(home.chat.as_ref().unwrap().chosen, Some(theirs(7)));
    // The next of what was found can be looked at; Escape ends the search.
    assert_eq!(home.filter, "breads");
    escape(&mut home);
    assert!(home.filter.is_empty() && home.found.hits.is_empty());
    // What was asked for before is not shown any more.
    home.news(News::Found(second, Ok(vec![message(7, Direction::In, "two breads")])), AT);
    assert!(home.found.hits.is_empty());
}

#[test]
fn a_message_that_is_gone_is_not_gone_to() {
    let mut home = talking(vec![message(90, Direction::In, "hello")]);
    let actions = chat(&mut home, ChatMessage::GoTo(theirs(7)));
    let load = question(&actions).unwrap();
    let actions = home.news(News::Loaded(load, Ok((Vec::new(), Vec::new()))), AT);
    assert_eq!(question(&actions).unwrap().page, Page::Last);
}

#[test]
fn somebody_is_called_otherwise_or_by_the_handle_again() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let mut named = |typed: &str| {
        home.update(Message::NameEdited(typed.to_owned()), AT);
        let actions = home.update(Message::NameDone, AT);
        match actions.as_slice() {
            [Action::Order(Order::Name(_, name))] => Ok(name.as_ref().map(|name| name.as_str().to_owned())),
            _ => Err(home.failure.as_ref().map(|failure| failure.key)),
        }
    };
    assert_eq!(named(" Grandma "), Ok(Some("Grandma".to_owned())));
    assert_eq!(named("  "), Ok(None));
    assert_eq!(named("a\u{202e}b"), Err(Some("nickname-bad")));
    // Nothing is typed: nothing is asked.
    assert!(talking(Vec::new()).update(Message::NameDone, AT).is_empty());
}

#[test]
fn the_person_of_a_link_is_written_to_once_the_server_has_shown_the_same_identity() {
    let mut home = talking(Vec::new());
    let link = |key: &str| format!("{}&handle=dave&identity={key}", crate::testing::server());
    home.update(Message::NewChat, AT);
    home.update(Message::NewChatEdited(link("05")), AT);
    assert!(home.update(Message::NewChatDone, AT).is_empty());
    assert_eq!(home.new_chat.as_ref().unwrap().failure.as_ref().unwrap().key, "link-bad");
    let whole = link(&"05".repeat(33));
    let asked = |home: &mut Home| {
        home.update(Message::NewChatEdited(whole.clone()), AT);
        let actions = home.update(Message::NewChatDone, AT);
        assert!(matches!(actions.as_slice(), [Action::Order(Order::Add(link, false))] if link.to_string() == whole));
    };
    asked(&mut home);
    home.news(News::Added(handle("dave"), Err(Failure::new("link-other-identity"))), AT);
    let new = home.new_chat.as_ref().unwrap();
    assert_eq!((new.asking, new.failure.as_ref().unwrap().key), (false, "link-other-identity"));
    asked(&mut home);
    let actions = home.news(News::Added(handle("dave"), Ok(())), AT);
    assert_eq!(question(&actions).unwrap().with, handle("dave"));
    assert!(home.new_chat.is_none());
    // Whoever has closed the window of that stays where he is.
    home.news(News::Added(handle("erin"), Ok(())), AT);
    assert_eq!(home.chat.as_ref().unwrap().with, handle("dave"));
}

#[test]
fn how_far_a_file_is_has_a_bound_and_ends() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let mut told = |number, step| {
        home.news(News::Event(Box::new(Event::File { with: Some(handle("bob")), message: theirs(number), step })), AT);
        home.chat.as_ref().unwrap().moved.len()
    };
    let moved = |done| FileStep::Moved { done, bytes: 10 };
    for number in 0..100 {
        told(number, moved(1));
    }
    assert_eq!(told(0, moved(5)), 64);
    // Its last step may have come without all of its bytes having been told.
    assert_eq!(told(0, FileStep::Is(endtoend_client::database::FileState::Here)), 63);
    assert_eq!(told(70, moved(1)), 64);
}

#[test]
fn what_is_gone_is_not_read_among_what_was_found() {
    for change in [Change::Expired, Change::Deleted, Change::Edited] {
        let mut home = talking(vec![message(90, Direction::In, "hello")]);
        home.update(Message::Filtered("bread".to_owned()), AT);
        home.news(News::Found(1, Ok(vec![message(7, Direction::In, "bread"), message(8, Direction::In, "bread")])), AT);
        let event = Event::Changed { with: Some(handle("bob")), id: Some(message_id(7)), change };
        home.news(News::Event(Box::new(event)), AT);
        assert_eq!(home.found.hits.iter().map(|hit| hit.message).collect::<Vec<_>>(), [theirs(8)]);
    }
}
