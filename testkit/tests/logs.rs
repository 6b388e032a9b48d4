//! What a node logs: one object a line for programs, which tell of whom it is by numbers, and nothing that names anybody.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::fs;

use endtoend_protocol::{AccountTag, ClientFrame, Request, ServerFrame};
use endtoend_testkit::{Node, NodeOptions, PATIENCE, Scene, Wire, eventually, operate};
use serde_json::Value;

fn options() -> NodeOptions {
    let environment = vec![("ENDTOEND_LOG__FORMAT", "json".to_owned())];
    NodeOptions { environment, log_filter: Some("info,endtoend_gateway=debug"), ..NodeOptions::default() }
}

/// The lines so far. Each is an object with time, level, target and message.
fn lines(node: &Node) -> Vec<Value> {
    let text = fs::read_to_string(node.log_path()).unwrap();
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| unreachable!("{error}: {line}"));
    // The last one may be under way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines: Vec<_> = whole.lines().map(line).collect();
    for line in &lines {
        for field in ["timestamp", "level", "target"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
    lines
}

/// Of one request: where the numbers stand in the line itself or in its span.
fn of_request(lines: &[Value], connection: u64, request: u64) -> Vec<&Value> {
    let is = |value: &Value| value["connection"] == connection && value["request"] == request;
    lines.iter().filter(|line| is(line) || is(&line["span"])).collect()
}

#[tokio::test]
async fn the_lines_of_one_request_are_found_by_its_numbers() {
    let node = Node::start(options());
    let (mut first, _) = Wire::register(node.listen(), AccountTag::new([1; 32])).await;
    let (mut second, _) = Wire::register(node.listen(), AccountTag::new([2; 32])).await;
    // Hello and the two steps of a registration came before.
    first.ask(Request::Attach).await;
    let refused = second.ask(Request::FetchBundles { account: AccountTag::new([9; 32]) }).await;
    assert!(matches!(refused, ServerFrame::Refused { .. }), "{refused:?}");
    let said = lines(&node);
    let whats = |connection| {
        let asked = said.iter().filter(|line| line["connection"] == connection && line["message"] == "asked");
        asked.map(|line| line["what"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(whats(1), ["hello", "register_start", "register_finish", "attach"]);
    assert_eq!(whats(2), ["hello", "register_start", "register_finish", "fetch_bundles"]);
    let messages = |connection| {
        let lines = of_request(&said, connection, 4).into_iter();
        lines.map(|line| line["message"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((messages(1), messages(2)), (vec!["asked", "answered"], vec!["asked", "refused"]));
    let refusal = of_request(&said, 2, 4)[1];
    assert_eq!((&refusal["code"], &refusal["level"]), (&"unknown_account".into(), &"DEBUG".into()));
}

#[tokio::test]
async fn what_goes_wrong_inside_of_a_request_says_whose_it_was() {
    let node = Node::start(NodeOptions { log_filter: None, ..options() });
    let (mut wire, device) = Wire::register(node.listen(), AccountTag::new([1; 32])).await;
    let other = rusqlite::Connection::open(node.data_dir().join("endtoend.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = wire.ask(Request::RenameDevice { device: device.address.device, name: vec![7; 64].into() }).await;
    assert!(matches!(answer, ServerFrame::Refused { .. }), "{answer:?}");
    other.execute_batch("ROLLBACK").unwrap();
    let said = lines(&node);
    let of = of_request(&said, 1, 4);
    assert!(of.iter().any(|line| line["level"] == "WARN" && line["error"].is_string()), "{said:?}");
}

#[tokio::test]
async fn no_line_names_anybody() {
    let scene = Scene::start_with(options());
    let node = &scene.node;
    scene.alice_says("hello bob");
    assert_eq!(scene.bob.listen(1), ["hello bob"]);
    scene.bob_says("hello alice");
    scene.alice.with_password("not the password of anybody").run(&["status"]);
    // Somebody who breaks the rules is not named either.
    let account = AccountTag::new([0xa7; 32]);
    let (mut wire, device) = Wire::register(node.listen(), account).await;
    wire.ask(Request::Attach).await;
    let envelope = device.envelope(0xd3, 100);
    let id = envelope.id;
    wire.send(&ClientFrame::Send(envelope)).await;
    wire.recv().await;
    wire.ask(Request::FetchBundles { account: AccountTag::new([0xb5; 32]) }).await;
    wire.send_bytes([0xff; 40]).await;
    while wire.recv().await.is_some() {}
    let mut forger = Wire::connect(node.listen()).await;
    let challenge = forger.hello().await;
    let Request::Resume { mut token, device_proof } = forger.resume_request(&challenge, &device) else {
        unreachable!("asked for")
    };
    token = token.iter().map(|byte| byte ^ 1).collect::<Vec<_>>().into();
    forger.ask(Request::Resume { token, device_proof }).await;
    drop(forger);
    eventually(PATIENCE, "the end of a connection in the log", || {
        lines(node).iter().any(|line| line["message"] == "closing" && line["reason"] == "malformed")
    });

    let users = operate(node.data_dir(), &["user", "list", "--data", "."], &[]).done();
    let tags: Vec<String> = users.lines.iter().filter_map(|line| line["tag"].as_str()).map(str::to_owned).collect();
    assert_eq!(tags.len(), 3, "{users:?}");
    let mut names: Vec<String> = tags.iter().map(|tag| tag[..8].to_owned()).collect();
    names.extend(scene.handles().map(str::to_owned));
    names.extend([
        id.to_string(),
        "d3d3d3".to_owned(),
        "211, 211".to_owned(),
        "167, 167".to_owned(),
        "a7a7a7".to_owned(),
    ]);
    let own = [node.listen(), node.admin().unwrap_or(node.listen())].map(|address| address.to_string());
    for line in lines(node) {
        // What libraries say in detail is for those who look for a fault in them.
        let ours = line["target"].as_str().unwrap().starts_with("endtoend");
        if !ours && matches!(line["level"].as_str().unwrap(), "DEBUG" | "TRACE") {
            continue;
        }
        let mut text = line.to_string().to_lowercase();
        for name in &names {
            assert!(!text.contains(name.as_str()), "{name} is in {text}");
        }
        for address in &own {
            text = text.replace(address.as_str(), "");
        }
        assert!(!text.contains("127.0.0.1") && !text.contains("::1"), "an address is in {text}");
    }
}
