//! What an operator does to accounts: the same on a running node and on a stopped one.
#![expect(clippy::panic, reason = "test code: what is missing fails the test")]

use bytes::Bytes;
use endtoend_protocol::{AccountTag, ClosingReason, InviteCode, RefusalCode, ServerFrame};
use endtoend_testkit::{Cli, Node, NodeOptions, Outcome, Scene, Wire, operate};
use serde_json::Value;

const ALICE: AccountTag = AccountTag::new([0xa; 32]);

fn ask(node: &Node, arguments: &[&str]) -> Outcome {
    let data = node.data_dir().display().to_string();
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--data", &data]).collect();
    operate(node.data_dir(), &arguments, &[])
}

fn by_invitation() -> NodeOptions {
    let environment = vec![("ENDTOEND_ACCOUNTS__REGISTRATION", "invite".to_owned())];
    NodeOptions { environment, ..NodeOptions::default() }
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_else(|| panic!("no {field} in {object}"))
}

/// The names of what the audit has, in order.
fn audited(node: &Node) -> Vec<String> {
    let lines = ask(node, &["audit", "query"]).done().lines;
    lines.iter().map(|line| text(line, "what").to_owned()).collect()
}

#[test]
fn whoever_has_an_invitation_registers_once_and_nobody_else_does() {
    let mut node = Node::start(by_invitation());
    let homes = tempfile::tempdir().expect("a temporary directory");
    let person = |name: &str| Cli::new(homes.path().join(name), node.address());
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(person);
    assert_eq!(alice.register("alice").code, Some(3), "without one");

    let made = ask(&node, &["invite", "create", "--uses", "2", "--expires", "1h", "--note", "for two"]).done();
    let code = text(made.lines.first().expect("it is shown"), "code").to_owned();
    assert!(code.parse::<InviteCode>().is_ok());
    let listed = ask(&node, &["invite", "list"]).done();
    assert_eq!((listed.field("uses_left"), listed.field("note")), (&2.into(), &"for two".into()));
    assert_eq!(listed.field("code"), &Value::Null, "shown once");
    let invited = |cli: &Cli, name: &str, code: &str| cli.run(&["register", "--handle", name, "--invite", code]);
    invited(&alice, "alice", &code).done();
    assert_eq!(*ask(&node, &["invite", "list"]).done().field("uses_left"), 1);
    invited(&bob, "bob", &code.to_lowercase()).done();
    assert_eq!(invited(&carol, "carol", &code).code, Some(3), "it was for two");

    // On a stopped node, by id and by code.
    node.terminate();
    let made = [(); 2].map(|()| ask(&node, &["invite", "create"]).done());
    let [by_id, by_code] = &made;
    ask(&node, &["invite", "revoke", by_id.field("id").as_str().expect("a text")]).done();
    let code = by_code.field("code").as_str().expect("a text").to_owned();
    node.restart();
    assert_eq!(ask(&node, &["invite", "revoke", &code]).done().lines.len(), 1);
    assert_ne!(ask(&node, &["invite", "revoke", &code]).code, Some(0), "it is gone");
    for made in &made {
        let code = made.field("code").as_str().expect("a text");
        assert_eq!(invited(&dave, "dave", code).code, Some(3), "revoked");
    }
    let happened = audited(&node);
    assert_eq!(happened.iter().filter(|what| *what == "invite.create").count(), 3);
    assert_eq!(happened.iter().filter(|what| *what == "invite.revoke").count(), 2);
}

#[tokio::test]
async fn a_disabled_account_is_out_at_once_and_comes_back_when_it_is_enabled() {
    let node = Node::start(NodeOptions::default());
    let (mut live, mut device) = Wire::register(node.listen(), ALICE).await;
    let tag = "0a".repeat(32);
    let disabled = ask(&node, &["user", "disable", &tag[..8]]).done();
    assert_eq!(disabled.field("tag"), tag.as_str());
    assert!(disabled.field("disabled_at_ms").is_u64());
    assert!(matches!(live.recv().await, Some(ServerFrame::Closing { reason: ClosingReason::Removed, .. })));
    let refusal = Wire::refresh(node.listen(), &mut device).await.map(drop).expect_err("disabled");
    assert_eq!(refusal.code, RefusalCode::Disabled);
    assert_eq!(Wire::try_resume(node.listen(), &device).await.map(drop).expect_err("disabled"), RefusalCode::Disabled);
    ask(&node, &["user", "enable", &tag]).done();
    Wire::refresh(node.listen(), &mut device).await.expect("enabled");
    assert!(
        audited(&node)
            .ends_with(&["account.disable", "token.refresh", "account.enable", "token.refresh"].map(str::to_owned))
    );
}

#[test]
fn a_deleted_account_is_gone_and_its_handle_is_free() {
    let mut scene = Scene::start();
    let [_, bob] = scene.handles();
    scene.alice_says("hello");
    let listed = ask(&scene.node, &["user", "list", "--handle", bob]).done();
    assert_eq!((listed.field("devices"), listed.field("queued_envelopes")), (&1.into(), &1.into()));
    let tag = listed.field("tag").as_str().expect("a tag").to_owned();
    assert_eq!(ask(&scene.node, &["user", "list"]).done().lines.len(), 2);
    assert_eq!(ask(&scene.node, &["user", "list", &tag[..10]]).done().lines, listed.lines);

    let refused = ask(&scene.node, &["user", "delete", "--handle", bob]);
    assert_eq!(refused.code, Some(1), "nobody was asked: {refused:?}");
    ask(&scene.node, &["user", "delete", "--handle", bob, "--yes"]).done();
    assert_eq!(ask(&scene.node, &["user", "delete", &tag, "--yes"]).code, Some(1), "there is none");
    assert_eq!(scene.bob.run(&["login"]).code, Some(3));
    // What the log still has goes with the node.
    scene.node.terminate();
    let raw = hex::decode(&tag).expect("hex");
    for file in ["endtoend.db", "endtoend.db-wal"] {
        let bytes = Bytes::from(std::fs::read(scene.node.data_dir().join(file)).unwrap_or_default());
        assert!(!bytes.windows(raw.len()).any(|found| found == raw), "the tag is still in {file}");
    }
    let log = std::fs::read_to_string(scene.node.log_path()).expect("a log");
    assert!(!log.contains(bob), "a handle that an operator types is nobody's business");
    scene.node.restart();
    let again = Cli::new(scene.bob.home().with_extension("again"), scene.node.address());
    again.register(bob).done();
}

#[test]
fn the_audit_tells_who_did_what_and_notices_a_changed_row() {
    let mut scene = Scene::start();
    let [alice, bob] = scene.handles();
    assert_eq!(scene.bob.with_password("wrong").run(&["login"]).code, Some(1), "the profile does not open");
    scene.alice.run(&["logout"]).done();
    let of_alice = ask(&scene.node, &["audit", "query", "--handle", alice]).done();
    let happened: Vec<&str> = of_alice.lines.iter().map(|line| text(line, "what")).collect();
    assert_eq!(happened, ["account.register", "account.logout"]);
    let of_both = ask(&scene.node, &["audit", "query", "--what", "account.reg", "--since", "1h"]).done();
    assert_eq!(of_both.lines.len(), 2);
    assert_eq!(ask(&scene.node, &["audit", "query", "--until", "1h"]).done().lines.len(), 0);
    assert_eq!(ask(&scene.node, &["audit", "tail", "--lines", "1"]).done().field("what"), "account.logout");
    let rows = ask(&scene.node, &["audit", "verify"]).done().field("rows").clone();
    assert_eq!(rows, 3);
    assert_eq!(ask(&scene.node, &["audit", "query", "--handle", bob, "--limit", "1"]).done().lines.len(), 1);

    scene.node.terminate();
    let stopped = ask(&scene.node, &["audit", "query", "--handle", alice]).done();
    assert_eq!(stopped.lines, of_alice.lines, "the same on a stopped node");
    let database = rusqlite::Connection::open(scene.node.data_dir().join("endtoend.db")).expect("the database");
    database.execute("UPDATE audit SET outcome = 'refused' WHERE seq = 2", []).expect("tampered with");
    drop(database);
    let broken = ask(&scene.node, &["audit", "verify"]);
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert!(text(broken.lines.last().expect("an error"), "text").contains("row 2"), "{broken:?}");
}

#[test]
fn the_use_of_limits_is_shown_while_the_node_runs() {
    let mut scene = Scene::start();
    scene.alice_says("hello");
    let stats = ask(&scene.node, &["abuse", "stats"]).done();
    let of = |operation: &str| {
        let limit = stats.lines.iter().find(|line| line.get("operation").is_some_and(|name| name == operation));
        limit.cloned().unwrap_or_else(|| panic!("no {operation} in {stats:?}"))
    };
    assert_eq!(of("register").get("allowed"), Some(&2.into()));
    assert_eq!(of("first_contact").get("refused"), Some(&0.into()));
    scene.node.terminate();
    let stopped = ask(&scene.node, &["abuse", "stats"]);
    assert_eq!(stopped.code, Some(1));
    assert!(text(stopped.lines.last().expect("an error"), "text").contains("stopped"), "{stopped:?}");
}

#[test]
fn an_operators_mistakes_are_told_and_change_nothing() {
    let scene = Scene::start();
    for wrong in [
        &["user", "disable", "zz"][..],
        &["user", "disable", "00"],
        &["user", "disable", "00000000"],
        &["user", "disable", "--handle", "not a handle!"],
        &["user", "delete", "--handle", "nobody.is.this", "--yes"],
        &["invite", "revoke", "0123456789abcdef"],
        &["invite", "create", "--expires", "0s"],
        &["invite", "create", "--expires", "9999d"],
    ] {
        let refused = ask(&scene.node, wrong);
        assert_eq!(refused.code, Some(1), "{wrong:?}: {refused:?}");
    }
    assert_eq!(audited(&scene.node), ["account.register", "account.register"]);
}
