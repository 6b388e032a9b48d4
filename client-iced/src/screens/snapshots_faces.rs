//! How people show themselves: see `snapshots`.

use std::sync::Arc;

use endtoend_client::database::{Conversation, Direction, PeerDevice};
use endtoend_client::engine::Verification;
use endtoend_client::face::Cut;
use endtoend_protocol::{DeviceId, UnixMillis};
use iced::keyboard::key::Named;
use iced::widget::image::Handle as Pixels;

use super::snapshots::{WINDOW, at_home, both, compare_talking, news, people};
use super::snapshots_keys::ringed;
use crate::app::Message;
use crate::order::{FaceRef, FaceSource, News, OwnFace};
use crate::picture::{Drawn, Scale, draw_face, pack};
use crate::screens::home;
use crate::screens::home::settings::{self, face};
use crate::testing::{NOW, conversation, handle, message};

/// A sun over the sea, which nobody takes for a pattern: the sun stands in this part of the width.
fn scenery(width: u32, height: u32, sun: u32) -> Vec<u8> {
    let pixel = |at: u32| {
        let (x, y) = (at % width, at / width);
        let (dx, dy) = (x.abs_diff(width * sun / 100), y.abs_diff(height * 2 / 5));
        match (dx * dx + dy * dy < height * height / 20, y * 3 < height * 2) {
            (true, _) => [250, 210, 90, 255],
            (false, true) => [220, 120 + u8::try_from(y * 100 / height).unwrap(), 110, 255],
            (false, false) => [40, 70, 130, 255],
        }
    };
    (0..width * height).flat_map(pixel).collect()
}

fn drawn(sun: u32, scale: Scale) -> Drawn {
    draw_face(&pack(200, 200, scenery(200, 200, sun)).unwrap(), scale).unwrap()
}

/// Somebody who shows himself.
fn showing(name: &str, called: &str, hash: u8) -> Conversation {
    let mut shown = conversation(name, Some(message(9, Direction::In, "Wonderful, thank you")), 0);
    shown.contact.face_name = Some(called.parse().unwrap());
    shown.contact.portrait = Some([hash; 32]);
    shown
}

fn came(name: &str, hash: u8, sun: u32) -> Vec<Message> {
    [Scale::Small, Scale::Large]
        .map(|scale| {
            let of = FaceRef { of: handle(name), hash: [hash; 32], scale };
            news(News::Face(of, Some(drawn(sun, scale))))
        })
        .to_vec()
}

fn own() -> Message {
    let pictures = [Scale::Small, Scale::Large].map(|scale| drawn(30, scale));
    let own = OwnFace { name: Some("Alice of the harbour".parse().unwrap()), pictures: Some(pictures) };
    news(News::OwnFace(Ok(Box::new(own))))
}

/// Bob and carol show themselves, and so does this person; carol is called otherwise here.
fn shown() -> Vec<Message> {
    let mut carol = showing("carol", "Queen of everything", 4);
    carol.contact.nickname = Some("Carol from the office".parse().unwrap());
    let mut all = vec![own()];
    for known in [showing("bob", "Bob the builder", 3), carol] {
        let with = known.contact.handle.clone().unwrap();
        all.push(news(News::Conversation(with, Ok(Some(Box::new(known))))));
    }
    all.extend(came("bob", 3, 50));
    all.extend(came("carol", 4, 75));
    all
}

#[test]
fn people_as_they_show_themselves() {
    compare_talking("faces", WINDOW, || {
        let mut all = shown();
        all.push(at_home(home::Message::Panel(true)));
        all
    });
    compare_talking("faces-palette", WINDOW, || {
        let mut all = shown();
        all.push(at_home(home::Message::Palette(true)));
        all.push(at_home(home::Message::PaletteEdited("b".to_owned())));
        all
    });
}

/// Of bob, compared once, with a device that came later.
fn compared() -> Vec<Message> {
    let verification = Verification {
        with: handle("bob"),
        safety_number: "001822755588308656584925423525269864589040893377070254469174".to_owned(),
        own_identity: [1; 33],
        peer_identity: [2; 33],
        changed: false,
        verified: true,
    };
    let device = |number, days: u64, compared| PeerDevice {
        device: DeviceId::new(number).unwrap(),
        seen_at: Some(UnixMillis::new(NOW - days * 86_400_000)),
        compared,
    };
    let mut known = showing("bob", "Bob the builder", 3);
    known.contact.verified = true;
    vec![
        news(News::Conversation(handle("bob"), Ok(Some(Box::new(known))))),
        at_home(home::Message::Panel(true)),
        news(News::Verification(handle("bob"), Ok(Box::new(verification)))),
        news(News::DevicesOf(handle("bob"), Ok(vec![device(1, 200, true), device(3, 2, false)]))),
        news(News::Shared(handle("bob"), Ok(Vec::new()))),
    ]
}

#[test]
fn devices_of_a_person_and_a_conversation_that_is_to_go() {
    compare_talking("devices-of", (1_180.0, 1_640.0), compared);
    compare_talking("removal", WINDOW, || {
        let mut all = compared();
        all.extend([at_home(home::Message::Remove), at_home(home::Message::RemoveContactToo(true))]);
        all
    });
}

#[test]
fn how_this_person_shows_itself() {
    let page = |more: Vec<face::Message>, source: bool| {
        let mut all = people();
        all.extend([Message::Resized(900.0, 760.0), own(), at_home(home::Message::Settings(true))]);
        if source {
            let drawn = Drawn { handle: Pixels::from_rgba(480, 300, scenery(480, 300, 70)), width: 480, height: 300 };
            all.push(news(News::FaceSource(Ok(Some(FaceSource { bytes: Arc::new(Vec::new()), drawn })))));
        }
        let on = |message| at_home(home::Message::Setting(settings::Message::Face(message)));
        all.extend(more.into_iter().map(on));
        all
    };
    both("face", (900.0, 760.0), true, || page(Vec::new(), false));
    both("face-chosen", (900.0, 760.0), true, || {
        let cut = Cut { side: 700, left: 900, top: 300 };
        page(vec![face::Message::NameEdited("Alice".to_owned()), face::Message::Cut(cut)], true)
    });
    // On to the square of it, with keys, which make it smaller.
    let smaller = [Named::ArrowLeft; 4];
    ringed("ring-slider", (900.0, 760.0), true, &page(Vec::new(), true), 5, &smaller);
    both("face-removed", (360.0, 760.0), true, || {
        let mut all = page(vec![face::Message::Remove, face::Message::NameEdited(String::new())], false);
        all.push(Message::Resized(360.0, 760.0));
        all
    });
}
