//! The network lives as long as the test that started it, comes back when it was stopped, and is reached by who speaks SOCKS.
#![expect(clippy::unwrap_used, reason = "test code: an answer that was not expected fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use endtoend_testkit_tor::{Client, Network, Onion};

/// Far above what a circuit takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Says back what it hears, until the test ends.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    at
}

/// By SOCKS5, RFC 1928, with the name for the other end to resolve; `Err` with its answer when it refuses.
fn connect(socks: SocketAddr, host: &str, port: u16) -> Result<TcpStream, u8> {
    let mut stream = TcpStream::connect(socks).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&[5, 1, 0]).unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
    let mut request = vec![5, 1, 0, 3, host.len() as u8];
    request.extend(host.as_bytes());
    request.extend(port.to_be_bytes());
    stream.write_all(&request).unwrap();
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).unwrap();
    match answer[1] {
        0 => Ok(stream),
        code => Err(code),
    }
}

fn says_back(mut stream: TcpStream) {
    stream.write_all(b"through it all").unwrap();
    let mut heard = [0; 14];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"through it all");
}

#[test]
fn it_is_reached_by_exit_and_onion_and_comes_back_with_what_it_was() {
    let network = Network::start();
    let target = echo();
    network.name("echo.test", Ipv4Addr::LOCALHOST);
    let (client, onion) = thread::scope(|scope| {
        let onion = scope.spawn(|| Onion::start(&network, &[(80, target)]));
        (Client::start(&network), onion.join().unwrap())
    });
    says_back(connect(client.socks(), "echo.test", target.port()).unwrap());
    says_back(connect(client.socks(), onion.host(), 80).unwrap());
    assert!(connect(client.socks(), "other.test", target.port()).is_err(), "the exits know no other name");

    let guards = network.guards_of(client.pid().unwrap());
    assert!(!guards.is_empty(), "it is connected with somebody");
    let bridges = [network.vanilla_bridge(), network.obfs4_bridge()];
    assert!(bridges[1].starts_with("obfs4 127.") && bridges[1].contains(" cert="), "{bridges:?}");

    network.stop();
    assert!(network.relay_addresses().iter().all(|relay| TcpStream::connect(relay).is_err()));
    network.resume();
    client.restart();
    says_back(connect(client.socks(), "echo.test", target.port()).unwrap());
    assert_eq!(bridges, [network.vanilla_bridge(), network.obfs4_bridge()]);
}

const CHILD: &str = "ENDTOEND_TESTKIT_TOR_CHILD";

/// Not a test of its own: what the next one starts and kills.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        let network = Network::start();
        println!("\nfolder {}", network.arti_toml().display());
        for address in network.relay_addresses() {
            println!("relay {address}");
        }
        println!("ready");
        // Until the test is killed: nobody closes this.
        let _read = std::io::stdin().read_to_end(&mut Vec::new());
    }
}

#[test]
fn a_killed_test_leaves_no_network() {
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(test.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.take_while(|line| line != "ready").collect();
    let relays = said.iter().filter_map(|line| line.strip_prefix("relay "));
    let mut connections: Vec<_> = relays.map(|relay| TcpStream::connect(relay).unwrap()).collect();
    let file = said.iter().find_map(|line| line.strip_prefix("folder ")).unwrap();
    assert!(connections.len() == 7 && Path::new(file).is_file(), "{said:?}");
    test.kill().unwrap();
    test.wait().unwrap();
    for connection in &mut connections {
        connection.set_read_timeout(Some(DEADLINE)).unwrap();
        let ended = connection.read(&mut [0; 1]);
        assert!(
            matches!(&ended, Ok(0)) || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
        );
    }
}
