//! A node: the actors' queues and what they carry between the rules, one message or action at a time.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use endtoend_protocol::{AccountTag, Address, Deliver, DeviceId, EnvelopeId};
use endtoend_storage::{AppendOutcome, Page, Seq};
use tokio::sync::Semaphore;

use super::member::Member;
use crate::connection::Attachment;
use crate::course::Course;
use crate::directory::LiveMailboxes;
use crate::letter::Letter;
use crate::mailbox::{Action, AttachmentId, Caller, Connected, Devices, FromDevice, WakeUps};
use crate::memory::Memory;
use crate::queue_writer::{GroupCommit, Persist, Persisted, Told};
use crate::receipt::{Answer, Outcome, Receipt, SendSettled};
use crate::router::{Lanes, Table};

/// Names a connection in all runs of the node, and a mailbox in one of them.
pub(super) type ConnectionId = usize;
pub(super) type Generation = u64;
/// The right to an answer: the real one, into a queue of this world.
pub(super) type Right = Receipt<Sender>;
pub(super) type Write = Persist<Generation, Right>;
pub(super) type Deletion = (Address, Seq);

/// What a connection is told.
#[derive(Debug)]
pub(super) enum News {
    Settled(SendSettled),
    Attached(AttachmentId, Generation),
    Deliver(Vec<Deliver>),
    Replaced,
    Detached,
}

pub(super) type Inbox = Rc<RefCell<VecDeque<News>>>;

/// The way to a connection for answers; what the node says of each envelope is also written down for the oracle.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) inbox: Inbox,
    pub(super) log: Rc<RefCell<Vec<(EnvelopeId, Outcome)>>>,
}

impl Answer for Sender {
    fn answer(self, settled: SendSettled) {
        // While a failed schedule is unwound, the queue may be in use.
        if let (Ok(mut inbox), Ok(mut log)) = (self.inbox.try_borrow_mut(), self.log.try_borrow_mut()) {
            log.push((settled.id, settled.outcome));
            inbox.push_back(News::Settled(settled));
        }
    }
}

/// The way from a mailbox to a connection.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) connection: ConnectionId,
    inbox: Inbox,
}

impl Way {
    pub(super) fn tell(&self, news: News) {
        self.inbox.borrow_mut().push_back(news);
    }
}

impl Connected for Way {
    fn detached(&self) {
        if let Ok(mut inbox) = self.inbox.try_borrow_mut() {
            inbox.push_back(News::Detached);
        }
    }
}

pub(super) struct Connection {
    pub(super) client: usize,
    pub(super) attachment: Attachment<Generation>,
    pub(super) window: Arc<Semaphore>,
    pub(super) lanes: Lanes,
    pub(super) sends: u64,
    /// What its client has heard, and the order of what it sends.
    pub(super) heard: u64,
    pub(super) course: Arc<Course>,
    pub(super) inbox: Inbox,
    /// The router has looked the mailbox up; the message is not there yet.
    pub(super) routing: Option<(Generation, Letter, Right)>,
}

pub(super) enum ToDirectory {
    Attach { account: AccountTag, device: DeviceId, attachment: AttachmentId, connection: Caller<Way> },
    Leave { account: AccountTag, left: FromDevice },
    Idle { account: AccountTag, generation: Generation, attaches: u64 },
    Stopped { account: AccountTag, generation: Generation },
}

pub(super) enum ToMailbox {
    Enqueue(Letter, Right),
    Persisted(Persisted),
    Wake,
    Attach(DeviceId, AttachmentId, Caller<Way>),
    From(FromDevice),
    Finish,
}

/// What a read of the store has come to.
pub(super) struct Answered {
    pub(super) device: DeviceId,
    pub(super) life: u64,
    pub(super) page: Option<Page>,
    /// A failed read is told after a while.
    pub(super) at: u64,
}

pub(super) struct Mailbox {
    pub(super) account: AccountTag,
    pub(super) rules: Devices<Right, Way>,
    pub(super) wakes: WakeUps,
    pub(super) inbox: VecDeque<ToMailbox>,
    /// What the last step asked for and is not done yet.
    pub(super) todo: VecDeque<Action<Right, Way>>,
    pub(super) answered: Vec<Answered>,
}

pub(super) enum ToWriter {
    Persist(Write),
    Forget(Address, Vec<Seq>),
}

#[derive(Default)]
pub(super) struct Writer {
    pub(super) rules: GroupCommit<Write, Deletion>,
    pub(super) inbox: VecDeque<ToWriter>,
    /// The batch that the store has.
    pub(super) open: Option<(Vec<Write>, Vec<Deletion>)>,
    /// What the store said of it.
    pub(super) result: Option<Option<Vec<AppendOutcome>>>,
    /// Whom to tell, one after the other; a wake-up looks for the mailbox first.
    pub(super) told: VecDeque<(Address, Option<Seq>, Told<Generation, Right>)>,
    pub(super) waking: Option<(Generation, DeviceId, Seq)>,
    /// The next batch is put together when all were told.
    pub(super) pump_after: bool,
    pub(super) pump_at: Option<u64>,
}

/// What is gone when the process ends.
pub(super) struct Node {
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) directory: LiveMailboxes<Generation>,
    pub(super) to_directory: VecDeque<ToDirectory>,
    pub(super) mailboxes: BTreeMap<Generation, Mailbox>,
    /// What waited for a mailbox that has ended, and is dropped in a moment.
    pub(super) left_over: VecDeque<VecDeque<ToMailbox>>,
    pub(super) routes: Table<Generation>,
    pub(super) writer: Writer,
    pub(super) memory: Memory,
    /// What it is to others; none where it is alone.
    pub(super) member: Option<Member>,
}

impl Connection {
    pub(super) fn way(&self, connection: ConnectionId) -> Way {
        Way { connection, inbox: self.inbox.clone() }
    }
}

impl Node {
    pub(super) fn new(memory_kib: usize) -> Self {
        Self {
            connections: BTreeMap::new(),
            directory: LiveMailboxes::default(),
            to_directory: VecDeque::new(),
            mailboxes: BTreeMap::new(),
            left_over: VecDeque::new(),
            routes: Table::default(),
            writer: Writer::default(),
            memory: Memory::new(memory_kib),
            member: None,
        }
    }

    /// Puts a message into a mailbox's queue; nobody hears it where there is none.
    pub(super) fn tell_mailbox(&mut self, generation: Generation, message: ToMailbox) {
        if let Some(mailbox) = self.mailboxes.get_mut(&generation) {
            mailbox.inbox.push_back(message);
        }
    }

    /// A mailbox ends, whether it finished or panicked: what it holds is dropped, and a moment later what has waited for it.
    pub(super) fn end_mailbox(&mut self, generation: Generation) {
        let Some(mailbox) = self.mailboxes.remove(&generation) else { return };
        self.routes.remove(mailbox.account, generation);
        mailbox.rules.connections().for_each(Way::detached);
        self.to_directory.push_back(ToDirectory::Stopped { account: mailbox.account, generation });
        if mailbox.inbox.iter().any(|message| matches!(message, ToMailbox::Enqueue(..))) {
            self.left_over.push_back(mailbox.inbox);
        }
    }
}
