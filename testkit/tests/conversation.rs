//! Messages between two people, through the real programs.

use endtoend_testkit::{Cli, Scene, find_in_trees};

#[test]
fn both_sides_hear_each_other_in_order() {
    let scene = Scene::start();
    let [alice, bob] = scene.handles();
    scene.alice_says("hello bob");
    scene.alice_says("are you there?");
    assert_eq!(scene.bob.listen(2), ["hello bob", "are you there?"]);
    scene.bob_says("hello alice ✓");
    assert_eq!(scene.alice.listen(1), ["hello alice ✓"]);
    scene.alice_says("good");
    assert_eq!(scene.bob.listen(1), ["good"]);

    let history = |cli: &Cli, with| {
        let history = cli.run(&["history", "--with", with]).done();
        history.texts().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = ["hello bob", "are you there?", "hello alice ✓", "good"];
    assert_eq!(history(&scene.alice, bob), all);
    assert_eq!(history(&scene.bob, alice), all);
}

#[test]
fn a_listener_gets_a_message_while_it_listens() {
    let scene = Scene::start();
    let listening = scene.bob.spawn_listen();
    scene.alice_says("first");
    assert_eq!(listening.next_text(), "first");
    scene.alice_says("second");
    assert_eq!(listening.next_text(), "second");
}

#[test]
fn a_text_of_60_kib_arrives_whole() {
    let scene = Scene::start();
    let text = "0123456789abcdef".repeat(60 * 1024 / 16);
    scene.alice_says(&text);
    assert_eq!(scene.bob.listen(1), [text]);
}

#[test]
fn a_longer_text_is_refused_before_anything_is_sent() {
    let scene = Scene::start();
    let [_, bob] = scene.handles();
    let outcome = scene.alice.send(bob, &"x".repeat(60 * 1024 + 1));
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let status = scene.alice.run(&["status"]).done();
    assert_eq!(status.field("outbox"), 0);
}

#[test]
fn what_was_written_while_somebody_was_away_waits_in_order() {
    let scene = Scene::start();
    let texts: Vec<_> = (0..5).map(|number| format!("while you were away {number}")).collect();
    for text in &texts {
        scene.alice_says(text);
    }
    assert_eq!(scene.bob.listen(texts.len()), texts);
}

#[test]
fn nothing_accepted_is_lost_when_the_node_is_killed() {
    let mut scene = Scene::start();
    scene.alice_says("before the crash");
    scene.node.kill_9();
    scene.node.restart();
    scene.alice_says("after the crash");
    assert_eq!(scene.bob.listen(2), ["before the crash", "after the crash"]);
}

#[test]
fn what_was_written_while_the_node_was_down_is_sent_later() {
    let mut scene = Scene::start();
    let [_, bob] = scene.handles();
    scene.node.kill_9();
    let outcome = scene.alice.run(&["--timeout", "2s", "send", "--to", bob, "--text", "into the void"]);
    assert_eq!(outcome.code, Some(4), "{outcome:?}");
    assert_eq!(scene.alice.run(&["status"]).done().field("outbox"), 1);
    scene.node.restart();
    scene.alice_says("hello again");
    assert_eq!(scene.bob.listen(2), ["into the void", "hello again"]);
}

#[test]
fn a_node_that_is_asked_to_end_ends_in_order() {
    let mut scene = Scene::start();
    scene.alice_says("kept");
    assert!(scene.node.terminate().success());
    scene.node.restart();
    assert_eq!(scene.bob.listen(1), ["kept"]);
}

#[test]
fn both_sides_see_the_same_safety_number() {
    let scene = Scene::start();
    let [alice, bob] = scene.handles();
    scene.alice_says("hello");
    scene.bob.listen(1);
    let of_bob = scene.alice.run(&["verify", "--with", bob]).done();
    let of_alice = scene.bob.run(&["verify", "--with", alice]).done();
    assert_eq!(of_bob.field("safety_number"), of_alice.field("safety_number"));
    assert_eq!(of_bob.field("safety_number").as_str().map(str::len), Some(60));
}

#[test]
fn the_server_holds_no_text_no_password_and_no_handle() {
    let scene = Scene::start();
    let texts = ["a secret for bob alone", "an answer for alice alone", "one more that stays in the queue"];
    let [first, second, third] = texts;
    scene.alice_says(first);
    scene.bob.listen(1);
    scene.bob_says(second);
    scene.alice.listen(1);
    scene.alice_says(third);

    let secrets = [scene.alice.password(), scene.bob.password()].into_iter().chain(texts).chain(scene.handles());
    let secrets: Vec<_> = secrets.map(str::as_bytes).collect();
    let server = [scene.node.data_dir(), scene.node.log_path()];
    assert_eq!(find_in_trees(&server, &secrets).unwrap().hits, []);
    // The search does find what is there.
    assert_ne!(find_in_trees(&server, &[b"CREATE TABLE"]).unwrap().hits, []);
}

#[test]
fn a_profile_at_rest_holds_no_text_and_no_password() {
    let scene = Scene::start();
    scene.alice_says("not for the finder of this disk");
    scene.bob.listen(1);
    for cli in [&scene.alice, &scene.bob] {
        let secrets = [b"not for the finder of this disk".as_slice(), cli.password().as_bytes()];
        assert_eq!(find_in_trees(&[cli.home()], &secrets).unwrap().hits, []);
    }
}

#[test]
fn a_node_is_not_wiped() {
    let mut scene = Scene::start();
    scene.alice_says("kept");
    assert!(scene.node.terminate().success());
    let mistaken = Cli::new(scene.node.data_dir(), scene.node.address()).run(&["wipe", "--yes"]);
    assert_eq!(mistaken.code, Some(1), "{mistaken:?}");
    scene.node.restart();
    assert_eq!(scene.bob.listen(1), ["kept"]);
}

#[test]
fn a_wiped_profile_is_gone_and_its_folder_can_be_used_again() {
    let scene = Scene::start();
    let [alice, _] = scene.handles();
    scene.alice_says("before the end");
    let listening = scene.bob.spawn_listen();
    assert_eq!(listening.next_text(), "before the end");
    let refused = scene.bob.run(&["wipe", "--yes"]);
    assert_eq!(refused.code, Some(1), "in use: {refused:?}");
    drop(listening);
    let asked = scene.bob.run(&["wipe"]);
    assert_eq!(asked.code, Some(2), "nobody was asked: {asked:?}");
    let wiped = scene.bob.run(&["wipe", "--yes"]).done();
    assert_eq!(wiped.field("event"), "wiped");
    assert!(!scene.bob.home().exists());
    let status = scene.bob.run(&["status"]);
    assert_eq!(status.code, Some(1));
    assert!(status.stderr.contains("there is no profile"), "{status:?}");
    scene.bob.register("somebody.else").done();
    scene.bob.send(alice, "a new beginning").done();
    assert_eq!(scene.alice.listen(1), ["a new beginning"]);
}
