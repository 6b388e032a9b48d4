//! Each screen in both themes, compared with the pictures in `tests/images`. Remove one, and the next run makes it anew.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use endtoend_client::database::{
    Body, Direction, FileFault, FileState, MessageRef, MessageState, Settings, Standing, StoredFile, StoredMessage,
};
use endtoend_client::engine::{Change, ConnectionState, Event, FileStep, OfflineReason, OwnDevice, Verification};
use endtoend_protocol::{DeviceId, Emoji, Lifetime, UnixMillis};
use iced::advanced::renderer::Headless as _;
use iced_test::Simulator;
use iced_test::runtime::UserInterface;
use iced_test::runtime::user_interface::Cache;
use jiff::tz::TimeZone;

use crate::app::{App, Message};
use crate::failure::Failure;
use crate::order::{News, Order, Step, Usage, Written};
use crate::preferences::{Appearance, Preferences};
use crate::screens::home::settings::{self, Grave, Section};
use crate::screens::{first_run, home, unlock};
use crate::testing::{NOW, conversation, handle, id, me, message, server};
use crate::theme::{REGULAR, fonts, size};

/// A picture differs when more of its bytes than this, in a million, differ by more than [`STEP_MAX`].
const DIFFERENT_MAX: usize = 1_000;
/// Rounding of another processor.
const STEP_MAX: u8 = 8;

pub(super) fn app(appearance: Appearance, profile: bool) -> App {
    let preferences = Preferences { appearance, ..Preferences::default() };
    App::new(preferences, UnixMillis::new(NOW), TimeZone::UTC, profile).0
}

pub(super) fn tell(app: &mut App, all: impl IntoIterator<Item = Message>) {
    all.into_iter().for_each(|message| {
        app.update(message);
    });
}

fn pixels(path: &Path) -> Vec<u8> {
    let mut reader = png::Decoder::new(BufReader::new(File::open(path).unwrap())).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut bytes).unwrap();
    bytes.truncate(frame.buffer_size());
    bytes
}

/// Compares with the picture of that name, or makes it.
pub(super) fn compare(app: &App, name: &str, size: (f32, f32)) {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images");
    fonts::install_for_pictures();
    let settings = iced::Settings { default_font: REGULAR, ..iced::Settings::default() };
    let mut simulator: Simulator<'_, Message> = Simulator::with_size(settings, size, app.view());
    let snapshot = simulator.snapshot(&app.theme()).unwrap();
    if snapshot.matches_image(images.join(name)).unwrap() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(snapshot.matches_image(folder.path().join(name)).unwrap());
    let file = format!("{name}-tiny-skia.png");
    alike(folder, &images, &file);
}

/// Fails, and keeps the folder, when the picture in it is another than that of this name.
fn alike(folder: tempfile::TempDir, images: &Path, file: &str) {
    let (is, was) = (pixels(&folder.path().join(file)), pixels(&images.join(file)));
    assert_eq!(is.len(), was.len(), "{file} has another size");
    let different = is.iter().zip(&was).filter(|(is, was)| is.abs_diff(**was) > STEP_MAX).count();
    if different * 1_000_000 > is.len() * DIFFERENT_MAX {
        let left = folder.keep().join(file);
        panic!("{file}: {different} of {} bytes differ; it is now as in {}", is.len(), left.display());
    }
}

/// Compares what is drawn at this scale with the picture of that name, or makes it: iced's own way knows one scale.
pub(super) fn compare_at(app: &App, name: &str, size: (f32, f32), scale: f32) {
    fonts::install_for_pictures();
    let theme = app.theme();
    let mut renderer = iced::Renderer::new(REGULAR, size::BODY.into());
    let mut interface = UserInterface::build(app.view(), size.into(), Cache::default(), &mut renderer);
    let redraw =
        iced::Event::Window(iced::window::Event::RedrawRequested(endtoend_client::clock::monotonic().into_std()));
    let (away, mut messages) = (iced::mouse::Cursor::Unavailable, Vec::new());
    let _ = interface.update(&[redraw], away, &mut renderer, &mut iced::advanced::clipboard::Null, &mut messages);
    let style = iced::advanced::renderer::Style { text_color: theme.palette().text };
    interface.draw(&mut renderer, &theme, &style, away);
    let (width, height) = ((size.0 * scale).round() as u32, (size.1 * scale).round() as u32);
    let pixels = renderer.screenshot(iced::Size::new(width, height), scale, theme.palette().background);
    compare_pixels(&pixels, (width, height), name);
}

/// Compares these points with the picture of that name, or makes it.
pub(super) fn compare_pixels(pixels: &[u8], (width, height): (u32, u32), name: &str) {
    let file = format!("{name}.png");
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images");
    let folder = tempfile::tempdir().unwrap();
    let known = images.join(&file).exists();
    let place = if known { folder.path() } else { images.as_path() }.join(&file);
    let mut png = png::Encoder::new(File::create(place).unwrap(), width, height);
    png.set_color(png::ColorType::Rgba);
    png.set_compression(png::Compression::High);
    png.write_header().unwrap().write_image_data(pixels).unwrap();
    if known {
        alike(folder, &images, &file);
    }
}

pub(super) fn both(name: &str, size: (f32, f32), profile: bool, told: impl Fn() -> Vec<Message>) {
    for (appearance, suffix) in [(Appearance::Light, "light"), (Appearance::Dark, "dark")] {
        let mut app = app(appearance, profile);
        tell(&mut app, told());
        compare(&app, &format!("{name}-{suffix}"), size);
    }
}

pub(super) const CARD: (f32, f32) = (620.0, 700.0);
pub(super) const WINDOW: (f32, f32) = (1_180.0, 700.0);

pub(super) fn first(message: first_run::Message) -> Message {
    Message::FirstRun(message)
}

pub(super) fn at_home(message: home::Message) -> Message {
    Message::Home(message)
}

pub(super) fn news(news: News) -> Message {
    Message::News(news)
}

#[test]
fn the_way_to_an_account() {
    use first_run::Message as M;
    both("welcome", CARD, false, Vec::new);
    let server_given = || vec![first(M::Begin(first_run::Way::Create)), first(M::AddressEdited(server().to_string()))];
    both("server", CARD, false, server_given);
    let named = move || {
        let mut all = server_given();
        all.extend([first(M::Next), first(M::HandleEdited("alice".to_owned()))]);
        all
    };
    both("who", CARD, false, named);
    both("password", CARD, false, move || {
        let mut all = named();
        let secret = |text: &str| text.to_owned().into();
        all.extend([first(M::Next), first(M::PasswordEdited(secret("stapler gravel quorum")))]);
        all
    });
    let waiting = |step| {
        vec![
            first(M::Begin(first_run::Way::Link)),
            first(M::AddressEdited(server().to_string())),
            first(M::Next),
            first(M::Next),
            first(M::PasswordEdited("stapler gravel quorum".to_owned().into())),
            first(M::Next),
            news(News::Step(step)),
        ]
    };
    both("link-code", CARD, false, || waiting(Step::Code("0123456789abcdef".repeat(6))));
}

#[test]
fn the_password() {
    both("unlock", CARD, true, || {
        vec![
            Message::Unlock(unlock::Message::Edited("guess".to_owned().into())),
            news(News::NotEntered(Failure::new("wrong-password"), true)),
        ]
    });
}

/// What bob and this person have said.
pub(super) fn said() -> Vec<StoredMessage> {
    let yesterday = |mut message: StoredMessage| {
        message.sent_at = UnixMillis::new(message.sent_at.get() - 86_400_000);
        message
    };
    let long = "I have looked at the harbour plans again. The eastern pier is fine, but the crane needs another week, \
                and the ferry cannot wait that long. Could you ask whether they would take the northern berth until then?";
    let mut answer = message(6, Direction::Out, "I will ask. The northern berth should be free from Tuesday on.");
    answer.marks.reply_to = Some(MessageRef { direction: Direction::In, id: id(4) });
    answer.state = MessageState::Delivered;
    let mut edited = message(8, Direction::Out, "They said yes");
    edited.marks.edited_at = Some(edited.sent_at);
    edited.state = MessageState::Read;
    let mut heart = message(9, Direction::In, "Wonderful, thank you");
    heart.marks.own_reaction = Emoji::new("❤️".to_owned());
    let mut mortal = message(10, Direction::In, "The gate code is on the back of the map.");
    mortal.marks.lives_for = Lifetime::from_secs(86_400);
    let mut deleted = message(11, Direction::Out, "x");
    deleted.body = endtoend_client::database::Body::Deleted;
    let mut queued = message(12, Direction::Out, "See you on Tuesday");
    queued.state = MessageState::Queued;
    vec![
        yesterday(message(1, Direction::In, "Good morning")),
        yesterday(message(2, Direction::Out, "Good morning, how is it going?")),
        message(3, Direction::In, "Slowly"),
        message(4, Direction::In, long),
        answer,
        edited,
        heart,
        mortal,
        deleted,
        queued,
    ]
}

pub(super) fn people() -> Vec<Message> {
    let mut stranger = conversation("niko", Some(message(5, Direction::In, "Hello, we met at the fair.")), 1);
    stranger.contact.standing = Standing::Request;
    let mut changed = conversation("dora", Some(message(4, Direction::In, "New telephone")), 0);
    changed.contact.changed_identity = Some([3; 33]);
    let mut said_carol = message(7, Direction::In, "Can somebody bring the long ladder tomorrow, please?");
    said_carol.sent_at = UnixMillis::new(NOW - 600_000);
    let all = vec![
        conversation("bob", said().pop(), 0),
        conversation("carol", Some(said_carol), 12),
        stranger,
        changed,
        conversation("Ελένη", Some(message(3, Direction::Out, "Καλημέρα")), 0),
        conversation("алиса", Some(message(2, Direction::In, "До завтра")), 0),
    ];
    vec![
        Message::Resized(WINDOW.0, WINDOW.1),
        news(News::Entered(Box::new(me()))),
        news(News::Conversations(Ok(all))),
        news(News::Connection(ConnectionState::Online)),
    ]
}

/// With bob's conversation open, and what the engine answers.
pub(super) fn compare_talking(name: &str, size: (f32, f32), more: impl Fn() -> Vec<Message>) {
    compare_having(name, size, &said(), more);
}

/// The same with other messages.
pub(super) fn compare_having(name: &str, size: (f32, f32), said: &[StoredMessage], more: impl Fn() -> Vec<Message>) {
    for (appearance, suffix) in [(Appearance::Light, "light"), (Appearance::Dark, "dark")] {
        let mut app = talking(app(appearance, true), people(), size, said);
        tell(&mut app, more());
        compare(&app, &format!("{name}-{suffix}"), size);
    }
}

/// The window with those people, of that size, where bob's conversation is open and has these messages.
pub(super) fn talking(mut app: App, people: Vec<Message>, size: (f32, f32), said: &[StoredMessage]) -> App {
    tell(&mut app, people);
    tell(&mut app, [Message::Resized(size.0, size.1)]);
    let actions = app.update(at_home(home::Message::Open(handle("bob"))));
    let load = actions.into_iter().find_map(|action| match action {
        crate::action::Action::Order(Order::Load(load)) => Some(load),
        _ => None,
    });
    tell(&mut app, [news(News::Loaded(load.unwrap(), Ok((said.to_vec(), Vec::new()))))]);
    app
}

#[test]
fn a_conversation() {
    compare_talking("conversation", WINDOW, Vec::new);
    compare_talking("narrow", (360.0, 640.0), Vec::new);
}

#[test]
fn a_message_that_was_chosen_and_one_that_is_written() {
    compare_talking("chosen", WINDOW, || {
        let words = iced::widget::text_editor::Edit::Paste("On my way".to_owned().into());
        let typed = iced::widget::text_editor::Action::Edit(words);
        let to = MessageRef { direction: Direction::In, id: id(9) };
        let typing =
            Event::Changed { with: Some(handle("carol")), id: None, change: Change::Typing { stopped: false } };
        [home::ChatMessage::Answer(to), home::ChatMessage::Edited(typed), home::ChatMessage::Choose(Some(to))]
            .into_iter()
            .map(|message| at_home(home::Message::Chat(message)))
            .chain([news(News::Event(Box::new(typing)))])
            .collect()
    });
}

#[test]
fn the_panel_when_an_identity_has_changed() {
    compare_talking("panel", WINDOW, || {
        let verification = Verification {
            with: handle("bob"),
            safety_number: "001822755588308656584925423525269864589040893377070254469174".to_owned(),
            own_identity: [1; 33],
            peer_identity: [2; 33],
            changed: true,
            verified: false,
        };
        let mut changed = conversation("bob", said().pop(), 0);
        changed.contact.changed_identity = Some([2; 33]);
        vec![
            at_home(home::Message::Panel(true)),
            news(News::Conversation(handle("bob"), Ok(Some(Box::new(changed))))),
            news(News::Verification(handle("bob"), Ok(Box::new(verification)))),
        ]
    });
}

#[test]
fn files() {
    let file = |number, direction, name: &str, bytes, state| {
        let file = endtoend_protocol::File {
            blob: endtoend_protocol::BlobId([1; endtoend_protocol::limits::BLOB_ID_BYTES]),
            key: [2; 32],
            hash: [3; 32],
            bytes,
            name: endtoend_protocol::FileName::new(name),
            media_type: endtoend_protocol::MediaType::new("application/octet-stream"),
            shown: endtoend_protocol::Shown::File,
        };
        let mut message = message(number, direction, "x");
        message.body = Body::File(Box::new(StoredFile { file, state }));
        message
    };
    let all = vec![
        file(1, Direction::In, "Harbour plans, 3rd edition.pdf", 4_213_000, FileState::Offered),
        file(2, Direction::In, "crane.jpeg", 830_400, FileState::Here),
        file(3, Direction::Out, "berths.csv", 912, FileState::Here),
        file(4, Direction::Out, "The long film of the crossing.mkv", 1_640_000_000, FileState::Sending),
        file(5, Direction::In, "tides.txt", 12_000, FileState::Failed(FileFault::Gone)),
    ];
    let moved = |done, bytes| {
        let message = MessageRef { direction: Direction::Out, id: id(4) };
        news(News::Event(Box::new(Event::File {
            with: Some(handle("bob")),
            message,
            step: FileStep::Moved { done, bytes },
        })))
    };
    compare_having("files", WINDOW, &all, || vec![moved(312_500_000, 1_640_000_000)]);
}

#[test]
fn messages_that_were_found() {
    compare_talking("found", WINDOW, || {
        let mut answer = message(6, Direction::Out, "I will ask. The northern berth should be free from Tuesday on.");
        answer.state = MessageState::Delivered;
        let found = vec![answer, said().swap_remove(3)];
        let chosen = MessageRef { direction: Direction::Out, id: id(6) };
        vec![
            at_home(home::Message::Filtered("bert".to_owned())),
            news(News::Found(1, Ok(found))),
            at_home(home::Message::Chat(home::ChatMessage::Choose(Some(chosen)))),
        ]
    });
}

#[test]
fn a_new_conversation_without_a_server() {
    both("new-chat", WINDOW, true, || {
        let why = OfflineReason::Unreachable("connection refused".to_owned());
        let offline = ConnectionState::Offline { retry_at: Some(UnixMillis::new(NOW + 4_000)), why };
        let mut all = people();
        all.extend([
            news(News::Connection(offline)),
            at_home(home::Message::NewChat),
            at_home(home::Message::NewChatEdited("not a name".to_owned())),
        ]);
        all
    });
}

#[test]
fn the_settings() {
    let device = |number, name: Option<&str>| OwnDevice {
        device: DeviceId::new(number).unwrap(),
        name: name.map(str::to_owned),
        added_at: UnixMillis::new(NOW - 172_800_000),
        active_at: UnixMillis::new(NOW - 172_800_000),
    };
    let told = || {
        let mut all = people();
        all.extend([
            Message::Resized(SETTINGS.0, SETTINGS.1),
            at_home(home::Message::Settings(true)),
            news(News::Settings(Ok(Settings { receipts: true, typing: false }))),
            news(News::LockAfter(Ok(Some(std::time::Duration::from_secs(300))))),
            news(News::Devices(Ok(vec![device(1, Some("Desk")), device(2, None)]))),
            news(News::OwnLink(Ok(format!("{}&handle=alice&identity={}", server(), "05".repeat(33))))),
        ]);
        all
    };
    let show = |section, more: Vec<settings::Message>| {
        let mut all = told();
        all.push(at_home(home::Message::Setting(settings::Message::Show(section))));
        all.extend(more.into_iter().map(|message| at_home(home::Message::Setting(message))));
        all
    };
    both("settings", SETTINGS, true, told);
    let removing = Grave::RemoveDevice(DeviceId::new(2).unwrap());
    both("settings-devices", SETTINGS, true, || show(Section::Devices, vec![settings::Message::Ask(Some(removing))]));
    both("settings-privacy", SETTINGS, true, || show(Section::Privacy, Vec::new()));
    both("settings-network", SETTINGS, true, || show(Section::Network, Vec::new()));
    both("settings-notices", SETTINGS, true, || show(Section::Notices, Vec::new()));
    both("settings-appearance", SETTINGS, true, || show(Section::Appearance, Vec::new()));
    both("settings-about", SETTINGS, true, || show(Section::About, Vec::new()));
    both("settings-storage", (SETTINGS.0, 900.0), true, || {
        let mut all = show(Section::Storage, vec![settings::Message::Ask(Some(Grave::Export))]);
        let usage =
            Usage { messages: 48_300_000, files: 1_240_000_000, home: "/home/alice/.local/share/endtoend".to_owned() };
        let path = "/home/alice/Downloads/endtoend-2026-11-26.backup".into();
        all.push(news(News::Usage(Ok(usage))));
        all.push(news(News::Written(Ok(Written { path, people: 31, messages: 8_204 }))));
        all
    });
    both("settings-narrow", (360.0, 640.0), true, || {
        let mut all = show(Section::Appearance, Vec::new());
        all.push(Message::Resized(360.0, 640.0));
        all
    });
}

const SETTINGS: (f32, f32) = (900.0, 700.0);
