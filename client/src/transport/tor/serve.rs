//! Tor's life: it starts, opens streams when told to, and begins anew when it has been in trouble for too long.

use std::sync::Arc;
use std::time::Duration;

use arti_client::status::BootstrapStatus;
use arti_client::{BootstrapBehavior, StreamPrefs, TorClient};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tor_linkspec::OwnedChanTarget;
use tor_rtcompat::{PreferredRuntime, Runtime, RuntimeSubstExt as _};

use super::ask::{ask, first};
use super::config::{config, give_keys};
use super::observe::{Counted, Counts};
use super::reasons;
use super::tokens::Tokens;
use crate::clock;
use crate::profile::private_folder;
use crate::transport::ConnectError;
use crate::transport::circuits::Circuit;
use crate::transport::orders::{Order, Plan};
use crate::transport::programs;
use crate::transport::stream::Stream;
use crate::transport::trouble::{ASK_AFTER, Said, Start, TorState, TorTrouble};

/// Threads that do Tor's work.
const THREADS: usize = 2;
/// At its end it is waited for so long; what is then still under way is left to itself.
const END_MAX: Duration = Duration::from_secs(2);
/// While it starts it is looked at so often: nothing tells of a silence.
const LOOK: Duration = Duration::from_secs(1);
/// After a start that has failed at once.
const PAUSE: Duration = Duration::from_secs(5);
/// Who waits for the start. At the bound the oldest hears that it takes too long.
const WAITING_MAX: usize = 32;

/// What comes after a life.
enum Next {
    Anew,
    End,
}

/// Until it is told to stop, or nobody is left to tell it.
pub(super) fn run(plan: &Plan, mut orders: mpsc::Receiver<Order>, mut stopped: oneshot::Receiver<()>) {
    loop {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("endtoend-tor")
            .enable_all()
            .build();
        let next = match runtime {
            Ok(runtime) => {
                let next = runtime.block_on(async {
                    tokio::select! {
                        _ = &mut stopped => Next::End,
                        next = live(plan, &mut orders) => next,
                    }
                });
                // With its tasks go their sockets, the lock of the folder, and the programs that it has started.
                runtime.shutdown_timeout(END_MAX);
                next
            }
            Err(error) => {
                show(plan, TorState::Trouble { percent: 0, trouble: TorTrouble::Failed { why: error.to_string() } });
                Next::End
            }
        };
        if let Next::End = next {
            return;
        }
    }
}

fn show(plan: &Plan, state: TorState) {
    plan.status.send_if_modified(|status| {
        let news = status.tor != state;
        if news {
            status.tor = state;
        }
        news
    });
}

async fn live(plan: &Plan, orders: &mut mpsc::Receiver<Order>) -> Next {
    show(plan, TorState::Starting { percent: 0 });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let made = async {
        private_folder(&plan.folder).map_err(|error| TorTrouble::Folder { why: error.to_string() })?;
        let programs = programs::needed(&plan.settings, &path)?;
        let config = config(&plan.folder, &plan.settings, &programs)?;
        let runtime = PreferredRuntime::current().map_err(|error| TorTrouble::Failed { why: error.to_string() })?;
        let counts = Counts::default();
        let first = first(&plan.settings, &config);
        let runtime = runtime.clone().with_tcp_provider(Counted { inner: runtime, counts: counts.clone() });
        // Started below, once: an attempt that is given up leaves it unusable.
        let builder = TorClient::with_runtime(runtime).config(config).bootstrap_behavior(BootstrapBehavior::Manual);
        let client = builder.create_unbootstrapped_async().await.map_err(|error| reasons::of_making(&error))?;
        give_keys(&client, &plan.settings)?;
        Ok((client, counts, first))
    };
    match made.await {
        Ok((client, counts, first)) => Life::new(plan, client, counts, first).live(orders).await,
        Err(trouble) => refuse(plan, orders, trouble).await,
    }
}

/// The next one who asks hears why, and then it is looked at again.
async fn refuse(plan: &Plan, orders: &mut mpsc::Receiver<Order>, trouble: TorTrouble) -> Next {
    show(plan, TorState::Trouble { percent: 0, trouble: trouble.clone() });
    match orders.recv().await {
        None => return Next::End,
        // Nobody may be waiting any more.
        Some(Order::Ready(reply)) => drop(reply.send(Err(trouble))),
        Some(Order::Open { reply, .. }) => drop(reply.send(Err(ConnectError::Tor(trouble)))),
        Some(Order::Restart) => {}
    }
    Next::Anew
}

struct Life<'a, R: Runtime> {
    plan: &'a Plan,
    client: Arc<TorClient<R>>,
    counts: Counts,
    first: Vec<OwnedChanTarget>,
    start: Start,
    began: clock::Instant,
    /// When relays were asked last.
    asked: Duration,
    waiting: Vec<oneshot::Sender<Result<(), TorTrouble>>>,
    tokens: Tokens,
}

impl<'a, R: Runtime> Life<'a, R> {
    fn new(plan: &'a Plan, client: Arc<TorClient<R>>, counts: Counts, first: Vec<OwnedChanTarget>) -> Self {
        let bridges = &plan.settings.bridges;
        let by_program = bridges.iter().any(|line| line.transport().is_some());
        let start = Start::new(Duration::ZERO, !bridges.is_empty(), by_program);
        let (began, asked, tokens) = (clock::monotonic(), Duration::ZERO, Tokens::default());
        Self { plan, client, counts, first, start, began, asked, waiting: Vec::new(), tokens }
    }

    async fn live(mut self, orders: &mut mpsc::Receiver<Order>) -> Next {
        let mut events = self.client.bootstrap_events();
        let mut attempt = attempt(Arc::clone(&self.client), Duration::ZERO);
        // Room for one answer, and so for one question at a time.
        let (tell, mut told) = mpsc::channel(1);
        let mut state = TorState::Starting { percent: 0 };
        loop {
            let starting = state != TorState::Ready;
            tokio::select! {
                order = orders.recv() => match order {
                    None => return Next::End,
                    Some(Order::Restart) => return Next::Anew,
                    Some(Order::Ready(reply)) => self.wait(reply, &state),
                    Some(Order::Open { host, port, circuit, reply }) => self.open(host, port, circuit, reply),
                },
                Some(event) = events.next(), if starting => self.heard(&event),
                done = &mut attempt, if starting => match done {
                    Ok(Ok(())) => self.start.heard(self.age(), 100, true, None),
                    Ok(Err(said)) => {
                        self.start.heard(self.age(), 0, false, Some(said));
                        attempt = self::attempt(Arc::clone(&self.client), PAUSE);
                    }
                    Err(_) => return Next::Anew,
                },
                Some(said) = told.recv(), if starting => self.start.asked(said),
                () = sleep(LOOK), if starting => {}
            }
            if starting {
                self.ask(&tell);
            }
            let now = self.start.state(self.age(), self.counts.met());
            if now != state {
                state = now;
                show(self.plan, state.clone());
                self.answer(&state);
            }
            if self.start.is_over(self.age()) {
                return Next::Anew;
            }
        }
    }

    fn age(&self) -> Duration {
        clock::monotonic().duration_since(self.began)
    }

    fn heard(&mut self, event: &BootstrapStatus) {
        // Whole only when the attempt says so.
        let percent = (event.as_frac() * 100.0).clamp(0.0, 99.0) as u8;
        let said = reasons::of_status(event);
        self.start.heard(self.age(), percent, false, said);
    }

    /// Asks relays what is wrong, when it is time for that.
    fn ask(&mut self, tell: &mpsc::Sender<Said>) {
        let age = self.age();
        if self.start.silent(age) < ASK_AFTER || age.saturating_sub(self.asked) < ASK_AFTER {
            return;
        }
        let Ok(place) = tell.clone().try_reserve_owned() else { return };
        self.asked = age;
        let (client, first) = (Arc::clone(&self.client), self.first.clone());
        tokio::spawn(async move {
            if let Some(said) = ask(client, first).await {
                place.send(said);
            }
        });
    }

    fn wait(&mut self, reply: oneshot::Sender<Result<(), TorTrouble>>, state: &TorState) {
        self.waiting.retain(|reply| !reply.is_closed());
        if self.waiting.len() >= WAITING_MAX {
            drop(self.waiting.remove(0).send(Err(TorTrouble::Stuck)));
        }
        self.waiting.push(reply);
        self.answer(state);
    }

    /// Tells those who wait, as soon as there is something to tell.
    fn answer(&mut self, state: &TorState) {
        let told = match state {
            TorState::Ready | TorState::Verified => Ok(()),
            TorState::Trouble { trouble, .. } => Err(trouble.clone()),
            TorState::Off | TorState::Starting { .. } => return,
        };
        for reply in self.waiting.drain(..) {
            // Nobody may be waiting any more.
            let _gone = reply.send(told.clone());
        }
    }

    fn open(
        &mut self,
        host: String,
        port: u16,
        circuit: Circuit,
        mut reply: oneshot::Sender<Result<Stream, ConnectError>>,
    ) {
        let mut preferences = StreamPrefs::new();
        preferences.set_isolation(self.tokens.of(circuit));
        let (client, bridged) = (Arc::clone(&self.client), !self.plan.settings.bridges.is_empty());
        tokio::spawn(async move {
            tokio::select! {
                opened = client.connect_with_prefs((host.as_str(), port), &preferences) => {
                    let opened = opened.map(Stream::new).map_err(|error| reasons::of_stream(&error, bridged));
                    // Nobody may be waiting any more.
                    let _gone = reply.send(opened);
                }
                () = reply.closed() => {}
            }
        });
    }
}

/// An attempt to start, after a pause. It is never given up: that would leave the client unusable.
fn attempt<R: Runtime>(client: Arc<TorClient<R>>, pause: Duration) -> JoinHandle<Result<(), Said>> {
    tokio::spawn(async move {
        sleep(pause).await;
        client.bootstrap().await.map_err(|error| reasons::of_start(&error))
    })
}
