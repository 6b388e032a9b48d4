//! A real HAProxy is told by orders what changed, and says afterwards that it is so.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use common::{member, name, view};
use endtoend_haproxy::{
    Change, Checks, EdgeView, Master, MemberState, Peer, Plan, ProcessKind, Rendered, Runtime, RuntimeError, Seen,
    Version, Weight, plan, render,
};
use endtoend_testkit_haproxy::{Port, Server};

/// Far above what any step takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// No nodes, which are asked by connecting, behind an edge at this address.
fn live(listen: &str, socket: &Path) -> EdgeView {
    let mut view = view();
    view.membership.members.clear();
    view.settings.listen = vec![listen.parse().unwrap()];
    view.settings.socket = socket.to_str().unwrap().parse().unwrap();
    view.settings.checks = Checks::Connect;
    view.settings.times.check_interval_ms = 100;
    view.settings.times.slow_start_ms = 1;
    // Two open files each, and a tester may have 1024.
    view.settings.limits.connections_max = 100;
    view
}

struct Edge {
    port: Port,
    server: Server,
    view: EdgeView,
}

impl Edge {
    fn start() -> Self {
        let port = Port::reserve();
        let at = |socket: &Path| live(&port.address().to_string(), socket);
        let server = Server::start(|socket| render(&at(socket)).text);
        let view = at(&server.socket());
        Self { port, server, view }
    }

    fn runtime(&self) -> Runtime {
        Runtime::at(self.server.socket())
    }

    async fn plan(&self, seen: &Seen) -> Plan {
        plan(seen, &self.wanted(), &BTreeSet::new(), Version::parse(&seen.info.version).unwrap().capabilities())
    }

    fn wanted(&self) -> Rendered {
        self.view.validate().unwrap();
        render(&self.view)
    }

    /// Brings it there by orders alone, and gives them.
    async fn apply(&self) -> Vec<Change> {
        let Plan::Orders(orders) = self.plan(&self.runtime().seen().await.unwrap()).await else { panic!("a reload") };
        for order in &orders {
            self.runtime().apply(order).await.unwrap();
        }
        let seen = self.runtime().seen().await.unwrap();
        let left = self.plan(&seen).await;
        assert!(left.is_settled(), "{left:?} is left after {orders:?}: {seen:?}");
        orders
    }
}

/// Reads the header that says where a connection comes from, and says who it is.
fn node(letter: u8) -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        for mut stream in served.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|read| read > 0) {
                    if byte == *b"?" && stream.write_all(&[letter]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, listener)
}

fn ask(stream: &mut TcpStream) -> Option<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0];
    stream.write_all(b"?").ok()?;
    stream.read_exact(&mut answer).ok()?;
    Some(answer[0])
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let held = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(held.await.is_ok(), "in vain: {what}");
}

#[tokio::test]
async fn every_change_of_a_server_is_made_by_orders_and_seen() {
    let mut edge = Edge::start();
    let (one, two, three) = (node(b'1'), node(b'2'), node(b'3'));
    let (a, b) = (name("a"), name("b"));
    assert_eq!(edge.apply().await, []);

    edge.view.membership.members.insert(a.clone(), member(&one.0.to_string()));
    edge.view.membership.members.insert(b.clone(), member(&two.0.to_string()));
    assert_eq!(edge.apply().await.len(), 2);
    let connect = || TcpStream::connect(edge.port.address()).unwrap();
    let mut talks = [connect(), connect()];
    let mut answers = talks.each_mut().map(|stream| ask(stream).unwrap());
    answers.sort_unstable();
    assert_eq!(&answers, b"12", "the second connection goes where there is none");

    // Drains: what is stays, what is new goes elsewhere.
    let mut drained = edge.view.clone();
    drained.membership.members.get_mut(&a).unwrap().state = MemberState::Draining;
    let edge = Edge { view: drained, ..edge };
    assert_eq!(edge.apply().await, [Change::Weight { name: a.clone(), weight: 0 }]);
    let mut fresh: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(edge.port.address()).unwrap()).collect();
    assert!(fresh.iter_mut().all(|stream| ask(stream) == Some(b'2')));
    assert!(talks.iter_mut().all(|stream| ask(stream).is_some()));

    // Another weight, another address, another number of connections.
    let mut view = edge.view.clone();
    let moved = view.membership.members.get_mut(&b).unwrap();
    (moved.address, moved.weight) = (three.0, Weight::try_from(33).unwrap());
    view.settings.limits.node_connections_max = 17;
    let mut edge = Edge { view, ..edge };
    assert_eq!(edge.apply().await.len(), 4, "address, weight, and the number of both");
    assert_eq!(ask(&mut TcpStream::connect(edge.port.address()).unwrap()), Some(b'3'));
    assert!(fresh.iter_mut().all(|stream| ask(stream) == Some(b'2')), "they stay where they are");

    // Removed: retired with what it has, deleted when that is over.
    let gone = edge.view.membership.members.remove(&a).unwrap();
    assert_eq!(edge.apply().await, [Change::Retire { name: a.clone() }]);
    assert!(talks.iter_mut().all(|stream| ask(stream).is_some()));
    assert_eq!(edge.apply().await, [], "it still has a session");
    drop(talks);
    eventually("the session's end", async || edge.runtime().stat().await.unwrap()[&a].sessions == 0).await;
    assert_eq!(edge.apply().await, [Change::Delete { name: a.clone() }]);
    assert!(!edge.runtime().seen().await.unwrap().servers.contains_key(&a));

    // And back.
    edge.view.membership.members.insert(a.clone(), gone);
    assert!(matches!(&edge.apply().await[..], [Change::Add { name, .. }] if *name == a));
}

#[tokio::test]
async fn a_server_that_somebody_else_has_touched_is_mended() {
    let mut edge = Edge::start();
    let (one, a) = (node(b'1'), name("a"));
    edge.view.membership.members.insert(a.clone(), member(&one.0.to_string()));
    edge.apply().await;
    edge.runtime().apply(&Change::Retire { name: a.clone() }).await.unwrap();
    edge.runtime().apply(&Change::Weight { name: a.clone(), weight: 3 }).await.unwrap();
    let orders = edge.apply().await;
    assert_eq!(orders, [Change::Weight { name: a.clone(), weight: 100 }, Change::Admit { name: a }]);
    assert_eq!(ask(&mut TcpStream::connect(edge.port.address()).unwrap()), Some(b'1'));
}

#[tokio::test]
async fn a_reload_takes_what_no_order_can_and_ends_no_connection() {
    let mut edge = Edge::start();
    let one = node(b'1');
    edge.view.membership.members.insert(name("a"), member(&one.0.to_string()));
    edge.apply().await;
    let mut talk = TcpStream::connect(edge.port.address()).unwrap();
    assert_eq!(ask(&mut talk), Some(b'1'));

    edge.view.settings.times.connect_ms += 1;
    let before = edge.runtime().seen().await.unwrap();
    assert_eq!(edge.plan(&before).await, Plan::Reload);
    edge.server.configure(&edge.wanted().text);
    let master = Master::at(edge.server.master_socket());
    eventually("the order to reload", async || master.reload().await.is_ok()).await;
    eventually("the new worker", async || match edge.runtime().seen().await {
        Ok(seen) => edge.plan(&seen).await == Plan::Orders(Vec::new()),
        Err(_) => false,
    })
    .await;
    assert_eq!(ask(&mut talk), Some(b'1'), "the old worker keeps it");
    let kinds = async || match master.processes().await {
        Ok(processes) => processes.iter().map(|process| process.kind).collect(),
        Err(_) => Vec::new(), // it is becoming a new master
    };
    let both = [ProcessKind::Master, ProcessKind::Worker, ProcessKind::OldWorker];
    eventually("both workers", async || kinds().await == both).await;
    drop(talk);
    eventually("the old worker's end", async || kinds().await.len() == 2).await;

    // What cannot be loaded changes nothing.
    edge.server.configure("garbage");
    let pid = edge.runtime().info().await.unwrap().pid;
    let _said_from_2_7_on = master.reload().await;
    eventually("the master is back", async || master.processes().await.is_ok()).await;
    assert_eq!(edge.runtime().info().await.unwrap().pid, pid);
    assert_eq!(ask(&mut TcpStream::connect(edge.port.address()).unwrap()), Some(b'1'));
}

/// Says something to its socket that no edge says.
fn say(server: &Server, order: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(server.socket()).unwrap();
    let mut said = String::new();
    writeln!(stream, "{order}").unwrap();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[tokio::test]
async fn edges_that_are_peers_know_of_each_others_sources() {
    let ports = [Port::reserve(), Port::reserve()];
    let names = ["edge-1", "edge-2"];
    let peers: Vec<Peer> =
        names.iter().zip(&ports).map(|(own, port)| Peer { name: name(own), address: port.address() }).collect();
    let listen = [Port::reserve(), Port::reserve()];
    let servers: Vec<Server> = names
        .iter()
        .zip(&listen)
        .map(|(own, port)| {
            Server::start(|socket| {
                let mut view = live(&port.address().to_string(), socket);
                (view.settings.name, view.settings.peers) = (name(own), peers.clone());
                view.validate().unwrap();
                render(&view).text
            })
        })
        .collect();
    let [one, two] = &servers[..] else { panic!("two") };
    eventually("what one counts is known to the other", async || {
        // What was learnt before the two had found each other is taught later, and this is said again.
        say(one, "set table sources key 2001:db8::7 data.conn_cur 5");
        say(two, "show table sources").contains("key=2001:db8::7") && say(one, "show peers").contains("edge-2")
    })
    .await;
}

#[tokio::test]
async fn an_order_that_is_refused_or_reaches_nobody_says_so() {
    let edge = Edge::start();
    let nobody = Change::Weight { name: name("nobody"), weight: 1 };
    let refused = edge.runtime().apply(&nobody).await.unwrap_err();
    assert!(matches!(&refused, RuntimeError::Refused { said, .. } if said == "No such server."), "{refused}");
    edge.server.kill_9();
    assert!(matches!(edge.runtime().info().await, Err(RuntimeError::Absent { .. })));
    edge.server.restart();
    assert!(edge.runtime().info().await.is_ok());
}
