//! A node whose store is a PostgreSQL database, and what it does while that is away.
#![expect(clippy::unwrap_used, reason = "test code: what fails here fails the test")]

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use endtoend_protocol::{
    AccountTag, ClientFrame, Envelope, EnvelopeId, RefusalCode, Relation, Request, RetryReason, ServerFrame, UnixMillis,
};
use endtoend_testkit::{Device, Node, NodeOptions, Outcome, PATIENCE, Scene, Wire, find_in_trees, operate};
use endtoend_testkit_postgres::{Server, Settings};

/// With fsync: a node takes no other.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(Settings { durable: true }))
}

/// A new database, reached by TCP with a password.
async fn database_of(server: &Server) -> String {
    server.tcp_url(name(&server.database().await), Server::PASSWORD)
}

/// The name of the database that the URL leads to.
fn name(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// A command on the node with this data directory, and with this URL in the environment.
fn on(data: &Path, url: Option<&str>, command: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [command, &["--data", data.to_str().unwrap()]].concat();
    let environment: Vec<_> = url.map(|url| ("ENDTOEND_STORAGE__URL", url)).into_iter().collect();
    operate(folder.path(), &arguments, &environment)
}

fn assert_refused(outcome: &Outcome, words: &str) {
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let text = outcome.lines.last().unwrap()["text"].as_str().unwrap();
    assert!(text.contains(words), "{words:?} is not in {text:?}");
    assert!(!format!("{outcome:?}").contains("pass:word") && !format!("{outcome:?}").contains("%70"), "{outcome:?}");
}

#[tokio::test]
async fn two_people_talk_and_a_restarted_node_goes_on() {
    let url = database_of(server()).await;
    let mut scene = Scene::start_with(NodeOptions::default().on_postgres(&url));
    scene.alice_says("hello bob");
    assert_eq!(scene.bob.listen(1), ["hello bob"]);
    scene.bob_says("hello alice");
    scene.alice_says("this waits");
    scene.node.kill_9();
    scene.node.restart();
    assert_eq!(scene.alice.listen(1), ["hello alice"]);
    assert_eq!(scene.bob.listen(1), ["this waits"]);

    let data = scene.node.data_dir().to_owned();
    assert!(!data.join("endtoend.db").exists());
    // A running node needs no URL to answer, a stopped one does.
    let running = on(&data, None, &["status"]).done();
    assert_eq!((running.field("accounts"), running.field("running")), (&2.into(), &true.into()));
    assert!(scene.node.terminate().success());
    let stopped = on(&data, Some(&url), &["status"]).done();
    assert_eq!((stopped.field("accounts"), stopped.field("running")), (&2.into(), &false.into()));
    assert_refused(&on(&data, None, &["status"]), "ENDTOEND_STORAGE__URL");
    let check =
        operate(&data, &["config", "check"], &[("ENDTOEND_STORAGE__DATA", "."), ("ENDTOEND_STORAGE__URL", &url)]);
    assert_eq!(
        check.done().field("database"),
        &format!("postgres://endtoend@127.0.0.1:{}/{}", server().port(), name(&url))
    );
}

#[tokio::test]
async fn a_node_that_has_accounts_elsewhere_does_not_begin_anew() {
    let url = database_of(server()).await;
    let mut scene = Scene::start_with(NodeOptions::default().on_postgres(&url));
    assert!(scene.node.terminate().success());
    let data = scene.node.data_dir().to_owned();
    let start = |data: &Path, options: NodeOptions| {
        let why = Node::try_start(NodeOptions { data: Some(data.to_owned()), ..options }).unwrap_err();
        assert!(why.code == Some(1) && !why.stderr.contains("pass:word"), "{why:?}");
        why.stderr
    };
    // The URL was forgotten.
    let said = start(&data, NodeOptions::default());
    assert!(said.contains("[storage] url") && said.contains(name(&url)), "{said}");
    assert!(!data.join("endtoend.db").exists());
    // The directory was forgotten: its secrets are.
    let fresh = tempfile::tempdir().unwrap();
    let said = start(fresh.path(), NodeOptions::default().on_postgres(&url));
    assert!(said.contains("is missing, but accounts that depend on it exist"), "{said}");
    assert!(!fresh.path().join("ca.key").exists());
    // The URL is new, the file is there.
    let mut other = Node::start(NodeOptions::default());
    other.kill_9();
    let said = start(other.data_dir(), NodeOptions::default().on_postgres(&url));
    assert!(said.contains("endtoend db copy"), "{said}");
}

#[tokio::test]
async fn a_database_that_is_away_is_told_with_the_way_out() {
    let away = Server::start(Settings { durable: true });
    let url = database_of(&away).await;
    away.kill_9();
    let why = Node::try_start(NodeOptions::default().on_postgres(&url)).unwrap_err();
    assert!(why.stderr.contains("does not answer: see that PostgreSQL runs there"), "{why:?}");
    assert!(!why.stderr.contains("pass:word"), "{why:?}");
}

#[tokio::test]
async fn the_url_may_come_from_a_file() {
    let url = database_of(server()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    fs::write(&file, format!("{url}\n")).unwrap();
    let environment = vec![("ENDTOEND_STORAGE__URL_FILE", file.to_str().unwrap().to_owned())];
    let node = Node::start(NodeOptions { environment, log_filter: Some("trace"), ..NodeOptions::default() });
    assert!(node.data_dir().join("endtoend.postgres").exists());
    let places = [node.data_dir(), node.log_path()];
    assert_eq!(find_in_trees(&places, &[Server::PASSWORD.as_bytes(), url.as_bytes()]).unwrap().hits, []);
}

// --- kill -9 of the database ---

#[tokio::test]
async fn a_conversation_outlives_a_crash_of_the_database() {
    let server = Server::start(Settings { durable: true });
    let scene = Scene::start_with(NodeOptions::default().on_postgres(&database_of(&server).await));
    let [_, bob] = scene.handles();
    let (pid, listening) = (scene.node.pid(), scene.bob.spawn_listen());
    scene.alice_says("before the crash");
    assert_eq!(listening.next_text(), "before the crash");
    server.kill_9();
    let meanwhile = scene.alice.run(&["--timeout", "2s", "send", "--to", bob, "--text", "during the crash"]);
    assert_eq!(meanwhile.code, Some(5), "{meanwhile:?}");
    server.restart();
    scene.alice_says("after the crash");
    assert_eq!([listening.next_text(), listening.next_text()], ["during the crash", "after the crash"]);
    scene.alice_says("and on");
    assert_eq!(listening.next_text(), "and on");
    assert_eq!(scene.node.pid(), pid);
}

#[tokio::test]
async fn a_node_whose_database_is_away_ends_in_order() {
    let server = Server::start(Settings { durable: true });
    let mut node = Node::start(NodeOptions::without_limits().on_postgres(&database_of(&server).await));
    let (_, bob) = Wire::register(node.listen(), AccountTag::new([0xb; 32])).await;
    let (mut alice, _) = Wire::register(node.listen(), AccountTag::new([0xa; 32])).await;
    server.kill_9();
    // It waits for the store until the node has ended.
    alice.send(&ClientFrame::Send(numbered(&bob, 0))).await;
    assert!(node.terminate().success());
    assert!(!fs::read_to_string(node.log_path()).unwrap().contains("panicked"));
}

/// An envelope that no other step uses.
fn numbered(to: &Device, number: u32) -> Envelope {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Envelope { id: EnvelopeId::new(UnixMillis::new(1), random), ..to.envelope(1, 100) }
}

#[tokio::test]
async fn what_is_accepted_around_a_crash_of_the_database_arrives_exactly_once() {
    const TOTAL: u32 = 600;
    const UNANSWERED_MAX: usize = 24;
    let server = Arc::new(Server::start(Settings { durable: true }));
    let url = server.database().await;
    let node = Node::start(NodeOptions::without_limits().on_postgres(&server.tcp_url(name(&url), Server::PASSWORD)));
    let (mut bob_wire, bob) = Wire::register(node.listen(), AccountTag::new([0xb; 32])).await;
    // Strangers may leave less.
    bob_wire.decide(AccountTag::new([0xa; 32]), Some(Relation::Accepted)).await;
    drop(bob_wire);
    let (mut alice, _) = Wire::register(node.listen(), AccountTag::new([0xa; 32])).await;

    let ids: Vec<EnvelopeId> = (0..TOTAL).map(|number| numbered(&bob, number).id).collect();
    let (mut to_send, mut unanswered) = ((0..TOTAL).collect::<VecDeque<_>>(), BTreeSet::new());
    let (mut accepted, mut told_to_retry, mut crashes, mut away) = (BTreeSet::new(), 0, 0, false);
    let conversation = async {
        while accepted.len() < ids.len() {
            while unanswered.len() < UNANSWERED_MAX
                && let Some(number) = to_send.pop_front()
            {
                alice.send(&ClientFrame::Send(numbered(&bob, number))).await;
                unanswered.insert(number);
            }
            // In the middle of sends, twice; and it comes back when something was sent that it did not take.
            if crashes < 2 && accepted.len() >= 150 * (crashes + 1) {
                crashes += 1;
                let killed = Arc::clone(&server);
                tokio::task::spawn_blocking(move || killed.kill_9()).await.unwrap();
                let refused = Wire::try_resume(node.listen(), &bob).await.err();
                assert_eq!(refused, Some(RefusalCode::Unavailable));
                away = true;
            }
            let number_of = |id: EnvelopeId| u32::try_from(ids.iter().position(|known| *known == id).unwrap()).unwrap();
            match alice.recv().await {
                Some(ServerFrame::Accepted { id, .. }) => {
                    assert!(unanswered.remove(&number_of(id)), "answered twice");
                    accepted.insert(id);
                }
                Some(ServerFrame::Retry { id, reason, after_ms }) => {
                    assert_eq!(reason, RetryReason::Unavailable);
                    assert!(unanswered.remove(&number_of(id)), "answered twice");
                    told_to_retry += 1;
                    to_send.push_front(number_of(id));
                    if std::mem::take(&mut away) {
                        let restarted = Arc::clone(&server);
                        tokio::task::spawn_blocking(move || restarted.restart()).await.unwrap();
                    }
                    // As a client does.
                    tokio::time::sleep(std::time::Duration::from_millis(after_ms.min(100))).await;
                }
                other => panic!("neither accepted nor to be retried: {other:?}"),
            }
        }
    };
    tokio::time::timeout(3 * PATIENCE, conversation).await.unwrap();
    assert!(crashes == 2 && told_to_retry >= 2, "{crashes} crashes, {told_to_retry} retries");

    let mut wire = Wire::resume(node.listen(), &bob).await;
    wire.ask(Request::Attach).await;
    let mut delivered = BTreeSet::new();
    while delivered.len() < ids.len() {
        match wire.recv().await {
            Some(ServerFrame::Deliver(deliver)) => {
                assert!(delivered.insert(deliver.id), "{:?} came twice", deliver.id);
                wire.send(&ClientFrame::Ack { up_to: deliver.delivery }).await;
            }
            other => panic!("no delivery: {other:?}"),
        }
    }
    assert_eq!(delivered, accepted);
    // What comes next is the answer to a question, and not one more delivery.
    let answer = wire.ask(Request::FetchBundles { account: AccountTag::new([0xa; 32]) }).await;
    assert!(matches!(answer, ServerFrame::Answer { .. }), "{answer:?}");
}

/// What a server says when its disk has no room, said by a trigger.
#[tokio::test]
async fn nothing_is_accepted_while_its_disk_is_full_and_nothing_is_lost() {
    let url = server().database().await;
    let node = Node::start(NodeOptions::default().on_postgres(&url));
    let (mut bob, to_bob) = Wire::register(node.listen(), AccountTag::new([0xb; 32])).await;
    let (mut alice, _) = Wire::register(node.listen(), AccountTag::new([0xa; 32])).await;
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
                CREATE TRIGGER full_disk BEFORE INSERT ON queue FOR EACH ROW EXECUTE FUNCTION full_disk()";
    server().execute(name(&url), full).await;
    let envelope = to_bob.envelope(1, 100);
    let mut send = async |envelope: &Envelope| {
        alice.send(&ClientFrame::Send(envelope.clone())).await;
        alice.recv().await.unwrap()
    };
    let answer = send(&envelope).await;
    assert!(matches!(answer, ServerFrame::Retry { reason: RetryReason::Unavailable, .. }), "{answer:?}");
    // The connection lives, and what needs no room goes on.
    assert!(matches!(bob.ask(Request::FetchDevices).await, ServerFrame::Answer { .. }));
    server().execute(name(&url), "DROP TRIGGER full_disk ON queue").await;
    let mut answer = send(&envelope).await;
    while matches!(answer, ServerFrame::Retry { .. }) {
        answer = send(&envelope).await;
    }
    assert!(matches!(answer, ServerFrame::Accepted { .. }), "{answer:?}");
    bob.send(&ClientFrame::Request {
        id: endtoend_protocol::RequestId(std::num::NonZeroU64::MAX),
        request: Request::Attach,
    })
    .await;
    let mut delivered = Vec::new();
    while delivered.is_empty() {
        if let ServerFrame::Deliver(deliver) = bob.recv().await.unwrap() {
            delivered.push(deliver.id);
        }
    }
    assert_eq!(delivered, [envelope.id], "once");
}
