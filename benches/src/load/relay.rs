//! The limit of a node that hands messages on: a relay over the same TLS that does nothing else.
//!
//! Frames are `length(4) || to(4) || from(4) || rest`; a connection's first frame names it. No secure channel, no accounts, no
//! store, no promise. As with a node, each message is four frames: to the relay, to the reader, and an answer back the
//! same way.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use endtoend_benches::{Stopwatch, cpu};
use endtoend_protocol::limits;
use endtoend_testkit::trusting_tls;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Options;

/// The hidden order that makes this program the relay.
pub(crate) const ORDER: &str = "relay";
/// Frames that one write may hold.
const WRITE_MAX: usize = 256;

/// What the same exchange costs over the relay.
pub(crate) struct Relayed {
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
}

type Readers = Arc<Mutex<HashMap<u32, mpsc::UnboundedSender<Bytes>>>>;

/// Relays until it is killed.
pub(crate) async fn serve() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a key of this certificate");
    config.send_tls13_tickets = 0;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    let readers = Readers::default();
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, readers) = (acceptor.clone(), Arc::clone(&readers));
        tokio::spawn(async move {
            let _ = tcp.set_nodelay(true);
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let (mut back, mut out) = split(tls);
            let (sender, mut waiting) = mpsc::unbounded_channel::<Bytes>();
            tokio::spawn(async move {
                let (mut frames, mut bytes) = (Vec::new(), BytesMut::new());
                while waiting.recv_many(&mut frames, WRITE_MAX).await > 0 {
                    frames.drain(..).for_each(|frame| bytes.extend_from_slice(&frame));
                    if out.write_all(&bytes).await.is_err() || out.flush().await.is_err() {
                        return;
                    }
                    bytes.clear();
                }
            });
            let mut known = HashMap::new();
            let mut buffer = BytesMut::new();
            let mut named = false;
            while let Ok(1..) = back.read_buf(&mut buffer).await {
                while let Some(frame) = take_frame(&mut buffer) {
                    let to = number(&frame, 4);
                    if !named {
                        named = true;
                        readers.lock().expect("no panic").insert(to, sender.clone());
                        continue;
                    }
                    let reader = known.entry(to).or_insert_with(|| readers.lock().expect("no panic").get(&to).cloned());
                    if let Some(reader) = reader {
                        let _ = reader.send(frame);
                    }
                }
            }
        });
    }
}

/// A whole frame with its length, if there is one.
fn take_frame(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = 4 + usize::try_from(buffer.get(..4)?.get_u32_le()).ok()?;
    (buffer.len() >= length).then(|| buffer.split_to(length).freeze())
}

fn number(frame: &[u8], at: usize) -> u32 {
    frame.get(at..at + 4).map_or(0, |mut bytes| bytes.get_u32_le())
}

fn frame(to: u32, from: u32, rest: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(12 + rest.len());
    frame.put_u32_le(8 + rest.len() as u32);
    frame.put_u32_le(to);
    frame.put_u32_le(from);
    frame.put_slice(rest);
    frame.freeze()
}

/// A relay in a process of its own. Dropping it kills it.
struct Relay(Child);

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The exchange of `options`, as fast as windows of the same size allow.
pub(crate) async fn measure(options: &Options) -> Relayed {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program).arg(ORDER).stdout(Stdio::piped()).spawn().expect("the relay starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("the relay listens");
    let (relay, address): (_, SocketAddr) = (Relay(child), line.trim().parse().expect("an address"));

    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for number in 0..options.senders {
        senders.push(Peer::connect(address, number as u32).await);
    }
    for number in 0..options.receivers {
        receivers.push(Peer::connect(address, (options.senders + number) as u32).await);
    }
    // Names are known as soon as the relay has read them.
    tokio::time::sleep(Duration::from_millis(200)).await;

    let (cpu_before, watch) = (cpu(relay.0.id()), Stopwatch::start());
    let mut tasks = JoinSet::new();
    let share =
        |number: usize| options.messages / options.senders + usize::from(number < options.messages % options.senders);
    let mut expected = vec![0; options.receivers];
    for (number, peer) in senders.into_iter().enumerate() {
        let receiver = number % options.receivers;
        if let Some(expected) = expected.get_mut(receiver) {
            *expected += share(number);
        }
        tasks.spawn(peer.send((options.senders + receiver) as u32, share(number), options.bytes));
    }
    for (peer, expected) in receivers.into_iter().zip(expected) {
        tasks.spawn(peer.answer(expected));
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a task ends");
    }
    let (took, used) = (watch.elapsed(), cpu(relay.0.id()) - cpu_before);
    let messages = options.messages as f64;
    Relayed { per_second: messages / took.as_secs_f64(), cpu_us: used.as_secs_f64() * 1e6 / messages }
}

type Tls = TlsStream<TcpStream>;

struct Peer {
    name: u32,
    back: ReadHalf<Tls>,
    out: WriteHalf<Tls>,
    buffer: BytesMut,
}

impl Peer {
    async fn connect(relay: SocketAddr, name: u32) -> Self {
        let tcp = TcpStream::connect(relay).await.expect("the relay listens");
        tcp.set_nodelay(true).expect("a socket");
        let server = ServerName::IpAddress(relay.ip().into());
        let tls = TlsConnector::from(Arc::new(trusting_tls())).connect(server, tcp).await.expect("a TLS handshake");
        let (back, out) = split(tls);
        let mut peer = Self { name, back, out, buffer: BytesMut::new() };
        peer.write(&frame(name, name, &[])).await;
        peer
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.out.write_all(bytes).await.expect("the relay reads");
        self.out.flush().await.expect("the relay reads");
    }

    /// Waits for frames, and gives those that are here.
    async fn frames(&mut self) -> Vec<Bytes> {
        loop {
            let frames: Vec<Bytes> = std::iter::from_fn(|| take_frame(&mut self.buffer)).collect();
            if !frames.is_empty() {
                return frames;
            }
            assert_ne!(self.back.read_buf(&mut self.buffer).await.expect("the relay lives"), 0);
        }
    }

    async fn send(mut self, to: u32, messages: usize, bytes: usize) {
        let message = frame(to, self.name, &vec![7; bytes]);
        let (mut sent, mut answered, mut out) = (0, 0, BytesMut::new());
        while answered < messages {
            while sent < messages && sent - answered < limits::SEND_WINDOW as usize {
                out.extend_from_slice(&message);
                sent += 1;
            }
            self.write(&out.split()).await;
            answered += self.frames().await.len();
        }
    }

    async fn answer(mut self, expected: usize) {
        let (mut got, mut out) = (0, BytesMut::new());
        while got < expected {
            let frames = self.frames().await;
            got += frames.len();
            frames.iter().for_each(|message| out.extend_from_slice(&frame(number(message, 8), self.name, &[0; 16])));
            self.write(&out.split()).await;
        }
    }
}
