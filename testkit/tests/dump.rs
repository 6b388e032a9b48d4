//! A busy node, and everything that its store holds of it afterwards: nothing that would be of use to a thief.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: what fails here fails the test")]

use std::fs;
use std::path::Path;

use endtoend_client::database::Database;
use endtoend_client::profile::vault::Vault;
use endtoend_protocol::{AccountTag, Answer, InviteCode, Request, ServerFrame};
use endtoend_testkit::{Cli, Node, NodeOptions, Wire, find_in_trees, operate};
use endtoend_testkit_postgres::{Server, Settings};

const HANDLES: [&str; 3] = ["alice.of.the.dump", "bob.of.the.dump", "carol.of.the.dump"];
const TEXTS: [&str; 5] = [
    "a question for bob alone",
    "an answer for alice alone",
    "what a stranger has to say",
    "what a blocked one has to say",
    "what waits in the queue",
];
const SERVER_PASSWORD: &str = "what everybody here is asked";
const NEW_PASSWORD: &str = "what alice thought of later";
const DEVICE_NAME: &str = "the laptop in the kitchen";

/// Everything that no thief of the store may find. Grows while the people are busy.
#[derive(Default)]
struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    fn add(&mut self, secret: impl AsRef<[u8]>) {
        self.0.push(secret.as_ref().to_vec());
    }

    /// What a profile has at the moment: its keys, and both tokens as far as they are secret.
    fn add_profile(&mut self, cli: &Cli) {
        let vault = Vault::from_bytes(&fs::read(cli.home().join("vault")).unwrap()).unwrap();
        let key = vault.open(cli.password().as_bytes()).unwrap();
        let database = Database::open(&cli.home().join("endtoend.db"), &key).unwrap();
        let store = database.read();
        let (seed, token) = (store.account().unwrap().unwrap().seed, store.token().unwrap().unwrap().bytes);
        let refresh = store.refresh_token().unwrap().unwrap();
        for secret in [key.as_ref(), &seed[..32], &seed[32..], &token[9..74], &token[74..106], &token[138..170]] {
            self.add(secret);
        }
        // Version, family and generation stand before its secret.
        self.add(&refresh[21..]);
        self.add(cli.password());
    }
}

fn ask(node: &Node, arguments: &[&str]) -> endtoend_testkit::Outcome {
    let data = node.data_dir().display().to_string();
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--data", &data]).collect();
    operate(node.data_dir(), &arguments, &[]).done()
}

/// A node that asks for everything that it can ask for.
fn start(options: NodeOptions, folder: &Path) -> Node {
    let file = folder.join("server-password");
    fs::write(&file, SERVER_PASSWORD).unwrap();
    let mut environment = options.environment.clone();
    environment.push(("ENDTOEND_ACCOUNTS__REGISTRATION", "invite".to_owned()));
    environment.push(("ENDTOEND_ACCOUNTS__SERVER_PASSWORD_FILE", file.display().to_string()));
    Node::start(NodeOptions { environment, log_filter: Some("trace"), ..options })
}

/// Registers three people, and lets them do everything that leaves something in the store.
fn busy(node: &Node, folder: &Path) -> Secrets {
    let mut secrets = Secrets::default();
    HANDLES.into_iter().chain(TEXTS).chain([SERVER_PASSWORD, NEW_PASSWORD, DEVICE_NAME]).for_each(|it| secrets.add(it));
    let invite = ask(node, &["invite", "create", "--uses", "3"]).field("code").as_str().unwrap().to_owned();
    secrets.add(&invite);
    secrets.add(invite.parse::<InviteCode>().unwrap().0);
    let file = folder.join("server-password").display().to_string();
    let [alice, bob, carol] = HANDLES.map(|handle| {
        let cli = Cli::new(folder.join(handle), node.address());
        let register = ["register", "--handle", handle, "--invite", &invite, "--server-password-file", &file];
        cli.run(&register).done();
        cli
    });
    let [_, bob_handle, carol_handle] = HANDLES;
    let [question, answer, strange, blocked, waiting] = TEXTS;
    alice.send(bob_handle, question).done();
    assert_eq!(bob.listen(1), [question]);
    bob.send(HANDLES[0], answer).done();
    assert_eq!(alice.listen(1), [answer]);
    carol.send(bob_handle, strange).done();
    assert_eq!(bob.listen(1), [strange]);
    bob.run(&["block", "--with", carol_handle]).done();
    carol.send(bob_handle, blocked).done();
    bob.run(&["contacts", "--accept", HANDLES[0]]).done();

    // Another device, by code and digits.
    let laptop = Cli::new(folder.join("laptop"), node.address());
    let new = laptop.start(&["link", "--server-password-file", &file]);
    let code = new.event("link_code")["code"].as_str().unwrap().to_owned();
    let mut existing = alice.start(&["devices", "--link", &code]);
    existing.event("type_digits");
    existing.say(new.event("link_digits")["digits"].as_str().unwrap());
    existing.event("let_in");
    assert_eq!((existing.end(), new.end()), (Some(0), Some(0)));
    laptop.run(&["devices"]).done();
    alice.run(&["devices", "--name", "2", DEVICE_NAME]).done();

    // Tokens and passwords that are replaced while somebody has them.
    [&alice, &bob, &carol, &laptop].into_iter().for_each(|cli| secrets.add_profile(cli));
    alice.run(&["recovery", "--on"]).done();
    let file = folder.join("new-password");
    fs::write(&file, NEW_PASSWORD).unwrap();
    alice.run(&["password", "--new-password-file", file.to_str().unwrap()]).done();
    let alice = alice.with_password(NEW_PASSWORD);
    alice.run(&["recovery", "--on"]).done();
    alice.run(&["logout"]).done();
    alice.run(&["login"]).done();
    bob.run(&["login"]).done();
    carol.run(&["delete-account", "--yes"]).done();
    alice.send(bob_handle, waiting).done();
    [&alice, &bob].into_iter().for_each(|cli| secrets.add_profile(cli));
    secrets
}

fn assert_holds_none(node: &Node, secrets: &Secrets) {
    let secrets: Vec<&[u8]> = secrets.0.iter().map(Vec::as_slice).collect();
    assert!(secrets.len() > 50, "{}", secrets.len());
    let searched = find_in_trees(&[node.data_dir(), node.log_path()], &secrets).unwrap();
    assert_eq!(searched.hits, []);
    assert!(searched.bytes > 100_000, "there is something to find: {} bytes", searched.bytes);
}

#[test]
fn a_file_after_a_busy_run_holds_nothing_for_a_thief() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = start(NodeOptions::default(), folder.path());
    let secrets = busy(&node, folder.path());
    // With its log, and without.
    assert_holds_none(&node, &secrets);
    assert!(node.terminate().success());
    assert_holds_none(&node, &secrets);
}

#[tokio::test]
async fn a_database_after_a_busy_run_holds_nothing_for_a_thief() {
    let server = Server::start(Settings { durable: true });
    let url = server.database().await;
    let name = url.rsplit('/').next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let node = start(NodeOptions::default().on_postgres(&url), folder.path());
    let secrets = busy(&node, folder.path());
    let dump = server.dump(name);
    // It is the right one: what is waiting is in it, and two accounts are.
    let text = String::from_utf8(dump.clone()).unwrap();
    let rows = |table: &str| {
        let begins = format!("COPY public.{table} (");
        text.lines().skip_while(|line| !line.starts_with(&begins)).skip(1).take_while(|line| *line != "\\.").count()
    };
    assert_eq!((rows("accounts"), rows("devices"), rows("families")), (2, 3, 2));
    // For Bob, and perhaps for the other device of Alice.
    for (table, least) in [("queue", 1), ("relations", 1), ("audit", 8)] {
        assert!(rows(table) >= least, "{table} has {} rows", rows(table));
    }
    // Beside the data directory, so that it is searched with it.
    fs::write(node.data_dir().join("dump.sql"), dump).unwrap();
    assert_holds_none(&node, &secrets);
}

/// The tag of a deleted account is nowhere, whatever it had.
#[tokio::test]
async fn a_deleted_account_leaves_nothing_in_a_database() {
    let server = Server::start(Settings { durable: true });
    let url = server.database().await;
    let name = url.rsplit('/').next().unwrap();
    let node = Node::start(NodeOptions::default().on_postgres(&url));
    // Not to be met by chance.
    let [gone, here] =
        [0x5a, 0xa5].map(|mask| AccountTag::new(std::array::from_fn(|at| mask ^ (at as u8).wrapping_mul(37))));
    let (mut bob, _) = Wire::register(node.listen(), here).await;
    let (mut alice, device) = Wire::register(node.listen(), gone).await;
    bob.send(&endtoend_protocol::ClientFrame::Send(device.envelope(1, 100))).await;
    assert!(matches!(bob.recv().await, Some(ServerFrame::Accepted { .. })));
    for (one, other) in [(&mut alice, here), (&mut bob, gone)] {
        one.decide(other, Some(endtoend_protocol::Relation::Accepted)).await;
    }
    let found = |tag: AccountTag| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("dump.sql"), server.dump(name)).unwrap();
        !find_in_trees(&[folder.path(), node.data_dir()], &[tag.as_bytes()]).unwrap().hits.is_empty()
    };
    assert!(found(gone) && found(here));
    let tag = hex::encode(gone.as_bytes());
    ask(&node, &["user", "delete", &tag, "--yes"]);
    assert!(!found(gone) && found(here));
    let refused = bob.ask(Request::FetchIdentity { account: gone }).await;
    assert!(!matches!(refused, ServerFrame::Answer { answer: Answer::Identity(_), .. }), "{refused:?}");
}
