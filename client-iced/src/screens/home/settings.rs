//! The settings, in the window: there is no file to edit.

use endtoend_client::database::Settings;
use endtoend_client::engine::OwnDevice;
use iced::widget::{Column, button, column, container, pick_list, row, scrollable, space, text, toggler};
use iced::{Center, Element, Fill};

use super::{Home, Linking, Message, SettingsPage};
use crate::calendar::Present;
use crate::identicon::identicon;
use crate::preferences::{Appearance, Preferences, Scale};
use crate::strings::{Language, Strings};
use crate::theme::{STRONG, size, styles};
use crate::ui::{self, id};

/// Of the code with this account's link, in logical pixels.
const CODE: f32 = 240.0;

/// Light, dark or the system's, in words.
#[derive(Clone, PartialEq)]
struct Look {
    appearance: Appearance,
    words: String,
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

fn look(t: &Strings, appearance: Appearance) -> Look {
    let key = match appearance {
        Appearance::System => "look-system",
        Appearance::Light => "look-light",
        Appearance::Dark => "look-dark",
    };
    Look { appearance, words: t.get(key) }
}

fn section<'a>(title: String, content: Column<'a, Message>) -> Element<'a, Message> {
    container(column![ui::head(title), content.spacing(14)].spacing(16))
        .padding(22)
        .width(Fill)
        .style(styles::card)
        .into()
}

/// A choice of one of several, with what it is about before it.
fn choice<'a, T: ToString + PartialEq + Clone + 'a>(
    label: String,
    all: Vec<T>,
    now: T,
    chosen: impl Fn(T) -> Message + 'a,
) -> Element<'a, Message> {
    let list = pick_list(all, Some(now), chosen)
        .text_size(size::BODY)
        .padding([8, 12])
        .width(220)
        .style(styles::choice)
        .menu_style(styles::menu);
    row![ui::body(label).width(Fill), list].align_y(Center).spacing(12).into()
}

impl Home {
    pub(super) fn settings_view<'a>(
        &'a self,
        t: &'a Strings,
        present: &'a Present,
        preferences: Preferences,
        page: &'a SettingsPage,
    ) -> Element<'a, Message> {
        let head = row![
            button(text("←").size(size::HEAD)).padding([4, 10]).style(styles::plain).on_press(Message::Settings(false)),
            text(t.get("settings")).size(size::TITLE).font(STRONG),
        ]
        .spacing(12)
        .align_y(Center);
        let content = column![head]
            .push(ui::failure(t, page.failure.as_ref()))
            .push(self.account(t, page))
            .push(appearance(t, preferences))
            .push(privacy(t, page))
            .push(self.devices(t, present, page))
            .push(keyboard(t))
            .push(about(t))
            .spacing(18)
            .padding([24, 24])
            .max_width(720);
        container(scrollable(container(content).center_x(Fill)).style(styles::scroll))
            .width(Fill)
            .height(Fill)
            .style(styles::ground)
            .into()
    }

    fn account<'a>(&'a self, t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Message> {
        let server = &self.me.server;
        let who = row![
            identicon(self.me.handle.as_str(), 56),
            column![ui::strong(self.me.handle.as_str()), ui::note(format!("{}:{}", server.host, server.port))]
                .spacing(2),
        ]
        .spacing(14)
        .align_y(Center);
        let copy = ui::plain(t.get("copy-server"), Message::Copy(server.to_string()));
        let link = match &page.link {
            None => column![ui::note(t.get("loading"))],
            Some(Err(failure)) => column![ui::note(failure.say(t))],
            Some(Ok(link)) => column![]
                .push(link.code.as_ref().map(|code| container(code.view(CODE)).center_x(Fill)))
                .push(ui::plain(t.get("copy-link"), Message::Copy(link.text.clone())))
                .spacing(10),
        };
        let link = column![ui::strong(t.get("own-link")), ui::note(t.get("own-link-note")), link].spacing(8);
        section(t.get("account"), column![who, copy, ui::rule(), link])
    }

    fn devices<'a>(&'a self, t: &'a Strings, present: &'a Present, page: &'a SettingsPage) -> Element<'a, Message> {
        let mut content = column![];
        match &page.devices {
            None => content = content.push(ui::note(t.get("loading"))),
            Some(Err(failure)) => content = content.push(ui::note(failure.say(t))),
            Some(Ok(devices)) => {
                content = content.extend(devices.iter().map(|device| self.device(t, present, page, device)));
            }
        }
        section(t.get("devices"), content.push(ui::rule()).push(linking(t, page)))
    }

    fn device<'a>(
        &'a self,
        t: &'a Strings,
        present: &Present,
        page: &SettingsPage,
        device: &'a OwnDevice,
    ) -> Element<'a, Message> {
        let own = device.device.get() == self.me.device;
        let number = t.with("device-number", [("number", u64::from(device.device.get()))]);
        let name = device.name.clone().unwrap_or(number);
        let added = t.with("device-added", [("when", present.brief(t, device.added_at))]);
        let about = if own { format!("{added} · {}", t.get("this-device")) } else { added };
        let about = column![ui::strong(name), ui::note(about)].spacing(2).width(Fill);
        let small = |key: &'static str, style: fn(&iced::Theme, button::Status) -> button::Style, message| {
            button(text(t.get(key)).size(size::NOTE)).padding([6, 12]).style(style).on_press(message)
        };
        let row = row![about].spacing(8).align_y(Center);
        match (own, page.removing == Some(device.device)) {
            (true, _) => row.into(),
            (false, false) => {
                row.push(small("remove", styles::quiet, Message::RemoveDevice(Some(device.device)))).into()
            }
            (false, true) => row
                .push(small("cancel", styles::quiet, Message::RemoveDevice(None)))
                .push(small("remove-really", styles::danger, Message::RemoveDeviceMeant(device.device)))
                .into(),
        }
    }
}

/// A new device is let in.
fn linking<'a>(t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Message> {
    match &page.linking {
        Linking::Idle => {
            let field =
                ui::field(t.get("link-code"), id::LINK_CODE, "", &page.code, Message::LinkCodeEdited, Message::Meet);
            let ready = !page.code.trim().is_empty();
            let go = row![ui::primary(t.get("next"), ready.then_some(Message::Meet)), space().width(Fill)];
            column![ui::strong(t.get("add-device")), ui::note(t.get("add-device-note")), field, go].spacing(10).into()
        }
        Linking::Asking | Linking::LettingIn => ui::note(t.get("step-asking")).into(),
        Linking::Digits(digits) => column![
            ui::body(t.get("compare-digits")),
            container(text(digits.as_str()).size(34).font(STRONG)).padding(18).center_x(Fill).style(styles::boxed),
            row![
                ui::quiet(t.get("digits-differ"), Message::LinkStopped),
                space().width(Fill),
                ui::primary(t.get("digits-same"), Some(Message::LetIn)),
            ],
        ]
        .spacing(12)
        .into(),
        Linking::Done => {
            row![ui::body(t.get("device-is-in")).width(Fill), ui::quiet(t.get("dismiss"), Message::LinkStopped),]
                .align_y(Center)
                .into()
        }
    }
}

fn appearance<'a>(t: &'a Strings, now: Preferences) -> Element<'a, Message> {
    let looks = [Appearance::System, Appearance::Light, Appearance::Dark].map(|it| look(t, it)).to_vec();
    let theme = choice(t.get("look"), looks, look(t, now.appearance), move |look| {
        Message::Prefer(Preferences { appearance: look.appearance, ..now })
    });
    let scale = choice(t.get("scale"), Scale::ALL.to_vec(), now.scale, move |scale| {
        Message::Prefer(Preferences { scale, ..now })
    });
    let language = choice(t.get("language"), Language::ALL.to_vec(), now.language, move |language| {
        Message::Prefer(Preferences { language, ..now })
    });
    section(t.get("appearance"), column![theme, scale, language])
}

fn privacy<'a>(t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Message> {
    let Some(now) = page.privacy else { return section(t.get("privacy"), column![ui::note(t.get("loading"))]) };
    let switch = |label, note, on, chosen: fn(Settings, bool) -> Settings| {
        let switch =
            toggler(on).size(22).on_toggle(move |on| Message::SetPrivacy(chosen(now, on))).style(styles::switch);
        row![column![ui::body(t.get(label)), ui::note(t.get(note))].spacing(2).width(Fill), switch]
            .spacing(16)
            .align_y(Center)
    };
    section(
        t.get("privacy"),
        column![
            switch("receipts", "receipts-note", now.receipts, |now, receipts| Settings { receipts, ..now }),
            switch("tell-typing", "tell-typing-note", now.typing, |now, typing| Settings { typing, ..now }),
        ],
    )
}

fn keyboard<'a>(t: &'a Strings) -> Element<'a, Message> {
    let line = |keys: &'a str, about: &'static str| {
        row![text(keys).size(size::NOTE).font(STRONG).width(140), ui::note(t.get(about))].spacing(12)
    };
    section(
        t.get("keys"),
        column![
            line("Enter", "keys-send"),
            line("Shift + Enter", "keys-line"),
            line("↑", "keys-edit"),
            line("Ctrl + K", "keys-filter"),
            line("Ctrl + N", "keys-new"),
            line("Ctrl + O", "keys-file"),
            line("Ctrl + ,", "keys-settings"),
            line("Esc", "keys-back"),
        ]
        .spacing(6),
    )
}

fn about<'a>(t: &'a Strings) -> Element<'a, Message> {
    let version = t.with("version", [("version", env!("CARGO_PKG_VERSION"))]);
    section(t.get("about"), column![ui::body(version), ui::note(t.get("licence")), ui::note(t.get("font-licence"))])
}
