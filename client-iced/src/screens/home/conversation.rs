//! The open conversation: who, what has to be decided, the messages, where one writes.

use endtoend_client::database::{Conversation, Standing};
use iced::widget::{Column, column, container, row, scrollable, stack, text};
use iced::{Center, Element, Fill};

use super::chat::Chat;
use super::{ChatMessage, Home, Message, NARROW};
use crate::action::Place;
use crate::calendar::{Present, span};
use crate::focus::button;
use crate::one_line::one_line;
use crate::strings::Strings;
use crate::theme::{STRONG, size, styles};
use crate::ui::{self, id};

/// Of messages and of the field, in logical pixels.
const WIDEST: f32 = 900.0;
/// The mark of those who were compared, in logical pixels.
const VERIFIED: f32 = 20.0;

impl Home {
    pub(super) fn conversation<'a>(
        &'a self,
        t: &'a Strings,
        present: &'a Present,
        chat: &'a Chat,
    ) -> Element<'a, Message> {
        let known = self.contact(&chat.with);
        let foot = match self.may_write() {
            true => readable(self.composer(t, chat)),
            false => container(ui::note(t.get("cannot-write"))).padding(16).center_x(Fill).into(),
        };
        let all = column![self.chat_head(t, chat), ui::rule()]
            .push(ui::slot(known.and_then(|known| decision(t, chat, known))))
            .push(self.messages(t, present, chat))
            .push(ui::slot(self.picker.as_ref().map(|picker| readable(self.picker_view(t, picker)))))
            .push(foot);
        container(all).width(Fill).height(Fill).style(styles::surface).into()
    }

    fn chat_head<'a>(&'a self, t: &'a Strings, chat: &'a Chat) -> Element<'a, Message> {
        let known = self.contact(&chat.with);
        let below = match (self.typing.contains_key(&chat.with), chat.timer) {
            (true, _) => Some(ui::small(t.get("typing")).style(styles::accent)),
            (false, Some(timer)) => {
                let after = span(t, timer.as_secs().into());
                Some(ui::small(t.with("disappear-after", [("after", after)])))
            }
            // Names prove nothing: the handle is who it is.
            (false, None) => known.and_then(|known| known.contact.name()).map(|_| ui::small(chat.with.as_str())),
        };
        let verified = known.is_some_and(|known| known.contact.verified);
        let name = known.map_or_else(|| chat.with.to_string(), super::list::name);
        let room = if verified { VERIFIED } else { 0.0 };
        let name = row![one_line(name, size::BODY).font(STRONG).leaving(room)]
            .push(verified.then(|| ui::small("✓").style(styles::accent)))
            .spacing(6)
            .align_y(Center);
        let back = (self.width < NARROW).then(|| {
            button(text("←").size(size::HEAD)).padding([4, 10]).style(styles::plain).on_press(Message::CloseChat)
        });
        let who = button(
            row![self.avatar(known, chat.with.as_str(), 36), column![name].push(below).spacing(1),]
                .spacing(12)
                .align_y(Center),
        )
        .padding([4, 8])
        .style(styles::line(false))
        .on_press(Message::Panel(!self.panel));
        row![]
            .push(back)
            .push(container(who).width(Fill))
            .push(ui::plain(t.get("details"), Message::Panel(!self.panel)))
            .spacing(6)
            .padding([8, 12])
            .align_y(Center)
            .into()
    }

    fn messages<'a>(&'a self, t: &'a Strings, present: &'a Present, chat: &'a Chat) -> Element<'a, Message> {
        if !chat.timeline.is_loaded() {
            return container(ui::note(t.get("loading"))).center(Fill).into();
        }
        if chat.timeline.messages().is_empty() && chat.sending.is_empty() {
            let told = t.with("first-words", [("name", chat.with.as_str())]);
            return container(ui::note(told)).padding(32).center(Fill).into();
        }
        let top = match chat.timeline.is_from_beginning() {
            true => t.with("beginning", [("name", chat.with.as_str())]),
            false => t.get("loading"),
        };
        let lines = Column::new()
            .push(container(ui::small(top)).center_x(Fill).padding([8, 0]))
            .extend(self.lines(t, present, chat));
        let log = scrollable(readable(lines.padding([8, 20]).into()))
            .id(id::TIMELINE)
            .anchor_bottom()
            .on_scroll(|viewport| {
                Message::Chat(ChatMessage::Scrolled(Place {
                    offset: viewport.absolute_offset().y,
                    height: viewport.bounds().height,
                    content: viewport.content_bounds().height,
                }))
            })
            .style(styles::scroll)
            .width(Fill)
            .height(Fill);
        let away = chat.place.offset > chat.place.height.max(200.0) || !chat.timeline.is_at_end() || chat.news_below;
        let words = t.get(if chat.news_below { "new-below" } else { "to-the-end" });
        let down = button(text(format!("↓ {words}")).size(size::NOTE))
            .padding([8, 14])
            .style(styles::quiet)
            .on_press(Message::Chat(ChatMessage::ShowEnd));
        let unread = chat.divider.filter(|first| chat.timeline.find(*first).is_none()).map(|_| {
            let words = text(t.with("unread-above", [("count", chat.unread)])).size(size::NOTE);
            let up = button(words).padding([8, 14]).style(styles::quiet);
            let up = up.on_press(Message::Chat(ChatMessage::ToUnread));
            container(up).padding(14).center_x(Fill)
        });
        // Always a stack, or the messages would lose their place when the button comes.
        stack![log]
            .push(away.then(|| container(down).padding(14).align_right(Fill).align_bottom(Fill)))
            .push(unread)
            .into()
    }
}

/// In the middle, and no wider than lines of text can be read.
fn readable(content: Element<'_, Message>) -> Element<'_, Message> {
    container(container(content).width(Fill).max_width(WIDEST)).center_x(Fill).into()
}

/// What a person has to decide before anything else.
fn decision<'a>(t: &'a Strings, chat: &'a Chat, known: &'a Conversation) -> Option<Element<'a, Message>> {
    let name = || [("name", chat.with.as_str())];
    let banner = |words: String, buttons: Vec<Element<'a, Message>>| {
        let content =
            column![text(words).size(size::NOTE), iced::widget::Row::with_children(buttons).spacing(8).wrap()];
        let card = container(content.spacing(10)).padding(14).width(Fill).style(styles::warning);
        Some(container(card).padding(10).into())
    };
    let small = |key: &'static str, message| {
        button(text(t.get(key)).size(size::NOTE)).padding([6, 12]).style(styles::quiet).on_press(message).into()
    };
    if known.contact.changed_identity.is_some() {
        let words = t.with("identity-changed", name());
        return banner(words, vec![small("compare", Message::Panel(true))]);
    }
    match known.contact.standing {
        Standing::Request if Home::is_request(known) => banner(
            t.with("request", name()),
            vec![
                small("accept", Message::Decide(Standing::Accepted)),
                small("ignore", Message::Decide(Standing::Ignored)),
                small("block", Message::Decide(Standing::Blocked)),
            ],
        ),
        Standing::Blocked => {
            banner(t.with("blocked", name()), vec![small("unblock", Message::Decide(Standing::Accepted))])
        }
        Standing::Ignored => {
            banner(t.with("ignored", name()), vec![small("accept", Message::Decide(Standing::Accepted))])
        }
        Standing::Request | Standing::Accepted => None,
    }
}
