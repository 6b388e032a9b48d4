//! How people show themselves in the main window, and conversations that go.

use endtoend_client::engine::{Change, Event};
use endtoend_client::transport::{NetworkStatus, TorState, TorTrouble, Way};
use iced::widget::image::Handle as Pixels;
use jiff::tz::TimeZone;

use super::tests::{AT, talking, write};
use super::*;
use crate::calendar::Present;
use crate::order::{FaceRef, News};
use crate::picture::{Drawn, Scale};
use crate::strings::{Language, Strings};
use crate::testing::{conversation, handle, message};

fn face(name: &str, hash: u8) -> FaceRef {
    FaceRef { of: handle(name), hash: [hash; 32], scale: Scale::Small }
}

fn drawn() -> Drawn {
    Drawn { handle: Pixels::from_rgba(1, 1, vec![0; 4]), width: 1, height: 1 }
}

fn orders(actions: &[Action]) -> Vec<String> {
    actions.iter().map(|action| format!("{action:?}")).collect()
}

#[test]
fn a_picture_is_unpacked_when_it_is_seen_and_another_one_is_another() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let asked = home.update(Message::FaceSeen(face("bob", 1)), AT);
    assert!(matches!(asked.as_slice(), [Action::Order(Order::Face(of))] if *of == face("bob", 1)), "{asked:?}");
    assert!(home.update(Message::FaceSeen(face("carol", 2)), AT).is_empty(), "one after the other");
    let next = home.news(News::Face(face("bob", 1), Some(drawn())), AT);
    assert!(orders(&next).iter().any(|order| order.contains("carol")), "{next:?}");
    home.news(News::Face(face("carol", 2), None), AT);
    assert!(home.update(Message::FaceSeen(face("bob", 1)), AT).is_empty(), "it is here");
    assert!(home.update(Message::FaceSeen(face("carol", 2)), AT).is_empty(), "what cannot be drawn is not tried again");
    assert_eq!(home.update(Message::FaceSeen(face("bob", 3)), AT).len(), 1, "bob shows another one");
}

#[test]
fn somebody_is_found_by_each_of_his_names() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let mut bob = conversation("bob", None, 0);
    bob.contact.face_name = Some("Robert the great".parse().unwrap());
    bob.contact.nickname = Some("From work".parse().unwrap());
    home.news(News::Conversation(handle("bob"), Ok(Some(Box::new(bob)))), AT);
    for words in ["bob", "robert", "WORK"] {
        assert_eq!(home.listed_by(words).count(), 1, "{words}");
    }
    let known = home.contact(&handle("bob")).unwrap();
    assert_eq!(list::name(known), "From work", "what this person calls him counts");
}

#[test]
fn a_conversation_goes_only_when_that_is_meant_and_nothing_of_it_stays() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    write(&mut home, "half a word");
    home.update(Message::Remove, AT);
    home.update(Message::NotAsked, AT);
    assert!(home.update(Message::RemovalDone, AT).is_empty(), "not after all");
    home.update(Message::Remove, AT);
    home.update(Message::RemoveContactToo(true), AT);
    let asked = home.update(Message::RemovalDone, AT);
    let [Action::Order(Order::RemoveConversation(removing))] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(removing.contact && removing.with == handle("bob"));

    home.news(News::Removed(handle("bob"), Err(Failure::new("removal-blocked"))), AT);
    assert!(home.chat.is_some() && home.failure.as_ref().unwrap().key == "removal-blocked");
    let actions = home.news(News::Removed(handle("bob"), Ok(())), AT);
    assert!(home.chat.is_none() && !home.drafts.contains_key(&handle("bob")));
    assert!(orders(&actions).iter().any(|order| order.contains("KeepDraft") && order.contains("None")), "{actions:?}");
    home.news(News::Conversation(handle("bob"), Ok(None)), AT);
    assert!(home.contact(&handle("bob")).is_none());
}

#[test]
fn what_another_device_has_removed_is_looked_at_again() {
    let mut home = talking(vec![message(1, Direction::In, "hello")]);
    let removed = Event::Changed { with: Some(handle("bob")), id: None, change: Change::Removed };
    let actions = home.news(News::Event(Box::new(removed)), AT);
    let asked = orders(&actions);
    assert!(
        asked.iter().any(|order| order.contains("Conversation(")) && asked.iter().any(|order| order.contains("Load"))
    );
}

#[test]
fn the_line_below_the_list_says_how_far_tor_is_and_what_hinders_it() {
    let mut home = talking(Vec::new());
    let (t, present) = (Strings::new(Language::English), Present { at: AT, zone: TimeZone::UTC });
    let mut told = |connection: ConnectionState, tor: TorState| {
        home.news(News::Connection(connection), AT);
        home.news(News::Network(NetworkStatus { way: Some(Way::Tor), tor, bridges: Vec::new() }), AT);
        home.connection_words(&t, &present).1
    };
    assert_eq!(told(ConnectionState::Connecting, TorState::Starting { percent: 45 }), "Tor starts: 45 %");
    assert_eq!(told(ConnectionState::Online, TorState::Verified), "Connected through Tor");
    let hindered = TorState::Trouble { percent: 5, trouble: TorTrouble::ClockWrong };
    assert!(told(ConnectionState::Connecting, hindered).starts_with("The clock of this machine is wrong"));
}
