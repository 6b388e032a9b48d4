//! Those who want to use the node up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use endtoend_protocol::{
    AccountTag, Address, ClientFrame, Envelope, EnvelopeId, Relation, Request, ServerFrame, UnixMillis, limits,
};
use endtoend_testkit::{Device, Unsecured, Wire, reach_tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::pair::PING_EACH;

/// A kind of hostile client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// TCP connections that say nothing, made again when the node ends them.
    SilentTcp,
    /// The same, after TLS.
    SilentTls,
    /// HTTP headers, one byte each second.
    SlowHeader,
    /// WebSockets that do not log in, made again when the node ends them.
    SilentWebsocket,
    /// Logged in, and nothing else.
    Idle,
    /// Connects and goes, as fast as it can.
    Churn,
    /// Pings as fast as its line allows.
    Pings,
    /// Frames that are none.
    Garbage,
    /// Frames of 256 KiB that are valid, as far as their length goes.
    BigFrames,
    /// Sends as fast as it can to somebody who reads and does not acknowledge.
    NeverAcknowledges,
    /// The same, to somebody who does not read.
    NeverReads,
    /// Sends beyond its window, as fast as its line allows.
    BeyondWindow,
    /// Sends into a queue that is full.
    FullQueue,
}

impl Kind {
    pub(crate) const ALL: [Self; 13] = [
        Self::SilentTcp,
        Self::SilentTls,
        Self::SlowHeader,
        Self::SilentWebsocket,
        Self::Idle,
        Self::Churn,
        Self::Pings,
        Self::Garbage,
        Self::BigFrames,
        Self::NeverAcknowledges,
        Self::NeverReads,
        Self::BeyondWindow,
        Self::FullQueue,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SilentTcp => "TCP and nothing else",
            Self::SilentTls => "TLS and nothing else",
            Self::SlowHeader => "header byte by byte",
            Self::SilentWebsocket => "WebSocket and nothing else",
            Self::Idle => "logged in and idle",
            Self::Churn => "connects and goes",
            Self::Pings => "pings",
            Self::Garbage => "garbage",
            Self::BigFrames => "frames of 256 KiB",
            Self::NeverAcknowledges => "reader without acknowledgement",
            Self::NeverReads => "reader who does not read",
            Self::BeyondWindow => "sends beyond the window",
            Self::FullQueue => "sends into a full queue",
        }
    }
}

/// Where offenders are, and what became of them.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) node: SocketAddr,
    pub(crate) connections: usize,
    /// Connections that the node ended.
    pub(crate) ended: Arc<AtomicU64>,
    /// Connections that were made, or frames that were sent.
    pub(crate) did: Arc<AtomicU64>,
}

impl Scene {
    fn did(&self) {
        self.did.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counted(&self) -> (u64, u64) {
        (self.did.load(Ordering::Relaxed), self.ended.load(Ordering::Relaxed))
    }
}

/// Those who flood: one for each thing is enough to see it.
const FLOODERS: usize = 2;
/// A connection is tried this long.
const TRIED: Duration = Duration::from_secs(20);
/// Between two bytes of a slow header.
const BYTE_EACH: Duration = Duration::from_secs(1);
/// A node that ends connections is not asked faster than this by one offender.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Begins; what is given back ends them when it is dropped.
pub(crate) async fn begin(kind: Kind, scene: &Scene) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    match kind {
        Kind::SilentTcp | Kind::SilentTls | Kind::SlowHeader | Kind::SilentWebsocket => {
            for _ in 0..scene.connections {
                tasks.spawn(hold(kind, scene.clone()));
            }
        }
        Kind::Idle => idle(scene, &mut tasks).await,
        Kind::Churn | Kind::Garbage | Kind::BigFrames => {
            for _ in 0..FLOODERS {
                tasks.spawn(come_again(kind, scene.clone()));
            }
        }
        Kind::Pings | Kind::BeyondWindow => {
            for number in 0..FLOODERS {
                let (_, device) = Wire::register(scene.node, tag(number)).await;
                tasks.spawn(flood(kind, device, scene.clone()));
            }
        }
        Kind::NeverAcknowledges | Kind::NeverReads | Kind::FullQueue => {
            let (mut reader, device) = Wire::register(scene.node, tag(100)).await;
            reader.decide(tag(0), Some(Relation::Accepted)).await;
            if kind != Kind::FullQueue {
                reader.ask(Request::Attach).await;
            }
            let (kept, mut back) = reader.split();
            tasks.spawn(async move {
                let _kept = kept;
                if kind == Kind::NeverAcknowledges {
                    while back.recv().await.is_some() {}
                }
                std::future::pending::<()>().await;
            });
            let (writer, _) = Wire::register(scene.node, tag(0)).await;
            tasks.spawn(write(writer, device.address, scene.clone()));
        }
    }
    tasks
}

fn tag(number: usize) -> AccountTag {
    let mut tag = [0xe; 32];
    tag.iter_mut().zip(number.to_le_bytes()).for_each(|(to, byte)| *to = byte);
    AccountTag::new(tag)
}

/// Holds a place, and takes another one when it is taken away.
async fn hold(kind: Kind, scene: Scene) {
    let mut rest = vec![0; 4096];
    loop {
        scene.did();
        match kind {
            Kind::SilentTcp => {
                if let Ok(mut tcp) = TcpStream::connect(scene.node).await {
                    while matches!(tcp.read(&mut rest).await, Ok(1..)) {}
                }
            }
            Kind::SilentWebsocket => {
                if let Ok(Ok(mut socket)) = timeout(TRIED, Unsecured::reach(scene.node, &[])).await {
                    // The introduction comes first; then nothing, as long as the node bears it.
                    while let Ok(Ok(_)) = timeout(TRIED, socket.recv()).await {}
                }
            }
            _ => {
                if let Ok(Ok(mut tls)) = timeout(TRIED, reach_tls(scene.node)).await {
                    let header = b"GET /v1 HTTP/1.1\r\nhost: somewhere.example.org\r\nuser-agent: patience\r\n";
                    for byte in header.iter().filter(|_| kind == Kind::SlowHeader) {
                        tokio::select! {
                            _ = tls.read(&mut rest) => break,
                            () = sleep(BYTE_EACH) => if tls.write_all(&[*byte]).await.is_err() { break },
                        }
                    }
                    while matches!(tls.read(&mut rest).await, Ok(1..)) {}
                }
            }
        }
        scene.ended();
        sleep(AGAIN_AFTER).await;
    }
}

/// One account with many connections, all of them logged in.
async fn idle(scene: &Scene, tasks: &mut JoinSet<()>) {
    let (_, device) = Wire::register(scene.node, tag(0)).await;
    let device = Arc::new(device);
    for _ in 0..scene.connections {
        if let Ok(Ok(wire)) = timeout(TRIED, Wire::reach(scene.node, &device)).await {
            scene.did();
            let scene = scene.clone();
            tasks.spawn(async move {
                let (mut out, mut back) = wire.split();
                let stay = async {
                    loop {
                        sleep(PING_EACH).await;
                        if out.ping().await.is_err() || out.try_flush().await.is_err() {
                            break;
                        }
                    }
                };
                let hear = async { while back.recv().await.is_some() {} };
                tokio::select! { () = stay => {}, () = hear => {} }
                scene.ended();
            });
        }
    }
}

/// Comes, does what it came for, and comes again.
async fn come_again(kind: Kind, scene: Scene) {
    loop {
        scene.did();
        match kind {
            Kind::Churn => drop(timeout(TRIED, Unsecured::reach(scene.node, &[])).await),
            _ => {
                let Ok(Ok(socket)) = timeout(TRIED, Unsecured::reach(scene.node, &[])).await else { continue };
                let mut wire = socket.secure().await;
                let frame = match kind {
                    Kind::Garbage => Bytes::from_static(&[0xff; 4096]),
                    // Field 1000, of this length: a frame of a later version.
                    _ => big_frame(),
                };
                let mut refused = 0;
                while refused < limits::REFUSALS_MAX {
                    wire.send_bytes(&frame).await;
                    match wire.recv().await {
                        Some(ServerFrame::Refused { .. }) => refused += 1,
                        _ => break,
                    }
                }
                scene.ended();
            }
        }
    }
}

fn big_frame() -> Bytes {
    let len = limits::FRAME_BYTES_MAX - 5;
    let mut frame = vec![0xc2, 0x3e, (len & 0x7f | 0x80) as u8, (len >> 7 & 0x7f | 0x80) as u8, (len >> 14) as u8];
    frame.resize(limits::FRAME_BYTES_MAX, 0);
    frame.into()
}

/// Says one thing as fast as the line allows, and connects again when that is ended.
async fn flood(kind: Kind, device: Device, scene: Scene) {
    loop {
        if let Ok(Ok(wire)) = timeout(TRIED, Wire::reach(scene.node, &device)).await {
            let (mut out, mut back) = wire.split();
            let say = async {
                for number in 0_u32.. {
                    let said = match kind {
                        Kind::Pings => out.ping().await,
                        _ => out.try_feed(&ClientFrame::Send(envelope(device.address, number, 200))).await,
                    };
                    if said.is_err() || number % 64 == 0 && out.try_flush().await.is_err() {
                        break;
                    }
                    scene.did();
                }
            };
            let hear = async { while back.recv().await.is_some() {} };
            tokio::select! { () = say => {}, () = hear => {} }
            scene.ended();
        }
        sleep(AGAIN_AFTER).await;
    }
}

fn envelope(to: Address, number: u32, len: usize) -> Envelope {
    let mut random = [0xe; 10];
    random.iter_mut().zip(number.to_le_bytes()).for_each(|(to, byte)| *to = byte);
    Envelope { id: EnvelopeId::new(UnixMillis::new(1), random), to, body: vec![7; len].into(), devices_version: 1 }
}

/// Sends as fast as the window allows, whatever becomes of it.
async fn write(writer: Wire, to: Address, scene: Scene) {
    let (mut out, mut back) = writer.split();
    let mut open = 0;
    for number in 0_u32.. {
        while open >= limits::SEND_WINDOW {
            if out.try_flush().await.is_err() || back.recv().await.is_none() {
                return scene.ended();
            }
            open -= 1;
        }
        if out.try_feed(&ClientFrame::Send(envelope(to, number, 512))).await.is_err() {
            return scene.ended();
        }
        open += 1;
        scene.did();
    }
}
