//! What shares a circuit and what does not, as those tell it who are at the other end of circuits: exits, and an onion service's `tor`.

use std::collections::BTreeSet;
use std::fs;

use endtoend_testkit::{PATIENCE, Running, eventually};
use endtoend_testkit_tor::{Circuit, Streams};

use super::{ALICE, BOB, Place, TOR, by_name, hosted_by_a_tor, text};

/// What Bob has sent is fetched while Alice sends something: so long that neither is done before both were seen.
const FETCHED_BYTES: usize = 4_000_000;
const SENT_BYTES: usize = 12_000_000;

/// Waits for so many streams, on so many circuits, and says which.
fn until(told: &impl Fn() -> Streams, streams: usize, circuits: usize, what: &str) -> BTreeSet<Circuit> {
    let mut last = Streams::new();
    eventually(3 * PATIENCE, what, || {
        last = told();
        last.values().sum::<usize>() == streams
    });
    assert_eq!(last.len(), circuits, "{what}: {last:?}");
    last.into_keys().collect()
}

/// Two people and what they do, one after the other; `told` says which streams there are to the server.
fn only_files_of_one_person_share_a_circuit(place: &Place, told: impl Fn() -> Streams) {
    let file = |name: &str, bytes: usize| {
        let file = place.folder.path().join(name);
        fs::write(&file, vec![7; bytes]).expect("a file");
        text(&file).to_owned()
    };
    let given = place.bob.run(&["attach", "--to", ALICE, "--file", &file("given", FETCHED_BYTES)]).done();
    let id = given.lines.last().expect("an outcome")["message_id"].as_str().expect("an id").to_owned();
    until(&told, 0, 0, "nobody is there");

    let mut alice: Running = place.alice.start(&["chat", "--with", BOB]);
    alice.event("message");
    let before = until(&told, 1, 1, "Alice's messages");
    alice.say("/circuit");
    eventually(3 * PATIENCE, "her messages are on another circuit", || {
        let now = told();
        now.values().sum::<usize>() == 1 && now.keys().all(|circuit| !before.contains(circuit))
    });
    let hers = until(&told, 1, 1, "Alice's messages on another circuit");
    let _bob = place.bob.spawn_listen();
    let messages = until(&told, 2, 2, "messages of both");
    assert!(messages.is_superset(&hers), "hers stay where they were");

    alice.say(&format!("/attach {}", file("sent", SENT_BYTES)));
    let with_file = until(&told, 3, 3, "a file beside messages");
    assert!(with_file.is_superset(&messages));
    let saved = text(&place.folder.path().join("saved")).to_owned();
    alice.say(&format!("/save {id} {saved}"));
    let with_files = until(&told, 4, 3, "one file each way, on one circuit");
    assert_eq!(with_files, with_file);
}

#[test]
fn through_exits_only_files_of_one_person_share_a_circuit() {
    let place = Place::start(&TOR, &[], by_name);
    place.register();
    only_files_of_one_person_share_a_circuit(&place, || TOR.streams_to(place.node.listen()));
}

#[test]
fn to_an_onion_service_only_files_of_one_person_share_a_circuit() {
    let (place, onion) = hosted_by_a_tor();
    place.register();
    only_files_of_one_person_share_a_circuit(&place, || onion.streams_to(place.node.listen()));
}
