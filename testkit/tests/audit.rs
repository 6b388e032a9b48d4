//! What is odd about a login is marked in the audit.
#![expect(clippy::panic, reason = "test code: an answer that was not expected fails the test")]

use std::net::Ipv4Addr;

use endtoend_protocol::{AccountTag, Answer, RefusalCode, ServerFrame};
use endtoend_testkit::{Node, NodeOptions, PASSWORD, PATIENCE, Unsecured, Wire, eventually, operate};

const ALICE: AccountTag = AccountTag::new([0xa; 32]);
const MALLORY: AccountTag = AccountTag::new([0xe; 32]);

/// What happened, how it ended, and its signals, in their order.
fn audited(node: &Node) -> Vec<String> {
    let data = node.data_dir().display().to_string();
    let rows = operate(node.data_dir(), &["audit", "query", "--data", &data], &[]).done().lines;
    let words =
        |list: &Vec<serde_json::Value>| list.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ");
    let field = |row: &serde_json::Value, name: &str| match row.get(name) {
        Some(serde_json::Value::Array(list)) => words(list),
        Some(value) => value.as_str().unwrap_or_default().to_owned(),
        None => panic!("no {name} in {row}"),
    };
    let text = |row| format!("{} {} {}", field(row, "what"), field(row, "outcome"), field(row, "signals"));
    rows.iter().map(|row| text(row).trim().to_owned()).collect()
}

#[tokio::test]
async fn odd_logins_are_marked_in_the_audit() {
    let environment = [
        ("ENDTOEND_LIMITS__REFRESH", "{ burst = 6, every_ms = 3600000 }"),
        ("ENDTOEND_LIMITS__PASSWORD", "{ burst = 4, every_ms = 3600000 }"),
    ];
    let environment = environment.map(|(name, value)| (name, value.to_owned())).to_vec();
    let node = Node::start(NodeOptions { environment, ..NodeOptions::default() });
    let (live, mut alice) = Wire::register(node.listen(), ALICE).await;
    let (_, mallory) = Wire::register(node.listen(), MALLORY).await;

    // From two places at once.
    let mut elsewhere = Unsecured::connect_from(Ipv4Addr::new(127, 0, 0, 2), node.listen()).await.secure().await;
    let challenge = elsewhere.hello().await;
    let resumed = elsewhere.ask(elsewhere.resume_request(&challenge, &alice)).await;
    assert!(matches!(resumed, ServerFrame::Answer { answer: Answer::Authenticated { .. }, .. }), "{resumed:?}");
    drop((live, elsewhere));
    let data = node.data_dir().display().to_string();
    eventually(PATIENCE, "both have left", || {
        let stats = operate(node.data_dir(), &["abuse", "stats", "--data", &data], &[]).done();
        *stats.field("connections") == 0
    });

    // A token without its device, one whose answer was lost, and one that was replaced long ago.
    let first = alice.copied();
    Wire::refresh(node.listen(), &mut alice.with_key_of(&mallory)).await.map(drop).expect_err("not its device");
    Wire::refresh(node.listen(), &mut alice).await.map(drop).expect("refreshed");
    let mut crashed = first.copied();
    Wire::refresh(node.listen(), &mut crashed).await.map(drop).expect("recovered");
    Wire::refresh(node.listen(), &mut crashed).await.map(drop).expect("refreshed");
    Wire::refresh(node.listen(), &mut first.copied()).await.map(drop).expect_err("reused");

    // Wrong passwords, another device, and too much of both.
    Wire::login(node.listen(), &alice, b"guessed").await.map(drop).expect_err("wrong");
    Wire::login(node.listen(), &alice.with_key_of(&mallory), PASSWORD).await.map(drop).expect_err("not its device");
    Wire::add_by_password(node.listen(), ALICE).await.map(drop).expect("added");
    let (_, mut alice) = Wire::login(node.listen(), &alice, PASSWORD).await.expect("logged in");
    for _ in 0..3 {
        let refusal = Wire::login(node.listen(), &alice, PASSWORD).await.map(drop).expect_err("too many");
        assert_eq!(refusal.code, RefusalCode::Rate);
        let refusal = Wire::refresh(node.listen(), &mut alice).await.map(drop).expect_err("too many");
        assert_eq!(refusal.code, RefusalCode::Rate);
    }

    assert_eq!(
        audited(&node),
        [
            "account.register ok",
            "account.register ok",
            "device.enter ok elsewhere",
            "token.refresh refused no_proof",
            "token.refresh ok",
            "token.refresh ok recovered",
            "token.refresh ok",
            "token.refresh refused reuse",
            "password.login refused password",
            "password.login refused device",
            "password.login ok new_device",
            "device.add ok by_password",
            "password.login ok",
            // Once an hour, however often it happens.
            "password.login refused many",
            "token.refresh refused many",
        ]
    );
}
