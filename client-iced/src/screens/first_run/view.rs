//! The stages, one card each.

use endtoend_client::address::ServerAddress;
use endtoend_client::transport::{TorState, Way as Route};
use iced::widget::{Column, column, container, row, space, text};
use iced::{Center, Element, Fill};

use super::{FirstRun, Message, Stage, Way};
use crate::failure::Failure;
use crate::focus::button;
use crate::identicon::identicon;
use crate::order::Step;
use crate::screens::network;
use crate::strings::Strings;
use crate::theme::{STRONG, size, styles};
use crate::ui::{self, id};

impl FirstRun {
    /// What is to be seen.
    pub fn view<'a>(&'a self, t: &'a Strings) -> Element<'a, Message> {
        let content = match self.stage {
            Stage::Welcome => self.welcome(t),
            Stage::SignIn => sign_in(t),
            Stage::Server => self.at_server(t),
            Stage::Network => self.at_network(t),
            Stage::Backup => self.at_backup(t),
            Stage::Who => self.at_who(t),
            Stage::Password => self.at_password(t),
            Stage::Waiting => self.waiting(t),
        };
        ui::page(content)
    }

    fn welcome<'a>(&self, t: &Strings) -> Column<'a, Message> {
        column![title(t.get("welcome-title")), ui::body(t.get("welcome-text")), ui::note(t.get("welcome-note")),]
            .push(self.profile.then(|| ui::note(t.get("profile-without-account"))))
            .push(ui::failure(t, self.failure.as_ref()))
            .push(row![ui::primary(t.get("create-account"), Some(Message::Begin(Way::Create))), space().width(Fill)])
            .push(row![ui::quiet(t.get("sign-in"), Message::SignIn), space().width(Fill)])
            .push(self.profile.then(|| ui::plain(t.get("start-over"), Message::StartOver)))
    }

    fn at_server<'a>(&self, t: &Strings) -> Column<'a, Message> {
        let field = ui::field(
            t.get("server-address"),
            id::ADDRESS,
            "endtoend://…",
            &self.address,
            Message::AddressEdited,
            Message::Next,
        );
        let read = self.address.parse::<ServerAddress>();
        let found = match &read {
            Ok(server) => Some(pinned(t, server)),
            Err(_) if self.address.trim().is_empty() => None,
            Err(error) => Some(ui::note(Failure::from(*error).say(t)).style(styles::bad).into()),
        };
        let code = button(text(t.get("from-code")).size(size::NOTE))
            .padding([6, 8])
            .style(styles::plain)
            .on_press_maybe((!self.choosing).then_some(Message::ReadCode));
        // Once there is an address, another one is not chosen.
        let known = (self.address.trim().is_empty() && !self.servers.is_empty()).then(|| {
            let line = |server: &ServerAddress| {
                button(ui::body(format!("{}:{}", server.host, server.port)))
                    .width(Fill)
                    .padding([8, 12])
                    .style(styles::quiet)
                    .on_press(Message::AddressEdited(server.to_string()))
                    .into()
            };
            Column::new().push(ui::note(t.get("servers-recent"))).extend(self.servers.iter().map(line)).spacing(6)
        });
        let links = row![code, self.network_link(t)].spacing(4).wrap();
        let content = column![title(t.get("server-title")), ui::note(t.get("server-note")), field, links]
            .push(known)
            .push(found)
            .push(ui::failure(t, self.failure.as_ref()));
        with_foot(content, foot(t, "next", read.is_ok()))
    }

    /// Leads to the way to the server.
    fn network_link<'a>(&self, t: &Strings) -> Element<'a, Message> {
        let (name, _) = self.network.kind().words();
        ui::plain(t.with("way-link", [("way", t.get(name))]), Message::ShowNetwork)
    }

    fn at_network<'a>(&'a self, t: &'a Strings) -> Column<'a, Message> {
        let content = column![title(t.get("way")), ui::note(t.get("way-note"))]
            .push(ui::failure(t, self.failure.as_ref()))
            .push(self.network.view(t, self.host().as_ref(), Message::Network));
        with_foot(content, foot(t, "next", self.chosen_way().is_ok()))
    }

    fn at_backup<'a>(&self, t: &Strings) -> Column<'a, Message> {
        let path = ui::field(t.get("backup-path"), id::BACKUP, "", &self.path, Message::PathEdited, Message::Next);
        let choose = button(text(t.get("file-choose")).size(size::BODY))
            .padding([10, 18])
            .style(styles::quiet)
            .on_press_maybe((!self.choosing).then_some(Message::ChooseBackup));
        let passphrase = ui::secret(
            t.get("backup-secret"),
            id::PASSPHRASE,
            self.passphrase.as_str(),
            secret_of(self.passphrase.clone(), Message::PassphraseEdited),
            Message::Next,
        );
        let content = column![
            title(t.get("backup-title")),
            ui::note(t.get("restore-note")),
            row![path.width(Fill), choose].spacing(10).align_y(iced::Bottom),
            passphrase,
            row![self.network_link(t)],
        ]
        .push(ui::failure(t, self.failure.as_ref()));
        with_foot(content, foot(t, "next", self.backup().is_ok()))
    }

    fn at_who<'a>(&self, t: &Strings) -> Column<'a, Message> {
        let password = ui::secret(
            t.get("server-password"),
            id::SERVER_PASSWORD,
            self.server_password.as_str(),
            secret_of(self.server_password.clone(), Message::ServerPasswordEdited),
            Message::Next,
        );
        let failure = ui::failure(t, self.failure.as_ref());
        if self.is_known() {
            let (head, note) = match self.way {
                Way::Restore => ("backup-title", "backup-server-note"),
                Way::Create | Way::Link | Way::Recover => ("link-title", "link-note"),
            };
            let content = column![title(t.get(head)), ui::note(t.get(note)), password].push(failure);
            return with_foot(content, foot(t, "next", true));
        }
        let create = self.way == Way::Create;
        let handle = ui::field(t.get("handle"), id::HANDLE, "", &self.handle, Message::HandleEdited, Message::Next);
        let name = self.handle.trim();
        let good = self.who();
        let hint = match &good {
            Err(failure) if !name.is_empty() => ui::note(failure.say(t)).style(styles::bad),
            Err(_) | Ok(_) => ui::note(t.get("handle-note")),
        };
        let face = if name.is_empty() { space().width(44).into() } else { identicon(name, 44) };
        let invite = ui::field(t.get("invite"), id::INVITE, "", &self.invite, Message::InviteEdited, Message::Next);
        let content = column![
            title(t.get(if create { "who-title" } else { "recover-title" })),
            row![face, handle.width(Fill)].spacing(16).align_y(iced::Bottom),
            hint,
        ]
        .push(create.then(|| ui::note(t.get("optional-note"))))
        .push(create.then_some(invite))
        .push(password)
        .push(failure);
        with_foot(content, foot(t, "next", good.is_ok()))
    }

    fn at_password<'a>(&self, t: &Strings) -> Column<'a, Message> {
        let go = if self.way == Way::Create { "create-account" } else { "sign-in" };
        if self.profile {
            return column![title(t.get("password-title")), ui::body(t.get("password-is-set"))]
                .push(ui::failure(t, self.failure.as_ref()))
                .push(ui::plain(t.get("start-over"), Message::StartOver))
                .push(foot(t, go, true));
        }
        let field = |label, name, value: &crate::secret::Secret, edited: fn(_) -> Message| {
            ui::secret(label, name, value.as_str(), secret_of(value.clone(), edited), Message::Next)
        };
        let password = field(t.get("password"), id::PASSWORD, &self.password, Message::PasswordEdited);
        if !self.is_new_password() {
            return column![title(t.get("password-title")), ui::note(t.get("password-of-account")), password]
                .push(ui::failure(t, self.failure.as_ref()))
                .push(foot(t, go, !self.password.is_empty()));
        }
        let strength = self.strength();
        let bars = (1..=4_u8).map(|bar| {
            let filled = !self.password.is_empty() && bar <= strength.bars().max(1);
            container(space().height(6)).width(Fill).height(6).style(styles::meter(filled)).into()
        });
        let told = match self.password.is_empty() {
            true => t.get("password-advice"),
            false => t.get(strength.key()),
        };
        let content = column![
            title(t.get("password-title")),
            password,
            iced::widget::Row::with_children(bars).spacing(6),
            ui::note(told),
            field(t.get("password-again"), id::AGAIN, &self.again, Message::AgainEdited),
            container(ui::note(t.get("password-honest"))).padding([10, 12]).width(Fill).style(styles::boxed),
        ]
        .push(ui::failure(t, self.failure.as_ref()));
        with_foot(content, foot(t, go, !self.password.is_empty()))
    }

    /// What is waited for: Tor first, where it is on the way.
    fn asking_words(&self, t: &Strings) -> String {
        match (self.status.way, &self.status.tor) {
            (Some(Route::Tor), TorState::Starting { percent }) => t.with("tor-starting", [("percent", *percent)]),
            (Some(Route::Tor), TorState::Trouble { trouble, .. }) => Failure::from(trouble.clone()).say(t),
            _ => t.get("step-asking"),
        }
    }

    fn waiting<'a>(&self, t: &Strings) -> Column<'a, Message> {
        let happening: Element<'a, Message> = match &self.step {
            _ if self.cancelling => ui::body(t.get("step-cancelling")).into(),
            Step::Opening => ui::body(t.get("step-opening")).into(),
            Step::Asking => {
                column![ui::body(self.asking_words(t))].push(network::meter(&self.status)).spacing(12).into()
            }
            Step::Restoring => ui::body(t.get("step-restoring")).into(),
            Step::Code(code) => column![
                ui::body(t.get("step-code")),
                container(ui::groups(code, 4, 6, size::BODY)).padding(14).center_x(Fill).style(styles::boxed),
                ui::plain(t.get("copy"), Message::Copy(code.clone())),
            ]
            .spacing(12)
            .into(),
            Step::Digits(digits) => column![
                ui::body(t.get("step-digits")),
                container(text(digits.clone()).size(34).font(STRONG)).padding(18).center_x(Fill).style(styles::boxed),
            ]
            .spacing(12)
            .into(),
        };
        let cancel = ui::quiet(t.get("cancel"), Message::Cancel);
        column![title(t.get("waiting-title")), happening, ui::foot(space().into(), cancel)]
    }
}

fn secret_of(old: crate::secret::Secret, edited: fn(crate::secret::Secret) -> Message) -> impl Fn(String) -> Message {
    move |typed| edited(old.clone().typed(typed))
}

fn title<'a>(words: String) -> iced::widget::Text<'a> {
    text(words).size(size::TITLE).font(STRONG)
}

/// What may come and go, and two buttons that keep their place below it.
fn with_foot<'a>(content: Column<'a, Message>, foot: Element<'a, Message>) -> Column<'a, Message> {
    column![content.spacing(ui::PAGE_SPACING), foot]
}

fn foot<'a>(t: &Strings, forward: &'static str, ready: bool) -> Element<'a, Message> {
    let forward = t.get(forward);
    ui::foot(ui::quiet(t.get("back"), Message::Back), ui::primary(forward, ready.then_some(Message::Next)))
}

/// What is believed from now on, and nothing else.
fn pinned<'a>(t: &Strings, server: &ServerAddress) -> Element<'a, Message> {
    let pin = server.pin.to_string();
    let (tls, identity) = pin.split_at_checked(64).unwrap_or((&pin, ""));
    let digits = |hex: &str| ui::groups(hex, 4, 8, size::SMALL);
    container(
        column![
            row![ui::strong(format!("{}:{}", server.host, server.port))].align_y(Center),
            ui::note(t.get("pinned-note")),
            ui::note(t.get("pinned-tls")),
            digits(tls),
            ui::note(t.get("pinned-identity")),
            digits(identity),
        ]
        .spacing(6),
    )
    .padding(14)
    .width(Fill)
    .style(styles::boxed)
    .into()
}

fn sign_in<'a>(t: &Strings) -> Column<'a, Message> {
    let choice = |name: String, about: String, way| {
        button(column![ui::strong(name), ui::note(about)].spacing(4))
            .width(Fill)
            .padding(14)
            .style(styles::quiet)
            .on_press(Message::Begin(way))
    };
    column![
        title(t.get("sign-in-title")),
        choice(t.get("link-choice"), t.get("link-choice-note"), Way::Link),
        choice(t.get("recover-choice"), t.get("recover-choice-note"), Way::Recover),
        choice(t.get("restore-choice"), t.get("restore-choice-note"), Way::Restore),
        row![ui::quiet(t.get("back"), Message::Back), space().width(Fill)],
    ]
}
