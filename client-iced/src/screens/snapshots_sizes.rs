//! The main screens at other scales and in windows that are very narrow or very wide: see `snapshots`, whose pictures are at 200 %.

use endtoend_client::database::{Direction, FileState, MessageState, StoredMessage};
use endtoend_client::engine::Verification;
use endtoend_protocol::Emoji;
use iced::widget::text_editor::{Action as Typed, Edit};

use super::snapshots::{CARD, WINDOW, app, at_home, both, compare_at, first, news, people, said, talking, tell};
use super::snapshots_over::{came, in_chat, of, pictures, spoken};
use crate::app::{App, Message};
use crate::order::News;
use crate::preferences::Appearance;
use crate::screens::first_run;
use crate::screens::home::settings::{self, Section};
use crate::screens::home::{ChatMessage, Message as Home, picker};
use crate::testing::{handle, message, server};

/// The smallest window.
const NARROW: (f32, f32) = (360.0, 640.0);
/// A wide one.
const WIDE: (f32, f32) = (2_560.0, 1_100.0);

/// A message of every kind.
fn everything() -> Vec<StoredMessage> {
    let mut all = said();
    all.truncate(8);
    all.extend(pictures().into_iter().skip(1).take(1));
    let mut refused =
        message(30, Direction::Out, "Is anybody there? See https://example.org/a/long/way/to/somewhere/else");
    refused.state = MessageState::Rejected(endtoend_protocol::RejectReason::UnknownRecipient);
    refused.marks.their_reaction = Emoji::new("👍".to_owned());
    all.extend([spoken(31, FileState::Here), refused]);
    all
}

fn verification() -> Verification {
    Verification {
        with: handle("bob"),
        safety_number: "001822755588308656584925423525269864589040893377070254469174".to_owned(),
        own_identity: [1; 33],
        peer_identity: [2; 33],
        changed: false,
        verified: true,
    }
}

fn typed(words: &str) -> Message {
    in_chat(ChatMessage::Edited(Typed::Edit(Edit::Paste(words.to_owned().into()))))
}

fn conversation_with_everything(appearance: Appearance, size: (f32, f32)) -> App {
    let mut app = talking(app(appearance, true), people(), size, &everything());
    tell(&mut app, came());
    app
}

/// Every main screen in a window of this size, by its name: as a person comes to see it.
fn main_screens(size: (f32, f32)) -> Vec<(&'static str, App)> {
    let plain = || conversation_with_everything(Appearance::Light, size);
    let with = |messages: Vec<Message>| {
        let mut app = plain();
        tell(&mut app, messages);
        app
    };
    let first_run = || {
        let mut app = app(Appearance::Light, false);
        let steps = [
            first_run::Message::Begin(first_run::Way::Create),
            first_run::Message::AddressEdited(server().to_string()),
            first_run::Message::Next,
            first_run::Message::HandleEdited("alice".to_owned()),
            first_run::Message::Next,
            first_run::Message::PasswordEdited("stapler gravel quorum".to_owned().into()),
        ];
        tell(&mut app, steps.map(first));
        app
    };
    let verified = || news(News::Verification(handle("bob"), Ok(Box::new(verification()))));
    vec![
        ("list", with(vec![at_home(Home::CloseChat)])),
        ("chat", plain()),
        ("panel", with(vec![at_home(Home::Panel(true)), verified()])),
        ("settings", with(vec![at_home(Home::Settings(true))])),
        ("palette", with(vec![at_home(Home::Palette(true))])),
        ("first-run", first_run()),
    ]
}

#[test]
fn the_main_screens_at_other_scales() {
    // Fractions of a pixel are where letters touch and lines vanish.
    for (name, app) in main_screens(WINDOW) {
        let size = if name == "first-run" { CARD } else { WINDOW };
        compare_at(&app, &format!("at-100-{name}"), size, 1.0);
        compare_at(&app, &format!("at-150-{name}"), size, 1.5);
    }
}

#[test]
fn the_main_screens_in_a_very_wide_window() {
    for (name, app) in main_screens(WIDE) {
        compare_at(&app, &format!("wide-{name}"), WIDE, 1.0);
    }
}

#[test]
fn the_main_screens_in_the_narrowest_window() {
    for (name, app) in main_screens(NARROW) {
        compare_at(&app, &format!("least-{name}"), NARROW, 1.0);
    }
}

#[test]
fn what_lies_over_a_conversation_in_the_narrowest_window() {
    let show = |name: &str, messages: Vec<Message>| {
        let mut app = conversation_with_everything(Appearance::Dark, NARROW);
        tell(&mut app, messages);
        compare_at(&app, &format!("least-over-{name}"), NARROW, 1.0);
    };
    show("picker", vec![at_home(Home::Pick(Some(picker::Purpose::Write)))]);
    show("naming", vec![typed("well :heart")]);
    show("attach", vec![at_home(Home::Attach(true))]);
    show("sheet", vec![at_home(Home::Sheet(true))]);
    show("day", vec![at_home(Home::Day)]);
    show("new", vec![at_home(Home::NewChat)]);
    show("chosen", vec![in_chat(ChatMessage::Choose(Some(of(30, Direction::Out))))]);
    show("lightbox", vec![in_chat(ChatMessage::OpenPicture(of(2, Direction::In)))]);
    let page = |section| vec![at_home(Home::Settings(true)), at_home(Home::Setting(settings::Message::Show(section)))];
    show("appearance", page(Section::Appearance));
    show("about", page(Section::About));
}

#[test]
fn emoji_that_are_offered_by_their_name() {
    both("naming", WINDOW, true, || {
        let mut all = people();
        all.extend([at_home(Home::Open(handle("carol"))), typed("Ready for it :heart")]);
        all
    });
}
