//! Attachments, as the node has them: left by one, fetched by another, gone on with after a break, and bounded.
#![expect(clippy::expect_used, clippy::panic, reason = "test code: an answer that was not expected fails the test")]

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use endtoend_protocol::limits::{BLOB_PART_BYTES_MAX, BLOB_SECRET_BYTES};
use endtoend_protocol::{AccountTag, Answer, BlobId, BlobRequest, Refusal, RefusalCode, Request, ServerFrame};
use endtoend_testkit::{Node, NodeOptions, Wire, find_in_trees, operate};
use endtoend_testkit_s3::Server;

const ALICE: AccountTag = AccountTag::new([0xa; 32]);
const BOB: AccountTag = AccountTag::new([0xb; 32]);
const BLOB: BlobId = BlobId([7; 16]);
const SECRET: [u8; BLOB_SECRET_BYTES] = [9; BLOB_SECRET_BYTES];
const PART: u64 = BLOB_PART_BYTES_MAX as u64;

fn node_with(environment: &[(&'static str, &str)]) -> Node {
    let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Node::start(NodeOptions { environment, ..NodeOptions::default() })
}

async fn ask(wire: &mut Wire, request: BlobRequest) -> Result<Answer, Refusal> {
    match wire.ask(Request::Blob(request)).await {
        ServerFrame::Answer { answer, .. } => Ok(answer),
        ServerFrame::Refused { refusal, .. } => Err(refusal),
        other => panic!("neither answered nor refused: {other:?}"),
    }
}

async fn open(wire: &mut Wire, blob: BlobId, bytes: u64) -> Result<Answer, Refusal> {
    let secret_hash = *blake3::hash(&SECRET).as_bytes();
    ask(wire, BlobRequest::Open { blob, bytes, secret_hash }).await
}

async fn put(wire: &mut Wire, offset: u64, part: impl Into<Bytes>) -> Result<Answer, Refusal> {
    ask(wire, BlobRequest::Put { blob: BLOB, secret: SECRET, offset, part: part.into() }).await
}

async fn fetch(wire: &mut Wire, offset: u64) -> Result<Answer, Refusal> {
    ask(wire, BlobRequest::Fetch { blob: BLOB, offset }).await
}

fn code(answer: Result<Answer, Refusal>) -> RefusalCode {
    answer.expect_err("refused").code
}

fn part(fill: u8) -> Vec<u8> {
    vec![fill; BLOB_PART_BYTES_MAX]
}

/// A marker that can be found.
fn marked(fill: u8) -> Vec<u8> {
    let mut part = part(fill);
    part.iter_mut().zip(b"a marker of this test").for_each(|(to, byte)| *to = *byte);
    part
}

/// A node with a bucket, and the server that has it.
fn node_with_bucket(keys: &Path) -> (Node, Server) {
    let server = Server::start(&["attachments"]);
    let environment = bucket(&server, keys, Server::SECRET_KEY);
    let node = Node::start(NodeOptions { environment, ..NodeOptions::default() });
    (node, server)
}

fn bucket(server: &Server, keys: &Path, secret: &str) -> Vec<(&'static str, String)> {
    let file = |name: &str, text: &str| {
        let path = keys.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    vec![
        ("ENDTOEND_BLOBS__S3_BUCKET", "attachments".to_owned()),
        ("ENDTOEND_BLOBS__S3_ENDPOINT", server.endpoint()),
        ("ENDTOEND_BLOBS__S3_PREFIX", "of/this/node".to_owned()),
        ("ENDTOEND_BLOBS__S3_ACCESS_KEY_FILE", file("access", Server::ACCESS_KEY)),
        ("ENDTOEND_BLOBS__S3_SECRET_KEY_FILE", file("secret", secret)),
    ]
}

#[tokio::test]
async fn what_one_leaves_another_fetches_though_the_node_died_in_between() {
    let node = node_with(&[]);
    let directory = node.data_dir().join("blobs");
    leave_and_fetch(node, &directory).await;
}

#[tokio::test]
async fn a_bucket_does_what_a_directory_does() {
    let keys = tempfile::tempdir().expect("a temporary directory");
    let (node, server) = node_with_bucket(keys.path());
    let data = node.data_dir().to_owned();
    leave_and_fetch(node, &server.folder()).await;
    assert!(!data.join("blobs").exists(), "there is no directory beside it");
    assert_eq!(server.objects(), 0);
}

#[tokio::test]
async fn while_a_bucket_is_away_senders_come_again_and_the_node_lives() {
    let keys = tempfile::tempdir().expect("a temporary directory");
    let (node, server) = node_with_bucket(keys.path());
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    open(&mut alice, BLOB, PART).await.expect("begun");
    let folder = server.folder();
    drop(server);
    assert!(!folder.exists());
    let refused = put(&mut alice, 0, part(1)).await.expect_err("nobody takes it");
    assert_eq!(refused.code, RefusalCode::Unavailable);
    assert!(refused.retry_after_ms.is_some());
    assert_eq!(open(&mut alice, BLOB, PART).await, Ok(Answer::BlobHas(0)), "nothing is noted that is not there");
}

#[test]
fn a_node_without_its_bucket_says_why_and_shows_no_key() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(&["attachments"]);
    let mut environment = bucket(&server, folder.path(), "not-the-secret");
    environment.push(("ENDTOEND_GATEWAY__LISTEN", "127.0.0.1:0".to_owned()));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let outcome = operate(folder.path(), &["serve"], &environment);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let said = format!("{} {:?}", outcome.stderr, outcome.lines);
    assert!(said.contains("s3_secret_key_file") && said.contains("attachments"), "{said}");
    assert!(!said.contains("not-the-secret"), "{said}");
}

/// What AWS answers to a request about a bucket that nobody has. The S3 server of these tests makes whatever bucket it is asked for.
fn without_buckets() -> String {
    const BODY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not \
                        exist</Message><BucketName>elsewhere</BucketName><RequestId>1</RequestId></Error>";
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // The head and its 16 bytes are less than what one read takes.
            let _read = client.read(&mut [0; 16 * 1024]);
            let length = BODY.len();
            let _written = write!(
                client,
                "HTTP/1.1 404 Not Found\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{BODY}"
            );
        }
    });
    endpoint
}

#[test]
fn a_node_whose_bucket_is_not_there_or_whose_server_is_away_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(&["attachments"]);
    let start = |endpoint: &str| {
        let mut environment = bucket(&server, folder.path(), Server::SECRET_KEY);
        environment.retain(|(name, _)| *name != "ENDTOEND_BLOBS__S3_ENDPOINT");
        environment.extend([
            ("ENDTOEND_BLOBS__S3_ENDPOINT", endpoint.to_owned()),
            ("ENDTOEND_GATEWAY__LISTEN", "127.0.0.1:0".to_owned()),
        ]);
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let outcome = operate(folder.path(), &["serve"], &environment);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let said = format!("{} {:?}", outcome.stderr, outcome.lines);
        assert!(!said.contains(Server::SECRET_KEY) && !said.contains("probe-"), "{said}");
        said
    };
    let endpoint = without_buckets();
    let said = start(&endpoint);
    for word in ["no bucket attachments", &endpoint, "make it", "s3_bucket"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    // A port that nobody has any more.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let said = start(&format!("http://{nobody}"));
    for word in ["does not answer", "is it running", "s3_endpoint"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

async fn leave_and_fetch(mut node: Node, directory: &Path) {
    let (mut alice, alices) = Wire::register(node.listen(), ALICE).await;
    let (_, bobs) = Wire::register(node.listen(), BOB).await;
    let bytes = 2 * PART + 10;
    assert_eq!(open(&mut alice, BLOB, bytes).await, Ok(Answer::BlobHas(0)));
    assert_eq!(put(&mut alice, 0, marked(1)).await, Ok(Answer::BlobHas(PART)));
    assert_eq!(code(fetch(&mut alice, 0).await), RefusalCode::UnknownBlob, "it is not there as a whole");
    node.kill_9();
    node.restart();
    let mut alice = Wire::resume(node.listen(), &alices).await;
    assert_eq!(open(&mut alice, BLOB, bytes).await, Ok(Answer::BlobHas(PART)), "what was said to be there is");
    assert_eq!(put(&mut alice, PART, part(2)).await, Ok(Answer::BlobHas(2 * PART)));
    assert_eq!(put(&mut alice, PART, part(2)).await, Ok(Answer::BlobHas(2 * PART)), "a repeat is none");
    assert_eq!(put(&mut alice, 2 * PART, vec![3; 10]).await, Ok(Answer::BlobHas(bytes)));
    let mut bob = Wire::resume(node.listen(), &bobs).await;
    let whole =
        [(0, marked(1)), (PART, part(2)), (2 * PART, vec![3; 10]), (bytes, Vec::new()), (5, marked(1).split_off(5))];
    for (offset, part) in whole {
        assert_eq!(fetch(&mut bob, offset).await, Ok(Answer::BlobPart { bytes, part: part.into() }), "from {offset}");
    }
    // The object store says nothing of whose it is, and nothing is left of it in the end.
    let hits = |text: &[u8]| find_in_trees(&[directory], &[text]).expect("searched").hits;
    assert_eq!(hits(ALICE.as_bytes()), []);
    assert_eq!(hits(b"a marker of this test").len(), 1);
    let wrong = BlobRequest::Remove { blob: BLOB, secret: [0; BLOB_SECRET_BYTES] };
    assert_eq!(code(ask(&mut bob, wrong).await), RefusalCode::UnknownBlob, "it is not Bob's");
    assert_eq!(ask(&mut alice, BlobRequest::Remove { blob: BLOB, secret: SECRET }).await, Ok(Answer::Done));
    assert_eq!(code(fetch(&mut bob, 0).await), RefusalCode::UnknownBlob);
    assert_eq!(hits(b"a marker of this test"), []);
}

#[tokio::test]
async fn a_part_comes_in_its_turn_whole_and_from_whoever_has_the_secret() {
    let node = node_with(&[]);
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    assert_eq!(code(put(&mut alice, 0, part(1)).await), RefusalCode::UnknownBlob, "it was not begun");
    open(&mut alice, BLOB, 2 * PART).await.expect("begun");
    let other = *blake3::hash(b"another secret").as_bytes();
    let taken = BlobRequest::Open { blob: BLOB, bytes: 2 * PART, secret_hash: other };
    assert_eq!(code(ask(&mut alice, taken).await), RefusalCode::UnknownBlob, "somebody has the name");
    let stranger = BlobRequest::Put { blob: BLOB, secret: [0; BLOB_SECRET_BYTES], offset: 0, part: part(1).into() };
    assert_eq!(code(ask(&mut alice, stranger).await), RefusalCode::UnknownBlob);
    assert_eq!(code(put(&mut alice, PART, part(1)).await), RefusalCode::BlobElsewhere, "the first one is missing");
    assert_eq!(code(put(&mut alice, 0, vec![1; 10]).await), RefusalCode::Invalid, "short, and not the last one");
    assert_eq!(code(put(&mut alice, 1, part(1)).await), RefusalCode::Invalid, "between two parts");
    put(&mut alice, 0, part(1)).await.expect("taken");
    put(&mut alice, PART, part(2)).await.expect("taken");
    assert_eq!(code(put(&mut alice, 2 * PART, vec![1]).await), RefusalCode::Invalid, "beyond the end");
    assert_eq!(code(fetch(&mut alice, 2 * PART + 1).await), RefusalCode::Invalid, "beyond the end");
    assert_eq!(fetch(&mut alice, 2 * PART).await, Ok(Answer::BlobPart { bytes: 2 * PART, part: Bytes::new() }));
}

#[tokio::test]
async fn an_account_leaves_so_much_and_no_more_whatever_it_removes() {
    let node = node_with(&[("ENDTOEND_BLOBS__BUDGET_MIB", "3"), ("ENDTOEND_BLOBS__SIZE_MIB_MAX", "4")]);
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    let named = |n| BlobId([n; 16]);
    open(&mut alice, named(1), 1024 * 1024 + 1).await.expect("two MiB");
    open(&mut alice, named(2), 1).await.expect("the third");
    let refused = open(&mut alice, named(3), 1).await.expect_err("nothing is left");
    assert_eq!(refused.code, RefusalCode::BlobBudget);
    let wait = Duration::from_millis(refused.retry_after_ms.expect("it comes back").get());
    let day = Duration::from_secs(24 * 3600);
    assert!(9 * day < wait && wait <= 10 * day, "a third of thirty days, and not {wait:?}");
    ask(&mut alice, BlobRequest::Remove { blob: named(1), secret: SECRET }).await.expect("removed");
    assert_eq!(code(open(&mut alice, named(3), 1).await), RefusalCode::BlobBudget, "it was left for a while");
    let refused = open(&mut alice, named(4), 3 * 1024 * 1024 + 1).await.expect_err("more than there ever is");
    assert_eq!((refused.code, refused.retry_after_ms), (RefusalCode::BlobBudget, None));
    let (mut bob, _) = Wire::register(node.listen(), BOB).await;
    open(&mut bob, named(5), 1).await.expect("his own");
}

#[tokio::test]
async fn an_attachment_is_as_long_as_any_may_be_and_not_longer() {
    let node = node_with(&[("ENDTOEND_BLOBS__SIZE_MIB_MAX", "1")]);
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    let refused = open(&mut alice, BLOB, 1024 * 1024 + 1).await.expect_err("too long");
    assert_eq!((refused.code, refused.retry_after_ms), (RefusalCode::BlobBudget, None));
    assert_eq!(open(&mut alice, BLOB, 1024 * 1024).await, Ok(Answer::BlobHas(0)));
}

#[tokio::test]
async fn a_node_that_takes_no_attachments_says_so() {
    let node = node_with(&[("ENDTOEND_BLOBS__SIZE_MIB_MAX", "0")]);
    let (mut alice, _) = Wire::register(node.listen(), ALICE).await;
    assert_eq!(code(open(&mut alice, BLOB, 1).await), RefusalCode::Unsupported);
    assert!(!node.data_dir().join("blobs").exists());
}
