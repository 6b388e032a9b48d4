//! What the desktop is told while a person uses the window: by the whole of the window's state, without a bus.

use std::time::Duration;

use endtoend_client::database::{Conversation, Direction};
use endtoend_client::engine::{ConnectionState, Event, OfflineReason};
use endtoend_protocol::UnixMillis;
use jiff::tz::TimeZone;

use super::{News as Told, Order as Asked};
use crate::action::Action;
use crate::app::{App, Message, Screen};
use crate::order::{News, Order};
use crate::preferences::{Notices, Preferences};
use crate::screens::home;
use crate::testing::{NOW, conversation, handle, id, me, message};

const WORDS: &str = "the code is 4711";

struct Scene {
    app: App,
    now: UnixMillis,
}

impl Scene {
    /// With the main window, and nobody looking at it.
    fn new(preferences: Preferences) -> Self {
        let now = UnixMillis::new(NOW);
        let (app, _) = App::new(preferences, now, TimeZone::UTC, true);
        let mut scene = Self { app, now };
        scene.app.update(Message::News(News::Entered(Box::new(me()))));
        scene.app.update(Message::Focused(false));
        scene
    }

    fn said_by_bob(unread: u64) -> Conversation {
        conversation("bob", Some(message(1, Direction::In, WORDS)), unread)
    }

    /// Bob writes, and the list hears of it.
    fn bob_writes(&mut self) {
        let event = Event::Received { from: Some(handle("bob")), id: id(1) };
        self.app.update(Message::News(News::Event(Box::new(event))));
        self.line(1);
    }

    fn line(&mut self, unread: u64) -> Vec<Action> {
        let line = News::Conversation(handle("bob"), Ok(Some(Box::new(Self::said_by_bob(unread)))));
        self.app.update(Message::News(line))
    }

    /// So long passes; what the desktop was asked meanwhile.
    fn after(&mut self, time: Duration) -> Vec<Action> {
        self.now = self.now.plus(time);
        self.app.update(Message::News(News::Now(self.now)))
    }

    fn notified(&mut self) -> Option<String> {
        self.after(Duration::from_secs(1)).into_iter().find_map(|action| match action {
            Action::Desktop(Asked::Notify(notice)) => Some(format!("{} / {}", notice.title, notice.body)),
            _ => None,
        })
    }
}

fn preferring(notices: Notices) -> Preferences {
    Preferences { notices, ..Preferences::default() }
}

#[test]
fn no_name_and_no_word_is_shown_that_was_not_allowed() {
    let told = |notices| {
        let mut scene = Scene::new(preferring(notices));
        scene.bob_writes();
        (scene.notified(), scene.app.title())
    };
    for (notices, expected) in [
        (Notices::Nothing, None),
        (Notices::Something, Some("Endtoend / A message has come.".to_owned())),
        (Notices::Name, Some("bob / A message has come.".to_owned())),
        (Notices::Words, Some(format!("bob / {WORDS}"))),
    ] {
        let (notified, title) = told(notices);
        assert_eq!(notified, expected);
        // The window's title is on everybody's list of windows.
        assert_eq!(title, "Endtoend (1)");
    }
    assert_eq!(Preferences::default().notices, Notices::Something);
}

#[test]
fn who_looks_at_a_conversation_is_not_told_of_it() {
    let mut scene = Scene::new(preferring(Notices::Words));
    scene.app.update(Message::Focused(true));
    scene.app.update(Message::Home(home::Message::Open(handle("bob"))));
    scene.bob_writes();
    assert_eq!(scene.notified(), None);
    // The same conversation in a window that nobody looks at.
    scene.app.update(Message::Focused(false));
    scene.bob_writes();
    assert!(scene.notified().is_some());
    assert_eq!(scene.notified(), None, "once");
    // It was read, here or on another device.
    let actions = scene.line(0);
    let withdrawn = |action: &Action| matches!(action, Action::Desktop(Asked::Withdraw(who)) if who == "bob");
    assert!(actions.iter().any(withdrawn), "{actions:?}");
}

#[test]
fn a_window_is_closed_for_good_unless_a_tray_brings_it_back() {
    let mut scene = Scene::new(Preferences { close_to_tray: true, ..Preferences::default() });
    let close = |scene: &mut Scene| format!("{:?}", scene.app.update(Message::Close));
    assert!(close(&mut scene).contains("Quit"), "there is no tray");
    scene.app.update(Message::Desktop(Told::Tray(true)));
    assert!(close(&mut scene).contains("HideWindow"));
    // The tray is gone, and with it the way back.
    let shown = scene.app.update(Message::Desktop(Told::Tray(false)));
    assert!(matches!(shown.as_slice(), [Action::ShowWindow]), "{shown:?}");
    scene.app.update(Message::Desktop(Told::Tray(true)));
    scene.app.preferences.close_to_tray = false;
    assert!(close(&mut scene).contains("Quit"));
}

#[test]
fn the_sign_has_the_number_of_the_unread_and_no_name() {
    let mut scene = Scene::new(preferring(Notices::Words));
    scene.app.update(Message::Desktop(Told::Tray(true)));
    scene.bob_writes();
    let signs: Vec<super::Sign> = scene
        .after(Duration::from_secs(1))
        .into_iter()
        .filter_map(|action| match action {
            Action::Desktop(Asked::Sign(sign)) => Some(sign),
            _ => None,
        })
        .collect();
    assert_eq!(signs.iter().map(|sign| (sign.unread, sign.words.as_str())).collect::<Vec<_>>(), [(1, "1 new message")]);
    let again = scene.after(Duration::from_secs(1));
    assert!(!again.iter().any(|action| matches!(action, Action::Desktop(Asked::Sign(_)))), "{again:?}");
}

#[test]
fn what_was_pressed_opens_its_conversation_in_front() {
    let mut scene = Scene::new(preferring(Notices::Name));
    scene.line(1);
    let actions = scene.app.update(Message::Desktop(Told::Pressed("bob".to_owned())));
    assert!(
        actions.iter().any(|action| matches!(action, Action::Order(Order::Load(load)) if load.with == handle("bob")))
    );
    assert!(matches!(actions.last(), Some(Action::ShowWindow)));
}

#[test]
fn a_locked_profile_leaves_nothing_on_the_screen() {
    let mut scene = Scene::new(preferring(Notices::Words));
    scene.bob_writes();
    assert!(scene.notified().is_some());
    let lock = scene.app.update(Message::Desktop(Told::Lock));
    assert!(matches!(lock.as_slice(), [Action::Order(Order::Lock)]));
    let locked = ConnectionState::Offline { retry_at: None, why: OfflineReason::Locked };
    let actions = scene.app.update(Message::News(News::Connection(locked)));
    assert!(matches!(scene.app.screen, Screen::Unlock(_)));
    assert!(actions.iter().any(|action| matches!(action, Action::Desktop(Asked::Withdraw(_)))), "{actions:?}");
    assert!(!format!("{:?}", scene.app).contains(WORDS));
    assert_eq!(scene.app.title(), "Endtoend");
    assert!(scene.app.update(Message::Desktop(Told::Lock)).is_empty(), "it is locked");
}

#[test]
fn the_engine_hears_now_and_then_that_somebody_is_there() {
    let mut scene = Scene::new(Preferences::default());
    let active = |actions: Vec<Action>| actions.iter().any(|action| matches!(action, Action::Order(Order::Active)));
    assert!(!active(scene.app.update(Message::Active(crate::app::Hand::Pointer))), "said when the profile was opened");
    scene.after(Duration::from_secs(5));
    assert!(active(scene.app.update(Message::Active(crate::app::Hand::Pointer))));
    assert!(!active(scene.app.update(Message::Active(crate::app::Hand::Pointer))));
}

#[test]
fn a_secret_leaves_the_clipboard_after_a_minute_and_other_words_stay() {
    let cleared = |actions: Vec<Action>| actions.iter().any(|action| matches!(action, Action::ClearClipboard(_)));
    let minute = Duration::from_secs(60);
    let mut scene = Scene::new(Preferences::default());
    scene.app.update(Message::Home(home::Message::CopySecret("endtoend://".to_owned())));
    assert!(!cleared(scene.after(minute / 2)));
    assert!(cleared(scene.after(minute / 2)));
    scene.app.update(Message::Home(home::Message::Copy("a word".to_owned())));
    assert!(!cleared(scene.after(minute * 2)));
    scene.app.preferences.clear_clipboard = false;
    scene.app.update(Message::Home(home::Message::CopySecret("endtoend://".to_owned())));
    assert!(!cleared(scene.after(minute * 2)));
}
