//! The threads on which connections and mailboxes run.
//!
//! Those of the HTTP server end as soon as they have no connection left, while a node that drains still writes what mailboxes
//! have. So a server's worker hands each connection over to a thread that ends with the node, and waits for its end there. The
//! first connection of a user takes the mailbox to its own thread: what the two say to each other, which is half of what a
//! message causes, wakes up no other one.

use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Arbiter, ArbiterHandle};
use tokio::sync::{mpsc, oneshot};

/// Connections on their way from one thread to another; with no room left the worker waits.
const HANDED_MAX: usize = 64;

/// So many threads, which take turns.
pub(crate) struct Threads {
    arbiters: Vec<ArbiterHandle>,
    next: AtomicUsize,
}

impl Threads {
    /// At least one. They end with the actix system.
    pub(crate) fn start(threads: usize) -> Self {
        let arbiters = (0..threads.max(1)).map(|_| Arbiter::new().handle()).collect();
        Self { arbiters, next: AtomicUsize::new(0) }
    }

    /// The way to the next thread. `prepare` runs there, once, and makes what carries each connection on.
    pub(super) fn next<T, P, C, F>(&self, prepare: P) -> HandOver<T>
    where
        T: Send + 'static,
        P: AsyncFnOnce() -> Result<C, ()> + Send + 'static,
        C: Fn(TcpStream, T) -> F + 'static,
        F: Future<Output = ()> + 'static,
    {
        let (hand_over, mut handed) = mpsc::channel::<Handed<T>>(HANDED_MAX);
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.arbiters.len().max(1);
        if let Some(arbiter) = self.arbiters.get(turn) {
            arbiter.spawn_fn(move || {
                actix_web::rt::spawn(async move {
                    let Ok(carry_on) = prepare().await.map(Rc::new) else { return };
                    while let Some(Handed { tcp, with, mut ended }) = handed.recv().await {
                        let carry_on = Rc::clone(&carry_on);
                        actix_web::rt::spawn(async move {
                            tokio::select! {
                                () = carry_on(tcp, with) => {}
                                // Nobody waits for it any more: the server was stopped.
                                () = ended.closed() => {}
                            }
                        });
                    }
                });
            });
        }
        HandOver(hand_over)
    }
}

struct Handed<T> {
    tcp: TcpStream,
    with: T,
    /// Dropped at the end of the connection.
    ended: oneshot::Sender<()>,
}

/// The way of connections to their thread.
pub(super) struct HandOver<T>(mpsc::Sender<Handed<T>>);

impl<T> Clone for HandOver<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> HandOver<T> {
    /// Ready when the connection is over. Dropped before that, it ends it.
    pub(super) async fn carry(self, tcp: TcpStream, with: T) {
        let (ended, over) = oneshot::channel();
        if self.0.send(Handed { tcp, with, ended }).await.is_ok() {
            // It says nothing when it ends.
            let _ = over.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread::{self, ThreadId};

    use tokio::sync::Notify;

    use super::*;

    fn tcp() -> TcpStream {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    }

    #[test]
    fn connections_take_turns_between_threads_and_none_is_the_callers() {
        actix_web::rt::System::new().block_on(async {
            let threads = Threads::start(2);
            let (heard, mut seen) = mpsc::unbounded_channel::<ThreadId>();
            let mut carried = Vec::new();
            for _ in 0..3 {
                let heard = heard.clone();
                let hand_over = threads.next(async move || {
                    Ok(move |_, ()| {
                        heard.send(thread::current().id()).unwrap();
                        std::future::ready(())
                    })
                });
                hand_over.carry(tcp(), ()).await;
                carried.push(seen.recv().await.unwrap());
            }
            assert!(carried[0] == carried[2] && carried[0] != carried[1], "{carried:?}");
            assert!(!carried.contains(&thread::current().id()));
        });
    }

    /// Says that it was dropped.
    struct Alive(Arc<AtomicBool>, Arc<Notify>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.store(false, Ordering::SeqCst);
            self.1.notify_one();
        }
    }

    #[test]
    fn a_worker_that_ends_ends_its_connections() {
        actix_web::rt::System::new().block_on(async {
            let (begun, gone, alive) =
                (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
            let begins = Arc::clone(&begun);
            let hand_over = Threads::start(1).next(async move || {
                Ok(move |_, alive: Alive| {
                    begins.notify_one();
                    async move {
                        let _alive = alive;
                        std::future::pending::<()>().await;
                    }
                })
            });
            let worker = actix_web::rt::spawn(hand_over.carry(tcp(), Alive(Arc::clone(&alive), Arc::clone(&gone))));
            begun.notified().await;
            assert!(alive.load(Ordering::SeqCst));
            worker.abort();
            gone.notified().await;
            assert!(!alive.load(Ordering::SeqCst));
        });
    }
}
