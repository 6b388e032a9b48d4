//! What tests of this crate are about: people and messages, and the sources of the program.

use std::path::Path;

use endtoend_client::address::ServerAddress;
use endtoend_client::database::{Body, Contact, Conversation, Direction, Marks, MessageState, Standing, StoredMessage};
use endtoend_client::handle::Handle;
use endtoend_protocol::{AccountTag, Arrangement, MessageId, Text, UnixMillis};

use crate::order::Me;

/// The other side.
pub(crate) const PEER: AccountTag = AccountTag::new([2; 32]);
/// Thursday, 26 November 2026, 14:05:00 UTC.
pub(crate) const NOW: u64 = 1_795_701_900_000;

pub(crate) fn handle(name: &str) -> Handle {
    name.parse().unwrap()
}

pub(crate) fn server() -> ServerAddress {
    format!("endtoend://chat.example.org:8443/#pin={}", "5f".repeat(64)).parse().unwrap()
}

pub(crate) fn me() -> Me {
    Me { handle: handle("alice"), device: 1, server: server() }
}

pub(crate) fn id(number: u32) -> MessageId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    // Of version 7, as the engine makes them.
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    MessageId::from_slice(&bytes).unwrap()
}

/// A message with bob, a minute after the one before it.
pub(crate) fn message(number: u32, direction: Direction, text: &str) -> StoredMessage {
    let at = UnixMillis::new(NOW - 3_600_000 + u64::from(number) * 60_000);
    let own = direction == Direction::Out;
    StoredMessage {
        seq: number.into(),
        peer: PEER,
        handle: Some(handle("bob")),
        direction,
        id: id(number),
        state: if own { MessageState::Accepted } else { MessageState::Received },
        body: Body::Text(Text::new(text.to_owned()).unwrap()),
        sent_at: at,
        accepted_at: own.then_some(at),
        received_at: (!own).then_some(at),
        wire_bytes: None,
        shown: own,
        marks: Marks::default(),
    }
}

pub(crate) fn conversation(name: &str, last: Option<StoredMessage>, unread: u64) -> Conversation {
    let mut tag = [0; 32];
    tag.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    let contact = Contact {
        tag: AccountTag::new(tag),
        handle: Some(handle(name)),
        changed_identity: None,
        standing: Standing::Accepted,
        told: true,
        nickname: None,
        verified: false,
        arrangement: Arrangement::default(),
        face_name: None,
        portrait: None,
    };
    Conversation { contact, last, unread }
}

/// The sources of this program, by their names, without their tests.
pub(crate) fn sources() -> Vec<(String, String)> {
    fn read(folder: &Path, all: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let of_tests = ["tests", "testing", "snapshots"].into_iter().any(|begins| name.starts_with(begins));
            match path.is_dir() {
                true => read(&path, all),
                false if of_tests => {}
                false => {
                    let text = std::fs::read_to_string(&path).unwrap();
                    all.push((name, text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()));
                }
            }
        }
    }
    let mut all = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    all
}
