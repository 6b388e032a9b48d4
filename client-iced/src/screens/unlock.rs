//! Later runs: the password, and the wait while a key is made of it.

use iced::Element;
use iced::widget::{column, text};

use crate::action::Action;
use crate::failure::Failure;
use crate::order::{Entry, News, Order};
use crate::secret::Secret;
use crate::strings::Strings;
use crate::theme::{STRONG, size};
use crate::ui::{self, id};

/// What happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// Another letter.
    Edited(Secret),
    /// That is it.
    Open,
    /// Not after all.
    Cancel,
}

/// Where the password is asked for.
#[derive(Debug, Default)]
pub struct Unlock {
    password: Secret,
    waiting: bool,
    failure: Option<Failure>,
}

impl Unlock {
    /// What was typed.
    pub const fn password(&self) -> &Secret {
        &self.password
    }

    /// Something happened.
    pub fn update(&mut self, message: Message) -> Vec<Action> {
        match message {
            Message::Edited(password) if !self.waiting => {
                self.password = password;
                self.failure = None;
            }
            Message::Open if !self.waiting && !self.password.is_empty() => {
                (self.waiting, self.failure) = (true, None);
                return vec![Action::Order(Order::Enter(Box::new(Entry::Unlock(self.password.clone()))))];
            }
            Message::Cancel if self.waiting => return vec![Action::Order(Order::Cancel)],
            Message::Edited(_) | Message::Open | Message::Cancel => {}
        }
        Vec::new()
    }

    /// The bridge tells something.
    pub fn news(&mut self, news: &News) -> Vec<Action> {
        match news {
            News::NotEntered(failure, _) | News::Failed(failure) => {
                self.waiting = false;
                self.failure = Some(failure.clone());
                if failure.key == "wrong-password" {
                    self.password = Secret::default();
                }
                vec![Action::Focus(id::PASSWORD)]
            }
            News::Cancelled(_) => {
                self.waiting = false;
                vec![Action::Focus(id::PASSWORD)]
            }
            _ => Vec::new(),
        }
    }

    /// What is to be seen.
    pub fn view<'a>(&'a self, t: &'a Strings) -> Element<'a, Message> {
        let edited = |typed: String| Message::Edited(self.password.clone().typed(typed));
        let field = ui::secret(t.get("password"), id::PASSWORD, self.password.as_str(), edited, Message::Open);
        let ready = !self.password.is_empty();
        let foot = match self.waiting {
            true => ui::foot(ui::note(t.get("step-opening")).into(), ui::quiet(t.get("cancel"), Message::Cancel)),
            false => ui::foot(iced::widget::space().into(), ui::primary(t.get("open"), ready.then_some(Message::Open))),
        };
        ui::page(
            column![text(t.get("unlock-title")).size(size::TITLE).font(STRONG), ui::note(t.get("unlock-note")), field,]
                .push(ui::failure(t, self.failure.as_ref()))
                .push(foot),
        )
    }
}
