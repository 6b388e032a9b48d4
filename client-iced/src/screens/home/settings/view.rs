//! The sections: a list of them, and the one that is shown.

use iced::widget::{Column, column, container, row, scrollable, text};
use iced::{Center, Element, Fill};

use super::parts::Named;
use super::{Message as M, Section, SettingsPage};
use crate::calendar::Present;
use crate::focus::{self, button};
use crate::preferences::Preferences;
use crate::screens::home::{Home, Message, NARROW};
use crate::strings::Strings;
use crate::theme::{STRONG, size, styles};
use crate::ui::{self, id};

/// Of the list of sections, in logical pixels.
const SECTIONS: f32 = 200.0;

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
                let list = focus::choice(all, now, size::BODY, Fill, |named| Message::Setting(M::Show(named.value)));
                column![container(list).padding([0, 24]), shown].spacing(14).into()
            }
            false => {
                let show = |section| Message::Setting(M::Show(section));
                let line = |section: Section| {
                    let line = button(ui::body(t.get(name(section))))
                        .padding([9, 12])
                        .width(Fill)
                        .style(styles::line(section == page.section))
                        .on_press(show(section))
                        .by_tab(false);
                    let of = if section == page.section { id::SECTION } else { name(section) };
                    container(line).id(of).into()
                };
                let list = Column::with_children(Section::ALL.map(line)).spacing(2).padding([0, 12]).width(SECTIONS);
                let at = Section::ALL.iter().position(|section| *section == page.section).unwrap_or_default();
                let beside = |at: Option<usize>| at.and_then(|at| Section::ALL.get(at)).map(|section| show(*section));
                let list = focus::one_of(list, beside(at.checked_sub(1)), beside(Some(at + 1)));
                row![list.ringed(id::SECTION), shown].into()
            }
        };
        let all = column![container(head).padding([18, 24]), body];
        container(all).width(Fill).height(Fill).style(styles::ground).into()
    }
}
