//! What a node must not say, however much it is asked to log, nor a client.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: what fails here fails the test")]

use std::fs;
use std::path::Path;

use endtoend_client::database::Database;
use endtoend_client::profile::vault::Vault;
use endtoend_crypto_core::signature::SigningKey;
use endtoend_protocol::{AccountTag, ClientFrame, Request};
use endtoend_testkit::{Cli, Node, NodeOptions, Outcome, Scene, Wire, find_in_trees};
use endtoend_testkit_postgres::{Server, Settings};

#[tokio::test]
async fn a_node_that_logs_everything_logs_no_token_and_no_proof() {
    let node = Node::start(NodeOptions { log_filter: Some("trace"), ..NodeOptions::default() });
    let (mut wire, bob) = Wire::register(node.listen(), AccountTag::new([0xb; 32])).await;
    let (_, carol) = Wire::register(node.listen(), AccountTag::new([0xc; 32])).await;
    wire.ask(Request::Attach).await;
    let envelope = carol.envelope(7, 1000);
    wire.send(&ClientFrame::Send(envelope)).await;
    wire.recv().await;
    wire.send_bytes([0xff; 40]).await;
    while wire.recv().await.is_some() {}
    Wire::resume(node.listen(), &bob).await;

    let seeds = [bob.seed(), carol.seed()];
    // The claims of a token and the beginnings of its two signatures.
    let secrets: Vec<&[u8]> = [&bob, &carol]
        .into_iter()
        .flat_map(|device| [&device.token()[9..74], &device.token()[74..106], &device.token()[138..170]])
        .chain(seeds.iter().flat_map(|seed| [&seed[..32], &seed[32..]]))
        .collect();
    assert_eq!(find_in_trees(&[node.log_path()], &secrets).unwrap().hits, []);
    // What it may keep: tokens are not among it either.
    assert_eq!(find_in_trees(&[node.data_dir()], &secrets).unwrap().hits, []);
    let log = std::fs::read_to_string(node.log_path()).unwrap();
    assert!(log.contains("TRACE"), "it did log everything");
    // What it kept of its own is readable for its owner only, and not in the log.
    for name in ["identity.key", "token.key", "opaque.key", "ca.key"] {
        let key = std::fs::read(node.data_dir().join(name)).unwrap();
        assert_eq!(find_in_trees(&[node.log_path()], &[&key[..32]]).unwrap().hits, [], "{name}");
    }
}

/// What a profile keeps for its owner alone, and the public half of its device key.
struct Kept {
    credentials: Vec<Vec<u8>>,
    device_key: Vec<u8>,
}

impl Kept {
    /// With the password, as the program itself does it.
    fn by(cli: &Cli) -> Self {
        let vault = Vault::from_bytes(&fs::read(cli.home().join("vault")).unwrap()).unwrap();
        let key = vault.open(cli.password().as_bytes()).unwrap();
        let database = Database::open(&cli.home().join("endtoend.db"), &key).unwrap();
        let seed = database.read().account().unwrap().unwrap().seed;
        let token = database.read().token().unwrap().unwrap().bytes;
        let credentials = [key.as_ref(), &seed[..32], &seed[32..], &token[9..74], &token[74..106], &token[138..170]]
            .into_iter()
            .chain([cli.password().as_bytes()])
            .map(<[u8]>::to_vec)
            .collect();
        Self { credentials, device_key: SigningKey::from_seed(&seed).verifying_key().to_bytes() }
    }
}

#[test]
fn a_conversation_leaves_no_secret_where_it_does_not_belong() {
    assert_leaves_no_secret(&Scene::start(), |_| {});
}

#[tokio::test]
async fn a_conversation_leaves_no_secret_in_postgresql_either() {
    let server = Server::start(Settings { durable: true });
    let url = server.database().await;
    let name = url.rsplit('/').next().unwrap();
    let scene = Scene::start_with(NodeOptions::default().on_postgres(&server.tcp_url(name, Server::PASSWORD)));
    // Where the other node has its database, so that it is searched like that one.
    assert_leaves_no_secret(&scene, |data| fs::write(data.join("dump.sql"), server.dump(name)).unwrap());
    let password = [Server::PASSWORD.as_bytes()];
    assert_eq!(find_in_trees(&[scene.node.data_dir(), scene.node.log_path()], &password).unwrap().hits, []);
}

/// `held` sees to it that all that the server holds lies in its data directory.
fn assert_leaves_no_secret(scene: &Scene, held: impl FnOnce(&Path)) {
    let [alice, bob] = scene.handles();
    let texts = ["a question for bob alone", "an answer for alice alone", "what waits in the queue"];
    let [question, answer, waiting] = texts;
    let mut outcomes: Vec<Outcome> = Vec::new();
    let listening = scene.bob.spawn_listen();
    outcomes.push(scene.alice.send(bob, question).done());
    assert_eq!(listening.next_text(), question);
    drop(listening);
    outcomes.push(scene.bob.send(alice, answer).done());
    outcomes.push(scene.alice.run(&["listen", "--count", "1", "--timeout", "45s"]).done());
    for command in [&["login"][..], &["status"], &["history", "--with", bob], &["verify", "--with", bob]] {
        outcomes.push(scene.alice.run(command).done());
    }
    let wrong = scene.alice.with_password("not the password of anybody");
    outcomes.push(wrong.run(&["status"]));
    outcomes.push(scene.alice.send(bob, waiting).done());

    let kept = [&scene.alice, &scene.bob].map(Kept::by);
    let credentials: Vec<&[u8]> = kept
        .iter()
        .flat_map(|kept| &kept.credentials)
        .map(Vec::as_slice)
        .chain([wrong.password().as_bytes()])
        .collect();
    let words = texts.into_iter().chain(scene.handles()).map(str::as_bytes);
    let secrets: Vec<&[u8]> = credentials.iter().copied().chain(words).collect();

    held(scene.node.data_dir());
    let logs = [scene.alice.log_path(), scene.bob.log_path()];
    let written = [scene.node.data_dir(), scene.node.log_path(), scene.alice.home(), scene.bob.home()];
    let written: Vec<_> = written.into_iter().chain(logs.iter().map(|path| path.as_path())).collect();
    assert_eq!(find_in_trees(&written, &secrets).unwrap().hits, []);
    // Standard output is for texts and handles, and for nothing else of these.
    let folder = tempfile::tempdir().unwrap();
    let said: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.lines).map(ToString::to_string).collect();
    fs::write(folder.path().join("stdout"), said.join("\n")).unwrap();
    assert_eq!(find_in_trees(&[folder.path()], &credentials).unwrap().hits, []);
    assert_ne!(find_in_trees(&[folder.path()], &[answer.as_bytes()]).unwrap().hits, []);

    // These are the real ones: the node knows the public half of each seed. And everybody did say something.
    for kept in &kept {
        assert_ne!(find_in_trees(&[scene.node.data_dir()], &[&kept.device_key[..32]]).unwrap().hits, []);
    }
    assert!(fs::read_to_string(scene.node.log_path()).unwrap().contains("TRACE"));
    assert!(fs::read_to_string(scene.alice.log_path()).unwrap().contains("wrong password"));
    assert!(scene.bob.log_path().exists());
}
