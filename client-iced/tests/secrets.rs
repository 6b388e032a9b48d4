//! What people say, what they are called, and what opens their profiles stays in their windows: whatever is logged, and however the
//! program ends.
#![expect(clippy::unwrap_used, reason = "test code: a failed step fails the test")]

#[expect(dead_code, reason = "other tests use what this one does not")]
mod common;

use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use common::{PASSWORD, Person};
use endtoend_client_iced::app::Message;
use endtoend_client_iced::fault;
use endtoend_client_iced::preferences::Preferences;
use endtoend_client_iced::screens::home;
use endtoend_testkit::{Node, NodeOptions};
use tracing_subscriber::fmt::MakeWriter;

const WORDS: &str = "the heron waits behind the mill";
const OTHER_WORDS: &str = "and the kingfisher above it";

/// Everything that was logged, by whom at its beginning.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}: {}\n", record.level(), record.target(), record.args());
        self.clone().write_all(line.as_bytes()).unwrap();
    }

    fn flush(&self) {}
}

/// Two people at their windows, who do a bit of everything; and their titles.
fn a_busy_hour() -> Vec<String> {
    let node = Node::start(NodeOptions::without_limits());
    let homes = tempfile::tempdir().unwrap();
    let mut titles = Vec::new();
    let mut alice = Person::register(&homes.path().join("alice"), node.address(), "alice-of-the-mill");
    let mut bob = Person::register(&homes.path().join("bob"), node.address(), "bob-of-the-ford");
    alice.write_to("bob-of-the-ford");
    alice.say(WORDS);
    bob.wait_for("Requests");
    titles.push(bob.app.title());
    bob.click("alice-of-the-mill");
    bob.click("Accept");
    bob.say(OTHER_WORDS);
    alice.wait_for(OTHER_WORDS);
    titles.push(alice.app.title());
    alice.click_nth(OTHER_WORDS, 1);
    alice.click("👍");
    bob.wait_for("👍");
    alice.click("Details");
    alice.wait_for("Disappearing messages");
    alice.happens(Message::Home(home::Message::Settings(true)));
    titles.push(alice.app.title());
    bob.close();
    let mut bob = Person::start(&homes.path().join("bob"));
    bob.wait_for("Welcome back");
    bob.write("password", "the wrong one of bob");
    bob.click("Open");
    bob.wait_for("That is not the password. Try again; nobody can open this profile without it.");
    bob.write("password", PASSWORD);
    bob.click("Open");
    bob.wait_for("Connected");
    bob.happens(Message::Home(home::Message::Prefer(Preferences { clear_clipboard: false, ..Preferences::default() })));
    titles.push(bob.app.title());
    alice.close();
    bob.close();
    titles
}

#[test]
fn nothing_of_a_busy_hour_is_logged_at_any_level_or_stands_in_a_title() {
    let log = Log::default();
    log::set_boxed_logger(Box::new(log.clone())).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(log.clone());
    tracing::subscriber::set_global_default(all.finish()).unwrap();
    let titles = a_busy_hour();

    let secrets = [WORDS, OTHER_WORDS, PASSWORD, "the wrong one of bob", "alice-of-the-mill", "bob-of-the-ford"];
    for title in titles {
        assert!(secrets.iter().all(|secret| !title.contains(secret)), "{title}");
    }
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.len() > 10_000, "something is logged: {} bytes", logged.len());
    // What lays out text tells of each line, a password not excepted. Therefore the program has no log at all:
    // nothing of this is written anywhere by it, and whoever gives it one finds this test.
    let of_letters = |line: &&str| {
        let by = line.split_once(' ').map_or("", |(_level, rest)| rest);
        by.starts_with("cosmic_text") || by.starts_with("iced_graphics::text")
    };
    for line in logged.lines().filter(|line| !of_letters(line)) {
        assert!(secrets.iter().all(|secret| !line.contains(secret)), "{line}");
    }
}

/// Asks a second process of this test to fail.
const FAILS: &str = "ENDTOEND_TEST_FAILS";

#[test]
fn the_program_has_no_log_and_a_fault_tells_where_and_not_what() {
    if std::env::var_os(FAILS).is_some() {
        fault::say_only_where();
        // As a program would by mistake: the standard library quotes what was cut there.
        let _cut = format!("ü{WORDS}").split_off(1);
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_program_has_no_log_and_a_fault_tells_where_and_not_what", "--nocapture"])
        .envs([(FAILS, "1"), ("RUST_BACKTRACE", "full"), ("RUST_LOG", "trace")])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(told.contains("endtoend-desktop: a fault in the program at ") && told.contains("secrets.rs:"), "{told}");
    assert!(!told.contains("RUST_BACKTRACE"), "only our words are said: {told}");
    assert!(!told.contains(WORDS) && !String::from_utf8_lossy(&output.stdout).contains(WORDS), "{told}");
    let sources = ["main.rs", "window.rs", "lib.rs"].map(|name| {
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)).unwrap()
    });
    for source in sources {
        let logs = ["set_logger", "set_boxed_logger", "set_global_default", "tracing_subscriber", "env_logger"];
        assert!(logs.iter().all(|log| !source.contains(log)));
    }
}
