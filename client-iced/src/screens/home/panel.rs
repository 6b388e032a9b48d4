//! About the person whom the open conversation is with: what to compare, how long messages live, whether they may write.

use endtoend_client::contact_link::ContactLink;
use endtoend_client::database::{Body, MessageRef, PeerDevice, Standing, StoredMessage};
use endtoend_client::handle::Handle;
use endtoend_client::nickname::Nickname;
use endtoend_protocol::{Arrangement, Lifetime, Muted, UnixMillis};
use iced::widget::{Column, column, container, row, scrollable, space, text};
use iced::{Center, Element, Fill};

use super::chat::Chat;
use super::{Home, Message, files};
use crate::action::Action;
use crate::calendar::{Present, span};
use crate::failure::Failure;
use crate::focus::{self, button};
use crate::order::Order;
use crate::qr::Code;
use crate::strings::Strings;
use crate::theme::{STRONG, size, styles};
use crate::ui::{self, id};

/// Of a code, in logical pixels.
const CODE: f32 = 240.0;

/// What the panel has asked for.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// This account's own code is shown, to be scanned by the other side.
    code_shown: bool,
    code: Option<Result<Option<Code>, Failure>>,
    /// The system's window is open, to choose a picture of the other side's code in.
    choosing: bool,
    /// As they are known here.
    devices: Option<Result<Vec<PeerDevice>, Failure>>,
    /// Messages with files, latest first.
    shared: Option<Result<Vec<StoredMessage>, Failure>>,
}

/// How long messages may live, in seconds. `None` for good.
const LIVES: [Option<u32>; 8] =
    [None, Some(30), Some(300), Some(3_600), Some(28_800), Some(86_400), Some(604_800), Some(2_419_200)];

/// One of those, in words.
#[derive(Clone, PartialEq)]
struct Life {
    lifetime: Option<Lifetime>,
    words: String,
}

impl std::fmt::Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

fn life(t: &Strings, lifetime: Option<Lifetime>) -> Life {
    let words = lifetime.map_or_else(|| t.get("timer-off"), |lifetime| span(t, lifetime.as_secs().into()));
    Life { lifetime, words }
}

impl Home {
    /// Opens the panel, or closes it.
    pub(super) fn show_panel(&mut self, open: bool) -> Vec<Action> {
        self.panel = open;
        match &mut self.chat {
            Some(chat) if open => {
                (chat.verification, chat.details) = (None, Details::default());
                let with = chat.with.clone();
                [Order::Verify(with.clone()), Order::DevicesOf(with.clone()), Order::Shared(with)]
                    .map(Action::Order)
                    .to_vec()
            }
            _ => Vec::new(),
        }
    }

    /// This account's own code, or not any more.
    pub(super) fn show_code(&mut self) -> Vec<Action> {
        let Some(chat) = &mut self.chat else { return Vec::new() };
        chat.details.code_shown = !chat.details.code_shown;
        let asks = chat.details.code_shown && chat.details.code.is_none();
        if asks { vec![Action::Order(Order::OwnLink)] } else { Vec::new() }
    }

    /// A picture of a code is to be chosen: of the person whom the panel is about, or of one to write to.
    pub(super) fn read_code(&mut self) -> Vec<Action> {
        let choosing = match (&mut self.new_chat, &mut self.chat) {
            (Some(new), _) => &mut new.choosing,
            (None, Some(chat)) => &mut chat.details.choosing,
            (None, None) => return Vec::new(),
        };
        if std::mem::replace(choosing, true) { Vec::new() } else { vec![Action::Order(Order::ReadCode(None))] }
    }

    /// This account's link has come.
    pub(super) fn code_came(&mut self, link: &Result<String, Failure>) {
        if let Some(chat) = self.chat.as_mut().filter(|chat| chat.details.code_shown) {
            chat.details.code = Some(link.clone().map(|text| Code::of(&text)));
        }
    }

    /// The devices of a person have come.
    pub(super) fn devices_came(&mut self, with: &Handle, devices: Result<Vec<PeerDevice>, Failure>) {
        if let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == *with) {
            chat.details.devices = Some(devices);
        }
    }

    /// The files of a conversation have come.
    pub(super) fn shared_came(&mut self, with: &Handle, shared: Result<Vec<StoredMessage>, Failure>) {
        if let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == *with) {
            chat.details.shared = Some(shared);
        }
    }

    /// A code was read from a picture.
    pub(super) fn code_read(&mut self, code: Result<Option<String>, Failure>) -> Vec<Action> {
        if let Some(new) = &mut self.new_chat {
            new.choosing = false;
            match code {
                Ok(Some(code)) => (new.typed, new.failure) = (code, None),
                Ok(None) => {}
                Err(failure) => new.failure = Some(failure),
            }
            return Vec::new();
        }
        let Some(chat) = &mut self.chat else { return Vec::new() };
        chat.details.choosing = false;
        let compared = code.and_then(|code| match code.map(|code| code.parse::<ContactLink>()) {
            None => Ok(None),
            Some(Ok(link)) if link.handle == chat.with => Ok(Some(link)),
            Some(Ok(_)) => Err(Failure::new("code-other-person")),
            Some(Err(error)) => Err(error.into()),
        });
        match compared {
            Ok(link) => link.map(|link| Action::Order(Order::Add(Box::new(link), true))).into_iter().collect(),
            Err(failure) => {
                self.failure = Some(failure);
                Vec::new()
            }
        }
    }

    pub(super) fn panel_view<'a>(
        &'a self,
        t: &'a Strings,
        present: &'a Present,
        chat: &'a Chat,
    ) -> Element<'a, Message> {
        let known = self.contact(&chat.with);
        let standing = known.map(|known| known.contact.standing);
        let head = row![
            ui::head(t.get("details")).width(Fill),
            button(text("×").size(size::HEAD)).padding([2, 10]).style(styles::plain).on_press(Message::Panel(false)),
        ]
        .align_y(Center);
        let who = self.who(t, chat);
        let mut lives: Vec<Life> =
            LIVES.into_iter().map(|seconds| life(t, seconds.and_then(Lifetime::from_secs))).collect();
        let life_now = life(t, chat.timer);
        // Chosen elsewhere, perhaps to the second.
        if !lives.contains(&life_now) {
            lives.push(life_now.clone());
        }
        let timer = column![
            ui::strong(t.get("timer-title")),
            ui::note(t.get("timer-note")),
            focus::choice(lives, life_now, size::NOTE, Fill, |life| Message::SetTimer(life.lifetime)),
        ]
        .spacing(6);
        let writes = known.is_some_and(|known| known.last.is_some());
        let content = Column::new()
            .push(head)
            .push(who)
            .push(known.is_some().then(|| self.naming(t, chat)))
            .push(known.map(|known| arranging(t, present, known.contact.arrangement)))
            .push(self.comparison(t, chat))
            .push(devices(t, present, chat, known.is_some_and(|known| known.contact.verified)))
            .push(shared(t, chat))
            .push((writes && standing == Some(Standing::Accepted)).then_some(timer))
            .push(standing.map(|standing| decide(t, standing)))
            .push(known.map(|_| removal(t)))
            .push(space().height(8))
            .spacing(22)
            .padding(18);
        container(scrollable(content).style(styles::scroll).height(Fill))
            .width(Fill)
            .height(Fill)
            .style(styles::ground)
            .into()
    }

    /// How this person looks, what they are called, and by which handle they are told apart from everybody else.
    fn who<'a>(&'a self, t: &'a Strings, chat: &'a Chat) -> Element<'a, Message> {
        let known = self.contact(&chat.with);
        let name = known.and_then(|known| known.contact.name());
        let shown = text(name.map_or(chat.with.as_str(), Nickname::as_str)).size(size::HEAD).font(STRONG);
        let theirs = known.and_then(|known| known.contact.face_name.as_ref());
        let said = theirs.map(|name| t.with("face-name-theirs", [("name", name.as_str())]));
        let centered = |words: text::Text<'a>| words.width(Fill).align_x(Center);
        column![self.avatar(known, chat.with.as_str(), 88)]
            .push(
                column![centered(shown)]
                    .push(name.map(|_| centered(ui::body(chat.with.as_str()))))
                    .push(said.map(|said| centered(ui::small(said))))
                    .spacing(4),
            )
            .spacing(12)
            .align_x(Center)
            .width(Fill)
            .into()
    }

    /// What this person is called on this device.
    fn naming<'a>(&'a self, t: &'a Strings, chat: &'a Chat) -> Element<'a, Message> {
        let now = self.contact(&chat.with).and_then(|known| known.contact.nickname.as_ref());
        let now = now.map(Nickname::as_str).unwrap_or_default();
        let typed = chat.name.as_deref().unwrap_or(now);
        let field = ui::field(
            t.get("nickname"),
            id::NICKNAME,
            chat.with.as_str(),
            typed,
            Message::NameEdited,
            Message::NameDone,
        );
        let changed = typed.trim() != now;
        field
            .push(ui::note(t.get("nickname-note")))
            .push(changed.then(|| ui::quiet(t.get("keep"), Message::NameDone)))
            .into()
    }

    /// The safety number, and what to do with it.
    fn comparison<'a>(&'a self, t: &'a Strings, chat: &'a Chat) -> Element<'a, Message> {
        let title = ui::strong(t.get("safety-title"));
        let verification = match &chat.verification {
            None => return column![title, ui::note(t.get("loading"))].spacing(6).into(),
            Some(Err(failure)) => {
                return column![title, ui::note(failure.say(t))].spacing(6).into();
            }
            Some(Ok(verification)) => verification,
        };
        let number = container(ui::groups(&verification.safety_number, 5, 4, size::BODY))
            .padding(12)
            .center_x(Fill)
            .style(styles::boxed);
        let codes = row![
            ui::plain(t.get("code-own"), Message::ShowCode),
            button(text(t.get("code-theirs")).size(size::NOTE))
                .padding([6, 8])
                .style(styles::plain)
                .on_press_maybe((!chat.details.choosing).then_some(Message::ReadCode)),
        ];
        let own = chat.details.code_shown.then(|| own_code(t, chat));
        let copy = ui::plain(t.get("copy"), Message::CopySecret(verification.safety_number.clone()));
        let mut content = column![title];
        if verification.changed {
            let warning = text(t.with("safety-changed", [("name", chat.with.as_str())])).size(size::NOTE);
            content = content.push(container(warning).padding(12).width(Fill).style(styles::warning));
        }
        content = content.push(number).push(ui::note(t.with("safety-note", [("name", chat.with.as_str())]))).push(copy);
        content = content.push(codes.wrap()).push(own);
        content = match (verification.changed, verification.verified) {
            (true, _) => content.push(ui::danger(t.get("accept-identity"), Message::AcceptIdentity)),
            (false, false) => {
                let same = Message::MarkVerified(Some(verification.peer_identity));
                content.push(ui::quiet(t.get("mark-verified"), same))
            }
            (false, true) => content
                .push(ui::note(format!("✓ {}", t.get("is-verified"))).style(styles::accent))
                .push(ui::plain(t.get("unmark-verified"), Message::MarkVerified(None))),
        };
        content.spacing(8).into()
    }
}

/// How long nobody is told of messages, in seconds; `None` for good.
const MUTES: [Option<u64>; 4] = [Some(3_600), Some(28_800), Some(604_800), None];

/// One of those, or not at all, in words.
#[derive(Clone, PartialEq)]
struct Mute {
    muted: Muted,
    words: String,
}

impl std::fmt::Display for Mute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

/// Whether the conversation stands above the others, and whether anybody is told of its messages.
fn arranging<'a>(t: &'a Strings, present: &'a Present, now: Arrangement) -> Element<'a, Message> {
    let pinned = focus::switch(now.pinned, |pinned| Message::Arrange(Arrangement { pinned, ..now }));
    let mute = |seconds: Option<u64>| match seconds {
        Some(seconds) => {
            let until = UnixMillis::new(present.at.get().saturating_add(seconds.saturating_mul(1_000)));
            Mute { muted: Muted::Until(until), words: t.with("mute-for", [("time", span(t, seconds))]) }
        }
        None => Mute { muted: Muted::ForGood, words: t.get("mute-for-good") },
    };
    let no = Mute { muted: Muted::No, words: t.get("mute-no") };
    let mut all = vec![no.clone()];
    all.extend(MUTES.map(mute));
    let chosen = match now.muted {
        muted if !muted.at(present.at) => no,
        Muted::Until(until) => {
            let moment = format!("{}, {}", present.separator(t, until), present.clock(until));
            let muted = Mute { muted: now.muted, words: t.with("mute-until", [("when", moment)]) };
            all.push(muted.clone());
            muted
        }
        Muted::ForGood | Muted::No => mute(None),
    };
    let muted = focus::choice(all, chosen, size::NOTE, Fill, move |mute| {
        Message::Arrange(Arrangement { muted: mute.muted, ..now })
    });
    column![
        row![ui::body(t.get("pin")).width(Fill), pinned].align_y(Center).spacing(12),
        ui::strong(t.get("mute-title")),
        muted,
    ]
    .spacing(8)
    .into()
}

/// What the other side scans.
fn own_code<'a>(t: &'a Strings, chat: &'a Chat) -> Element<'a, Message> {
    match &chat.details.code {
        None => ui::note(t.get("loading")).into(),
        Some(Err(failure)) => ui::note(failure.say(t)).into(),
        Some(Ok(code)) => column![]
            .push(code.as_ref().map(|code| container(code.view(CODE)).center_x(Fill)))
            .push(ui::note(t.with("code-own-note", [("name", chat.with.as_str())])))
            .spacing(8)
            .into(),
    }
}

/// Files that were sent in this conversation.
fn shared<'a>(t: &'a Strings, chat: &'a Chat) -> Element<'a, Message> {
    let title = ui::strong(t.get("shared-title"));
    let files = match &chat.details.shared {
        None => return column![title, ui::note(t.get("loading"))].spacing(6).into(),
        Some(Err(failure)) => return column![title, ui::note(failure.say(t))].spacing(6).into(),
        Some(Ok(files)) => files,
    };
    let line = |message: &'a StoredMessage| {
        let Body::File(stored) = &message.body else { return None };
        let of = MessageRef { direction: message.direction, id: message.id };
        let name = container(ui::body(stored.file.name.as_str()).wrapping(text::Wrapping::None)).width(Fill).clip(true);
        let line = row![name, ui::small(files::length(t, stored.file.bytes))].spacing(8).align_y(Center);
        let line = button(line).padding([6, 8]).width(Fill).style(styles::line(false));
        Some(line.on_press(Message::OpenAt(chat.with.clone(), of)).into())
    };
    let none = files.is_empty().then(|| ui::note(t.get("shared-none")));
    Column::new().push(title).push(none).extend(files.iter().filter_map(line)).spacing(4).into()
}

/// Which devices the person has, and which of them came after their identity was compared.
fn devices<'a>(t: &'a Strings, present: &Present, chat: &'a Chat, verified: bool) -> Element<'a, Message> {
    let title = ui::strong(t.get("devices"));
    let devices = match &chat.details.devices {
        None => return column![title, ui::note(t.get("loading"))].spacing(6).into(),
        Some(Err(failure)) => return column![title, ui::note(failure.say(t))].spacing(6).into(),
        Some(Ok(devices)) => devices,
    };
    let line = |device: &PeerDevice| {
        let name = ui::body(t.with("device-number", [("number", u64::from(device.device.get()))]));
        let since = device.seen_at.map(|at| ui::small(t.with("device-known", [("when", present.brief(t, at))])));
        let mark = match (verified, device.compared) {
            (true, true) => Some(ui::small(t.get("device-compared")).style(styles::accent)),
            (true, false) => Some(ui::small(t.get("device-later")).style(styles::bad)),
            (false, _) => None,
        };
        column![name].push(since).push(mark).spacing(2).into()
    };
    let told = if devices.is_empty() { "devices-unknown" } else { "devices-of-note" };
    Column::new().push(title).extend(devices.iter().map(line)).push(ui::note(t.get(told))).spacing(8).into()
}

fn removal<'a>(t: &'a Strings) -> Element<'a, Message> {
    column![ui::quiet(t.get("removal"), Message::Remove), ui::note(t.get("removal-note"))].spacing(6).into()
}

fn decide<'a>(t: &'a Strings, standing: Standing) -> Element<'a, Message> {
    let (key, note, message) = match standing {
        Standing::Blocked => ("unblock", "unblock-note", Message::Decide(Standing::Accepted)),
        Standing::Ignored => ("accept", "accept-note", Message::Decide(Standing::Accepted)),
        Standing::Request | Standing::Accepted => ("block", "block-note", Message::Decide(Standing::Blocked)),
    };
    column![ui::quiet(t.get(key), message), ui::note(t.get(note))].spacing(6).into()
}
