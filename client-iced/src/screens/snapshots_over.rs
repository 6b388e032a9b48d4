//! Pictures, what lies over a conversation, and the ways to an account that begin with a file: see `snapshots`.

use endtoend_client::database::{Body, Direction, FileState, MessageRef, StoredFile, StoredMessage};
use endtoend_client::files::Source;
use endtoend_protocol::{self as protocol, BlobId, FileName, MediaType, Picture, Shown, Voice};
use iced::keyboard::key::Named;
use iced::keyboard::{Key, Modifiers};
use iced::widget::image::Handle as Pixels;

use super::snapshots::{CARD, WINDOW, at_home, both, compare_having, compare_talking, first, news, said};
use crate::app::Message;
use crate::failure::Failure;
use crate::order::News;
use crate::picture::{Drawn, Scale};
use crate::said::{Piece, pieces};
use crate::screens::home::{ChatMessage, Message as Home, palette, picker};
use crate::screens::{first_run, home};
use crate::testing::{handle, id, message, server};

pub(super) fn of(number: u32, direction: Direction) -> MessageRef {
    MessageRef { direction, id: id(number) }
}

pub(super) fn in_chat(message: ChatMessage) -> Message {
    at_home(Home::Chat(message))
}

pub(super) fn key(key: Named) -> Message {
    Message::Key(Key::Named(key), Modifiers::empty())
}

/// A message with a picture of this size.
fn picture(number: u32, direction: Direction, (width, height): (u32, u32), state: FileState) -> StoredMessage {
    let file = protocol::File {
        blob: BlobId([1; protocol::limits::BLOB_ID_BYTES]),
        key: [2; 32],
        hash: [3; 32],
        bytes: 830_400,
        name: FileName::new("crane at the eastern pier.jpeg"),
        media_type: MediaType::new("image/jpeg"),
        shown: Shown::Picture(Picture::new(width, height).unwrap()),
    };
    let mut message = message(number, direction, "x");
    message.body = Body::File(Box::new(StoredFile { file, state }));
    message
}

/// A sky over water, so that up and down are told apart.
fn drawn(width: u32, height: u32) -> Drawn {
    let pixel = |at: u32| {
        let (x, y) = (at % width, at / width);
        let shade = u8::try_from(x * 90 / width).unwrap();
        if y * 3 < height * 2 { [120, 170 + shade / 2, 220, 255] } else { [20, 60 + shade, 110, 255] }
    };
    let pixels: Vec<u8> = (0..width * height).flat_map(pixel).collect();
    Drawn { handle: Pixels::from_rgba(width, height, pixels), width, height }
}

pub(super) fn pictures() -> Vec<StoredMessage> {
    vec![
        message(1, Direction::In, "How does it look?"),
        picture(2, Direction::In, (640, 400), FileState::Here),
        picture(3, Direction::In, (300, 200), FileState::Offered),
        picture(4, Direction::Out, (200, 260), FileState::Here),
        picture(5, Direction::Out, (500, 120), FileState::Here),
    ]
}

pub(super) fn came() -> Vec<Message> {
    let came =
        |number, direction, drawn| news(News::Picture(handle("bob"), of(number, direction), Scale::Small, drawn));
    vec![
        came(2, Direction::In, Ok(drawn(480, 300))),
        came(4, Direction::Out, Ok(drawn(200, 260))),
        came(5, Direction::Out, Err(Failure::new("picture-bad"))),
    ]
}

#[test]
fn pictures_between_messages_and_alone() {
    let size = (1_180.0, 1_100.0);
    compare_having("pictures", size, &pictures(), came);
    compare_having("lightbox", WINDOW, &pictures(), || {
        let mut all = came();
        all.push(in_chat(ChatMessage::OpenPicture(of(2, Direction::In))));
        all.push(news(News::Picture(handle("bob"), of(2, Direction::In), Scale::Large, Ok(drawn(640, 400)))));
        all
    });
}

/// What was spoken.
pub(super) fn spoken(number: u32, state: FileState) -> StoredMessage {
    let mut spoken = picture(number, Direction::In, (1, 1), state);
    if let Body::File(stored) = &mut spoken.body {
        let loud = (0_u16..100).map(|at| (at * 53 % 200 + at) as u8).collect();
        stored.file.shown = Shown::Voice(Voice::new(42_300, loud).unwrap());
    }
    spoken
}

#[test]
fn what_was_spoken() {
    compare_having("spoken", (1_180.0, 420.0), &[spoken(1, FileState::Offered)], Vec::new);
}

#[test]
fn files_that_are_to_be_sent() {
    compare_talking("attach", WINDOW, || {
        let pasted = Source::Bytes(FileName::new("picture.png"), vec![0; 84_000].into());
        let chosen = ["/tmp/Harbour plans, 3rd edition.pdf", "/tmp/tides.txt"];
        let mut files: Vec<Source> = chosen.map(|path| Source::File(path.into())).to_vec();
        files.push(pasted);
        vec![at_home(Home::Attach(true)), news(News::Chosen(files))]
    });
}

#[test]
fn emoji_to_choose_from() {
    compare_talking("picker", WINDOW, || {
        vec![at_home(Home::Pick(Some(picker::Purpose::Write))), key(Named::ArrowDown), key(Named::Tab)]
    });
}

#[test]
fn what_is_looked_for_by_its_name() {
    compare_talking("palette", WINDOW, || {
        vec![
            at_home(Home::Palette(true)),
            at_home(Home::PaletteEdited("be".to_owned())),
            news(News::Found((1 << 63) + 1, Ok(vec![said().swap_remove(3)]))),
            key(Named::ArrowDown),
        ]
    });
    compare_talking("sheet", WINDOW, || {
        vec![at_home(Home::PaletteDone(palette::Item::Command(palette::Command::Sheet)))]
    });
}

#[test]
fn what_is_marked_in_words_and_a_link_that_asks() {
    let marked =
        "**Tuesday** at ~~nine~~ ten. The list is at https://example.org/berths?day=2 and the gate code is `4711#`.";
    let said = vec![message(1, Direction::In, marked), message(2, Direction::Out, "2 ** 3 is 8, as ever 🙂")];
    compare_having("marked", WINDOW, &said, || {
        let Some(Piece::Link(_, link)) = pieces("http://аррӏе.com/login").pop() else { panic!("no link") };
        vec![at_home(Home::Link(link))]
    });
}

#[test]
fn what_was_not_read_and_words_to_copy() {
    compare_talking("unread", WINDOW, || vec![news(News::FirstUnread(handle("bob"), Some(of(9, Direction::In))))]);
    compare_talking("words", WINDOW, || vec![in_chat(ChatMessage::Words(of(4, Direction::In)))]);
    compare_talking("day", WINDOW, || {
        vec![at_home(home::Message::Day), at_home(home::Message::DayEdited("24.11.2026".to_owned()))]
    });
}

#[test]
fn the_ways_that_begin_with_a_file() {
    use first_run::Message as M;
    both("restore", CARD, false, || {
        vec![
            first(M::SignIn),
            first(M::Begin(first_run::Way::Restore)),
            first(M::PathEdited("/media/stick/alice.backup".to_owned())),
            first(M::PassphraseEdited("open sesame".to_owned().into())),
            news(News::NotEntered(Failure::new("backup-passphrase"), false)),
        ]
    });
    both("server-recent", CARD, false, || {
        vec![first(M::Begin(first_run::Way::Create)), news(News::Servers(vec![server()]))]
    });
    both("sign-in", CARD, false, || vec![first(M::SignIn)]);
}
