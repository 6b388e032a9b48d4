//! The ring around what has the keyboard: see `snapshots`.

use iced::keyboard::Modifiers;
use iced::keyboard::key::Named;

use super::first_run::{self, Message as M};
use super::home::settings::{self, Grave, Section};
use super::home::{self, ChatMessage};
use super::snapshots::{self, CARD, WINDOW, at_home, compare_pixels, first, news};
use super::snapshots_over::{in_chat, of};
use super::tests_reach::Fingers;
use crate::app::Message;
use crate::order::News;
use crate::preferences::Appearance;
use crate::testing::server;
use endtoend_client::database::Direction;

/// What is told to a window of that size, and the keys that are pressed then.
pub(super) fn ringed(name: &str, size: (f32, f32), profile: bool, told: &[Message], tabs: usize, then: &[Named]) {
    for (appearance, suffix) in [(Appearance::Light, "light"), (Appearance::Dark, "dark")] {
        let mut app = snapshots::app(appearance, profile);
        if profile {
            app = snapshots::talking(app, snapshots::people(), size, &snapshots::said());
        }
        let mut fingers = Fingers::new(app, size);
        told.iter().cloned().for_each(|message| fingers.happens(message));
        (0..tabs).for_each(|_| fingers.tab());
        then.iter().for_each(|key| {
            fingers.press(*key, Modifiers::empty());
        });
        compare_pixels(&fingers.picture(), (size.0 as u32, size.1 as u32), &format!("{name}-{suffix}"));
    }
}

#[test]
fn a_button_that_leads_on() {
    ringed("ring-button", (620.0, 460.0), false, &[], 1, &[]);
}

#[test]
fn one_of_several() {
    let begun =
        [first(M::Begin(first_run::Way::Create)), first(M::AddressEdited(server().to_string())), first(M::ShowNetwork)];
    ringed("ring-radio", (CARD.0, 820.0), false, &begun, 0, &[Named::ArrowDown]);
}

#[test]
fn a_line_of_the_list() {
    ringed("ring-row", WINDOW, true, &[], 4, &[Named::ArrowDown, Named::ArrowDown]);
}

#[test]
fn what_is_done_to_a_message() {
    let chosen = in_chat(ChatMessage::Choose(Some(of(10, Direction::In))));
    ringed("ring-deed", WINDOW, true, &[chosen], 14, &[]);
}

#[test]
fn a_menu_and_what_cannot_be_taken_back() {
    let setting = |message| at_home(home::Message::Setting(message));
    let show = |section| vec![at_home(home::Message::Settings(true)), setting(settings::Message::Show(section))];
    let size = (900.0, 620.0);
    ringed("ring-menu", size, true, &show(Section::Appearance), 2, &[Named::Enter, Named::ArrowDown]);
    let mut grave = show(Section::Storage);
    grave.push(news(News::LockAfter(Ok(None))));
    grave.push(setting(settings::Message::Ask(Some(Grave::ClearFiles))));
    ringed("ring-danger", size, true, &grave, 3, &[]);
}
