//! What two people at their terminals do about accounts, devices and each other.

use endtoend_testkit::{Cli, Scene};

fn standing(cli: &Cli, of: &str) -> String {
    let listed = cli.run(&["contacts"]).done();
    let contact = listed.lines.iter().find(|object| object["with"] == of);
    contact.map_or_else(String::new, |contact| contact["standing"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_request_is_accepted_blocked_or_ignored() {
    let scene = Scene::start();
    let [alice, bob] = scene.handles();
    scene.alice_says("may I?");
    assert_eq!(scene.bob.listen(1), ["may I?"]);
    assert_eq!(standing(&scene.bob, alice), "request");
    assert_eq!(standing(&scene.alice, bob), "accepted", "whoever is written to may answer");

    scene.bob.run(&["block", "--with", alice]).done();
    assert_eq!(standing(&scene.bob, alice), "blocked");
    scene.alice_says("do you hear me?");
    let sent = scene.bob.run(&["send", "--to", alice, "--text", "no"]);
    assert_eq!(sent.code, Some(1), "{sent:?}");
    assert!(sent.stderr.contains("--undo"), "{sent:?}");
    scene.bob.run(&["block", "--with", alice, "--undo"]).done();
    scene.alice_says("and now?");
    assert_eq!(scene.bob.listen(1), ["and now?"], "what was said meanwhile is not heard");

    scene.bob.run(&["contacts", "--ignore", alice]).done();
    assert_eq!(standing(&scene.bob, alice), "ignored");
    scene.bob.run(&["contacts", "--accept", alice]).done();
    assert_eq!(standing(&scene.bob, alice), "accepted");
}

#[test]
fn handles_of_any_alphabet_find_each_other_however_they_are_written() {
    let scene = Scene::start();
    let homes = tempfile::tempdir().expect("a temporary directory");
    let mueller = Cli::new(homes.path().join("mueller"), scene.node.address());
    mueller.register("Müller").done();
    for spelling in ["müller", "MÜLLER", "mu\u{308}ller"] {
        scene.alice.run(&["send", "--to", spelling, "--text", spelling]).done();
    }
    assert_eq!(mueller.listen(3).len(), 3);
    let confusable = scene.alice.run(&["send", "--to", "аlice", "--text", "with a Cyrillic letter"]);
    assert_eq!(confusable.code, Some(2), "{confusable:?}");
}

#[test]
fn a_logged_out_device_comes_back_with_its_password() {
    let scene = Scene::start();
    let [_, bob] = scene.handles();
    scene.alice.run(&["logout"]).done();
    scene.alice_says("back again");
    assert_eq!(scene.bob.listen(1), ["back again"]);
    let devices = scene.alice.run(&["devices"]).done();
    assert_eq!(devices.lines.len(), 1);
    assert_eq!(devices.field("device"), 1);
    scene.alice.run(&["logout", "--everywhere"]).done();
    scene.alice.run(&["send", "--to", bob, "--text", "and again"]).done();
}

#[test]
fn a_changed_password_is_the_accounts_and_the_profiles() {
    let scene = Scene::start();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("new");
    std::fs::write(&file, "another password\n").expect("written");
    let file = file.to_str().expect("a path");
    scene.alice.run(&["password", "--new-password-file", file]).done();
    let old = scene.alice.run(&["status"]);
    assert_eq!(old.code, Some(1), "the old password opens nothing: {old:?}");
    let alice = scene.alice.with_password("another password");
    alice.run(&["login"]).done();
    alice.send("bob.the.listener", "with the new one").done();
    assert_eq!(scene.bob.listen(1), ["with the new one"]);
}

#[test]
fn a_deleted_account_frees_its_handle() {
    let scene = Scene::start();
    let [alice, bob] = scene.handles();
    let asked = scene.alice.run(&["delete-account"]);
    assert_eq!(asked.code, Some(2), "no person answers: {asked:?}");
    for text in ["before", "the end"] {
        scene.alice_says(text);
        if text == "before" {
            assert_eq!(scene.bob.listen(1), ["before"]);
        }
    }
    scene.alice.run(&["delete-account", "--yes"]).done();
    assert_eq!(scene.alice.run(&["login"]).code, Some(3));
    assert_eq!(scene.bob.listen(1), ["the end"], "what was accepted is delivered");
    let answer = scene.bob.run(&["send", "--to", alice, "--text", "are you there?"]);
    assert_eq!(answer.code, Some(3), "{answer:?}");
    let homes = tempfile::tempdir().expect("a temporary directory");
    let other = Cli::new(homes.path().join("other"), scene.node.address());
    other.register(alice).done();
    other.send(bob, "somebody else").done();
}

#[test]
fn a_link_and_a_number_make_verified_contacts() {
    let scene = Scene::start();
    let [alice, bob] = scene.handles();
    let shown = scene.bob.run(&["contacts", "--own-link"]).done();
    let link = shown.field("link").as_str().unwrap_or_default().to_owned();
    assert!(link.starts_with("endtoend://"), "{shown:?}");
    let added = scene.alice.run(&["contacts", "--add", &link, "--compared"]).done();
    assert_eq!((added.field("with"), added.field("verified")), (&bob.into(), &true.into()));
    scene.alice.run(&["contacts", "--nickname", bob, "Bobby"]).done();
    scene.alice_says("by your link");
    assert_eq!(scene.bob.listen(1), ["by your link"]);
    let listed = scene.alice.run(&["contacts"]).done();
    assert_eq!((listed.field("nickname"), listed.field("verified")), (&"Bobby".into(), &true.into()));

    let number = added.field("safety_number").as_str().unwrap_or_default().to_owned();
    let last = if number.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{last}", number.get(..number.len() - 1).unwrap_or_default());
    let refused = scene.bob.run(&["verify", "--with", alice, "--number", &wrong]);
    assert_eq!((refused.code, refused.field("verified")), (Some(1), &false.into()), "{refused:?}");
    let grouped = number.as_bytes().chunks(5).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    let compared = scene.bob.run(&["verify", "--with", alice, "--number", &grouped]).done();
    assert_eq!(*compared.field("verified"), true);
    let unmarked = scene.bob.run(&["verify", "--with", alice, "--unmark"]).done();
    assert_eq!(*unmarked.field("verified"), false);
    let cut = scene.alice.run(&["contacts", "--add", link.get(..link.len() - 1).unwrap_or_default()]);
    assert_eq!(cut.code, Some(2), "{cut:?}");
}

#[test]
fn what_was_begun_and_how_a_conversation_is_kept_survives_its_program() {
    let scene = Scene::start();
    let [_, bob] = scene.handles();
    let alice = &scene.alice;
    let none = alice.run(&["conversations", "--with", bob, "--pin", "on"]);
    assert_eq!(none.code, Some(1), "nobody has said anything yet: {none:?}");
    scene.alice_says("hello");
    alice.run(&["draft", "--with", bob, "--text", "half a thought"]).done();
    alice.run(&["conversations", "--with", bob, "--pin", "on", "--mute", "8h"]).done();
    let kept = alice.run(&["conversations"]).done();
    assert_eq!(
        (kept.field("with"), kept.field("pinned"), kept.field("muted")),
        (&bob.into(), &true.into(), &true.into())
    );
    assert!(kept.field("muted_until_ms").is_u64(), "{kept:?}");
    let begun = alice.run(&["draft"]).done();
    assert_eq!((begun.field("with"), begun.field("text")), (&bob.into(), &"half a thought".into()));
    alice.send(bob, "half a thought").done();
    assert_eq!(alice.run(&["draft", "--with", bob]).done().lines.len(), 0);
    let unmuted = alice.run(&["conversations", "--with", bob, "--mute", "off"]).done();
    assert_eq!((unmuted.field("pinned"), unmuted.field("muted")), (&true.into(), &false.into()));
}

#[test]
fn a_face_is_seen_by_contacts_and_a_card_makes_one() {
    let scene = Scene::start();
    let [alice, bob] = scene.handles();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let home = |name: &str| folder.path().join(name);
    let carol = Cli::new(home("carol"), scene.node.address());
    carol.register("carol").done();
    let none = scene.alice.run(&["face", "--picture", "/etc/hostname"]);
    assert_eq!(none.code, Some(1), "no picture: {none:?}");
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/screenshots/welcome.png");
    let chosen = scene.alice.run(&["profile", "--name", "Alice A.", "--picture", picture]).done();
    assert_eq!(*chosen.field("name"), "Alice A.");
    assert!(chosen.field("portrait_bytes").as_u64().is_some_and(|bytes| bytes <= 32 * 1024), "{chosen:?}");
    scene.alice_says("hello");
    assert_eq!(scene.bob.listen(1), ["hello"]);
    scene.bob.send(alice, "hello to you").done();
    assert_eq!(scene.alice.listen(1), ["hello to you"]);
    // Told on a connection that lasts.
    let telling = scene.alice.spawn_listen();
    let listening = scene.bob.spawn_listen();
    loop {
        if listening.event("changed")["change"] == "face" {
            break;
        }
    }
    listening.interrupt();
    telling.interrupt();
    assert_eq!((listening.end(), telling.end()), (Some(0), Some(0)));
    let saved = home("alice.jpg");
    let saved = saved.to_str().expect("a path");
    let seen = scene.bob.run(&["face", "--of", alice, "--save", saved]).done();
    assert_eq!((seen.field("name"), seen.field("portrait")), (&"Alice A.".into(), chosen.field("portrait")));
    assert!(std::fs::read(saved).is_ok_and(|bytes| bytes.starts_with(&[0xff, 0xd8])));

    let link = carol.run(&["contacts", "--own-link"]).done();
    let link = link.field("link").as_str().unwrap_or_default().to_owned();
    scene.alice.run(&["contacts", "--add", &link]).done();
    let sent = scene.alice.run(&["card", "--to", bob, "--of", "carol", "--name", "Carol from work"]).done();
    let id = sent.field("message_id").as_str().unwrap_or_default().to_owned();
    let heard = scene.bob.run(&["listen", "--count", "1", "--timeout", "45s"]).done();
    let card = heard.lines.iter().find(|line| line["event"] == "message").expect("a message");
    assert_eq!((&card["card"]["handle"], &card["card"]["name"]), (&"carol".into(), &"Carol from work".into()));
    let added = scene.bob.run(&["card", "--with", alice, "--accept", &id]).done();
    assert_eq!((added.field("with"), added.field("verified")), (&"carol".into(), &false.into()));
    assert_eq!(standing(&scene.bob, "carol"), "accepted");
}
