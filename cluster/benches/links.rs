//! What does a link cost for each forwarded envelope, both ends together, beside a bare TLS stream that carries the same bytes?
//!
//! Each end is a thread of its own. `full`: as many as the queue takes. `one by one`: the next when the answer is there, so that
//! nothing is batched. The bare stream writes batches of 64 KiB, or single frames, and answers with as many bytes.
//!
//! And how long does a question of the control plane take beside that traffic, on the same link and the same threads?
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that fails should stop"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use endtoend_cluster::join::Exporter;
use endtoend_cluster::link::wire::{Forward, Frame, Outcome, Tray, Versions, put};
use endtoend_cluster::link::{Hooks, LinkKey, LinkTimings, Links, LinksConfig, Welcomes};
use endtoend_cluster::peers::{HearsPeers, NotSent, PeerLink, Peers as _};
use endtoend_cluster::{
    AnswerError, Answers, Authority, CallError, Calls as _, ClusterId, ClusterView, Member, MemberState, NodeId,
    NodeKeys,
};
use endtoend_protocol::{AccountTag, Address, DeviceId, Envelope, EnvelopeId, UnixMillis};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const BATCH_BYTES: usize = 64 * 1024;
/// Between two questions of the control plane.
const ASK_EACH: Duration = Duration::from_millis(2);
const AT: UnixMillis = UnixMillis::new(1_800_000_000_000);

fn main() {
    println!("both ends in one process, one thread each; CPU is of both\n");
    println!("{:<22} {:>6} {:>9} {:>11} {:>14}", "what", "bytes", "count", "per second", "CPU us each");
    for len in [512, 4096] {
        let (link, stream) = (link(len, 200_000, false), bare(len, 200_000, false));
        row("link, full", len, &link);
        row("bare TLS, full", len, &stream);
        println!("{:>66}", format!("{:.2} times", link.cpu_us / stream.cpu_us));
        questions("a question beside it", &link);
    }
    let (link, stream) = (link(512, 20_000, true), bare(512, 20_000, true));
    row("link, one by one", 512, &link);
    row("bare TLS, one by one", 512, &stream);
    println!("{:>66}", format!("{:.2} times", link.cpu_us / stream.cpu_us));
    questions("a question beside it", &link);
}

struct Cost {
    count: u64,
    per_second: f64,
    cpu_us: f64,
    /// From asking to the answer, of questions of the control plane that were asked meanwhile.
    questions: Vec<Duration>,
}

fn questions(what: &str, cost: &Cost) {
    let mut all: Vec<f64> = cost.questions.iter().map(|took| took.as_secs_f64() * 1e3).collect();
    all.sort_by(f64::total_cmp);
    let at = |of_100: usize| all[(all.len() * of_100 / 100).min(all.len() - 1)];
    if !all.is_empty() {
        println!("{what:<22} {:>16} p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms", all.len(), at(50), at(99), at(100));
    }
}

fn row(what: &str, len: usize, Cost { count, per_second, cpu_us, .. }: &Cost) {
    println!("{what:<22} {len:>6} {count:>9} {per_second:>11.0} {cpu_us:>14.2}");
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn measured(count: u64, what: impl Future<Output = ()>) -> Cost {
    let cpu = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
    };
    let (began, used) = (Instant::now(), cpu());
    what.await;
    let (took, used) = (began.elapsed(), cpu() - used);
    Cost {
        count,
        per_second: count as f64 / took.as_secs_f64(),
        cpu_us: used.as_secs_f64() * 1e6 / count as f64,
        questions: Vec::new(),
    }
}

fn forward(n: u64, body: &Bytes) -> Frame {
    let to = Address { account: AccountTag::new([7; 32]), device: DeviceId::FIRST };
    let envelope = Envelope { id: EnvelopeId::new(AT, [1; 10]), to, body: body.clone(), devices_version: 1 };
    Frame::Forward { n, forward: Forward { envelope, tray: Tray::Contacts, accepted_at: AT } }
}

/// Answers envelopes, and counts answers.
struct Ears {
    links: Links,
    answers: AtomicU64,
    tell: mpsc::Sender<()>,
}

impl HearsPeers for Ears {
    fn linked(&self, _: PeerLink, _: u64) {}
    fn heard(&self, over: PeerLink, frame: Frame) {
        match frame {
            Frame::Forward { n, .. } => {
                let outcome = Outcome::Accepted { at: AT };
                self.links.send(over.life, Frame::Forwarded { n, outcome, moved: false }).expect("room for an answer");
            }
            Frame::Forwarded { .. } => {
                self.answers.fetch_add(1, Relaxed);
                // Who is told already looks anyway.
                let _ = self.tell.try_send(());
            }
            _ => {}
        }
    }
    fn broke(&self, _: PeerLink) {}
}

struct Nobody;

#[async_trait]
impl Answers for Nobody {
    async fn answer(&self, from: NodeId, _: Bytes) -> Result<Bytes, AnswerError> {
        Err(AnswerError::NotAMember(from))
    }
}
#[async_trait]
impl Welcomes for Nobody {
    async fn welcome(&self, _: Exporter, _: Bytes) -> Option<Bytes> {
        None
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn link(len: usize, count: u64, one_by_one: bool) -> Cost {
    let authority = Authority::from_key(&Authority::new_key().unwrap()).unwrap();
    let mut keys = [(); 2].map(|()| NodeKeys::generate(&mut rand::rng()).unwrap());
    keys.sort_by_key(NodeKeys::node);
    let mut view = ClusterView { cluster: ClusterId::new([7; 16]), ..ClusterView::default() };
    view.authorities.push(authority.certificate().clone());
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    for (key, listener) in keys.iter().zip(&listeners) {
        listener.set_nonblocking(true).unwrap();
        let member = Member {
            name: String::new(),
            state: MemberState::Active,
            key: key.key(),
            peer_address: listener.local_addr().unwrap().to_string(),
            client_address: String::new(),
            version: String::new(),
        };
        view.members.insert(key.node(), member);
        view.certificates.insert(key.node(), authority.issue(&key.key(), now()).unwrap());
    }
    let [listener, other] = listeners;
    let [key, other_key] = keys;
    let (stop, stopped) = oneshot::channel::<()>();
    let far = {
        let view = view.clone();
        std::thread::spawn(move || {
            runtime().block_on(async {
                let (_links, _rest) = start(&other_key, other, view);
                let _ = stopped.await;
            });
        })
    };
    let cost = runtime().block_on(async {
        let (links, mut rest) = start(&key, listener, view);
        let link = loop {
            match links.links().first() {
                Some(link) => break *link,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let body = Bytes::from(vec![7; len]);
        let (ears, told) = (Arc::clone(&rest.ears), &mut rest.told);
        let (mut sent, window) = (0, if one_by_one { 1 } else { u64::MAX });
        let whole = async {
            while ears.answers.load(Relaxed) < count {
                while sent < count && sent - ears.answers.load(Relaxed) < window {
                    match links.send(link.life, forward(sent, &body)) {
                        Ok(()) => sent += 1,
                        Err(NotSent::Full) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                told.recv().await.unwrap();
            }
        };
        let mut questions = Vec::new();
        let asks = async {
            loop {
                questions.push(question(&links, link.run.node).await);
                tokio::time::sleep(ASK_EACH).await;
            }
        };
        let both = async {
            tokio::select! {
                () = whole => {}
                () = asks => {}
            }
        };
        let cost = measured(count, both).await;
        Cost { questions, ..cost }
    });
    drop(stop);
    far.join().unwrap();
    cost
}

/// How long the other end takes to refuse a question: a round trip like any other.
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn question(links: &Links, to: NodeId) -> Duration {
    let asked = Instant::now();
    let answer = links.call(to, Bytes::from_static(b"a question"), Duration::from_secs(60)).await;
    assert_eq!(answer, Err(CallError::Refused(to)));
    asked.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "certificates are checked against it")]
fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis::new(u64::try_from(since.as_millis()).unwrap())
}

struct Started {
    ears: Arc<Ears>,
    told: mpsc::Receiver<()>,
    _task: endtoend_cluster::link::LinksTask,
    _view: watch::Sender<ClusterView>,
}

fn start(key: &NodeKeys, listener: std::net::TcpListener, view: ClusterView) -> (Links, Started) {
    let key = LinkKey::from_pkcs8(&key.tls_pkcs8()).unwrap();
    let links = Links::new(LinksConfig { key, run: 1, timings: LinkTimings::WAN, versions: Versions::OURS });
    let (tell, told) = mpsc::channel(1);
    let ears = Arc::new(Ears { links: links.clone(), answers: AtomicU64::new(0), tell });
    links.hear(ears.clone());
    let (sender, view) = watch::channel(view);
    let hooks = Hooks { answers: Arc::new(Nobody), welcomes: Arc::new(Nobody), offers: Arc::default() };
    let task = links.start(TcpListener::from_std(listener).unwrap(), view, hooks);
    (links, Started { ears, told, _task: task, _view: sender })
}

/// The bytes of as many frames and answers over TLS with the same key exchange.
fn bare(len: usize, count: u64, one_by_one: bool) -> Cost {
    let encoded = |frame: &Frame| {
        let mut out = Vec::new();
        put(frame, &mut out).unwrap();
        out
    };
    let frame = encoded(&forward(100_000, &vec![7; len].into()));
    let answer = encoded(&Frame::Forwarded { n: 100_000, outcome: Outcome::Accepted { at: AT }, moved: false });
    let batch = if one_by_one { 1 } else { BATCH_BYTES / frame.len() };

    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["bare".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (der, key) = (CertificateDer::from(certificate.der().to_vec()), key.serialize_der());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();

    let far = {
        let (der, len, answer) = (der.clone(), frame.len(), answer.clone());
        std::thread::spawn(move || {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
            let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![der], key)
                .unwrap();
            runtime().block_on(async move {
                let (tcp, _) = TcpListener::from_std(listener).unwrap().accept().await.unwrap();
                tcp.set_nodelay(true).unwrap();
                let mut stream = TlsAcceptor::from(Arc::new(config)).accept(tcp).await.unwrap();
                let (mut read, mut rest) = (vec![0; BATCH_BYTES], 0);
                while let Ok(count @ 1..) = stream.read(&mut read).await {
                    rest += count;
                    let answers = answer.repeat(rest / len);
                    rest %= len;
                    stream.write_all(&answers).await.unwrap();
                    stream.flush().await.unwrap();
                }
            });
        })
    };
    let mut roots = RootCertStore::empty();
    roots.add(der).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let cost = runtime().block_on(async {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("bare").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let answers = usize::try_from(count).unwrap() * answer.len();
        let heard = AtomicU64::new(0);
        let (told, mut tell) = mpsc::channel(1);
        let reads = async {
            let (mut read, mut got) = (vec![0; BATCH_BYTES], 0);
            while got < answers {
                got += reader.read(&mut read).await.unwrap();
                heard.store((got / answer.len()) as u64, Relaxed);
                let _ = told.try_send(());
            }
        };
        let writes = async {
            let (bytes, mut sent) = (frame.repeat(batch), 0);
            while sent < count {
                let now = (count - sent).min(batch as u64);
                writer.write_all(&bytes[..usize::try_from(now).unwrap() * frame.len()]).await.unwrap();
                writer.flush().await.unwrap();
                sent += now;
                while one_by_one && heard.load(Relaxed) < sent {
                    tell.recv().await.unwrap();
                }
            }
        };
        let both = async {
            tokio::join!(reads, writes);
        };
        measured(count, both).await
    });
    far.join().unwrap();
    cost
}
