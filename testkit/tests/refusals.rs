//! What the client says when it cannot do what it is asked: an exit code and a sentence that helps.

use endtoend_testkit::{Cli, Node, NodeOptions, Outcome, Scene};

/// The command failed with this code, said these words, and reported the same to programs.
fn assert_refused(outcome: &Outcome, code: i32, words: &str) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert!(outcome.stderr.contains(words), "{words:?} is not in {outcome:?}");
    let last = outcome.lines.last().and_then(|line| line.get("exit_code")?.as_i64());
    assert_eq!(last, Some(code.into()), "{outcome:?}");
    assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
}

#[test]
fn a_wrong_password_opens_nothing() {
    let scene = Scene::start();
    let outcome = scene.alice.with_password("wrong").run(&["status"]);
    assert_refused(&outcome, 1, "password");
}

#[test]
fn an_unknown_handle_is_refused() {
    let scene = Scene::start();
    assert_refused(&scene.alice.send("nobody.at.all", "hello?"), 3, "nobody.at.all");
}

#[test]
fn a_handle_is_given_once() {
    let scene = Scene::start();
    let [alice, _] = scene.handles();
    let third = Cli::new(scene.alice.home().with_file_name("third"), scene.node.address());
    assert_refused(&third.register(alice), 3, "another handle");
}

#[test]
fn a_server_with_another_pin_is_refused() {
    let node = Node::start(NodeOptions::default());
    let home = tempfile::tempdir().unwrap();
    let (place, pin) = node.address().split_once("#pin=").unwrap();
    let (tls, identity) = pin.split_at(64);
    let wrong = "ab".repeat(32);
    for (pin, profile) in [(format!("{wrong}{identity}"), "tls"), (format!("{tls}{wrong}"), "identity")] {
        let outcome = Cli::new(home.path().join(profile), format!("{place}#pin={pin}")).register("alice");
        assert_refused(&outcome, 1, "not the one this address names");
    }
}

#[test]
fn a_server_that_is_away_is_unreachable() {
    let mut scene = Scene::start();
    scene.node.kill_9();
    let [_, bob] = scene.handles();
    let outcome = scene.alice.run(&["--timeout", "2s", "send", "--to", bob, "--text", "hello?"]);
    assert_refused(&outcome, 4, "server");
}

#[test]
fn a_wait_for_a_message_that_does_not_come_times_out() {
    let scene = Scene::start();
    assert_refused(&scene.bob.run(&["listen", "--count", "1", "--timeout", "2s"]), 5, "time");
}

#[test]
fn a_profile_is_used_by_one_program_at_a_time() {
    let scene = Scene::start();
    let listening = scene.bob.spawn_listen();
    scene.alice_says("now bob listens for certain");
    listening.next_text();
    assert_refused(&scene.bob.run(&["status"]), 1, "other endtoend-cli");
}

#[test]
fn a_command_without_a_profile_names_the_way_to_one() {
    let home = tempfile::tempdir().unwrap();
    let server = format!("endtoend://127.0.0.1:1/#pin={}", "00".repeat(64));
    let nobody = Cli::new(home.path().join("nothing"), server);
    assert_refused(&nobody.run(&["status"]), 1, "register");
}

#[test]
fn a_bad_command_line_is_a_usage_error() {
    let home = tempfile::tempdir().unwrap();
    let nobody = Cli::new(home.path().join("profile"), "not an address");
    assert_eq!(nobody.run(&["status"]).code, Some(2));
}
