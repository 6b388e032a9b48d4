//! Who this is, and how that is passed on.

use iced::widget::{column, container};
use iced::{Element, Fill};

use super::SettingsPage;
use super::parts::card;
use crate::screens::home::{Home, Message};
use crate::strings::Strings;
use crate::ui;

/// Of the code with this account's link, in logical pixels.
const CODE: f32 = 240.0;

impl Home {
    pub(super) fn profile<'a>(&'a self, t: &'a Strings, page: &'a SettingsPage) -> Element<'a, Message> {
        let server = &self.me.server;
        let place = ui::note(format!("{}:{}", server.host, server.port));
        let who = column![ui::strong(self.me.handle.as_str()), place].spacing(2);
        let link = match &page.link {
            None => column![ui::note(t.get("loading"))],
            Some(Err(failure)) => column![ui::note(failure.say(t))],
            Some(Ok(link)) => column![]
                .push(link.code.as_ref().map(|code| container(code.view(CODE)).center_x(Fill)))
                .push(ui::plain(t.get("copy-link"), Message::CopySecret(link.text.clone())))
                .spacing(10),
        };
        let link = column![ui::strong(t.get("own-link")), ui::note(t.get("own-link-note")), link].spacing(8);
        let account = card(t.get("account"), column![who, ui::rule(), link]);
        column![self.face(t, page), account].spacing(14).into()
    }
}
