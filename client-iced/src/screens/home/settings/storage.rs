//! What lies on the disk, and what of it can go elsewhere.

use iced::Element;
use iced::widget::{column, row, space};
use iced::{Center, Fill};

use super::parts::{card, grave};
use super::{Grave, Message as M, SettingsPage, Work};
use crate::screens::home::Message;
use crate::screens::home::files::length;
use crate::strings::Strings;
use crate::theme::styles;
use crate::ui::{self, id};

pub(super) fn view<'a>(t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Message> {
    column![usage(t, page), backup(t, page), export(t, page)].spacing(14).into()
}

fn usage<'a>(t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Message> {
    let line = |key: &'static str, bytes: u64| {
        row![ui::body(t.get(key)).width(Fill), ui::body(length(t, bytes))].align_y(Center).spacing(12)
    };
    let content = match &page.usage {
        None => column![ui::note(t.get("loading"))],
        Some(Err(failure)) => column![ui::note(failure.say(t))],
        Some(Ok(usage)) => column![
            line("usage-messages", usage.messages),
            line("usage-files", usage.files),
            ui::note(t.with("usage-where", [("path", usage.home.as_str())])),
        ],
    };
    let cleared = match page.work {
        Work::Cleared(bytes) => Some(ui::note(t.with("cleared", [("size", length(t, bytes))])).style(styles::accent)),
        _ => None,
    };
    let clear = grave(t, page, Grave::ClearFiles, ("clear-files", "clear-files-really"));
    card(t.get("storage"), content.push(ui::note(t.get("clear-files-note"))).push(clear).push(cleared))
}

fn backup<'a>(t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Message> {
    if matches!(page.work, Work::Busy) {
        return card(t.get("backup"), column![ui::note(t.get("backup-busy"))]);
    }
    let (one, two) = (page.passphrase.clone(), page.again.clone());
    let done = || Message::Setting(M::Backup);
    let first = ui::secret(
        t.get("backup-password"),
        id::PASSPHRASE,
        page.passphrase.as_str(),
        move |typed| Message::Setting(M::PassphraseEdited(one.clone().typed(typed))),
        done(),
    );
    let second = ui::secret(
        t.get("password-again"),
        id::PASSPHRASE_AGAIN,
        page.again.as_str(),
        move |typed| Message::Setting(M::AgainEdited(two.clone().typed(typed))),
        done(),
    );
    let ready = !page.passphrase.is_empty() && !page.again.is_empty();
    let go = row![ui::primary(t.get("backup-make"), ready.then(done)), space().width(Fill)];
    let mut content = column![ui::note(t.get("backup-note")), first, second, go];
    if let Work::Written(written) = &page.work {
        let counts = [("people", written.people.to_string()), ("messages", written.messages.to_string())];
        let told = counts.into_iter().chain([("path", written.path.display().to_string())]);
        content = content.push(ui::body(t.with("written", told)).style(styles::accent));
    }
    card(t.get("backup"), content)
}

fn export<'a>(t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Message> {
    let go = match page.work {
        Work::Busy => ui::note(t.get("backup-busy")).into(),
        _ => grave(t, page, Grave::Export, ("export-make", "export-really")),
    };
    card(t.get("export"), column![ui::note(t.get("export-note")), go])
}
