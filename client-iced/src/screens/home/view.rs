//! The main window as a whole: what stands beside what, and what lies over it.

use iced::widget::{column, container, mouse_area, opaque, row, space, stack, text};
use iced::{Center, Color, Element, Fill};

use super::{Home, MEDIUM, Message, NARROW};
use crate::calendar::{Present, span};
use crate::focus::button;
use crate::focus::walk::LAYER;
use crate::preferences::Preferences;
use crate::strings::Strings;
use crate::theme::{size, styles};
use crate::ui::{self, id};

/// Of the list, in logical pixels.
const LIST: f32 = 320.0;
/// Of the panel.
const PANEL: f32 = 320.0;

/// A card over everything else, which is closed by a press beside it.
pub(super) fn over<'a>(card: Element<'a, Message>, closed: Message) -> Element<'a, Message> {
    let card = container(card).padding(24).width(Fill).max_width(400).style(styles::card);
    let veil = |_: &iced::Theme| container::background(Color { a: 0.4, ..Color::BLACK });
    opaque(mouse_area(container(opaque(card)).id(LAYER).padding(12).center(Fill).style(veil)).on_press(closed))
}

/// The same near the top of the window, and wider: what is typed in it changes how much stands below.
pub(super) fn above<'a>(card: Element<'a, Message>, closed: Message) -> Element<'a, Message> {
    let card = container(card).padding(14).width(560).max_width(560).style(styles::card);
    let veil = |_: &iced::Theme| container::background(Color { a: 0.4, ..Color::BLACK });
    let place = container(opaque(card)).id(LAYER).padding(iced::Padding { top: 64.0, ..iced::Padding::from(16) });
    opaque(mouse_area(place.center_x(Fill).height(Fill).style(veil)).on_press(closed))
}

impl Home {
    /// What is to be seen.
    pub fn view<'a>(&'a self, t: &'a Strings, present: &'a Present, preferences: Preferences) -> Element<'a, Message> {
        let base: Element<'a, Message> = match &self.settings {
            Some(page) => self.settings_view(t, present, preferences, page),
            None => self.chats(t, present),
        };
        let base = column![ui::slot(self.told(t)), base];
        stack![base]
            .push(self.new_chat.is_some().then(|| self.new_chat_view(t)))
            .push(self.attaching.as_ref().map(|attaching| self.attaching_view(t, attaching)))
            .push(self.lightbox.as_ref().map(|lightbox| self.lightbox_view(t, lightbox)))
            .push(self.asked.as_ref().map(|asked| self.asked_view(t, present, asked)))
            .push(self.palette.as_ref().map(|palette| self.palette_view(t, present, palette)))
            .push(self.sheet.then(|| self.sheet_view(t)))
            .into()
    }

    fn chats<'a>(&'a self, t: &'a Strings, present: &'a Present) -> Element<'a, Message> {
        let narrow = self.width < NARROW;
        let Some(chat) = &self.chat else {
            return match narrow {
                true => self.list(t, present),
                false => row![
                    container(self.list(t, present)).width(LIST),
                    ui::upright(),
                    container(ui::note(t.get("nothing-open"))).center(Fill).style(styles::surface),
                ]
                .into(),
            };
        };
        let panel = self.panel.then(|| self.panel_view(t, present, chat));
        match (narrow, panel) {
            (true, Some(panel)) => panel,
            (true, None) => self.conversation(t, present, chat),
            (false, None) => {
                row![container(self.list(t, present)).width(LIST), ui::upright(), self.conversation(t, present, chat),]
                    .into()
            }
            (false, Some(panel)) if self.width < MEDIUM => {
                row![container(self.list(t, present)).width(LIST), ui::upright(), panel].into()
            }
            (false, Some(panel)) => row![
                container(self.list(t, present)).width(LIST),
                ui::upright(),
                self.conversation(t, present, chat),
                ui::upright(),
                container(panel).width(PANEL),
            ]
            .into(),
        }
    }

    /// What a person should know, above everything else.
    fn told<'a>(&'a self, t: &'a Strings) -> Option<Element<'a, Message>> {
        let dismiss = || ui::plain(t.get("dismiss"), Message::Dismiss);
        let bar = |words: String, style: fn(&iced::Theme) -> container::Style| {
            let words = text(words).size(size::NOTE).width(Fill);
            let bar = container(row![words, dismiss()].spacing(12).align_y(Center)).padding([6, 14]).style(style);
            container(bar.width(Fill)).padding(8).style(styles::ground).into()
        };
        if let Some(failure) = &self.failure {
            return Some(bar(failure.say(t), styles::failure));
        }
        if let Some(place) = &self.saved {
            return Some(bar(t.with("file-saved", [("path", place.as_str())]), styles::boxed));
        }
        let (seconds, ahead) = self.clock_off?;
        let key = if ahead { "clock-ahead" } else { "clock-behind" };
        Some(bar(t.with(key, [("by", span(t, seconds))]), styles::warning))
    }

    fn new_chat_view<'a>(&'a self, t: &'a Strings) -> Element<'a, Message> {
        let Some(new) = &self.new_chat else { return space().into() };
        let good = new.named();
        let hint = match &good {
            Ok(_) if new.asking => ui::note(t.get("step-asking")),
            Err(failure) if !new.typed.trim().is_empty() => ui::note(failure.say(t)).style(styles::bad),
            Err(_) | Ok(_) => ui::note(t.get("new-chat-note")),
        };
        let field = ui::field(
            t.get("handle-or-link"),
            id::NEW_CHAT,
            "",
            &new.typed,
            Message::NewChatEdited,
            Message::NewChatDone,
        );
        let code = button(text(t.get("from-code")).size(size::NOTE))
            .padding([6, 8])
            .style(styles::plain)
            .on_press_maybe((!new.choosing).then_some(Message::ReadCode));
        let foot = ui::foot(
            ui::quiet(t.get("cancel"), Message::NewChatClosed),
            ui::primary(t.get("write"), (good.is_ok() && !new.asking).then_some(Message::NewChatDone)),
        );
        let card = column![ui::head(t.get("new-chat")), field, code, hint]
            .push(ui::failure(t, new.failure.as_ref()))
            .push(foot)
            .spacing(16);
        over(card.into(), Message::NewChatClosed)
    }
}
