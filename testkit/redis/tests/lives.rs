//! The server lives as long as the test that started it, and no longer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use endtoend_testkit_redis::Server;

/// One command in the simplest form of the protocol, and the first line of the answer.
fn ask(server: &Server, command: &str) -> std::io::Result<String> {
    let mut socket = UnixStream::connect(server.folder().join("socket"))?;
    socket.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

#[test]
fn a_killed_server_comes_back_empty_on_the_same_address() {
    let server = Server::start();
    assert_eq!(ask(&server, "SET key value").unwrap(), "+OK");
    assert_eq!(ask(&server, "EXISTS key").unwrap(), ":1");
    server.kill_9();
    ask(&server, "PING").unwrap_err();
    server.restart();
    assert_eq!(ask(&server, "EXISTS key").unwrap(), ":0");
}

#[test]
fn the_end_of_a_server_leaves_nothing() {
    let server = Server::start();
    let folder = server.folder().to_owned();
    server.restart();
    assert!(folder.is_dir());
    drop(server);
    assert!(!folder.exists());
    let dead = Server::start();
    dead.kill_9();
    let folder = dead.folder().to_owned();
    drop(dead);
    assert!(!folder.exists());
}

const CHILD: &str = "ENDTOEND_TESTKIT_REDIS_CHILD";

/// Not a test of its own: what the next one starts and kills.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        let server = Server::start();
        println!("\nfolder {}", server.folder().display());
        // Until the test is killed: nobody closes this.
        let _read = std::io::stdin().read_to_end(&mut Vec::new());
    }
}

#[test]
fn a_killed_test_leaves_no_server() {
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines().map_while(Result::ok);
    let folder = lines.find_map(|line| Some(line.strip_prefix("folder ")?.to_owned())).expect("a server");
    let socket = Path::new(&folder).join("socket");
    // Stays open until Redis is gone.
    let mut connection = UnixStream::connect(&socket).unwrap();
    test.kill().unwrap();
    test.wait().unwrap();
    let ended = connection.read(&mut [0; 1]);
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}
