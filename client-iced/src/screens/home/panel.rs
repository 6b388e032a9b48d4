//! About the person whom the open conversation is with: what to compare, how long messages live, whether they may write.

use endtoend_client::database::Standing;
use endtoend_client::nickname::Nickname;
use endtoend_protocol::Lifetime;
use iced::widget::{Column, button, column, container, pick_list, row, scrollable, space, text};
use iced::{Center, Element, Fill};

use super::chat::Chat;
use super::{Home, Message};
use crate::calendar::span;
use crate::identicon::identicon;
use crate::strings::Strings;
use crate::theme::{STRONG, size, styles};
use crate::ui::{self, id};

/// How long messages may live, in seconds. `None` for good.
const LIVES: [Option<u32>; 8] =
    [None, Some(30), Some(300), Some(3_600), Some(28_800), Some(86_400), Some(604_800), Some(2_419_200)];

/// One of those, in words.
#[derive(Clone, PartialEq)]
struct Life {
    lifetime: Option<Lifetime>,
    words: String,
}

impl std::fmt::Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

fn life(t: &Strings, lifetime: Option<Lifetime>) -> Life {
    let words = lifetime.map_or_else(|| t.get("timer-off"), |lifetime| span(t, lifetime.as_secs().into()));
    Life { lifetime, words }
}

impl Home {
    pub(super) fn panel_view<'a>(&'a self, t: &'a Strings, chat: &'a Chat) -> Element<'a, Message> {
        let known = self.contact(&chat.with);
        let standing = known.map(|known| known.contact.standing);
        let head = row![
            ui::head(t.get("details")).width(Fill),
            button(text("×").size(size::HEAD)).padding([2, 10]).style(styles::plain).on_press(Message::Panel(false)),
        ]
        .align_y(Center);
        let who = column![identicon(chat.with.as_str(), 88), text(chat.with.as_str()).size(size::HEAD).font(STRONG)]
            .spacing(12)
            .align_x(Center)
            .width(Fill);
        let mut lives: Vec<Life> =
            LIVES.into_iter().map(|seconds| life(t, seconds.and_then(Lifetime::from_secs))).collect();
        let present = life(t, chat.timer);
        // Chosen elsewhere, perhaps to the second.
        if !lives.contains(&present) {
            lives.push(present.clone());
        }
        let timer = column![
            ui::strong(t.get("timer-title")),
            ui::note(t.get("timer-note")),
            pick_list(lives, Some(present), |life| Message::SetTimer(life.lifetime))
                .text_size(size::NOTE)
                .padding([8, 12])
                .width(Fill)
                .style(styles::choice)
                .menu_style(styles::menu),
        ]
        .spacing(6);
        let writes = known.is_some_and(|known| known.last.is_some());
        let content = Column::new()
            .push(head)
            .push(who)
            .push(known.is_some().then(|| self.naming(t, chat)))
            .push(self.comparison(t, chat))
            .push((writes && standing == Some(Standing::Accepted)).then_some(timer))
            .push(standing.map(|standing| decide(t, standing)))
            .push(space().height(8))
            .spacing(22)
            .padding(18);
        container(scrollable(content).style(styles::scroll).height(Fill))
            .width(Fill)
            .height(Fill)
            .style(styles::ground)
            .into()
    }

    /// What this person is called on this device.
    fn naming<'a>(&'a self, t: &'a Strings, chat: &'a Chat) -> Element<'a, Message> {
        let now = self.contact(&chat.with).and_then(|known| known.contact.nickname.as_ref());
        let now = now.map(Nickname::as_str).unwrap_or_default();
        let typed = chat.name.as_deref().unwrap_or(now);
        let field = ui::field(
            t.get("nickname"),
            id::NICKNAME,
            chat.with.as_str(),
            typed,
            Message::NameEdited,
            Message::NameDone,
        );
        let changed = typed.trim() != now;
        field
            .push(ui::note(t.get("nickname-note")))
            .push(changed.then(|| ui::quiet(t.get("keep"), Message::NameDone)))
            .into()
    }

    /// The safety number, and what to do with it.
    fn comparison<'a>(&'a self, t: &'a Strings, chat: &'a Chat) -> Element<'a, Message> {
        let title = ui::strong(t.get("safety-title"));
        let verification = match &chat.verification {
            None => return column![title, ui::note(t.get("loading"))].spacing(6).into(),
            Some(Err(failure)) => {
                return column![title, ui::note(failure.say(t))].spacing(6).into();
            }
            Some(Ok(verification)) => verification,
        };
        let number = container(ui::groups(&verification.safety_number, 5, 4, size::BODY))
            .padding(12)
            .center_x(Fill)
            .style(styles::boxed);
        let copy = ui::plain(t.get("copy"), Message::CopySecret(verification.safety_number.clone()));
        let mut content = column![title];
        if verification.changed {
            let warning = text(t.with("safety-changed", [("name", chat.with.as_str())])).size(size::NOTE);
            content = content.push(container(warning).padding(12).width(Fill).style(styles::warning));
        }
        content = content.push(number).push(ui::note(t.with("safety-note", [("name", chat.with.as_str())]))).push(copy);
        content = match (verification.changed, verification.verified) {
            (true, _) => content.push(ui::danger(t.get("accept-identity"), Message::AcceptIdentity)),
            (false, false) => {
                let same = Message::MarkVerified(Some(verification.peer_identity));
                content.push(ui::quiet(t.get("mark-verified"), same))
            }
            (false, true) => content
                .push(ui::note(format!("✓ {}", t.get("is-verified"))).style(styles::accent))
                .push(ui::plain(t.get("unmark-verified"), Message::MarkVerified(None))),
        };
        content.spacing(8).into()
    }
}

fn decide<'a>(t: &'a Strings, standing: Standing) -> Element<'a, Message> {
    let (key, note, message) = match standing {
        Standing::Blocked => ("unblock", "unblock-note", Message::Decide(Standing::Accepted)),
        Standing::Ignored => ("accept", "accept-note", Message::Decide(Standing::Accepted)),
        Standing::Request | Standing::Accepted => ("block", "block-note", Message::Decide(Standing::Blocked)),
    };
    column![ui::quiet(t.get(key), message), ui::note(t.get(note))].spacing(6).into()
}
