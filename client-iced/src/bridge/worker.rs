//! Carries orders out.

use std::future::Future;
use std::sync::Arc;

use endtoend_client::database::{MessageRef, Question};
use endtoend_client::engine::{AccountAnswer, AccountRequest, Attaching, Deed, Engine, EngineHandle, RequestError};
use endtoend_client::files::{Manner, Source};
use endtoend_client::handle::Handle;
use endtoend_client::transport::NetworkStatus;
use endtoend_protocol::MessageId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, mpsc, watch};

use super::{Places, choosing, drawing, playing, saving, storage, wiring};
use crate::failure::Failure;
use crate::order::{Load, News, Order};
use crate::recent;
use crate::secret::Secret;

/// Questions to the server that may be under way: each is a button that somebody has pressed.
const ASKED_MAX: usize = 16;
/// Messages that a search shows: who does not find it among these types another word.
const FOUND_MAX: u32 = 30;

/// Files of a conversation that the panel lists, the latest: earlier ones are found by their names.
const SHARED_MAX: u32 = 50;

/// Unfinished words that the window has in memory, the latest.
const DRAFTS_MAX: u32 = 200;

/// Owns the engine while there is one.
pub(super) struct Worker {
    pub(super) places: Places,
    pub(super) news: mpsc::Sender<News>,
    pub(super) cancelled: watch::Receiver<u64>,
    pub(super) engine: Option<Engine>,
    asked: Arc<Semaphore>,
}

impl Worker {
    pub(super) fn new(places: Places, news: mpsc::Sender<News>, cancelled: watch::Receiver<u64>) -> Self {
        Self { places, news, cancelled, engine: None, asked: Arc::new(Semaphore::new(ASKED_MAX)) }
    }

    /// Until nobody can give an order any more.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<(Order, u64)>) {
        while let Some((order, given)) = orders.recv().await {
            self.carry_out(order, given).await;
        }
        self.close().await;
    }

    /// Closes the profile, if one is open.
    pub(super) async fn close(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
        playing::forget(&self.places.played);
    }

    /// A window that is gone needs no news, and one that closes reads none any more.
    pub(super) async fn say(&self, news: News) {
        let mut closing = self.cancelled.clone();
        let closes = async { while closing.changed().await.is_ok() {} };
        tokio::select! {
            _gone = self.news.send(news) => {}
            () = closes => {}
        }
    }

    async fn carry_out(&mut self, order: Order, given: u64) {
        match order {
            Order::Enter(entry) => self.enter(*entry, given).await,
            Order::StartOver => self.start_over().await,
            // Never comes here: see `Bridge::tell`.
            Order::Cancel => {}
            Order::Keep(preferences) => {
                let Some(path) = &self.places.preferences else { return };
                if let Err(error) = preferences.save(path) {
                    self.say(News::Failed(error.into())).await;
                }
            }
            Order::Servers => {
                let known = self.places.servers().map(|path| recent::load(&path)).unwrap_or_default();
                self.say(News::Servers(known)).await;
            }
            Order::FaceSource(path) => self.spawn(async move { News::FaceSource(choosing::face(path).await) }),
            Order::ReadBridges(path) => self.spawn(async move { News::Bridges(choosing::bridges(path).await) }),
            // In its turn: each letter that is typed asks anew, and what was asked last counts.
            Order::Programs(settings) => {
                let found = wiring::programs(settings).await;
                self.say(News::Programs(found)).await;
            }
            Order::ForgetPlayed => playing::forget(&self.places.played),
            Order::ReadCode(path) => self.spawn(async move { News::Code(choosing::code(path).await) }),
            order => match self.engine.as_ref().map(Engine::handle) {
                None => self.say(News::Failed(Failure::new("engine-stopped"))).await,
                Some(engine) => match self.aside(&engine, order) {
                    None => {}
                    Some(order) => {
                        if let Some(news) = in_order(&engine, order).await {
                            self.say(news).await;
                        }
                    }
                },
            },
        }
    }

    /// What waits for the server goes aside; gives back what does not.
    fn aside(&self, engine: &EngineHandle, order: Order) -> Option<Order> {
        let engine = engine.clone();
        match order {
            Order::Verify(with) => self.spawn(async move {
                let verification = engine.verify(with.clone()).await;
                News::Verification(with, verification.map(Box::new).map_err(Failure::from))
            }),
            Order::Attach(to, files, answer) => self.spawn(async move {
                let attached = seal_all(&engine, &to, files, answer).await;
                News::Attached(to, attached)
            }),
            Order::Open(link) => self.spawn(async move {
                let opened = tokio::task::spawn_blocking(move || open::that_detached(link.address)).await;
                match opened {
                    Ok(Ok(())) => News::Opened,
                    Ok(Err(_)) | Err(_) => News::Failed(Failure::new("link-not-opened")),
                }
            }),
            Order::Choose => self.spawn(async { News::Chosen(choosing::files().await) }),
            Order::Paste => self.spawn(async {
                match choosing::pasted().await {
                    Ok(picture) => News::Chosen(picture.into_iter().collect()),
                    Err(failure) => News::Failed(failure),
                }
            }),
            // Past the permits: the window has asked for one, and waits for it before it asks for the next.
            Order::Picture(with, of, scale) => self.beside(async move {
                let drawn = drawing::draw(&engine, &with, of, scale).await;
                News::Picture(with, of, scale, drawn)
            }),
            Order::Check => self.spawn(async move { News::Checked(wiring::check(engine).await) }),
            Order::Face(of) => self.beside(async move {
                let drawn = drawing::face(&engine, &of).await;
                News::Face(of, drawn)
            }),
            Order::OwnFace => self.beside(async move { News::OwnFace(drawing::own_face(&engine).await) }),
            Order::SetFace(change) => {
                self.spawn(async move { News::FaceSet(drawing::set_face(&engine, change).await) });
            }
            Order::SaveFile(with, message, name) => {
                let folder = self.places.downloads.clone();
                self.spawn(async move { News::Saved(saving::save(&engine, with, message, &folder, &name).await) });
            }
            Order::Play(with, message) => {
                let folder = self.places.played.clone();
                self.spawn(async move {
                    match playing::play(&engine, with, message, &folder).await {
                        Ok(()) => News::Opened,
                        Err(failure) => News::Failed(failure),
                    }
                });
            }
            Order::Backup(passphrase) => self.write(engine, Some(passphrase)),
            Order::Export => self.write(engine, None),
            Order::Usage => {
                let home = self.places.home.clone();
                self.spawn(async move { News::Usage(storage::usage(home).await) });
            }
            Order::Add(link, compared) => self.spawn(async move {
                let with = link.handle.clone();
                // That nobody sits between a link and this person is for the person to say.
                let added = engine.add_contact(*link, compared).await.map_err(Failure::from);
                match compared {
                    true => News::Compared(with, added.map(Box::new)),
                    false => News::Added(with, added.map(|_| ())),
                }
            }),
            Order::Decide(about, standing) => self.spawn(async move {
                let decided = engine.decide(about.clone(), standing).await;
                News::Decided(about, decided.map_err(Failure::from))
            }),
            Order::Devices => self.spawn(devices(engine)),
            Order::RemoveDevice(device) => self.spawn(async move {
                match engine.account(AccountRequest::RemoveDevice(device)).await {
                    Ok(_) => devices(engine).await,
                    Err(error) => News::Devices(Err(error.into())),
                }
            }),
            Order::Meet(code) => self.spawn(async move {
                News::Digits(match engine.account(AccountRequest::Meet { code }).await {
                    Ok(AccountAnswer::Digits(digits)) => Ok(digits),
                    Ok(_) => Err(Failure::new("offline-protocol")),
                    Err(error) => Err(error.into()),
                })
            }),
            Order::LetIn => self.spawn(async move {
                let let_in = engine.account(AccountRequest::LetIn).await;
                News::LetIn(let_in.map(|_| ()).map_err(Failure::from))
            }),
            order => return Some(order),
        }
        None
    }

    /// Beside everything else, without a permit.
    fn beside(&self, work: impl Future<Output = News> + 'static) {
        let news = self.news.clone();
        tokio::task::spawn_local(async move {
            let _gone = news.send(work.await).await;
        });
    }

    fn write(&self, engine: EngineHandle, passphrase: Option<Secret>) {
        let folder = self.places.downloads.clone();
        self.spawn(async move { News::Written(storage::write(&engine, &folder, passphrase).await) });
    }

    fn spawn(&self, asking: impl Future<Output = News> + 'static) {
        let news = self.news.clone();
        let permit = Arc::clone(&self.asked).try_acquire_owned().ok();
        tokio::task::spawn_local(async move {
            let told = match permit {
                Some(_held) => asking.await,
                None => News::Failed(Failure::new("account-busy")),
            };
            let _gone = news.send(told).await;
        });
    }

    /// How it stands with the network is told to the window, for as long as somebody knows it.
    pub(super) fn follow(&self, mut status: watch::Receiver<NetworkStatus>) {
        let news = self.news.clone();
        status.mark_changed();
        tokio::task::spawn_local(async move {
            while status.changed().await.is_ok() {
                let now = status.borrow_and_update().clone();
                if news.send(News::Network(now)).await.is_err() {
                    return;
                }
            }
        });
    }

    /// From now on what the engine tells is told to the window.
    pub(super) fn listen(&self, engine: &Engine) {
        let (mut events, mut connection) = (engine.events(), engine.connection());
        // Whoever waited for an account was told that, and not the window that there is now.
        let network = engine.network();
        let news = self.news.clone();
        tokio::task::spawn_local(async move {
            let now = connection.borrow_and_update().clone();
            let mut told = news.send(News::Connection(now)).await;
            if told.is_ok() {
                let now = network.borrow().clone();
                told = news.send(News::Network(now)).await;
            }
            drop(network);
            while told.is_ok() {
                let next = tokio::select! {
                    changed = connection.changed() => match changed {
                        Ok(()) => News::Connection(connection.borrow_and_update().clone()),
                        Err(_) => return,
                    },
                    event = events.recv() => match event {
                        Ok(event) => News::Event(Box::new(event)),
                        Err(RecvError::Lagged(_)) => News::Missed,
                        Err(RecvError::Closed) => return,
                    },
                };
                told = news.send(next).await;
            }
        });
    }
}

/// Seals files one after the other, each into a message of its own. Of those that fail the first is told; the others go all the same.
async fn seal_all(
    engine: &EngineHandle,
    to: &Handle,
    files: Vec<Source>,
    mut answer: Option<MessageId>,
) -> Result<(), Failure> {
    let mut first = Ok(());
    for source in files {
        let attaching = Attaching { to: to.clone(), source, manner: Manner::Usual, reply_to: answer.take() };
        let attached = engine.attach(attaching).await.map(|_| ()).map_err(Failure::from);
        first = first.and(attached);
    }
    first
}

async fn devices(engine: EngineHandle) -> News {
    News::Devices(match engine.account(AccountRequest::Devices).await {
        Ok(AccountAnswer::Devices(devices)) => Ok(devices),
        Ok(_) => Err(Failure::new("offline-protocol")),
        Err(error) => Err(RequestError::into(error)),
    })
}

/// What the engine answers from the disk: one after the other, so that what was said first is sent first.
async fn in_order(engine: &EngineHandle, order: Order) -> Option<News> {
    Some(match order {
        Order::Conversations => {
            let found = engine.conversations(endtoend_client::database::CONVERSATIONS_MAX).await;
            News::Conversations(found.map_err(Failure::from))
        }
        Order::Conversation(with) => {
            let found = engine.conversation(with.clone()).await;
            News::Conversation(with, found.map(|found| found.map(Box::new)).map_err(Failure::from))
        }
        Order::Load(load) => {
            let loaded = load_messages(engine, &load).await;
            News::Loaded(load, loaded)
        }
        Order::Search(number, words) => {
            let question = Question { words, ..Question::default() };
            News::Found(number, engine.search(question, None, FOUND_MAX).await.map_err(Failure::from))
        }
        Order::Shared(with) => {
            let question = Question { has_file: true, ..Question::default() };
            let found = engine.search(question, Some(with.clone()), SHARED_MAX).await;
            News::Shared(with, found.map_err(Failure::from))
        }
        Order::DevicesOf(with) => {
            let devices = engine.devices_of(with.clone()).await;
            News::DevicesOf(with, devices.map_err(Failure::from))
        }
        Order::RemoveConversation(removing) => {
            let with = removing.with.clone();
            News::Removed(with, engine.remove(removing).await.map(|_| ()).map_err(Failure::from))
        }
        Order::Drafts => News::Drafts(engine.drafts(DRAFTS_MAX).await.map_err(Failure::from)),
        Order::KeepDraft(with, draft) => match engine.set_draft(with, draft).await {
            Ok(()) => return None,
            Err(error) => News::Failed(error.into()),
        },
        Order::Arrange(with, arrangement) => {
            News::Arranged(engine.arrange(with, arrangement).await.map_err(Failure::from))
        }
        Order::Name(with, nickname) => {
            let named = engine.set_nickname(with.clone(), nickname).await;
            News::Named(with, named.map_err(Failure::from))
        }
        Order::OwnLink => {
            let link = engine.own_link().await;
            News::OwnLink(link.map(|link| link.to_string()).map_err(Failure::from))
        }
        Order::Send { to, text, answer } => {
            let queued = match answer {
                None => engine.send(to.clone(), text.clone()).await,
                Some(message) => engine.answer(to.clone(), text.clone(), message).await,
            };
            match queued {
                Ok(_) => News::Queued(to),
                Err(error) => News::NotQueued(to, text, error.into()),
            }
        }
        Order::FirstUnread(with) => match engine.unread(Some(with.clone()), 1).await {
            Ok(first) => {
                let named = first.first().map(|first| MessageRef { direction: first.direction, id: first.id });
                News::FirstUnread(with, named)
            }
            Err(error) => News::Failed(error.into()),
        },
        // Nobody waits for that, and who may not hear it does not.
        Order::Act(with, deed @ Deed::Typing(_)) => {
            let _not_told = engine.act(with, deed).await;
            return None;
        }
        Order::Act(with, deed) => {
            let acted = engine.act(with.clone(), deed).await;
            News::Acted(with, acted.map_err(Failure::from))
        }
        Order::FetchFile(with, message) => {
            let fetched = engine.fetch_file(with.clone(), message).await;
            News::Acted(with, fetched.map_err(Failure::from))
        }
        Order::CancelFile(with, message, way) => {
            let cancelled = engine.cancel_file(with.clone(), message, way).await;
            News::Acted(with, cancelled.map_err(Failure::from))
        }
        Order::Retry(with, message) => {
            let queued = engine.retry(with.clone(), message).await;
            News::Acted(with, queued.map_err(Failure::from))
        }
        Order::Seen(with, messages, notices) => {
            let noted = engine.mark_shown(messages).await.and(engine.mark_notices_shown(notices).await);
            match noted {
                Ok(()) => News::SeenNoted(with),
                Err(error) => News::Failed(error.into()),
            }
        }
        Order::Timer(with) => match engine.timer(with.clone()).await {
            Ok(timer) => News::Timer(with, timer),
            Err(error) => News::Failed(error.into()),
        },
        Order::AcceptIdentity(with) => {
            let accepted = engine.accept_identity(with.clone()).await;
            News::Verification(with, accepted.map(Box::new).map_err(Failure::from))
        }
        Order::MarkVerified(with, compared) => {
            let marked = engine.mark_verified(with.clone(), compared).await;
            News::Verification(with, marked.map(Box::new).map_err(Failure::from))
        }
        Order::Settings => News::Settings(engine.settings().await.map_err(Failure::from)),
        Order::SetSettings(settings) => match engine.set_settings(settings).await {
            Ok(()) => News::Settings(Ok(settings)),
            Err(error) => News::Settings(Err(error.into())),
        },
        Order::LockAfter => News::LockAfter(engine.lock_after().await.map_err(Failure::from)),
        Order::SetLockAfter(after) => {
            News::LockAfter(engine.set_lock_after(after).await.map(|()| after).map_err(Failure::from))
        }
        Order::Network => News::NetworkChosen(engine.network().await.map(Box::new).map_err(Failure::from)),
        Order::SetNetwork(settings) => wiring::set(engine, settings).await,
        Order::NewCircuits => {
            let renewed = engine.new_circuits().await;
            News::Circuits(renewed.map_err(|_| Failure::new("engine-stopped")))
        }
        // The connection's state tells of it.
        Order::Lock => match engine.lock().await {
            Ok(()) => return None,
            Err(_) => News::Failed(Failure::new("engine-stopped")),
        },
        Order::Active => {
            engine.active().await;
            return None;
        }
        Order::ClearFiles => News::Cleared(engine.clear_files().await.map_err(Failure::from)),
        Order::Enter(_)
        | Order::Cancel
        | Order::StartOver
        | Order::Keep(_)
        | Order::Servers
        | Order::ReadCode(_)
        | Order::FaceSource(_)
        | Order::ReadBridges(_)
        | Order::Programs(_)
        | Order::Check
        | Order::Face(_)
        | Order::OwnFace
        | Order::SetFace(_)
        | Order::Verify(_)
        | Order::Decide(..)
        | Order::Add(..)
        | Order::Open(_)
        | Order::Attach(..)
        | Order::Choose
        | Order::Paste
        | Order::Picture(..)
        | Order::SaveFile(..)
        | Order::Play(..)
        | Order::ForgetPlayed
        | Order::Backup(_)
        | Order::Export
        | Order::Usage
        | Order::Devices
        | Order::RemoveDevice(_)
        | Order::Meet(_)
        | Order::LetIn => return None,
    })
}

type Loaded = Result<(Vec<endtoend_client::database::StoredMessage>, Vec<endtoend_client::database::Notice>), Failure>;

/// A page, and the notices among its messages.
async fn load_messages(engine: &EngineHandle, load: &Load) -> Loaded {
    let messages = engine.history_page(load.with.clone(), load.page, load.limit).await?;
    let whole = messages.len() < usize::try_from(load.limit).unwrap_or(usize::MAX);
    let first = messages.first().filter(|_| !whole).map_or(0, |message| message.seq);
    let notices = engine.notices(load.with.clone(), first).await?;
    Ok((messages, notices))
}
