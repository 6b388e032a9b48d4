//! Two engines and a real node: what a message costs its writer and its reader, and what memory a reader takes.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use endtoend_benches::{cpu, resident_kib, run_json, within};
use endtoend_client::address::ServerAddress;
use endtoend_client::engine::{Engine, Options, Registration};
use endtoend_client::handle::Handle;
use endtoend_client::profile::Profile;
use endtoend_protocol::Text;
use endtoend_testkit::{Node, NodeOptions};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

use crate::{heading, ratchet, row};

const PASSWORD: &str = "a password";
const BYTES: usize = 100;
/// Messages that may wait in the outbox at one time.
const QUEUED_MAX: usize = 500;
/// How often memory is looked at.
const LOOKED: Duration = Duration::from_millis(20);
const CONNECT_MAX: Duration = Duration::from_secs(30);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn engine(profile: Profile, online: bool) -> Engine {
    let password = Zeroizing::new(PASSWORD.to_owned());
    Engine::start(profile, Options { password, online, connect_timeout: CONNECT_MAX }).expect("an engine")
}

async fn registered(home: &Path, server: &ServerAddress, handle: &str) -> Engine {
    let engine = engine(Profile::create(home, PASSWORD.as_bytes()).expect("a profile"), false);
    let handle = handle.parse().expect("a handle");
    let registration = Registration { server: server.clone(), handle, invite: None, server_password: None };
    within("an account", engine.handle().register(registration)).await.expect("registered");
    engine
}

async fn send(engine: &Engine, to: &Handle, count: u32) {
    let (handle, mut events) = (engine.handle(), engine.events());
    let text = Text::new("x".repeat(BYTES)).expect("a text");
    let mut left = count;
    loop {
        let waiting = handle.waiting_for(to.clone()).await.expect("a number");
        if left == 0 && waiting == 0 {
            return;
        }
        if left > 0 && waiting < QUEUED_MAX {
            handle.send(to.clone(), text.clone()).await.expect("queued");
            left -= 1;
        } else {
            // Missed ones do no harm: it is looked again.
            let _news = within("news", events.recv()).await;
        }
    }
}

/// Waits until so many were received.
async fn received(engine: &Engine, count: u64) {
    let (handle, mut events) = (engine.handle(), engine.events());
    while handle.status().await.expect("a status").unread < count {
        let _news = within("news", events.recv()).await;
    }
}

pub(crate) fn measure(folder: &Path, messages: u32) {
    let (sealing, opening) = ratchet::message(BYTES);
    let node = Node::start(NodeOptions::without_limits());
    let server: ServerAddress = node.address().parse().expect("an address");
    let [home, reader] = ["alice", "bob"].map(|name| folder.join(name));
    let (to_alice, to_bob): (Handle, Handle) = ("alice".parse().expect("a handle"), "bob".parse().expect("a handle"));
    let own = std::process::id();
    let sent = runtime().block_on(async {
        let alice = registered(&home, &server, "alice").await;
        let bob = registered(&reader, &server, "bob").await;
        // Whoever is written to may write.
        send(&bob, &to_alice, 1).await;
        received(&alice, 1).await;
        send(&alice, &to_bob, 1).await;
        received(&bob, 1).await;
        bob.stop().await;
        let before = cpu(own);
        send(&alice, &to_bob, messages).await;
        let spent = cpu(own).saturating_sub(before);
        alice.stop().await;
        spent
    });
    let program = std::env::current_exe().expect("a program");
    let mut child = Command::new(program);
    child.arg("--receive").arg(&reader).arg("--messages").arg(messages.to_string());
    let (told, good) = run_json(&mut child);
    assert!(good, "{told}");
    let number = |name: &str| told.get(name).and_then(serde_json::Value::as_f64).expect("a number");
    let each = |total: Duration| total.as_secs_f64() * 1e6 / f64::from(messages);
    heading(&format!("processor time of {messages} messages of {BYTES} bytes, µs each; ratchet and envelope alone"));
    let writing = each(sent);
    row("queued, sealed, sent, settled", sealing, writing, "µs", sealing / writing);
    let reading = number("cpu_ms") * 1e3 / f64::from(messages);
    row("received, opened, stored, acknowledged", opening, reading, "µs", opening / reading);
    heading("memory of a reader for whom they wait, MiB; the same when nothing does");
    let (idle, most) = (number("idle_kib") / 1024.0, number("most_kib") / 1024.0);
    row("the most while they came", idle, most, "MiB", idle / most);
    println!("received {:.0} messages a second", f64::from(messages) / (number("ms") / 1e3));
}

/// The second process: nothing of the first one's memory is in its own.
pub(crate) fn receive(home: &Path, messages: u32) {
    let own = std::process::id();
    let profile = Profile::open(home, PASSWORD.as_bytes()).expect("it opens");
    let (idle, before, watch) = (resident_kib(own), cpu(own), endtoend_benches::Stopwatch::start());
    let (most, over) = (Arc::new(AtomicU64::new(idle)), Arc::new(AtomicBool::new(false)));
    let looks = std::thread::spawn({
        let (most, over) = (Arc::clone(&most), Arc::clone(&over));
        move || {
            let runtime = runtime();
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(resident_kib(own), Ordering::Relaxed);
                runtime.block_on(async { tokio::time::sleep(LOOKED).await });
            }
        }
    });
    runtime().block_on(async {
        let engine = engine(profile, true);
        received(&engine, u64::from(messages) + 1).await;
        engine.stop().await;
    });
    let (ms, cpu_ms) = (watch.elapsed().as_millis() as u64, cpu(own).saturating_sub(before).as_millis() as u64);
    over.store(true, Ordering::Relaxed);
    looks.join().expect("it ends");
    println!("{}", json!({ "idle_kib": idle, "most_kib": most.load(Ordering::Relaxed), "cpu_ms": cpu_ms, "ms": ms }));
}
