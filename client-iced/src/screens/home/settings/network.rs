//! The way to the network, how it stands, where the account lives, and by what its server is known.

use std::time::Duration;

use endtoend_client::transport::{NetworkSettings, Way};
use iced::Element;
use iced::widget::{column, container, row, space, text};
use iced::{Center, Fill};

use super::parts::card;
use super::{Message as M, SettingsPage};
use crate::action::Action;
use crate::calendar::Present;
use crate::failure::Failure;
use crate::focus::button;
use crate::order::Order;
use crate::screens::home::{Home, Message as Above};
use crate::screens::network::{self, Form};
use crate::strings::Strings;
use crate::theme::{size, styles};
use crate::ui;

/// What happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// To the form.
    Form(network::Message),
    /// What it has is to count.
    Save,
    /// By other circuits.
    NewCircuits,
    /// Does the server answer?
    Check,
}

/// Something that was asked of the network.
#[derive(Debug, Default)]
enum Asked {
    /// Nothing.
    #[default]
    None,
    /// It is being done.
    Busy,
    /// The server has answered after so long.
    Answered(Duration),
    /// Other circuits are used.
    Renewed,
}

/// The way to the network, as it is chosen and looked at here.
#[derive(Debug, Default)]
pub(super) struct NetworkPage {
    /// `None` before it is known what counts.
    form: Option<Form>,
    asked: Asked,
    failure: Option<Failure>,
}

impl NetworkPage {
    pub(super) fn update(&mut self, message: Message) -> Vec<Action> {
        self.failure = None;
        let order = match message {
            Message::Form(message) => return self.form.as_mut().map(|form| form.update(message)).unwrap_or_default(),
            // The main window does it, which knows the server.
            Message::Save => return Vec::new(),
            Message::NewCircuits | Message::Check if matches!(self.asked, Asked::Busy) => return Vec::new(),
            Message::NewCircuits => Order::NewCircuits,
            Message::Check => Order::Check,
        };
        self.asked = Asked::Busy;
        vec![Action::Order(order)]
    }

    pub(super) fn form(&mut self) -> Option<&mut Form> {
        self.form.as_mut()
    }

    /// What counts is known.
    pub(super) fn chosen(&mut self, chosen: Result<Box<NetworkSettings>, Failure>) -> Vec<Action> {
        match chosen {
            Ok(settings) => self.form.insert(Form::of(*settings)).look(),
            Err(failure) => {
                self.failure = Some(failure);
                Vec::new()
            }
        }
    }

    /// What was chosen counts, or not.
    pub(super) fn was_set(&mut self, set: Result<Box<NetworkSettings>, Failure>) {
        match (set, &mut self.form) {
            (Ok(settings), Some(form)) => form.keep(*settings),
            (Err(failure), Some(form)) => form.failed(failure),
            (_, None) => {}
        }
    }

    pub(super) fn renewed(&mut self, renewed: Result<(), Failure>) {
        self.answered(renewed.map(|()| Asked::Renewed));
    }

    pub(super) fn checked(&mut self, checked: Result<Duration, Failure>) {
        self.answered(checked.map(Asked::Answered));
    }

    fn answered(&mut self, answered: Result<Asked, Failure>) {
        match answered {
            Ok(asked) => self.asked = asked,
            Err(failure) => (self.asked, self.failure) = (Asked::None, Some(failure)),
        }
    }
}

const fn on(message: Message) -> Above {
    Above::Setting(M::Network(message))
}

impl Home {
    /// The way that was chosen is taken from now on.
    pub(in crate::screens::home) fn set_network(&mut self) -> Vec<Action> {
        let host = &self.me.server.host;
        let Some(form) = self.settings.as_mut().and_then(|page| page.network.form()) else { return Vec::new() };
        match form.settings(Some(host)) {
            Ok(settings) => vec![Action::Order(Order::SetNetwork(Box::new(settings)))],
            Err(failure) => {
                form.failed(failure);
                Vec::new()
            }
        }
    }

    pub(super) fn network<'a>(
        &'a self,
        t: &'a Strings,
        present: &'a Present,
        page: &'a SettingsPage,
    ) -> Element<'a, Above> {
        column![self.standing(t, present, &page.network), self.way(t, &page.network), self.server(t)].spacing(14).into()
    }

    /// How it stands, and what can be tried.
    fn standing<'a>(&'a self, t: &'a Strings, present: &'a Present, page: &'a NetworkPage) -> Element<'a, Above> {
        let (on_line, words) = self.connection_words(t, present);
        // Why not stands below, with what is known of it.
        let hindered = self.network.way == Some(Way::Tor) && self.network.tor.trouble().is_some();
        let words = if hindered { t.get("offline-idle") } else { words };
        let dot = container(space().width(10).height(10)).width(10).height(10).style(styles::dot(on_line));
        let state = row![dot, ui::body(words).width(Fill)].spacing(10).align_y(Center);
        let busy = matches!(page.asked, Asked::Busy);
        let press = |key: &'static str, message| {
            let words = text(t.get(key)).size(size::NOTE);
            button(words).padding([6, 12]).style(styles::quiet).on_press_maybe((!busy).then_some(on(message)))
        };
        let has_circuits = matches!(self.network.way, Some(Way::Tor | Way::Proxy(_)));
        let buttons = row![press("check", Message::Check)]
            .push(has_circuits.then(|| press("new-circuits", Message::NewCircuits)))
            .spacing(8);
        let told = match &page.asked {
            Asked::None => None,
            Asked::Busy => Some(t.get("step-asking")),
            Asked::Renewed => Some(t.get("circuits-renewed")),
            Asked::Answered(took) => {
                let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                Some(t.with("checked", [("took", took)]))
            }
        };
        let content = column![state, network::status(t, &self.network, &self.me.server.host), buttons]
            .push(told.map(|told| ui::note(told).style(styles::accent)))
            .push(ui::failure(t, page.failure.as_ref()));
        card(t.get("connection"), content)
    }

    /// Which way is taken.
    fn way<'a>(&'a self, t: &'a Strings, page: &'a NetworkPage) -> Element<'a, Above> {
        let Some(form) = &page.form else {
            return card(t.get("way"), column![ui::note(t.get("loading"))]);
        };
        let host = Some(&self.me.server.host);
        let foot = form.is_changed().then(|| {
            let good = form.settings(host).is_ok();
            let save = match form.exposes(host) {
                true => button(text(t.get("exposure-go")).size(size::BODY))
                    .padding([10, 18])
                    .style(styles::danger)
                    .on_press_maybe(good.then_some(on(Message::Save)))
                    .into(),
                false => ui::primary(t.get("way-go"), good.then_some(on(Message::Save))),
            };
            ui::foot(ui::quiet(t.get("discard"), on(Message::Form(network::Message::Discard))), save)
        });
        card(t.get("way"), form.view(t, host, |message| on(Message::Form(message))).push(foot))
    }

    /// By what the server is known.
    fn server<'a>(&'a self, t: &'a Strings) -> Element<'a, Above> {
        let server = &self.me.server;
        let pin = server.pin.to_string();
        let (tls, identity) = pin.split_at_checked(64).unwrap_or((&pin, ""));
        let digits = |hex: &str| {
            let groups = ui::groups(hex, 4, 8, size::SMALL);
            container(groups).padding(12).width(Fill).style(styles::boxed)
        };
        let content = column![
            ui::body(format!("{}:{}", server.host, server.port)),
            row![ui::plain(t.get("copy-server"), Above::Copy(server.to_string()))],
            ui::note(t.get("network-note")),
            column![ui::note(t.get("pinned-tls")), digits(tls)].spacing(6),
            column![ui::note(t.get("pinned-identity")), digits(identity)].spacing(6),
        ];
        card(t.get("server-title-short"), content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_asked_at_a_time_and_its_answer_is_told() {
        let mut page = NetworkPage::default();
        assert!(matches!(page.update(Message::Check).as_slice(), [Action::Order(Order::Check)]));
        assert!(page.update(Message::NewCircuits).is_empty());
        page.checked(Ok(Duration::from_millis(230)));
        assert!(matches!(page.asked, Asked::Answered(_)));
        assert!(matches!(page.update(Message::NewCircuits).as_slice(), [Action::Order(Order::NewCircuits)]));
        page.renewed(Err(Failure::new("engine-stopped")));
        assert!(matches!(page.asked, Asked::None) && page.failure.is_some());
    }
}
