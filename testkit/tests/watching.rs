//! What a node tells those who watch it: whether it is well, whether it is ready, and what it counts.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use endtoend_protocol::{AccountTag, ClientFrame, DeliveryNumber, Relation, Request, ServerFrame};
use endtoend_testkit::{Node, NodeOptions, PATIENCE, Scene, Scrape, Wire, eventually, operate};
use endtoend_testkit_postgres::{Server, Settings};

const ALICE: AccountTag = AccountTag::new([0xa1; 32]);
const BOB: AccountTag = AccountTag::new([0xb2; 32]);

fn node() -> Node {
    Node::start(NodeOptions::without_limits().watched())
}

#[test]
fn nobody_is_told_anything_unless_an_operator_wants_it() {
    assert_eq!(Node::start(NodeOptions::default()).admin(), None);
    let everybody = vec![("ENDTOEND_ADMIN__LISTEN", "0.0.0.0:0".to_owned())];
    let options = NodeOptions { environment: everybody.clone(), ..NodeOptions::default() };
    let why = Node::try_start(options).unwrap_err();
    assert!(why.stderr.contains("[admin] listen") && why.stderr.contains("without a login"), "{why:?}");
    let environment = [everybody, vec![("ENDTOEND_ADMIN__BEYOND_LOOPBACK", "true".to_owned())]].concat();
    let open = Node::start(NodeOptions { environment, ..NodeOptions::default() });
    assert!(open.admin().unwrap().ip().is_unspecified());
}

#[test]
fn an_address_in_use_is_told_with_its_key() {
    let first = node();
    let environment = vec![("ENDTOEND_ADMIN__LISTEN", first.admin().unwrap().to_string())];
    let why = Node::try_start(NodeOptions { environment, ..NodeOptions::default() }).unwrap_err();
    assert!(why.code == Some(1) && why.stderr.contains("[admin] listen"), "{why:?}");
}

#[test]
fn a_node_that_runs_is_well_and_ready() {
    let node = node();
    assert_eq!(node.page("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(node.not_ready(), [""; 0]);
    let scrape = node.scrape();
    assert_eq!(scrape.value("endtoend_ready"), 1.0);
    assert_eq!(scrape.value("endtoend_store_info{kind=\"sqlite\"}"), 1.0);
    assert!(scrape.value("process_resident_memory_bytes") > 1e6 && scrape.value("process_open_fds") > 3.0);
    assert_eq!(node.page("/").0, 404);
    assert_eq!(node.page("/v1").0, 404, "clients have another listener");
}

/// Waits until the numbers of the node are so.
fn counts(node: &Node, what: &str, holds: impl Fn(&Scrape) -> bool) -> Scrape {
    let mut last = node.scrape();
    eventually(PATIENCE, what, || {
        last = node.scrape();
        holds(&last)
    });
    last
}

#[tokio::test]
async fn a_conversation_is_counted() {
    let node = node();
    let (mut alice, alices) = Wire::register(node.listen(), ALICE).await;
    let (mut bob, bobs) = Wire::register(node.listen(), BOB).await;
    bob.decide(ALICE, Some(Relation::Accepted)).await;
    let state = |state: &str| format!("endtoend_connections{{state=\"{state}\"}}");
    let scrape = node.scrape();
    assert_eq!((scrape.value(&state("authenticated")), scrape.value(&state("attached"))), (2.0, 0.0));
    for (step, done) in
        [("tls", 2.0), ("websocket", 2.0), ("channel", 2.0), ("hello", 2.0), ("register", 2.0), ("resume", 0.0)]
    {
        assert_eq!(scrape.value(&format!("endtoend_handshakes_done_total{{step=\"{step}\"}}")), done, "{step}");
    }
    assert_eq!(scrape.sum("endtoend_handshakes_failed_total"), 0.0);

    // Bob is away: it waits in the store. Then he takes it.
    alice.send(&ClientFrame::Send(bobs.envelope(1, 100))).await;
    assert!(matches!(alice.recv().await, Some(ServerFrame::Accepted { .. })));
    let scrape = counts(&node, "the commit", |scrape| scrape.value("endtoend_commits_total") == 1.0);
    assert_eq!(scrape.value("endtoend_commit_rows_sum"), 1.0);
    assert_eq!(scrape.value("endtoend_commit_seconds_count"), 1.0);
    assert_eq!(scrape.value("endtoend_messages_delivered_total"), 0.0);
    counts(&node, "that it waits", |scrape| scrape.value("endtoend_queue_oldest_seconds") > 0.0);
    bob.ask(Request::Attach).await;
    assert!(matches!(bob.recv().await, Some(ServerFrame::Deliver(_))));
    bob.send(&ClientFrame::Ack { up_to: DeliveryNumber(1) }).await;
    let deleted = |scrape: &Scrape| scrape.value("endtoend_commit_deletes_sum") == 1.0;
    let scrape = counts(&node, "the deletion", deleted);
    assert_eq!((scrape.value(&state("authenticated")), scrape.value(&state("attached"))), (1.0, 1.0));
    assert_eq!(scrape.value("endtoend_mailboxes"), 1.0);

    // One for nobody, one for what Bob's devices are not any more, and what is no frame of ours.
    alice.send(&ClientFrame::Send(with_account(bobs.envelope(2, 100), [0xcc; 32]))).await;
    assert!(matches!(alice.recv().await, Some(ServerFrame::Rejected { .. })));
    let mut stale = bobs.envelope(3, 100);
    stale.devices_version += 1;
    alice.send(&ClientFrame::Send(stale)).await;
    assert!(matches!(alice.recv().await, Some(ServerFrame::Retry { .. })));
    alice.send_bytes(vec![0xc2, 0x3e, 0x00]).await;
    assert!(matches!(alice.recv().await, Some(ServerFrame::Refused { .. })));
    let scrape = node.scrape();
    for (series, value) in [
        ("endtoend_messages_received_total", 3.0),
        ("endtoend_messages_accepted_total", 1.0),
        ("endtoend_accept_seconds_count", 1.0),
        ("endtoend_messages_rejected_total{reason=\"unknown_recipient\"}", 1.0),
        ("endtoend_messages_retried_total{reason=\"devices\"}", 1.0),
        ("endtoend_messages_delivered_total", 1.0),
        ("endtoend_messages_acknowledged_total", 1.0),
        ("endtoend_refusals_total{code=\"unsupported\"}", 1.0),
        ("endtoend_limit_allowed_total{operation=\"send\"}", 3.0),
        ("endtoend_limit_sharing{state=\"alone\"}", 1.0),
        ("endtoend_writer_appends_waiting", 0.0),
        ("endtoend_writer_oldest_seconds", 0.0),
        ("endtoend_queue_oldest_seconds", 0.0),
        ("endtoend_requests_in_flight", 0.0),
        ("endtoend_accounts_online", 2.0),
    ] {
        assert_eq!(scrape.value(series), value, "{series}");
    }
    assert_eq!(scrape.value("endtoend_send_memory_free_bytes"), scrape.value("endtoend_send_memory_bytes"));

    // Bob comes back with a token that is not his.
    drop(bob);
    counts(&node, "that Bob has left", |scrape| scrape.value(&state("attached")) == 0.0);
    let mut stranger = Wire::connect(node.listen()).await;
    let challenge = stranger.hello().await;
    let request = stranger.resume_request(&challenge, &alices);
    let Request::Resume { device_proof, .. } = request else { unreachable!("asked for") };
    let forged = Request::Resume { token: bobs.token.clone(), device_proof };
    assert!(matches!(stranger.ask(forged).await, ServerFrame::Refused { .. }));
    let scrape = node.scrape();
    assert_eq!(scrape.value("endtoend_handshakes_failed_total{step=\"resume\"}"), 1.0);
    assert_eq!(scrape.value(&state("connected")), 1.0);
    stranger.send_bytes([0xff; 40]).await;
    counts(&node, "that he was sent away", |scrape| {
        scrape.value("endtoend_closings_total{reason=\"malformed\"}") == 1.0
    });
}

fn with_account(mut envelope: endtoend_protocol::Envelope, account: [u8; 32]) -> endtoend_protocol::Envelope {
    envelope.to.account = AccountTag::new(account);
    envelope
}

#[test]
fn numbers_name_nobody() {
    let scene = Scene::start_with(NodeOptions::default().watched());
    scene.alice_says("hello bob");
    assert_eq!(scene.bob.listen(1), ["hello bob"]);
    let text = scene.node.scrape().text.to_lowercase();
    let users = operate(scene.node.data_dir(), &["user", "list", "--data", "."], &[]).done();
    let tags: Vec<&str> = users.lines.iter().filter_map(|line| line["tag"].as_str()).collect();
    assert_eq!(tags.len(), 2, "{users:?}");
    for name in scene.handles().into_iter().chain(tags.iter().map(|tag| &tag[..8])).chain(["127.0.0.1", "::1"]) {
        assert!(!text.contains(name), "{name} is in {text}");
    }
    // Every value of a label is a word of ours, a number or a version.
    for label in text.split('"').skip(1).step_by(2) {
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        let number = |c: char| c.is_ascii_digit() || ".+-inf".contains(c);
        assert!(label.chars().all(plain) || label.chars().all(number), "{label}");
    }
}

// --- not ready ---

/// As the operator's command says it, after as much progress as there was.
fn status(node: &Node) -> (bool, Vec<String>) {
    let status = operate(node.data_dir(), &["status", "--data", "."], &[]).done();
    let last = status.lines.last().unwrap();
    let reasons = last["not_ready"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap().to_owned());
    (last["ready"].as_bool().unwrap(), reasons.collect())
}

#[test]
fn a_node_whose_database_cannot_be_written_is_not_ready_until_it_can() {
    let node = node();
    assert_eq!((node.not_ready(), status(&node)), (vec![], (true, vec![])));
    let other = rusqlite::Connection::open(node.data_dir().join("endtoend.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    eventually(PATIENCE, "that it is not ready", || node.not_ready() == ["store"]);
    assert_eq!(node.page("/healthz").0, 200, "it is well all the same");
    assert_eq!(status(&node), (false, vec!["store".to_owned()]));
    let scrape = node.scrape();
    assert_eq!((scrape.value("endtoend_ready"), scrape.value("endtoend_not_ready{reason=\"store\"}")), (0.0, 1.0));
    // Its patience with locks ends before the lock does.
    counts(&node, "that a probe failed", |scrape| scrape.value("endtoend_store_errors_total{call=\"probe\"}") >= 1.0);
    other.execute_batch("ROLLBACK").unwrap();
    eventually(PATIENCE, "that it is ready again", || node.not_ready().is_empty());
    assert_eq!((node.scrape().value("endtoend_ready"), status(&node)), (1.0, (true, vec![])));
}

#[tokio::test]
async fn a_node_whose_postgresql_is_away_is_not_ready_until_it_is_back() {
    let server = Server::start(Settings { durable: true });
    let node = Node::start(NodeOptions::default().on_postgres(&server.database().await).watched());
    assert_eq!(node.not_ready(), [""; 0]);
    assert_eq!(node.scrape().value("endtoend_store_info{kind=\"postgres\"}"), 1.0);
    server.kill_9();
    eventually(PATIENCE, "that it is not ready", || node.not_ready() == ["store"]);
    assert_eq!(node.page("/healthz").0, 200);
    server.restart();
    eventually(PATIENCE, "that it is ready again", || node.not_ready().is_empty());
}

#[tokio::test]
async fn a_node_that_stops_says_so_to_the_end() {
    let mut options = NodeOptions::without_limits().watched();
    options.environment.push(("ENDTOEND_GATEWAY__DRAIN_SECONDS", "600".to_owned()));
    let mut node = Node::start(options);
    let (wire, bob) = Wire::register(node.listen(), BOB).await;
    drop(wire);
    assert_eq!(node.not_ready(), [""; 0]);
    // The node waits for somebody who takes nothing.
    let mut narrow = Wire::resume_narrow(node.listen(), &bob).await;
    narrow.ask(Request::Attach).await;
    let _clogged = narrow.clog().await;
    node.signal_terminate();
    eventually(PATIENCE, "that it drains", || node.not_ready() == ["draining"]);
    assert_eq!(node.page("/healthz").0, 200);
    let scrape = node.scrape();
    assert_eq!((scrape.value("endtoend_ready"), scrape.value("endtoend_sockets")), (0.0, 1.0));
    assert_eq!(status(&node), (false, vec!["draining".to_owned()]));
    assert!(node.terminate().success(), "the second signal waits for nobody");
}

// --- those who do not watch but harm ---

/// Says these bytes and gives what is heard before the end.
fn say(node: &Node, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(node.admin().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may have heard enough before the end.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn garbage_is_refused_and_holds_nothing_up() {
    let node = node();
    let before = node.scrape().value("process_resident_memory_bytes");
    for garbage in [&[0_u8; 300_000][..], &[0xff; 1_000], b"GET /metrics HTTP/9.9\r\n\r\n", b"\r\n\r\n", b"GET"] {
        let answer = say(&node, garbage);
        assert!(!answer.contains("endtoend_"), "{answer}");
    }
    // A head that does not end.
    let endless = [b"GET /healthz HTTP/1.1\r\nx: ".as_slice(), &vec![b'a'; 4 << 20]].concat();
    let answer = say(&node, &endless);
    assert!(!answer.contains("200 OK"), "{answer}");
    let headers = "x: y\r\n".repeat(5_000);
    let answer = say(&node, format!("GET /healthz HTTP/1.1\r\n{headers}\r\n").as_bytes());
    assert!(!answer.contains("200 OK"), "{answer}");
    // Nothing is changed here, so nothing is taken.
    let answer =
        say(&node, b"POST /metrics HTTP/1.1\r\nHost: n\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\nx");
    assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    assert_eq!(node.page("/healthz").0, 200);
    let after = node.scrape().value("process_resident_memory_bytes");
    assert!(after - before < 32e6, "{before} {after}");
}

#[test]
fn those_who_say_nothing_and_those_who_do_not_read_make_room() {
    let node = node();
    let before = node.scrape().value("process_resident_memory_bytes");
    let connect = || TcpStream::connect(node.admin().unwrap()).unwrap();
    // More than it has places for: some are silent, some stop in the middle, some ask and never read.
    let silent: Vec<_> = (0..20).map(|_| connect()).collect();
    let halves: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = connect();
            stream.write_all(b"GET /healthz HTT").unwrap();
            stream
        })
        .collect();
    let requests = b"GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n".repeat(200);
    let deaf: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = connect();
            stream.set_nonblocking(true).unwrap();
            let _as_much_as_it_takes = stream.write(&requests);
            stream
        })
        .collect();
    assert_eq!(node.page("/healthz").0, 200, "they had to make room");
    let after = node.scrape().value("process_resident_memory_bytes");
    assert!(after - before < 64e6, "{before} {after}");
    drop((silent, halves, deaf));
}
