//! Where the account lives, and by what its server is known.

use iced::Element;
use iced::widget::{column, container, row, space};
use iced::{Center, Fill};

use super::view::card;
use crate::calendar::Present;
use crate::screens::home::{Home, Message};
use crate::strings::Strings;
use crate::theme::{size, styles};
use crate::ui;

impl Home {
    pub(super) fn network<'a>(&'a self, t: &'a Strings, present: &'a Present) -> Element<'a, Message> {
        let server = &self.me.server;
        let (on, words) = self.connection_words(t, present);
        let dot = container(space().width(10).height(10)).width(10).height(10).style(styles::dot(on));
        let state = row![dot, ui::body(words).width(Fill)].spacing(10).align_y(Center);
        let pin = server.pin.to_string();
        let (tls, identity) = pin.split_at_checked(64).unwrap_or((&pin, ""));
        let digits = |hex: &str| {
            let groups = ui::groups(hex, 4, 8, size::SMALL);
            container(groups).padding(12).width(Fill).style(styles::boxed)
        };
        let place =
            column![ui::note(t.get("server-title-short")), ui::body(format!("{}:{}", server.host, server.port))];
        card(
            t.get("network"),
            column![
                state,
                ui::rule(),
                place.spacing(2),
                ui::plain(t.get("copy-server"), Message::Copy(server.to_string())),
                ui::note(t.get("network-note")),
                column![ui::note(t.get("pinned-tls")), digits(tls)].spacing(6),
                column![ui::note(t.get("pinned-identity")), digits(identity)].spacing(6),
            ],
        )
    }
}
