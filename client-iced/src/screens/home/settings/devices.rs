//! What is in the account, and what comes into it.

use endtoend_client::engine::OwnDevice;
use iced::widget::{column, container, row, space, text};
use iced::{Center, Element, Fill};

use super::parts::{card, grave};
use super::{Grave, Linking, Message as M, SettingsPage};
use crate::calendar::Present;
use crate::screens::home::{Home, Message};
use crate::strings::Strings;
use crate::theme::{STRONG, styles};
use crate::ui::{self, id};

impl Home {
    pub(super) fn devices<'a>(
        &'a self,
        t: &'a Strings,
        present: &'a Present,
        page: &'a SettingsPage,
    ) -> Element<'a, Message> {
        let mut content = column![];
        match &page.devices {
            None => content = content.push(ui::note(t.get("loading"))),
            Some(Err(failure)) => content = content.push(ui::note(failure.say(t))),
            Some(Ok(devices)) => {
                content = content.extend(devices.iter().map(|device| self.device(t, present, page, device)));
            }
        }
        card(t.get("devices"), content.push(ui::rule()).push(linking(t, page)))
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
        let remove = (!own).then(|| grave(t, page, Grave::RemoveDevice(device.device), ("remove", "remove-really")));
        row![about].push(remove).spacing(8).align_y(Center).into()
    }
}

/// A new device is let in.
fn linking<'a>(t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Message> {
    let on = |message| Message::Setting(message);
    match &page.linking {
        Linking::Idle => {
            let edited = move |typed| on(M::LinkCodeEdited(typed));
            let field = ui::field(t.get("link-code"), id::LINK_CODE, "", &page.code, edited, on(M::Meet));
            let ready = !page.code.trim().is_empty();
            let go = row![ui::primary(t.get("next"), ready.then_some(on(M::Meet))), space().width(Fill)];
            column![ui::strong(t.get("add-device")), ui::note(t.get("add-device-note")), field, go].spacing(10).into()
        }
        Linking::Asking | Linking::LettingIn => ui::note(t.get("step-asking")).into(),
        Linking::Digits(digits) => column![
            ui::body(t.get("compare-digits")),
            container(text(digits.as_str()).size(34).font(STRONG)).padding(18).center_x(Fill).style(styles::boxed),
            row![
                ui::quiet(t.get("digits-differ"), on(M::LinkStopped)),
                space().width(Fill),
                ui::primary(t.get("digits-same"), Some(on(M::LetIn))),
            ],
        ]
        .spacing(12)
        .into(),
        Linking::Done => {
            let done = ui::quiet(t.get("dismiss"), on(M::LinkStopped));
            row![ui::body(t.get("device-is-in")).width(Fill), done].align_y(Center).into()
        }
    }
}
