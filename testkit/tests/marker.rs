//! Marker words in everything that a person may say and do, and then a search for them: in each file of the profile, in the folder for
//! temporary files, and in the memory of the process, before it is locked and after.
//!
//! The process is this test program, run once more for [`the_process_that_is_looked_into`] alone. It gets its words by a pipe and in a
//! guise of which the search knows nothing, so that what is found was left by the engine.
//!
//! Reading its memory needs what a debugger needs: where Linux restricts that (`kernel.yama.ptrace_scope`), 0 and 1 let the one look who has
//! started a process, as here, 2 asks for `CAP_SYS_PTRACE`, and 3 lets nobody. A test that cannot look fails.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, clippy::panic, reason = "test code: what is missing fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use endtoend_client::backup::BackupError;
use endtoend_client::database::{Draft, MessageState, Question, Standing};
use endtoend_client::engine::{Attaching, Deed, Engine, EngineHandle, Options, Registration};
use endtoend_client::face::Face;
use endtoend_client::files::{Manner, Source};
use endtoend_client::handle::Handle;
use endtoend_client::profile::Profile;
use endtoend_client::profile::vault::Vault;
use endtoend_protocol::{MessageId, Text};
use endtoend_testkit::{PATIENCE, Scene, eventually, find_in_trees};
use zeroize::Zeroizing;

/// The folder that the process works in. Nothing else sets it.
const WORKS_IN: &str = "ENDTOEND_TEST_WORKS_IN";
const MASK: u8 = 0xa5;
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// What a marker stands in.
const PLACES: [&str; 10] =
    ["password", "message", "edit", "draft", "nickname", "own-face", "file-name", "file-content", "answer", "note"];
/// What is looked for beside the markers: the bytes under which the profile lies on the disk.
const KEY: &str = "database-key";

fn masked(text: &str) -> String {
    text.bytes().map(|byte| format!("{:02x}", byte ^ MASK)).collect()
}

fn unmasked(line: &str) -> Zeroizing<String> {
    let digits = line.trim().as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("a byte") ^ MASK;
    // It does not grow, and so leaves nothing behind.
    let mut text = Zeroizing::new(String::with_capacity(digits.len()));
    text.extend(digits.map(|pair| char::from(byte(pair))));
    text
}

/// The next line from the one who looks on.
fn told() -> Zeroizing<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("a line");
    Zeroizing::new(line)
}

fn stage(name: &str) {
    println!("stage {name}");
    std::io::stdout().flush().expect("said");
}

async fn until_settled(engine: &EngineHandle, id: MessageId) {
    let settles = async {
        while engine.find(id).await.expect("read").expect("it is there").state == MessageState::Queued {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, settles).await.expect("the server takes it");
}

async fn until_something_comes(engine: &EngineHandle, from: &Handle) {
    let comes = async {
        while engine.unread(Some(from.clone()), 1).await.expect("read").is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, comes).await.expect("something comes");
}

#[test]
fn the_process_that_is_looked_into() {
    let Some(folder) = std::env::var_os(WORKS_IN) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(works_in(Path::new(&folder)));
}

async fn works_in(folder: &Path) {
    let text = |words: &str| Text::new(words.to_owned()).expect("a text");
    let (server, bob): (String, Handle) = (told().trim().to_owned(), told().trim().parse().expect("a handle"));
    let alice: Handle = "marked.alice".parse().expect("a handle");
    let home = folder.join("profile");
    let password = unmasked(&told());
    let hidden = masked(&password);
    let profile = Profile::create(&home, password.as_bytes()).expect("a profile");
    let options = Options { password, online: true, connect_timeout: PATIENCE };
    let engine = Engine::start(profile, options).expect("an engine");
    let handle = engine.handle();
    let server = server.parse().expect("an address");
    let registration = Registration { server, handle: alice.clone(), invite: None, server_password: None };
    handle.register(registration).await.expect("registered");
    stage("registered");

    let mut answers = None;
    for place in PLACES.into_iter().skip(1) {
        let marker = unmasked(&told());
        match place {
            "message" => {
                let id = handle.send(bob.clone(), text(&format!("first {} last", *marker))).await.expect("sent");
                until_settled(&handle, id).await;
                answers = Some(id);
            }
            "edit" => {
                let id = answers.expect("a message");
                handle.act(bob.clone(), Deed::Edit(id, text(&marker))).await.expect("edited");
            }
            "draft" => {
                let draft = Draft { text: text(&marker), answers, edits: None };
                handle.set_draft(bob.clone(), Some(draft)).await.expect("kept");
            }
            "nickname" => {
                handle.set_nickname(bob.clone(), Some(marker.parse().expect("a name"))).await.expect("named");
            }
            "own-face" => {
                let face = Face { name: Some(marker.parse().expect("a name")), portrait: None };
                handle.set_face(face).await.expect("shown");
            }
            // The file is the other side's of the pipe: its name is told here, and what is in it is not.
            "file-name" => {
                let source = Source::File(folder.join("outside").join(&*marker));
                let attaching = Attaching { to: bob.clone(), source, manner: Manner::Usual, reply_to: None };
                let id = handle.attach(attaching).await.expect("sealed");
                until_settled(&handle, id).await;
            }
            "file-content" => {}
            // Bob says it.
            "answer" => {
                until_something_comes(&handle, &bob).await;
                let unread = handle.unread(Some(bob.clone()), 9).await.expect("read");
                handle.mark_shown(unread.iter().map(|message| message.seq).collect()).await.expect("shown");
            }
            "note" => drop(handle.send(alice.clone(), text(&marker)).await.expect("noted")),
            other => panic!("{other}"),
        }
        let question = Question { words: marker.to_string(), ..Question::default() };
        handle.search(question, None, 9).await.expect("searched");
    }
    handle.decide(bob.clone(), Standing::Accepted).await.expect("accepted");
    let taken = folder.join("taken");
    std::fs::write(&taken, b"").expect("written");
    let refused = handle.export(taken).await;
    assert!(matches!(refused, Err(BackupError::Exists(_))), "{refused:?}");
    let passphrase = Zeroizing::new("of the backup".to_owned());
    handle.backup(home.with_extension("backup"), passphrase).await.expect("a backup");
    let history = handle.history(bob.clone(), 99).await.expect("a history");
    stage("used");
    told();
    drop(history);
    handle.lock().await.expect("locked");
    stage("locked");
    told();
    handle.unlock(unmasked(&hidden)).await.expect("unlocked");
    handle.export(folder.join("plain").join("export")).await.expect("exported");
    stage("exported");
    told();
    engine.stop().await;
    stage("stopped");
    told();
    std::process::abort();
}

/// The process, and the words that it is told.
struct Marked {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Marked {
    fn start(folder: &Path) -> Self {
        let temporary = folder.join("temporary");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "the_process_that_is_looked_into", "--nocapture"])
            .env(WORKS_IN, folder)
            .current_dir(folder.join("core"))
            .envs(["TMPDIR", "TMP", "TEMP", "SQLITE_TMPDIR"].map(|name| (name, &temporary)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, stdin, stdout }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("it reads");
    }

    fn until(&mut self, stage: &str) {
        let mut line = String::new();
        while line.trim() != format!("stage {stage}") {
            line.clear();
            assert!(self.stdout.read_line(&mut line).expect("it speaks") > 0, "it ended before {stage}");
        }
    }

    /// Writes what the process may write to into one file, as a core has it. Says how many bytes that are.
    fn dump(&self, to: &Path) -> u64 {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let maps = std::fs::read_to_string(process.join("maps")).expect("its maps");
        let mut memory = std::fs::File::open(process.join("mem")).expect("its memory: see the head of this file");
        let mut core = std::fs::File::create(to).expect("a file");
        for line in maps.lines().filter(|line| line.contains(" rw-")) {
            let (range, _) = line.split_once(' ').expect("a range");
            let (from, end) = range.split_once('-').expect("a range");
            let number = |text| u64::from_str_radix(text, 16).expect("an address");
            memory.seek(SeekFrom::Start(number(from))).expect("a place");
            // What is the kernel's is not there.
            let _copied = std::io::copy(&mut (&memory).take(number(end) - number(from)), &mut core);
        }
        core.metadata().expect("a file").len()
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// What is looked for, and by what name it is told.
type Needles = Vec<(&'static str, Vec<u8>)>;

/// Which of them are in these folders, and in what guise.
fn found(folders: &[&Path], sought: &Needles) -> Vec<(&'static str, &'static str)> {
    let needles: Vec<&[u8]> = sought.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let hits = find_in_trees(folders, &needles).expect("searched").hits;
    let mut found: Vec<_> = hits.iter().filter_map(|hit| Some((sought.get(hit.needle)?.0, hit.guise))).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The key of the database, by the way that the program takes.
fn database_key(profile: &Path, password: &str) -> Vec<u8> {
    let vault = Vault::from_bytes(&std::fs::read(profile.join("vault")).expect("a vault")).expect("it is whole");
    vault.open(password.as_bytes()).expect("it opens").as_ref().to_vec()
}

#[test]
fn nothing_that_was_said_or_done_is_in_any_file_nor_in_the_memory_of_a_locked_process() {
    let scene = Scene::start();
    let [_, bob] = scene.handles();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["outside", "temporary", "plain", "core"] {
        std::fs::create_dir(at(name)).expect("a folder");
    }
    let letters = || (0..20).map(|_| char::from(b'a' + rand::random::<u8>() % 26)).collect::<String>();
    let markers: Vec<String> = PLACES.iter().map(|_| letters()).collect();
    let marker = |place: &str| {
        let at = PLACES.iter().position(|other| *other == place).expect("a place");
        markers.get(at).expect("a marker").clone()
    };
    let mut content = vec![b' '; 300 * 1024];
    content.splice(1000..1000, marker("file-content").bytes());
    std::fs::write(at("outside").join(marker("file-name")), &content).expect("written");

    let mut marked = Marked::start(folder.path());
    marked.tell(scene.node.address());
    marked.tell(bob);
    marked.tell(&masked(&marker("password")));
    marked.until("registered");
    let mut sought: Needles = PLACES.into_iter().map(|place| (place, marker(place).into_bytes())).collect();
    sought.push((KEY, database_key(&at("profile"), &marker("password"))));
    for place in PLACES.into_iter().skip(1) {
        if place == "answer" {
            scene.bob.run(&["listen", "--count", "1", "--timeout", "45s"]).done();
            scene.bob.send("marked.alice", &marker(place)).done();
        }
        marked.tell(&masked(&marker(place)));
    }
    marked.until("used");
    let core = |marked: &Marked, name: &str| {
        let file = at("core").join(name);
        let bytes = marked.dump(&file);
        let found = found(&[&file], &sought);
        std::fs::remove_file(&file).expect("removed");
        println!("in {bytes} bytes of memory of the {name} process: {found:?}");
        assert!(bytes > 1 << 20, "its memory is there to be read");
        found
    };
    let open = core(&marked, "open");
    for place in ["password", "edit", "answer", "note", KEY] {
        assert!(open.iter().any(|(found, _)| *found == place), "whoever looks finds {place} where it is: {open:?}");
    }
    marked.tell("lock");
    marked.until("locked");
    assert_eq!(core(&marked, "locked"), [], "what it held has gone");
    let files = [at("profile"), at("profile.backup"), at("temporary")];
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    assert_eq!(found(&files, &sought), [], "in a profile that is locked");
    marked.tell("export");
    marked.until("exported");
    assert_eq!(found(&files, &sought), [], "in a profile that is open");
    let plain = found(&[&at("plain")], &sought);
    for place in ["edit", "nickname", "file-name", "answer", "note", "draft"] {
        assert!(plain.iter().any(|(found, _)| *found == place), "the search finds {place} where it is: {plain:?}");
    }
    marked.tell("stop");
    marked.until("stopped");
    assert_eq!(found(&files, &sought), [], "in a profile that is closed");
    // It crashes: what it holds does not get onto a disk.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", marked.child.id())).expect("its limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("1"), "{core}");
    marked.tell("crash");
    let mut ended = None;
    eventually(PATIENCE, "its end", || {
        ended = marked.child.try_wait().expect("waited");
        ended.is_some()
    });
    let ended = ended.expect("it has ended");
    assert!(ended.signal().is_some() && !ended.core_dumped(), "{ended:?}");
    assert_eq!(std::fs::read_dir(at("core")).expect("a folder").count(), 0);
}
