//! What keys do, and what this is.

use iced::Element;
use iced::Fill;
use iced::widget::{Column, column, row, space, text};

use super::licences::{self, Part};
use super::parts::card;
use super::{Message as M, SettingsPage};
use crate::screens::home::Message;
use crate::screens::home::keys::SHEET;
use crate::strings::Strings;
use crate::theme::{STRONG, size};
use crate::ui;

pub(super) fn keyboard<'a>(t: &'a Strings) -> Element<'a, Message> {
    let line = |keys: &'static str, about: &'static str| {
        row![text(keys).size(size::NOTE).font(STRONG).width(140), ui::note(t.get(about)).width(Fill)].spacing(12)
    };
    card(t.get("keys"), Column::with_children(SHEET.map(|(keys, about)| line(keys, about).into())).spacing(6))
}

pub(super) fn view<'a>(t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Message> {
    let version = t.with("version", [("version", env!("CARGO_PKG_VERSION"))]);
    let (shown, key) = (page.licences, if page.licences { "licences-hide" } else { "licences-show" });
    let parts = shown.then(|| {
        let line = |part: Part<'static>| {
            let name = format!("{} {}", part.name, part.version);
            row![ui::small(name).width(Fill), ui::small(part.licence).width(Fill)].spacing(12).into()
        };
        Column::with_children(licences::parts().map(line)).spacing(3)
    });
    let more = row![ui::quiet(t.get(key), Message::Setting(M::Licences(!shown))), space()];
    card(
        t.get("about"),
        column![
            ui::body(version),
            ui::note(t.get("licence")),
            ui::note(t.get("font-licence")),
            ui::note(t.get("licences-note")),
            more
        ]
        .push(parts),
    )
}
