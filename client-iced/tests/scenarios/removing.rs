//! A conversation that goes, with whoever it was with or without, against a real node.

use super::{Scene, acquainted};

#[test]
fn a_conversation_goes_for_good_and_the_other_side_keeps_its_own() {
    let Scene { node: _node, mut alice, mut bob, homes: _homes } = acquainted();
    alice.click("Details");
    alice.wait_for("Device 1");
    alice.click("Remove the conversation…");
    alice.wait_for("Remove the conversation with bob?");
    alice.click("Cancel");
    assert!(alice.sees_nth("hello alice", 1), "nothing is lost before it is meant");
    alice.click("Remove the conversation…");
    alice.click("Remove for good");
    alice.wait_for("Choose a conversation, or press + to begin one.");
    alice.wait_for("Nothing said yet");
    assert!(!alice.sees("hello alice") && alice.sees("bob"), "whom it was with is known");
    bob.wait_for("hello alice");

    // What is said later comes as ever.
    bob.say("are you there?");
    alice.click("bob");
    alice.wait_until("what was said since", |alice| alice.sees_nth("are you there?", 1));
    alice.click("Details");
    alice.click("Remove the conversation…");
    alice.happens(endtoend_client_iced::app::Message::Home(
        endtoend_client_iced::screens::home::Message::RemoveContactToo(true),
    ));
    alice.click("Remove for good");
    alice.wait_for("No conversations yet. Press + to write to somebody.");
    bob.say("and now?");
    alice.wait_for("Requests");
    alice.close();
    bob.close();
}
