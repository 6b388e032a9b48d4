//! A conversation that is to go for good, and perhaps whoever it is with.

use endtoend_client::database::Standing;
use endtoend_client::engine::Removing;
use endtoend_client::handle::Handle;
use iced::Element;
use iced::widget::{column, container, row};
use iced::{Center, Fill};

use super::asked::Asked;
use super::view::over;
use super::{Home, Message};
use crate::action::Action;
use crate::failure::Failure;
use crate::focus;
use crate::order::Order;
use crate::strings::Strings;
use crate::theme::styles;
use crate::ui;

impl Home {
    /// Asks whether the open conversation is to go.
    pub(super) fn ask_removal(&mut self) -> Vec<Action> {
        if let Some(chat) = &self.chat {
            self.asked = Some(Asked::Removal(Removing { with: chat.with.clone(), contact: false }));
        }
        Vec::new()
    }

    /// With the contact, or without.
    pub(super) fn remove_contact_too(&mut self, contact: bool) -> Vec<Action> {
        if let Some(Asked::Removal(removing)) = &mut self.asked {
            removing.contact = contact;
        }
        Vec::new()
    }

    /// It is meant.
    pub(super) fn removal_done(&mut self) -> Vec<Action> {
        match self.asked.take() {
            Some(Asked::Removal(removing)) => vec![Action::Order(Order::RemoveConversation(removing))],
            asked => {
                self.asked = asked;
                Vec::new()
            }
        }
    }

    /// It is gone, or not.
    pub(super) fn was_removed(&mut self, with: Handle, removed: Result<(), Failure>) -> Vec<Action> {
        if let Err(failure) = removed {
            self.failure = Some(failure);
            return Vec::new();
        }
        if self.chat.as_ref().is_some_and(|chat| chat.with == with) {
            // What was begun there is not kept either.
            (self.chat, self.panel, self.lightbox, self.picker) = (None, false, None, None);
        }
        self.drafts.remove(&with);
        self.found.hits.retain(|hit| hit.with != with);
        vec![Action::Order(Order::KeepDraft(with.clone(), None)), Action::Order(Order::Conversation(with))]
    }

    pub(super) fn removal_view<'a>(&'a self, t: &'a Strings, removing: &'a Removing) -> Element<'a, Message> {
        let known = self.contact(&removing.with);
        let name = known.map_or_else(|| removing.with.to_string(), super::list::name);
        // With the contact the block would go.
        let blocked = known.is_some_and(|known| known.contact.standing == Standing::Blocked);
        let switch = focus::switch(removing.contact, Message::RemoveContactToo);
        let words = column![ui::body(t.get("removal-contact")), ui::note(t.get("removal-contact-note"))].spacing(2);
        let contact = row![words.width(Fill), switch].spacing(16).align_y(Center);
        let lost = container(ui::body(t.with("removal-lost", [("name", name.as_str())]))).padding(12).width(Fill);
        let foot = ui::foot(
            ui::quiet(t.get("cancel"), Message::NotAsked),
            ui::danger(t.get("removal-really"), Message::RemovalDone),
        );
        let card = column![
            ui::head(t.with("removal-title", [("name", name.as_str())])),
            lost.style(styles::warning),
            ui::note(t.with("removal-kept", [("name", name.as_str())])),
        ]
        .push((!blocked).then_some(contact))
        .push(foot)
        .spacing(14);
        over(card.into(), Message::NotAsked)
    }
}
