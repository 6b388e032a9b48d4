//! The program, as far as it goes without a server.

#![expect(clippy::disallowed_types, reason = "it keeps a port on which nobody answers")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn run(home: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_endtoend-cli"))
        .arg("--home")
        .arg(home)
        .args(arguments)
        .env_remove("ENDTOEND_HOME")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not read its input.
    let _written = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// An address where nobody listens.
fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("endtoend://127.0.0.1:{port}/#pin={}", "00".repeat(64))
}

fn last_object(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn register(home: &Path, password: &str) -> Output {
    let server = nobody();
    let arguments =
        ["--server", &server, "--json", "--password-stdin", "--timeout", "5s", "register", "--handle", "alice"];
    run(home, &arguments, &format!("{password}\n"))
}

#[test]
fn an_unreachable_server_is_exit_code_4() {
    let home = tempfile::tempdir().unwrap();
    let output = register(&home.path().join("profile"), "secret");
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let object = last_object(&output);
    assert_eq!(
        (&object["event"], &object["error"], &object["exit_code"]),
        (&"error".into(), &"unreachable".into(), &4.into())
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
}

#[test]
fn a_wrong_password_is_exit_code_1_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    register(home.path(), "right");
    let output = run(home.path(), &["--password-stdin", "status"], "wrong\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("wrong password"));
    assert_eq!(run(home.path(), &["--password-stdin", "--json", "status"], "right\n").status.code(), Some(0));
}

#[test]
fn status_names_what_is_known() {
    let home = tempfile::tempdir().unwrap();
    register(home.path(), "right");
    let object = last_object(&run(home.path(), &["--password-stdin", "--json", "status"], "right\n"));
    assert_eq!(object["handle"], "alice");
    assert_eq!((&object["registered"], &object["outbox"], &object["unread"]), (&false.into(), &0.into(), &0.into()));
}

#[test]
fn bad_usage_is_exit_code_2() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, input) in [
        (&["fly"][..], ""),
        (&["register", "--handle", "x"], ""),
        (&["register", "--handle", "alice"], ""),
        (&["--server", "https://example.org", "register", "--handle", "alice"], ""),
        (&["--server", "endtoend://h/#pin=00", "register", "--handle", "alice"], ""),
        (&["--timeout", "soon", "status"], ""),
        (&["--password-stdin", "--server", &nobody(), "register", "--handle", "alice"], "\n"),
    ] {
        let output = run(home.path(), arguments, input);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {output:?}");
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "no profile was made");
}

#[test]
fn a_missing_profile_says_how_to_make_one() {
    let home = tempfile::tempdir().unwrap();
    for command in
        [&["status"][..], &["send", "--to", "bob", "--text", "hi"], &["listen"], &["history", "--with", "bob"]]
    {
        let output = run(home.path(), &[&["--password-stdin"], command].concat(), "secret\n");
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("register"), "{output:?}");
    }
}

#[test]
fn nothing_is_sent_before_there_is_an_account() {
    let home = tempfile::tempdir().unwrap();
    register(home.path(), "right");
    let output = run(home.path(), &["--password-stdin", "send", "--to", "bob"], "right\nhello\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no account yet"), "{output:?}");
}

#[test]
fn a_text_too_long_or_empty_is_bad_usage() {
    let home = tempfile::tempdir().unwrap();
    register(home.path(), "right");
    for text in [String::new(), "x".repeat(60 * 1024 + 1)] {
        let output = run(home.path(), &["--password-stdin", "send", "--to", "bob"], &format!("right\n{text}\n"));
        assert_eq!(output.status.code(), Some(2), "{} bytes", text.len());
    }
}

#[test]
fn a_folder_that_cannot_be_written_says_so() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = register(&file.join("profile"), "secret");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be used"), "{output:?}");
}

#[test]
fn a_wipe_says_what_it_did_and_what_it_cannot_do() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("profile");
    register(&folder, "right");
    for arguments in [&["wipe"][..], &["--json", "wipe"]] {
        let output = run(&folder, arguments, "wipe\n");
        assert_eq!(output.status.code(), Some(2), "no person answers: {output:?}");
    }
    std::fs::write(folder.join("letter.txt"), "mine").unwrap();
    let output = run(&folder, &["--json", "wipe", "--yes"], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let object = last_object(&output);
    assert_eq!(object["event"], "wiped");
    let paths = |names: &[&str]| Value::from_iter(names.iter().map(|name| folder.join(name).display().to_string()));
    assert_eq!(object["removed"], paths(&["endtoend.db", "lock", "vault"]));
    assert_eq!(object["left"], paths(&["letter.txt"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("goes on existing on the server") && said.contains("old blocks"), "{said}");

    let output = run(&folder, &["--json", "wipe", "--yes"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(last_object(&output)["text"].as_str().unwrap().contains("there is no profile"), "{output:?}");
    assert!(folder.join("letter.txt").exists());
}

/// Somewhere else, under a name that nobody knows.
fn elsewhere() -> String {
    format!("endtoend://chat.endtoend.test/#pin={}", "00".repeat(64))
}

#[test]
fn an_address_is_exposed_only_after_somebody_was_asked() {
    let home = tempfile::tempdir().unwrap();
    let (profile, server) = (home.path().join("profile"), elsewhere());
    let direct = ["--server", &server, "--json", "--password-stdin", "--network", "direct"];
    let output = run(&profile, &[&direct[..], &["register", "--handle", "alice"]].concat(), "right\n");
    assert_eq!((output.status.code(), &last_object(&output)["error"]), (Some(2), &"usage".into()), "{output:?}");
    assert!(!profile.exists(), "whoever does not want this has no profile");

    // To this machine there is nothing to ask, and a choice is kept.
    register(&profile, "right");
    let shown = |arguments: &[&str]| {
        let output = run(&profile, &[&["--password-stdin", "--json"], arguments].concat(), "right\n");
        (output.status.code(), last_object(&output))
    };
    assert_eq!(shown(&["tor", "status"]).1["network"], "automatic");
    let (code, told) = shown(&["--network", "direct", "tor", "status"]);
    assert_eq!(
        (code, &told["network"], &told["way"], &told["state"]),
        (Some(0), &"direct".into(), &"direct".into(), &"off".into())
    );
    assert_eq!(shown(&["tor", "status"]).1["network"], "direct");
}

#[test]
fn bridges_are_kept_and_a_program_that_is_missing_is_named_before_anything_is_sent() {
    const BRIDGE: &str = "obfs4 192.0.2.3:443 0123456789ABCDEF0123456789ABCDEF01234567 iat-mode=0";
    let home = tempfile::tempdir().unwrap();
    register(home.path(), "right");
    let tor = |arguments: &[&str]| {
        let output = run(home.path(), &[&["--password-stdin", "--json", "tor"], arguments].concat(), "right\n");
        let text = String::from_utf8(output.stdout).unwrap();
        let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code(), objects)
    };
    let missing = home.path().join("missing").display().to_string();
    let (code, told) = tor(&["bridges", "--add", BRIDGE, "--program", &format!("obfs4={missing}")]);
    assert_eq!((code, &told[0]["bridges"]), (Some(0), &serde_json::json!([BRIDGE])));
    assert!(told[0]["missing"].as_str().unwrap().contains(&missing));
    let (code, told) = tor(&["status", "--network", "tor"]);
    assert_eq!(
        (code, &told[0]["trouble"], &told[0]["bridges"]),
        (Some(1), &"program_missing".into(), &serde_json::json!(["obfs4"]))
    );
    assert_eq!(tor(&["bridges", "--add", "rubbish"]).0, Some(2));
    let (_, told) = tor(&["bridges", "--clear"]);
    assert_eq!((&told[0]["bridges"], &told[0]["missing"]), (&serde_json::json!([]), &Value::Null));
    assert!(run(home.path(), &["wipe", "--yes"], "").status.success());
    assert!(!home.path().exists(), "with what Tor has kept");
    std::fs::create_dir(home.path()).unwrap(); // for the temporary folder's own end
}
