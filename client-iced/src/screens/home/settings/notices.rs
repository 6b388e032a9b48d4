//! What the desktop is told beside the window.

use iced::Element;
use iced::widget::column;

use super::parts::{Named, card, choice, switch};
use crate::preferences::{Notices, Preferences};
use crate::screens::home::Message;
use crate::strings::Strings;
use crate::ui;

const fn name(shows: Notices) -> &'static str {
    match shows {
        Notices::Nothing => "notices-nothing",
        Notices::Something => "notices-something",
        Notices::Name => "notices-name",
        Notices::Words => "notices-words",
    }
}

pub(super) fn view<'a>(t: &'a Strings, now: Preferences, narrow: bool) -> Element<'a, Message> {
    let named = |shows| Named::new(shows, t.get(name(shows)));
    let shows =
        choice(narrow, t.get("notices-show"), Notices::ALL.map(named).to_vec(), named(now.notices), move |named| {
            Message::Prefer(Preferences { notices: named.value, ..now })
        });
    let tray = switch(t, "close-to-tray", "close-to-tray-note", now.close_to_tray, move |on| {
        Message::Prefer(Preferences { close_to_tray: on, ..now })
    });
    card(t.get("notices"), column![shows, ui::note(t.get("notices-note")), ui::rule(), tray])
}
