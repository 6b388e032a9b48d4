//! Where the keyboard goes when something comes, goes, or moves.

use iced::keyboard::key::Named;
use iced::keyboard::{self, Key, Modifiers};
use iced::{Event, mouse};

use super::home::settings::{self, Section};
use super::home::{self, ChatMessage};
use super::snapshots::{self, WINDOW, at_home, news};
use super::snapshots_over::in_chat;
use super::tests_reach::Fingers;
use crate::app::{Hand, Message};
use crate::order::News;
use crate::preferences::Appearance;
use crate::testing::conversation;
use crate::testing_glass::pressed;
use crate::ui::id;

/// With bob's conversation open, and the keyboard nowhere.
fn talking() -> Fingers {
    let app = snapshots::app(Appearance::Light, true);
    Fingers::new(snapshots::talking(app, snapshots::people(), WINDOW, &snapshots::said()), WINDOW)
}

/// Tab, until a press would say something with this in it.
fn go(fingers: &mut Fingers, words: &str) {
    for _ in 0..40 {
        fingers.tab();
        if fingers.would_say(Named::Enter).0.contains(words) {
            return;
        }
    }
    panic!("Tab does not come to {words}");
}

fn plain(fingers: &mut Fingers, key: Named) {
    fingers.press(key, Modifiers::empty());
}

#[test]
fn a_dialog_keeps_the_keyboard_and_gives_it_back() {
    let mut fingers = talking();
    go(&mut fingers, "Attach(true)");
    let before = fingers.here();
    plain(&mut fingers, Named::Enter);
    let card = |here: iced::Rectangle| (390.0..790.0).contains(&here.x);
    let mut stops = 0;
    fingers.around(WINDOW, |_, here| {
        assert!(card(here), "out of the dialog, at {here:?}");
        stops += 1;
    });
    assert!(stops >= 3, "the button, the field, and away: {stops}");
    plain(&mut fingers, Named::Escape);
    assert_eq!(fingers.here(), before, "where it was");

    // By a shortcut, out of the field: and back into it.
    let mut fingers = talking();
    fingers.happens(in_chat(ChatMessage::StopMark));
    plain(&mut fingers, Named::Escape);
    let field = fingers.here();
    assert!(field.is_some());
    fingers.press(Named::F1, Modifiers::empty());
    fingers.happens(at_home(home::Message::Sheet(true)));
    assert_ne!(fingers.here(), field, "in the sheet");
    plain(&mut fingers, Named::Enter);
    assert_eq!(fingers.here(), field);
}

#[test]
fn what_a_pointer_has_opened_takes_no_keyboard_and_a_click_takes_it_away() {
    let mut fingers = talking();
    go(&mut fingers, "Attach(true)");
    fingers.happen(Event::Mouse(mouse::Event::ButtonPressed(mouse::Button::Left)));
    assert_eq!(fingers.here(), None);
    fingers.happens(Message::Active(Hand::Pointer));
    fingers.happens(at_home(home::Message::Sheet(true)));
    assert_eq!(fingers.here(), None, "no ring for somebody who clicks");
    fingers.tab();
    assert!(fingers.here().is_some(), "but keys begin there");
}

#[test]
fn a_key_that_is_held_presses_once_and_keys_with_others_are_the_windows() {
    let mut fingers = talking();
    go(&mut fingers, "Attach(true)");
    let Event::Keyboard(keyboard::Event::KeyPressed {
        key, modified_key, physical_key, location, modifiers, text, ..
    }) = pressed(Key::Named(Named::Enter), Modifiers::empty())
    else {
        panic!("no key")
    };
    let held = keyboard::Event::KeyPressed { key, modified_key, physical_key, location, modifiers, text, repeat: true };
    assert_eq!(fingers.happen(Event::Keyboard(held)), ("[]".to_owned(), true));
    for (key, modifiers) in [
        (Key::Character("k".into()), Modifiers::CTRL),
        (Key::Named(Named::Enter), Modifiers::CTRL),
        (Key::Named(Named::Escape), Modifiers::empty()),
        (Key::Named(Named::Tab), Modifiers::SHIFT),
        (Key::Named(Named::ArrowUp), Modifiers::ALT),
    ] {
        assert_eq!(fingers.happen(pressed(key.clone(), modifiers)), ("[]".to_owned(), false), "{key:?}");
    }
}

#[test]
fn escape_closes_a_menu_and_nothing_else() {
    let mut fingers = talking();
    fingers.happens(at_home(home::Message::Settings(true)));
    fingers.happens(at_home(home::Message::Setting(settings::Message::Show(Section::Appearance))));
    fingers.tab();
    fingers.tab();
    let menu = fingers.here();
    plain(&mut fingers, Named::Enter);
    plain(&mut fingers, Named::ArrowDown);
    let (said, taken) = fingers.press(Named::Escape, Modifiers::empty());
    assert_eq!((said.as_str(), taken), ("[]", true));
    assert_eq!(fingers.here(), menu, "still in the settings");
    plain(&mut fingers, Named::Enter);
    plain(&mut fingers, Named::End);
    assert!(fingers.would_say(Named::Enter).0.contains("appearance: Dark"));
    plain(&mut fingers, Named::Escape);
    assert_ne!(fingers.here(), menu, "one step back");
}

#[test]
fn who_asks_for_something_grave_with_a_key_is_at_the_way_back_then() {
    let mut fingers = talking();
    fingers.happens(at_home(home::Message::Settings(true)));
    fingers.happens(at_home(home::Message::Setting(settings::Message::Show(Section::Storage))));
    go(&mut fingers, "Ask(Some(ClearFiles))");
    plain(&mut fingers, Named::Enter);
    assert_eq!(fingers.would_say(Named::Enter).0, "[Home(Setting(Ask(None)))]");
    fingers.tab();
    assert_eq!(fingers.would_say(Named::Enter).0, "[Home(Setting(Meant))]");
}

#[test]
fn what_goes_when_it_is_pressed_leaves_the_keyboard_to_what_is_there() {
    let mut fingers = talking();
    fingers.happens(at_home(home::Message::Panel(true)));
    fingers.happens(at_home(home::Message::NameEdited("Robert".to_owned())));
    go(&mut fingers, "NameDone");
    while !fingers.would_say(Named::Space).0.contains("NameDone") {
        fingers.tab();
    }
    let (button, _) = fingers.here().unwrap();
    plain(&mut fingers, Named::Enter);
    assert_eq!(fingers.here(), None, "it has gone");
    fingers.looks();
    assert_eq!(fingers.here().map(|(at, _)| at), Some(button), "the next one");
    // A click has no such wish.
    fingers.happen(Event::Mouse(mouse::Event::ButtonPressed(mouse::Button::Left)));
    fingers.looks();
    assert_eq!(fingers.here(), None);
}

#[test]
fn the_list_is_one_stop_however_long_and_keys_stay_with_the_person() {
    let mut fingers = talking();
    let person = |number: u32| conversation(&format!("person{number:04}"), None, 0);
    fingers.happens(news(News::Conversations(Ok((0..1_000).map(person).collect()))));
    let mut stops = 0;
    fingers.around(WINDOW, |_, _| stops += 1);
    assert!(stops < 20, "{stops} stops");
    let mut fingers = talking();
    fingers.happens(news(News::Conversations(Ok((0..1_000).map(person).collect()))));
    fingers.looks();
    go(&mut fingers, "person0000");
    let (_, list) = fingers.here().unwrap();
    for (key, person) in [(Named::ArrowDown, 1), (Named::End, 999), (Named::PageUp, 991), (Named::ArrowUp, 990)] {
        plain(&mut fingers, key);
        fingers.looks();
        let line = fingers.seen(id::LIST_AT).unwrap();
        assert!(line.is_within(&list.expand(1.0)), "{person} is out of sight: {line:?} in {list:?}");
        let says = fingers.would_say(Named::Enter).0;
        assert!(says.contains(&format!("person{person:04}")), "{says}");
    }
    plain(&mut fingers, Named::End);
    plain(&mut fingers, Named::ArrowUp);
    assert!(fingers.would_say(Named::Enter).0.contains("person0998"));
    // Somebody comes before all others: the keyboard stays with whom it was at.
    let mut all: Vec<_> = (0..1_000).map(person).collect();
    all.insert(0, conversation("newcomer", None, 1));
    fingers.happens(news(News::Conversations(Ok(all))));
    assert!(fingers.would_say(Named::Enter).0.contains("person0998"));
    fingers.shows_a_ring(list, WINDOW);
    plain(&mut fingers, Named::Home);
    assert!(fingers.would_say(Named::Enter).0.contains("newcomer"));
    let (said, _) = fingers.press(Named::Space, Modifiers::empty());
    assert!(said.contains("newcomer"));
    assert_ne!(fingers.here().map(|(_, here)| here), Some(list), "where one writes");
}
