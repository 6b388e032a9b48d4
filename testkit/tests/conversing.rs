//! Replies, edits, deletions, reactions, receipts and messages that disappear, through the real programs.

use endtoend_testkit::{Cli, PATIENCE, Scene, eventually, find_in_trees};
use serde_json::Value;

/// The messages of a conversation, as one side has them.
fn history(cli: &Cli, with: &str) -> Vec<Value> {
    cli.run(&["history", "--with", with]).done().lines
}

/// Nothing for one without: no command finds that.
fn id(message: &Value) -> &str {
    message["message_id"].as_str().unwrap_or_default()
}

/// Two who have answered each other once, so that both are accepted.
fn acquainted() -> Scene {
    let scene = Scene::start();
    scene.alice_says("hello bob");
    scene.bob.listen(1);
    scene.bob_says("hello alice");
    scene.alice.listen(1);
    scene
}

/// What has come without a message of its own is taken by whoever connects for a while.
fn connect(cli: &Cli, what: &str, mut until: impl FnMut() -> bool) {
    eventually(PATIENCE, what, || {
        cli.run(&["--timeout", "2s", "listen"]);
        until()
    });
}

#[test]
fn a_chat_on_a_pipe_says_of_each_line_that_it_was_accepted() {
    // More than the events that an engine keeps for whoever falls behind: 1 024.
    const LINES: usize = 1_200;
    let scene = acquainted();
    let [_, bob] = scene.handles();
    let lines: String = (0..LINES).map(|n| format!("line {n}\n")).collect();
    let said = scene.alice.run_with_input(&["chat", "--with", bob], &lines).done().lines;
    let mut accepted: Vec<&str> = said.iter().filter(|line| line["event"] == "accepted").map(id).collect();
    assert_eq!(accepted.len(), LINES, "each once");
    accepted.sort_unstable();
    accepted.dedup();
    assert_eq!(accepted.len(), LINES);
}

#[test]
fn what_is_done_to_a_message_is_seen_on_the_other_side() {
    let scene = acquainted();
    let [alice, bob] = scene.handles();
    let hello = history(&scene.alice, bob).remove(0);
    scene.alice.run(&["edit", "--with", bob, "--message", id(&hello), "--text", "good day, bob"]).done();
    scene.bob.run(&["react", "--with", alice, "--message", id(&hello), "--emoji", "👍"]).done();
    scene.bob.run(&["send", "--to", alice, "--text", "an answer", "--reply-to", id(&hello)]).done();
    scene.alice.listen(1);
    for (cli, with, reaction) in [(&scene.alice, bob, "their_reaction"), (&scene.bob, alice, "own_reaction")] {
        let seen = history(cli, with);
        assert_eq!(seen[0]["text"], "good day, bob", "{seen:?}");
        assert!(seen[0]["edited_at_ms"].is_u64());
        assert_eq!(seen[0][reaction], "👍");
        assert_eq!(seen[2]["reply_to"], hello["message_id"]);
    }

    scene.alice.run(&["delete", "--with", bob, "--message", id(&hello), "--for-everyone"]).done();
    connect(&scene.bob, "the deletion", || history(&scene.bob, alice)[0]["deleted"] == true);
    for (cli, with) in [(&scene.alice, bob), (&scene.bob, alice)] {
        let seen = history(cli, with);
        assert_eq!((&seen[0]["deleted"], &seen[0]["text"]), (&Value::Bool(true), &Value::Null));
    }
    // Bob's own device forgets Alice's side of nothing: only he hides his words here.
    let answer = history(&scene.bob, alice).remove(2);
    scene.bob.run(&["delete", "--with", alice, "--message", id(&answer)]).done();
    assert_eq!((history(&scene.bob, alice).len(), history(&scene.alice, bob).len()), (2, 3));
    let refused = scene.bob.run(&["edit", "--with", alice, "--message", id(&hello), "--text", "x"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
}

#[test]
fn what_was_seen_is_told_if_that_is_wanted() {
    let scene = acquainted();
    scene.bob.run(&["settings", "--receipts", "on"]).done();
    let [_, bob] = scene.handles();
    let state = |place: usize| history(&scene.alice, bob)[place]["state"].clone();
    scene.alice_says("is it seen?");
    scene.bob.listen(1);
    connect(&scene.alice, "the receipt", || state(2) == "read");

    let settings = scene.bob.run(&["settings", "--receipts", "off"]).done();
    assert_eq!((settings.field("receipts"), settings.field("typing")), (&Value::Bool(false), &Value::Bool(true)));
    scene.alice_says("and this?");
    scene.bob.listen(1);
    // What Bob says later comes later, so a receipt would be here by then.
    scene.bob_says("yes, but I do not say so");
    scene.alice.listen(1);
    assert_eq!(state(3), "accepted");
}

#[test]
fn a_message_disappears_on_both_sides_and_from_both_disks() {
    let scene = acquainted();
    let [alice, bob] = scene.handles();
    scene.alice.run(&["timer", "--with", bob, "--after", "1s"]).done();
    let timer = || scene.bob.run(&["timer", "--with", alice]).done().field("lives_for_s").clone();
    connect(&scene.bob, "the timer", || timer() == 1);
    scene.bob_says("a secret of one second");
    scene.alice.listen(1);
    for (cli, with) in [(&scene.alice, bob), (&scene.bob, alice)] {
        eventually(PATIENCE, "the end of a message", || history(cli, with).len() == 2);
        assert_eq!(find_in_trees(&[cli.home()], &[b"a secret of one second".as_slice()]).unwrap().hits, []);
    }
    scene.alice.run(&["timer", "--with", bob, "--off"]).done();
    scene.alice_says("this stays");
    scene.bob.listen(1);
    assert_eq!(history(&scene.bob, alice).last().map(|last| last["lives_for_s"].clone()), Some(Value::Null));
}
