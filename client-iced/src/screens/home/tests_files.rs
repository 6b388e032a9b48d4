//! Files that are sent, and pictures that are looked at.

use std::path::Path;

use endtoend_client::database::{Body, Direction, FileState, Standing, StoredFile, StoredMessage};
use endtoend_client::engine::{Change, Event};
use endtoend_client::files::Source;
use endtoend_protocol::{self as protocol, BlobId, FileName, MediaType, Picture, Shown};
use iced::keyboard::key::Named;
use iced::keyboard::{Key, Modifiers};
use iced::widget::image::Handle as Pixels;

use super::tests::{AT, chat, escape, press, talking, theirs};
use super::*;
use crate::order::News;
use crate::picture::{Drawn, Scale};
use crate::testing::{conversation, handle, id as message_id, message};

/// A picture that bob has sent.
fn picture(number: u32, bytes: u64, state: FileState) -> StoredMessage {
    let file = protocol::File {
        blob: BlobId([1; protocol::limits::BLOB_ID_BYTES]),
        key: [2; 32],
        hash: [3; 32],
        bytes,
        name: FileName::new("crane.png"),
        media_type: MediaType::new("image/png"),
        shown: Shown::Picture(Picture::new(640, 480).unwrap()),
    };
    let mut message = message(number, Direction::In, "x");
    message.body = Body::File(Box::new(StoredFile { file, state }));
    message
}

fn drawn() -> Drawn {
    Drawn { handle: Pixels::from_rgba(1, 1, vec![0; 4]), width: 1, height: 1 }
}

fn unpacked(actions: &[Action]) -> Option<(MessageRef, Scale)> {
    match actions {
        [Action::Order(Order::Picture(_, of, scale))] => Some((*of, *scale)),
        _ => None,
    }
}

#[test]
fn files_that_fall_on_the_window_are_sent_when_that_is_meant() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    chat(&mut home, ChatMessage::Answer(theirs(1)));
    let file = |name: &str| Source::File(Path::new("/tmp").join(name));
    home.dropped(Path::new("/tmp/map.png"));
    escape(&mut home);
    assert!(home.update(Message::FileDone, AT).is_empty(), "it was not meant");
    for name in ["map.png", "plan.pdf", "map.png", "tides.txt"] {
        home.dropped(&Path::new("/tmp").join(name));
    }
    home.update(Message::FileRemoved(1), AT);
    home.update(Message::FileRemoved(7), AT);
    home.update(Message::FileEdited("/tmp/typed.txt".to_owned()), AT);
    let actions = home.update(Message::FileDone, AT);
    let Some(Action::Order(Order::Attach(with, files, answered))) = actions.first() else { panic!("{actions:?}") };
    assert_eq!((with, *answered), (&handle("bob"), Some(message_id(1))));
    assert_eq!(files.as_slice(), [file("map.png"), file("tides.txt"), file("typed.txt")], "each once");
    assert!(home.attaching.is_none() && home.chat.as_ref().unwrap().mark.is_none());
    // There is a bound.
    for number in 0..50 {
        home.dropped(&Path::new("/tmp").join(number.to_string()));
    }
    assert_eq!(home.attaching.as_ref().unwrap().files.len(), 20);
    assert_eq!(home.failure.as_ref().unwrap().key, "files-too-many");
    // Nobody is written to, or nobody may be.
    home.update(Message::CloseChat, AT);
    home.attaching = None;
    home.dropped(Path::new("/tmp/map.png"));
    assert!(home.attaching.is_none());
}

#[test]
fn files_are_chosen_in_one_window_and_a_pasted_picture_is_asked_about() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    home.update(Message::Attach(true), AT);
    assert!(matches!(home.update(Message::ChooseFiles, AT).as_slice(), [Action::Order(Order::Choose)]));
    assert!(home.update(Message::ChooseFiles, AT).is_empty(), "it is open");
    home.news(News::Chosen(Vec::new()), AT);
    assert!(matches!(home.update(Message::ChooseFiles, AT).as_slice(), [Action::Order(Order::Choose)]));
    home.update(Message::Attach(false), AT);
    assert!(matches!(home.update(Message::Paste, AT).as_slice(), [Action::Order(Order::Paste)]));
    home.news(News::Chosen(Vec::new()), AT);
    assert!(home.attaching.is_none(), "there was no picture in it");
    let pasted = Source::Bytes(FileName::new("picture.png"), vec![1, 2, 3].into());
    home.news(News::Chosen(vec![pasted.clone()]), AT);
    assert_eq!(home.attaching.as_ref().unwrap().files, [pasted]);
}

#[test]
fn pictures_are_fetched_by_themselves_from_those_who_were_accepted_once_and_up_to_a_size() {
    let large = super::pictures::FETCHED_BYTES_MAX + 1;
    let said = vec![picture(1, 1_000, FileState::Offered), picture(2, large, FileState::Offered)];
    let mut home = talking(said.clone());
    let seen = |home: &mut Home, number| chat(home, ChatMessage::PictureSeen(theirs(number)));
    let actions = seen(&mut home, 1);
    assert!(
        matches!(actions.as_slice(), [Action::Order(Order::FetchFile(_, id))] if *id == message_id(1)),
        "{actions:?}"
    );
    assert!(seen(&mut home, 1).is_empty() && seen(&mut home, 2).is_empty());
    let mut home = talking(said.clone());
    let mut stranger = conversation("bob", said.last().cloned(), 0);
    stranger.contact.standing = Standing::Request;
    home.news(News::Conversation(handle("bob"), Ok(Some(Box::new(stranger)))), AT);
    assert!(seen(&mut home, 1).is_empty(), "from a stranger");
}

#[test]
fn what_is_looked_at_is_unpacked_one_after_the_other_and_goes_with_its_message() {
    let mut home = talking(vec![picture(1, 9, FileState::Here), picture(2, 9, FileState::Here)]);
    let actions = chat(&mut home, ChatMessage::PictureSeen(theirs(1)));
    assert_eq!(unpacked(&actions), Some((theirs(1), Scale::Small)));
    assert!(chat(&mut home, ChatMessage::PictureSeen(theirs(2))).is_empty());
    let actions = home.news(News::Picture(handle("bob"), theirs(1), Scale::Small, Ok(drawn())), AT);
    assert_eq!(unpacked(&actions), Some((theirs(2), Scale::Small)));
    let bad = Err(Failure::new("picture-bad"));
    assert!(home.news(News::Picture(handle("bob"), theirs(2), Scale::Small, bad), AT).is_empty());
    assert!(home.failure.is_none(), "it is said in its place");
    let deleted = Event::Changed { with: Some(handle("bob")), id: Some(message_id(1)), change: Change::Deleted };
    home.news(News::Event(Box::new(deleted)), AT);
    assert!(home.chat.as_ref().unwrap().pictures.get(theirs(1)).is_none());
    // Of a conversation that was left.
    home.update(Message::Open(handle("carol")), AT);
    home.news(News::Picture(handle("bob"), theirs(1), Scale::Small, Ok(drawn())), AT);
    assert!(home.chat.as_ref().unwrap().pictures.get(theirs(1)).is_none());
}

#[test]
fn a_picture_alone_leads_to_its_neighbours_and_back() {
    let here = |number| picture(number, 9, FileState::Here);
    let mut home = talking(vec![here(1), message(2, Direction::In, "and"), picture(3, 9, FileState::Offered), here(4)]);
    assert!(chat(&mut home, ChatMessage::OpenPicture(theirs(3))).is_empty(), "it is not here");
    let actions = chat(&mut home, ChatMessage::OpenPicture(theirs(1)));
    assert_eq!(unpacked(&actions), Some((theirs(1), Scale::Large)));
    let turn = |home: &mut Home, key| press(home, &Key::Named(key), Modifiers::empty());
    assert_eq!(unpacked(&turn(&mut home, Named::ArrowRight)), Some((theirs(4), Scale::Large)));
    assert!(turn(&mut home, Named::ArrowRight).is_empty(), "it is the last");
    // What was asked for before is not shown.
    home.news(News::Picture(handle("bob"), theirs(1), Scale::Large, Ok(drawn())), AT);
    assert!(home.lightbox.as_ref().unwrap().shown.is_none());
    home.news(News::Picture(handle("bob"), theirs(4), Scale::Large, Ok(drawn())), AT);
    assert!(home.lightbox.as_ref().unwrap().shown.is_some());
    assert_eq!(unpacked(&turn(&mut home, Named::ArrowLeft)), Some((theirs(1), Scale::Large)));
    assert!(turn(&mut home, Named::ArrowLeft).is_empty(), "it is the first");
    escape(&mut home);
    assert!(home.lightbox.is_none() && home.chat.is_some());
}
