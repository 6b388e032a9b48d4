//! The form, and how it stands with Tor.

use endtoend_client::address::Host;
use endtoend_client::transport::{NetworkStatus, TorState, Way};
use iced::widget::{Column, column, container, row, space, text, text_editor};
use iced::{Center, Element, Fill, FillPortion};

use super::{Form, Kind, Message};
use crate::failure::Failure;
use crate::focus::{self, button};
use crate::strings::Strings;
use crate::theme::{size, styles};
use crate::ui::{self, id};

/// Of the field with bridges, in logical pixels.
const BRIDGES_HEIGHT: f32 = 96.0;
/// Right of a name, so that a ring around it leaves it legible.
const RING_ROOM: iced::Padding = iced::Padding { right: 6.0, ..iced::Padding::ZERO };
/// Of the line that shows how far something is.
const METER: f32 = 4.0;

/// How it stands, in one line: the way, or what is in it.
pub fn state_words(t: &Strings, status: &NetworkStatus, host: &Host) -> String {
    match (status.way, &status.tor) {
        (None, _) => t.get("way-none"),
        (Some(Way::Direct), _) if host.is_loopback() => t.get("way-here"),
        (Some(Way::Direct), _) => t.get("way-exposed"),
        (Some(Way::Proxy(proxy)), _) => t.with("way-by-proxy", [("proxy", proxy.to_string())]),
        (Some(Way::Tor), TorState::Off) => t.get("tor-off"),
        (Some(Way::Tor), TorState::Starting { percent }) => t.with("tor-starting", [("percent", *percent)]),
        (Some(Way::Tor), TorState::Ready) => t.get("tor-ready"),
        (Some(Way::Tor), TorState::Verified) => t.get("tor-verified"),
        (Some(Way::Tor), TorState::Trouble { trouble, .. }) => Failure::from(trouble.clone()).say(t),
    }
}

/// How far Tor is, while it starts.
pub fn meter<'a, M: 'a>(status: &NetworkStatus) -> Option<Element<'a, M>> {
    let percent = match (status.way, &status.tor) {
        (Some(Way::Tor), TorState::Starting { percent }) => u16::from(*percent),
        _ => return None,
    };
    let part = |filled: bool, part: u16| {
        container(space().height(METER)).width(FillPortion(part.max(1))).height(METER).style(styles::meter(filled))
    };
    Some(row![part(true, percent), part(false, 100_u16.saturating_sub(percent))].into())
}

/// All of how it stands.
pub fn status<'a, M: 'a>(t: &Strings, status: &NetworkStatus, host: &Host) -> Column<'a, M> {
    let tor = status.way == Some(Way::Tor);
    let words = state_words(t, status, host);
    let words: Element<'a, M> = match (status.way, status.tor.trouble()) {
        (Some(Way::Tor), Some(_)) => {
            container(text(words).size(size::NOTE)).padding([10, 12]).width(Fill).style(styles::failure).into()
        }
        _ => ui::body(words).into(),
    };
    let bridges = tor.then(|| {
        ui::note(match status.bridges.is_empty() {
            true => t.get("bridges-unused"),
            false => t.with("bridges-used", [("kinds", status.bridges.join(", "))]),
        })
    });
    column![words].push(meter(status)).push(bridges).spacing(8)
}

impl Form {
    /// What is to be seen of it, for a server there; what happens is told as `on` makes it.
    pub fn view<'a, M: Clone + 'a>(
        &'a self,
        t: &'a Strings,
        host: Option<&Host>,
        on: fn(Message) -> M,
    ) -> Column<'a, M> {
        let ways = Kind::ALL.into_iter().map(|kind| {
            let (name, note) = kind.words();
            let choice = focus::radio(t.get(name), kind == self.kind, on(Message::Choose(kind)));
            let choice = container(choice).id(if kind == self.kind { id::WAY } else { name }).padding(RING_ROOM);
            let note = container(ui::note(t.get(note))).padding(iced::Padding::default().left(28));
            column![choice, note].spacing(3).into()
        });
        let proxy = (self.kind == Kind::Proxy).then(|| {
            let edited = move |typed| on(Message::ProxyEdited(typed));
            let field = ui::field(
                t.get("proxy"),
                id::PROXY,
                "127.0.0.1:9050",
                &self.proxy,
                edited,
                on(Message::Choose(Kind::Proxy)),
            );
            let bad = !self.proxy.trim().is_empty() && self.settings(None).is_err_and(|error| error.key == "proxy-bad");
            field.push(bad.then(|| ui::note(t.get("proxy-bad")).style(styles::bad)))
        });
        let keys = || self.keys.view(t, host, move |message| on(Message::Keys(message)));
        let ways = Column::with_children(ways).spacing(14);
        let beside = |kind: Option<Kind>| kind.map(|kind| on(Message::Choose(kind)));
        let at = Kind::ALL.iter().position(|kind| *kind == self.kind).unwrap_or_default();
        let before = at.checked_sub(1).and_then(|at| Kind::ALL.get(at)).copied();
        let ways = focus::one_of(ways, beside(before), beside(Kind::ALL.get(at + 1).copied())).ringed(id::WAY);
        column![ways]
            .push(proxy)
            .push(self.exposes(host).then(|| self.exposure(t, host, on)))
            .push(self.kind.has_tor().then(|| self.bridges(t, on)))
            .push(self.kind.has_tor().then(keys).flatten())
            .push(ui::failure(t, self.failure.as_ref()))
            .spacing(14)
    }

    /// What it means to be seen, and whether that is wanted.
    fn exposure<'a, M: Clone + 'a>(&self, t: &Strings, host: Option<&Host>, on: fn(Message) -> M) -> Element<'a, M> {
        let server = host.map_or_else(|| t.get("exposure-server"), Host::to_string);
        let words = ui::body(t.with("exposure", [("server", server)]));
        let switch = focus::switch(self.exposed, |wanted| on(Message::Expose(wanted)));
        let wanted = row![ui::strong(t.get("exposure-wanted")).width(Fill), switch];
        let wanted = wanted.spacing(16).align_y(Center);
        container(column![words, wanted].spacing(12)).padding(14).width(Fill).style(styles::failure).into()
    }

    /// Where Tor begins.
    fn bridges<'a, M: Clone + 'a>(&'a self, t: &'a Strings, on: fn(Message) -> M) -> Element<'a, M> {
        let field = text_editor(&self.bridges)
            .id(id::BRIDGES)
            .placeholder(t.get("bridges-hint"))
            .on_action(move |action| on(Message::BridgesEdited(action)))
            .padding([10, 12])
            .size(size::NOTE)
            .wrapping(text::Wrapping::WordOrGlyph)
            .height(BRIDGES_HEIGHT)
            .style(styles::editor);
        let press = |key: &'static str, message: Option<Message>| {
            let words = text(t.get(key)).size(size::NOTE);
            button(words).padding([6, 12]).style(styles::quiet).on_press_maybe(message.map(on))
        };
        let some = !self.bridges.is_empty();
        let buttons = row![press("bridges-read", (!self.choosing).then_some(Message::ReadBridges))]
            .push(some.then(|| press("bridges-remove", Some(Message::NoBridges))))
            .spacing(8)
            .align_y(Center);
        let bad = self.lines().err().map(|failure| ui::note(failure.say(t)).style(styles::bad));
        column![ui::strong(t.get("bridges")), ui::note(t.get("bridges-note")), focus::field(field), buttons]
            .push(bad)
            .push(self.programs(t, on))
            .spacing(8)
            .into()
    }

    /// Which programs speak to bridges, or which is missing.
    fn programs<'a, M: Clone + 'a>(&'a self, t: &'a Strings, on: fn(Message) -> M) -> Option<Element<'a, M>> {
        match self.found.as_ref()? {
            Ok(programs) => {
                let line = |program: &endtoend_client::transport::programs::Program| {
                    let (transport, path) = (program.transport.clone(), program.path.display().to_string());
                    ui::note(t.with("program-found", [("transport", transport), ("path", path)])).into()
                };
                Some(Column::with_children(programs.iter().map(line)).spacing(4).into())
            }
            Err(trouble) => {
                let transport = self.missing().unwrap_or_default();
                let typed = self.programs.get(transport).map(|path| path.to_string_lossy()).unwrap_or_default();
                let edited = move |typed| on(Message::ProgramEdited(typed));
                let label = t.with("program", [("transport", transport.to_owned())]);
                let field = ui::field(
                    label,
                    id::PROGRAM,
                    "/usr/bin/…",
                    &typed,
                    edited,
                    on(Message::ProgramEdited(typed.clone().into_owned())),
                );
                let told = ui::note(Failure::from(trouble.clone()).say(t)).style(styles::bad);
                Some(column![told, field].spacing(8).into())
            }
        }
    }
}
