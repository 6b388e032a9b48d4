//! The sections, and the parts that they are made of.

use iced::widget::{Column, button, column, container, pick_list, row, scrollable, text, toggler};
use iced::{Center, Element, Fill};

use super::{Grave, Message as M, Section, SettingsPage};
use crate::calendar::Present;
use crate::preferences::Preferences;
use crate::screens::home::{Home, Message, NARROW};
use crate::strings::Strings;
use crate::theme::{STRONG, size, styles};
use crate::ui;

/// Of the list of sections, in logical pixels.
const SECTIONS: f32 = 200.0;

/// A value with its name in the language that is spoken.
#[derive(Clone, PartialEq)]
pub(super) struct Named<T> {
    pub(super) value: T,
    words: String,
}

impl<T> Named<T> {
    pub(super) fn new(value: T, words: String) -> Self {
        Self { value, words }
    }
}

impl<T> std::fmt::Display for Named<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

const fn name(section: Section) -> &'static str {
    match section {
        Section::Profile => "account",
        Section::Devices => "devices",
        Section::Privacy => "privacy",
        Section::Network => "network",
        Section::Notices => "notices",
        Section::Appearance => "appearance",
        Section::Storage => "storage",
        Section::Keyboard => "keys",
        Section::About => "about",
    }
}

/// A card, with what it is about at its head.
pub(super) fn card<'a>(title: String, content: Column<'a, Message>) -> Element<'a, Message> {
    container(column![ui::head(title), content.spacing(14)].spacing(16))
        .padding(22)
        .width(Fill)
        .style(styles::card)
        .into()
}

/// A choice of one of several, with what it is about before it, or above it where there is no room.
pub(super) fn choice<'a, T: ToString + PartialEq + Clone + 'a>(
    narrow: bool,
    label: String,
    all: Vec<T>,
    now: T,
    chosen: impl Fn(T) -> Message + 'a,
) -> Element<'a, Message> {
    let list = pick_list(all, Some(now), chosen)
        .text_size(size::BODY)
        .padding([8, 12])
        .style(styles::choice)
        .menu_style(styles::menu);
    match narrow {
        true => column![ui::body(label), list.width(Fill)].spacing(6).into(),
        false => row![ui::body(label).width(Fill), list.width(200)].align_y(Center).spacing(12).into(),
    }
}

/// On or off, with what it is about and what follows from it before it.
pub(super) fn switch<'a>(
    t: &Strings,
    label: &'static str,
    note: &'static str,
    on: bool,
    chosen: impl Fn(bool) -> Message + 'a,
) -> Element<'a, Message> {
    let switch = toggler(on).size(22).on_toggle(chosen).style(styles::switch);
    row![column![ui::body(t.get(label)), ui::note(t.get(note))].spacing(2).width(Fill), switch]
        .spacing(16)
        .align_y(Center)
        .into()
}

/// A button that asks once more before it does something grave.
pub(super) fn grave<'a>(
    t: &Strings,
    page: &SettingsPage,
    grave: Grave,
    (ask, meant): (&'static str, &'static str),
) -> Element<'a, Message> {
    let small = |key: &'static str, style: fn(&iced::Theme, button::Status) -> button::Style, message| {
        button(text(t.get(key)).size(size::NOTE)).padding([6, 12]).style(style).on_press(Message::Setting(message))
    };
    match page.asked == Some(grave) {
        false => small(ask, styles::quiet, M::Ask(Some(grave))).into(),
        true => {
            row![small("cancel", styles::quiet, M::Ask(None)), small(meant, styles::danger, M::Meant)].spacing(8).into()
        }
    }
}

impl Home {
    pub(in crate::screens::home) fn settings_view<'a>(
        &'a self,
        t: &'a Strings,
        present: &'a Present,
        preferences: Preferences,
        page: &'a SettingsPage,
    ) -> Element<'a, Message> {
        let back = button(text("←").size(size::HEAD)).padding([4, 10]).style(styles::plain);
        let head = row![
            back.on_press(Message::Settings(false)),
            text(t.get("settings")).size(size::TITLE).font(STRONG).width(Fill),
        ]
        .spacing(12)
        .align_y(Center);
        let narrow = self.width < NARROW;
        let content = match page.section {
            Section::Profile => self.profile(t, page),
            Section::Devices => self.devices(t, present, page),
            Section::Privacy => super::privacy::view(t, page, preferences, narrow),
            Section::Network => self.network(t, present, page),
            Section::Notices => super::notices::view(t, preferences, narrow),
            Section::Appearance => super::appearance::view(t, preferences, narrow),
            Section::Storage => super::storage::view(t, page),
            Section::Keyboard => super::about::keyboard(t),
            Section::About => super::about::view(t, page),
        };
        let failure = ui::failure(t, page.failure.as_ref());
        // A place of its own for each section: one begins at its top, and not where another was scrolled to.
        let shown = column![].push(failure).push(content).spacing(14).padding([0, 24]).max_width(720);
        let shown = scrollable(container(shown).center_x(Fill).padding(iced::padding::bottom(24)))
            .id(name(page.section))
            .style(styles::scroll)
            .width(Fill)
            .height(Fill);
        let body: Element<'a, Message> = match narrow {
            true => {
                let all = Section::ALL.map(|section| Named::new(section, t.get(name(section)))).to_vec();
                let now = Named::new(page.section, t.get(name(page.section)));
                let list = pick_list(all, Some(now), |named| Message::Setting(M::Show(named.value)))
                    .text_size(size::BODY)
                    .padding([8, 12])
                    .width(Fill)
                    .style(styles::choice)
                    .menu_style(styles::menu);
                column![container(list).padding([0, 24]), shown].spacing(14).into()
            }
            false => {
                let line = |section: Section| {
                    button(ui::body(t.get(name(section))))
                        .padding([9, 12])
                        .width(Fill)
                        .style(styles::line(section == page.section))
                        .on_press(Message::Setting(M::Show(section)))
                        .into()
                };
                let list = Column::with_children(Section::ALL.map(line)).spacing(2).padding([0, 12]).width(SECTIONS);
                row![list, shown].into()
            }
        };
        let all = column![container(head).padding([18, 24]), body];
        container(all).width(Fill).height(Fill).style(styles::ground).into()
    }
}
