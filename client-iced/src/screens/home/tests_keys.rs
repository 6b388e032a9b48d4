//! What keys alone can do.

use endtoend_client::database::{Direction, Draft, MessageRef, Page};
use endtoend_client::engine::Deed;
use endtoend_protocol::Text;
use iced::keyboard::key::Named;
use iced::keyboard::{Key, Modifiers};

use super::keys::is_of_window;
use super::palette::{Command, Item};
use super::picker::Purpose;
use super::tests::{AT, chat, escape, press, question, talking, theirs, write, written};
use super::*;
use crate::order::News;
use crate::said::{Piece, pieces};
use crate::testing::{conversation, handle, id as message_id, message};

fn letter(home: &mut Home, letter: &str) -> Vec<Action> {
    press(home, &Key::Character(letter.into()), Modifiers::COMMAND)
}

fn named(home: &mut Home, key: Named, modifiers: Modifiers) -> Vec<Action> {
    press(home, &Key::Named(key), modifiers)
}

fn with(home: &Home) -> Option<&str> {
    home.chat.as_ref().map(|chat| chat.with.as_str())
}

/// The window with four conversations, the second and the last of which have something new.
fn four() -> Home {
    let (mut home, _) = Home::new(crate::testing::me(), 1_200.0, true);
    let said = |number| Some(message(number, Direction::In, "hello"));
    let all = [("bob", 9, 0), ("carol", 8, 2), ("dave", 7, 0), ("erin", 6, 1)];
    let all = all.map(|(name, number, unread)| conversation(name, said(number), unread)).to_vec();
    home.news(News::Conversations(Ok(all)), AT);
    home
}

#[test]
fn conversations_are_gone_through_by_keys() {
    let mut home = four();
    let down = |home: &mut Home| named(home, Named::ArrowDown, Modifiers::ALT);
    down(&mut home);
    assert_eq!(with(&home), Some("bob"));
    down(&mut home);
    down(&mut home);
    assert_eq!(with(&home), Some("dave"));
    named(&mut home, Named::ArrowUp, Modifiers::ALT);
    assert_eq!(with(&home), Some("carol"));
    letter(&mut home, "4");
    assert_eq!(with(&home), Some("erin"));
    assert!(down(&mut home).is_empty(), "it is the last");
    assert!(letter(&mut home, "7").is_empty(), "there are four");
    // The next with something new, from the last on the first.
    named(&mut home, Named::ArrowDown, Modifiers::ALT | Modifiers::SHIFT);
    assert_eq!(with(&home), Some("carol"));
    named(&mut home, Named::ArrowDown, Modifiers::ALT | Modifiers::SHIFT);
    assert_eq!(with(&home), Some("erin"));
}

#[test]
fn a_message_is_chosen_and_dealt_with_by_keys() {
    let mut mine = message(3, Direction::Out, "mine");
    mine.marks.own_reaction = None;
    let mut home = talking(vec![message(1, Direction::In, "one"), message(2, Direction::In, "two"), mine]);
    let chosen = |home: &Home| home.chat.as_ref().unwrap().chosen;
    let up = |home: &mut Home| named(home, Named::ArrowUp, Modifiers::COMMAND);
    assert!(matches!(up(&mut home).as_slice(), [Action::ShowChosen]));
    assert_eq!(chosen(&home), Some(MessageRef { direction: Direction::Out, id: message_id(3) }));
    up(&mut home);
    let actions = press(&mut home, &Key::Character("2".into()), Modifiers::ALT);
    let reacts = |action: &Action| matches!(action, Action::Order(Order::Act(_, Deed::React(id, Some(_)))) if *id == message_id(2));
    assert!(actions.iter().any(reacts), "{actions:?}");
    up(&mut home);
    up(&mut home);
    letter(&mut home, "r");
    assert!(matches!(home.chat.as_ref().unwrap().mark, Some(super::begun::Mark::Answer(to, _)) if to == theirs(2).id));
    // Others' words are not changed.
    up(&mut home);
    up(&mut home);
    assert!(press(&mut home, &Key::Character("E".into()), Modifiers::COMMAND | Modifiers::SHIFT).is_empty());
    let actions = press(&mut home, &Key::Character("C".into()), Modifiers::COMMAND | Modifiers::SHIFT);
    assert!(actions.iter().any(|action| matches!(action, Action::Copy(text) if text == "two")), "{actions:?}");
    up(&mut home);
    let actions = named(&mut home, Named::Delete, Modifiers::COMMAND);
    let deletes = |action: &Action| matches!(action, Action::Order(Order::Act(_, Deed::DeleteForMe(_))));
    assert!(actions.iter().any(deletes), "{actions:?}");
    // Below the last one is the field.
    up(&mut home);
    let actions = named(&mut home, Named::ArrowDown, Modifiers::COMMAND);
    assert!(matches!(actions.as_slice(), [Action::Focus(id::COMPOSER)]) && chosen(&home).is_none());
}

#[test]
fn the_palette_finds_people_commands_and_messages_and_keys_choose_among_them() {
    let mut home = four();
    home.update(Message::Open(handle("dave")), AT);
    assert!(matches!(letter(&mut home, "k").as_slice(), [Action::Focus(id::PALETTE)]));
    // The list's own search has its own numbers.
    home.update(Message::Filtered("hello".to_owned()), AT);
    let actions = home.update(Message::PaletteEdited("er".to_owned()), AT);
    let [Action::Order(Order::Search(number, words))] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(words, "er");
    home.news(News::Found(*number, Ok(vec![message(5, Direction::In, "another")])), AT);
    assert!(home.found.hits.is_empty());
    let t = crate::strings::Strings::new(crate::strings::Language::English);
    let items = |home: &Home| home.palette_items(&t, home.palette.as_ref().unwrap());
    home.update(Message::Filtered(String::new()), AT);
    let all = items(&home);
    assert_eq!(all.first(), Some(&Item::Conversation(handle("erin"))));
    assert_eq!(all.last(), Some(&Item::Message(handle("bob"), theirs(5))));
    home.update(Message::PaletteEdited("SETT".to_owned()), AT);
    assert_eq!(items(&home).first(), Some(&Item::Command(Command::Settings)));
    // Up from the first is the last, and down from the last the first.
    home.update(Message::PaletteEdited(String::new()), AT);
    let count = items(&home).len();
    let place = |actions: Vec<Action>| match actions.as_slice() {
        [Action::Reveal(id::PALETTE_LIST, part)] => *part,
        _ => panic!("{actions:?}"),
    };
    assert!((place(named(&mut home, Named::ArrowUp, Modifiers::empty())) - 1.0).abs() < 1e-6);
    assert!(place(named(&mut home, Named::ArrowDown, Modifiers::empty())).abs() < 1e-6);
    assert!((place(named(&mut home, Named::ArrowDown, Modifiers::empty())) - 1.0 / (count - 1) as f32).abs() < 1e-6);
    home.update(Message::PaletteDone(Item::Conversation(handle("carol"))), AT);
    assert_eq!((with(&home), home.palette.is_none()), (Some("carol"), true));
    // Everything that it can do, it does; and nothing of it is left over.
    for command in Command::ALL {
        home.update(Message::Palette(true), AT);
        home.update(Message::PaletteDone(Item::Command(command)), AT);
        (0..4).for_each(|_| {
            escape(&mut home);
        });
        assert!(!home.is_covered() && home.picker.is_none(), "{command:?}");
    }
}

#[test]
fn an_emoji_is_put_where_one_writes_or_onto_a_message() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    write(&mut home, "well");
    assert!(matches!(letter(&mut home, "e").as_slice(), [Action::Focus(id::PICKER)]));
    home.update(Message::PickerEdited("rocket".to_owned()), AT);
    named(&mut home, Named::Tab, Modifiers::empty());
    home.update(Message::Picked("🚀"), AT);
    assert_eq!((written(&home).as_str(), home.picker.is_none()), ("well🚀", true));
    home.update(Message::Pick(Some(Purpose::React(theirs(1)))), AT);
    let actions = home.update(Message::Picked("🚀"), AT);
    let reacts = |action: &Action| matches!(action, Action::Order(Order::Act(_, Deed::React(_, Some(it)))) if it.as_str() == "🚀");
    assert!(actions.iter().any(reacts), "{actions:?}");
    // The same button again closes it.
    home.update(Message::Pick(Some(Purpose::Write)), AT);
    home.update(Message::Pick(Some(Purpose::Write)), AT);
    assert!(home.picker.is_none());
}

#[test]
fn an_emoji_is_put_in_place_of_its_name() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let naming = |home: &Home| home.chat.as_ref().unwrap().naming.clone();
    write(&mut home, "well :roc");
    assert!(naming(&home).is_some());
    chat(&mut home, ChatMessage::Named("🚀"));
    assert_eq!((written(&home).as_str(), naming(&home)), ("well 🚀", None));
    // The colon at its end is enough, if that is a whole name.
    let typed = |home: &mut Home, letter| {
        let edit = iced::widget::text_editor::Edit::Insert(letter);
        chat(home, ChatMessage::Edited(iced::widget::text_editor::Action::Edit(edit)));
    };
    write(&mut home, " :rocket");
    typed(&mut home, ':');
    assert_eq!(written(&home), "well 🚀 🚀");
    write(&mut home, " :rocke");
    typed(&mut home, ':');
    assert_eq!(written(&home), "well 🚀 🚀 :rocke:");
    // Escape takes the offer away, and no word that was typed.
    write(&mut home, "\n:heart");
    assert!(naming(&home).is_some());
    escape(&mut home);
    assert_eq!((written(&home).as_str(), naming(&home)), ("well 🚀 🚀 :rocke:\n:heart", None));
    chat(&mut home, ChatMessage::Named("🚀"));
    assert_eq!(written(&home), "well 🚀 🚀 :rocke:\n:heart", "nothing is offered");
}

#[test]
fn a_link_is_opened_when_that_is_meant_and_never_by_itself() {
    let mut home = talking(vec![message(1, Direction::In, "see https://example.org")]);
    let Some(Piece::Link(_, link)) = pieces("https://example.org").pop() else { panic!("no link") };
    assert!(home.update(Message::Link(link.clone()), AT).is_empty());
    escape(&mut home);
    assert!(home.update(Message::LinkDone, AT).is_empty());
    home.update(Message::Link(link.clone()), AT);
    let actions = home.update(Message::LinkDone, AT);
    assert!(matches!(actions.as_slice(), [Action::Order(Order::Open(it))] if *it == link));
}

#[test]
fn what_was_not_read_is_marked_and_gone_to_and_a_day_too() {
    let mut home = four();
    let actions = home.update(Message::Open(handle("carol")), AT);
    let asks = |action: &Action| matches!(action, Action::Order(Order::FirstUnread(_)));
    // Before the messages are asked for, which are seen as soon as they are here.
    assert!(asks(&actions[0]), "{actions:?}");
    home.news(News::FirstUnread(handle("carol"), Some(theirs(3))), AT);
    let actions = chat(&mut home, ChatMessage::ToUnread);
    assert_eq!(question(&actions).unwrap().page, Page::From(message_id(3)));
    let actions = home.update(Message::DayDone(AT), AT);
    assert_eq!(question(&actions).unwrap().page, Page::Since(AT));
    write(&mut home, "an answer");
    chat(&mut home, ChatMessage::Send);
    assert!(home.chat.as_ref().unwrap().divider.is_none(), "whoever answers has read");
    let actions = home.update(Message::Open(handle("bob")), AT);
    assert!(!actions.iter().any(asks), "nothing is new there");
}

#[test]
fn words_can_be_marked_and_not_changed() {
    let mut home = talking(vec![message(1, Direction::In, "hello bob")]);
    chat(&mut home, ChatMessage::Words(theirs(1)));
    let typed = iced::widget::text_editor::Edit::Insert('x');
    home.update(Message::WordsEdited(iced::widget::text_editor::Action::Edit(typed)), AT);
    home.update(Message::WordsEdited(iced::widget::text_editor::Action::SelectAll), AT);
    let Some(super::asked::Asked::Words(words)) = &home.asked else { panic!("nothing is asked") };
    assert_eq!(words.selection().as_deref(), Some("hello bob"));
}

#[test]
fn who_was_passed_on_is_written_to_once_the_server_has_shown_the_same_identity() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let link = format!("{}&handle=dave&identity={}", crate::testing::server(), "05".repeat(33));
    let actions = home.update(Message::WriteTo(Box::new(link.parse().unwrap())), AT);
    assert!(matches!(actions.as_slice(), [Action::Order(Order::Add(it, false))] if it.handle == handle("dave")));
    home.news(News::Added(handle("dave"), Ok(())), AT);
    assert_eq!(with(&home), Some("dave"));
}

#[test]
fn a_code_of_the_other_side_counts_as_compared_and_anybody_else_s_does_not() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    home.update(Message::Panel(true), AT);
    assert!(matches!(home.update(Message::ReadCode, AT).as_slice(), [Action::Order(Order::ReadCode(None))]));
    let link = |name: &str| format!("{}&handle={name}&identity={}", crate::testing::server(), "05".repeat(33));
    assert!(home.news(News::Code(Ok(Some(link("carol")))), AT).is_empty());
    assert_eq!(home.failure.take().unwrap().key, "code-other-person");
    let actions = home.news(News::Code(Ok(Some(link("bob")))), AT);
    assert!(
        matches!(actions.as_slice(), [Action::Order(Order::Add(it, true))] if it.handle == handle("bob")),
        "{actions:?}"
    );
    assert!(home.news(News::Code(Ok(None)), AT).is_empty());
}

#[test]
fn what_was_begun_is_kept_after_a_pause_and_comes_back() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let kept = |actions: Vec<Action>| match actions.as_slice() {
        [] => None,
        [Action::Order(Order::KeepDraft(_, kept)), ..] => Some(kept.as_ref().map(|kept| kept.text.as_str().to_owned())),
        _ => panic!("{actions:?}"),
    };
    write(&mut home, "well");
    assert_eq!(kept(home.tick(AT)), None, "somebody is writing");
    assert_eq!(kept(home.tick(AT)), Some(Some("well".to_owned())));
    assert_eq!(kept(home.tick(AT)), None, "once");
    // Whoever does not pause is not forgotten either.
    let ticks = (0..30).filter(|_| {
        write(&mut home, ".");
        kept(home.tick(AT)).is_some()
    });
    assert_eq!(ticks.count(), 3);
    // Another conversation is opened, and what is sent is not begun any more.
    write(&mut home, "x");
    assert!(kept(home.update(Message::Open(handle("carol")), AT)).is_some());
    home.update(Message::Open(handle("bob")), AT);
    chat(&mut home, ChatMessage::Send);
    home.tick(AT);
    assert_eq!(kept(home.tick(AT)), Some(None));
    let draft = |text: &str| Draft { text: Text::new(text.to_owned()).unwrap(), answers: None, edits: None };
    let drafts = vec![(handle("bob"), draft("for bob")), (handle("carol"), draft("for carol"))];
    home.news(News::Drafts(Ok(drafts)), AT);
    assert_eq!(written(&home), "for bob");
    home.update(Message::Open(handle("carol")), AT);
    assert_eq!(written(&home), "for carol");
}

#[test]
fn what_was_begun_as_an_answer_or_as_other_words_is_so_when_it_comes_back() {
    let said = || vec![message(1, Direction::In, "hello"), message(2, Direction::Out, "mine")];
    let mut home = talking(said());
    let own = MessageRef { direction: Direction::Out, id: message_id(2) };
    chat(&mut home, ChatMessage::Answer(theirs(1)));
    write(&mut home, "half");
    home.update(Message::Open(handle("carol")), AT);
    home.update(Message::Open(handle("bob")), AT);
    let mark = |home: &Home| home.chat.as_ref().unwrap().mark.clone();
    assert!(matches!(mark(&home), Some(super::begun::Mark::Answer(to, _)) if to == message_id(1)));
    // The profile was closed between: what is answered is quoted once it is here.
    let text = |words: &str| Text::new(words.to_owned()).unwrap();
    let answer = Draft { text: text("half"), answers: Some(message_id(1)), edits: None };
    let (mut home, _) = Home::new(crate::testing::me(), 1_200.0, true);
    home.news(News::Drafts(Ok(vec![(handle("bob"), answer)])), AT);
    let opened = home.update(Message::Open(handle("bob")), AT);
    super::tests::answer(&mut home, &opened, said());
    assert_eq!(mark(&home), Some(super::begun::Mark::Answer(message_id(1), "hello".to_owned())));
    let actions = chat(&mut home, ChatMessage::Send);
    assert!(actions.iter().any(|it| matches!(it, Action::Order(Order::Send { answer: Some(_), .. }))), "{actions:?}");
    // Other words wait with what was begun before them.
    write(&mut home, "before");
    chat(&mut home, ChatMessage::Edit(own));
    write(&mut home, "!");
    let kept = home.update(Message::Open(handle("carol")), AT);
    let [Action::Order(Order::KeepDraft(_, Some(kept))), ..] = kept.as_slice() else { panic!("{kept:?}") };
    let edits = kept.edits.clone().unwrap();
    assert_eq!((kept.text.as_str(), edits.of, edits.before), ("mine!", message_id(2), Some(text("before"))));
    home.update(Message::Open(handle("bob")), AT);
    chat(&mut home, ChatMessage::StopMark);
    assert_eq!(written(&home), "before");
}

#[test]
fn pinned_conversations_stand_above_the_others() {
    let mut home = four();
    let mut erin = conversation("erin", Some(message(6, Direction::In, "hello")), 1);
    erin.contact.arrangement.pinned = true;
    home.news(News::Conversation(handle("erin"), Ok(Some(Box::new(erin)))), AT);
    home.news(
        News::Conversation(
            handle("dave"),
            Ok(Some(Box::new(conversation("dave", Some(message(20, Direction::In, "new")), 1)))),
        ),
        AT,
    );
    assert_eq!(home.in_order().map(|with| with.as_str()).collect::<Vec<_>>(), ["erin", "dave", "bob", "carol"]);
}

#[test]
fn keys_of_the_window_are_not_typed_and_others_are() {
    let key = |letter: &str| Key::Character(letter.into());
    assert!(is_of_window(&key("k"), Modifiers::COMMAND, false));
    assert!(is_of_window(&key("1"), Modifiers::COMMAND, false) && !is_of_window(&key("0"), Modifiers::COMMAND, false));
    assert!(!is_of_window(&key("c"), Modifiers::COMMAND, true), "what is marked in the field is copied");
    assert!(is_of_window(&key("C"), Modifiers::COMMAND | Modifiers::SHIFT, true));
    assert!(!is_of_window(&key("k"), Modifiers::empty(), true));
    assert!(!is_of_window(&Key::Named(Named::Delete), Modifiers::COMMAND, false));
    assert!(is_of_window(&Key::Named(Named::ArrowUp), Modifiers::ALT, false));
    assert!(!is_of_window(&Key::Named(Named::ArrowUp), Modifiers::SHIFT, false));
}
