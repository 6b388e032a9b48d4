//! What each part of the world does when it has a turn: one message, one action, one frame.

use bytes::Bytes;
use endtoend_protocol::{Address, DeliveryNumber, Envelope, RequestId, RetryReason, limits};
use endtoend_storage::{QueueBatch, Seq, Tray};

use super::client::{Attachment as Attached, Down, Up};
use super::member::{Through, name};
use super::node::{
    Answered, Connection, ConnectionId, Generation, Mailbox, News, Right, Sender, ToDirectory, ToMailbox, ToWriter, Way,
};
use super::oracle::{id_of, number};
use super::store::Read;
use super::weather::Fault;
use super::world::World;
use crate::connection::{Attachment, Leave};
use crate::course::Turn;
use crate::elsewhere::READS_FROM;
use crate::letter::Letter;
use crate::mailbox::{Action, AttachmentId, Caller};
use crate::queue_writer::{Next, Persist, Persisted, Then, Told, place_of};
use crate::receipt::{Outcome, Receipt};
use crate::router;

/// Frames that the kernel takes for a client that does not read.
const SOCKET_FRAMES: usize = 100;
/// As the mailbox's, in microseconds.
const LOAD_BACK_OFF: u64 = 1_000_000;
pub(super) const BUSY: Outcome = Outcome::Retry(RetryReason::Busy);
static BODY: [u8; limits::ENVELOPE_BYTES_MAX] = [0; limits::ENVELOPE_BYTES_MAX];

impl World {
    pub(super) fn client_can(&self, at: usize) -> bool {
        let client = &self.clients[at];
        let Some(link) = client.link.and_then(|id| self.links.get(&id)) else {
            return self.now >= client.connect_at && self.up_at.iter().any(|at| self.now >= *at);
        };
        let reads = self.now >= client.stalled_until;
        (reads && (client.read.is_some() || !link.down.is_empty()))
            || (client.wants && client.attachment == Attached::No)
            || client.stored > client.acknowledged
            || client.next_to_send(self.now).is_some()
    }

    pub(super) fn client(&mut self, at: usize) {
        let Some(id) = self.clients[at].link else {
            self.note(|| format!("client {at} connects"));
            return self.connect(at);
        };
        let client = &self.clients[at];
        if client.wants && client.attachment == Attached::No && self.chance.below(2) == 0 {
            self.clients[at].attachment = Attached::Asked;
            return self.say_up(id, Up::Attach);
        }
        if client.stored > client.acknowledged && self.chance.per_mille(self.weather.acks) {
            let up_to = client.stored;
            self.clients[at].acknowledged = up_to;
            self.note(|| format!("client {at} acknowledges {up_to}"));
            return self.say_up(id, Up::Ack(up_to));
        }
        if let Some(next) = client.next_to_send(self.now)
            && self.chance.below(2) == 0
        {
            let client = &mut self.clients[at];
            if client.retries_told != Some(client.retries) {
                let count = client.retries;
                client.retries_told = Some(count);
                self.say_up(id, Up::RetriesHeard(count));
            }
            let (to, bytes, again) = self.clients[at].send(next, self.now).unwrap();
            self.oracle.sent(next, again);
            self.note(|| format!("client {at} sends {next}{}", if again { " again" } else { "" }));
            return self.say_up(id, Up::Send { number: next, to, bytes });
        }
        if self.now >= client.stalled_until {
            self.client_reads(at, id);
        }
    }

    fn client_reads(&mut self, at: usize, link: ConnectionId) {
        if let Some(deliver) = self.clients[at].read.take() {
            let shown = number(deliver.id);
            let client = &mut self.clients[at];
            client.stored = deliver.delivery.0;
            let first = client.received.insert(shown);
            self.note(|| format!("client {at} stores {shown}"));
            let now = self.wall();
            self.oracle.stored(deliver.id, at, first, now);
            return;
        }
        let Some(down) = self.links.get_mut(&link).and_then(|link| link.down.pop_front()) else { return };
        match down {
            Down::Attached => self.clients[at].attachment = Attached::Yes,
            Down::Deliver(deliver) => self.clients[at].read = Some(deliver),
            Down::Settled(id, outcome) => {
                let to = self.clients[at].outbox.get(&number(id)).map(|row| row.to);
                self.clients[at].settled(number(id), outcome, self.now);
                if let (Some(to), Outcome::Accepted { .. }) = (to, outcome) {
                    self.moves_perhaps(at, to);
                }
            }
            Down::Closed => {
                self.note(|| format!("client {at} is disconnected"));
                self.cut(at, self.now);
            }
        }
    }

    pub(super) fn connection_can(&self, id: ConnectionId, connection: &Connection) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        let noticed = !link.client_open && self.now >= link.noticed_at;
        // It runs while the socket takes what it writes.
        noticed
            || (link.down.len() < SOCKET_FRAMES
                && (connection.routing.is_some() || !link.up.is_empty() || !connection.inbox.borrow().is_empty()))
    }

    pub(super) fn connection(&mut self, id: ConnectionId) {
        let Some(n) = self.links.get(&id).map(|link| link.node) else { return };
        let Some(connection) = self.nodes[n].connections.get_mut(&id) else { return };
        if let Some((generation, letter, receipt)) = connection.routing.take() {
            return match self.nodes[n].mailboxes.get_mut(&generation) {
                Some(mailbox) if mailbox.inbox.len() < self.weather.mailbox_max => {
                    mailbox.inbox.push_back(ToMailbox::Enqueue(letter, receipt));
                }
                _ => receipt.settle(BUSY),
            };
        }
        let link = self.links.get_mut(&id).unwrap();
        if !link.client_open && self.now >= link.noticed_at && (link.up.is_empty() || self.chance.below(2) == 0) {
            return self.connection_ends(id);
        }
        let news = connection.inbox.borrow_mut();
        if !news.is_empty() && (link.up.is_empty() || self.chance.below(3) != 0) {
            drop(news);
            return self.connection_hears(id);
        }
        drop(news);
        if let Some(up) = link.up.pop_front() {
            self.connection_reads(id, up);
        }
    }

    fn connection_reads(&mut self, id: ConnectionId, up: Up) {
        let n = self.links[&id].node;
        let connection = self.nodes[n].connections.get_mut(&id).unwrap();
        let Address { account, device } = self.clients[connection.client].address;
        match up {
            Up::Attach => {
                assert!(connection.attachment.may_ask());
                let attachment = AttachmentId(id as u64);
                connection.attachment = Attachment::Asked(attachment, RequestId(std::num::NonZeroU64::MIN));
                let connection = Caller::new(connection.way(id));
                let attach = ToDirectory::Attach { account, device, attachment, connection };
                self.ask_to_attach(n, id, attach);
            }
            Up::Ack(up_to) => {
                let acknowledged = connection.attachment.acknowledge(device, DeliveryNumber(up_to));
                if let Some((mailbox, acknowledged)) = acknowledged.expect("an honest client") {
                    let mailbox = *mailbox;
                    self.nodes[n].tell_mailbox(mailbox, ToMailbox::From(acknowledged));
                }
            }
            Up::RetriesHeard(count) => connection.heard = count,
            Up::Send { number, to, bytes } => self.route(id, number, to, bytes),
        }
    }

    /// As the connection's `send` and the router.
    fn route(&mut self, id: ConnectionId, number: usize, to: Address, bytes: usize) {
        let n = self.links[&id].node;
        let arrived = self.instant(n);
        let connection = self.nodes[n].connections.get_mut(&id).unwrap();
        let body = Bytes::from_static(BODY.get(..bytes).unwrap());
        let envelope = Envelope { id: id_of(number), to, body, devices_version: 1 };
        connection.sends += 1;
        let sends = connection.sends;
        let turn = Turn::new(connection.course.clone(), sends);
        let comes_in_turn =
            connection.course.lets_in(to, connection.heard, |to, from| connection.lanes.is_under_way(to, from));
        let place = std::sync::Arc::clone(&connection.window).try_acquire_owned();
        let inbox = connection.inbox.clone();
        let memory = self.nodes[n].memory.take(&envelope);
        let (true, Ok(place), Some(memory)) = (comes_in_turn, place, memory) else {
            let course = &self.nodes[n].connections[&id].course;
            course.refuse(to, sends);
            self.oracle.refused(number);
            self.note(|| format!("envelope {number} is refused{}", if comes_in_turn { "" } else { ", out of turn" }));
            return self.say_down(id, Down::Settled(envelope.id, BUSY));
        };
        let sender = Sender { inbox, log: self.log.clone() };
        let receipt = Receipt::new((envelope.id, to, Some(turn.clone())), sender, place, memory, arrived);
        let way = self.choose(n, Through::Connection(id), (envelope.id, sends), to);
        let accepted_at = self.wall();
        let tray = self.tray(self.nodes[n].connections[&id].client, to);
        let letter = Letter { envelope, accepted_at, tray, turn: Some(turn) };
        if self.trace.is_some() {
            self.note(|| format!("envelope {number} goes to {way:?}"));
        }
        match way {
            router::Way::Mailbox(generation) => {
                self.nodes[n].connections.get_mut(&id).unwrap().routing = Some((generation, letter, receipt));
            }
            router::Way::Peer(link) => self.forward(n, link, letter, receipt),
            router::Way::Busy => receipt.settle(BUSY),
            router::Way::Store if self.weather.strikes(Fault::WriterFull, &mut self.chance) => receipt.settle(BUSY),
            router::Way::Store => {
                let persist = Persist { letter, then: Then::Settle(receipt) };
                self.nodes[n].writer.inbox.push_back(ToWriter::Persist(persist));
            }
        }
    }

    /// Which part of the queue an envelope may take. A stranger may be accepted while something of him is on its way.
    fn tray(&mut self, from: usize, to: Address) -> Tray {
        if !self.strangers.contains(&(from, to)) {
            return Tray::Contacts;
        }
        if self.chance.below(4) == 0 {
            self.note(|| format!("{to:?} accepts client {from}"));
            self.strangers.remove(&(from, to));
        }
        Tray::Requests
    }

    fn connection_hears(&mut self, id: ConnectionId) {
        let n = self.links[&id].node;
        let connection = self.nodes[n].connections.get_mut(&id).unwrap();
        let news = connection.inbox.borrow_mut().pop_front();
        match news {
            None => {}
            Some(News::Settled(settled)) => {
                connection.lanes.settled(settled.id);
                if let Outcome::Retry(_) | Outcome::Superseded | Outcome::Limited { .. } = settled.outcome {
                    connection.course.tell(settled.to, settled.outcome.is_to_come_again());
                }
                self.say_down(id, Down::Settled(settled.id, settled.outcome));
            }
            Some(News::Attached(attachment, mailbox)) => {
                let request = connection.attachment.attached(attachment, mailbox);
                request.into_iter().for_each(|_| self.say_down(id, Down::Attached));
            }
            Some(News::Deliver(deliveries)) => {
                if let Some(last) = deliveries.last() {
                    connection.attachment.delivered(last.delivery);
                }
                for deliver in deliveries {
                    self.say_down(id, Down::Deliver(deliver));
                }
            }
            Some(News::Replaced | News::Detached) => {
                self.say_down(id, Down::Closed);
                self.connection_ends(id);
            }
        }
    }

    fn say_down(&mut self, id: ConnectionId, down: Down) {
        if let Some(link) = self.links.get_mut(&id)
            && link.client_open
        {
            link.down.push_back(down);
        }
    }

    fn connection_ends(&mut self, id: ConnectionId) {
        let Some(n) = self.links.get(&id).map(|link| link.node) else { return };
        let Some(connection) = self.nodes[n].connections.remove(&id) else { return };
        self.note(|| format!("connection {id} ends"));
        let Address { account, device } = self.clients[connection.client].address;
        match connection.attachment.left(device) {
            None => {}
            Some(Leave::Directory(left)) => {
                self.has_left(n, id, Address { account, device }, Some(ToDirectory::Leave { account, left }));
            }
            Some(Leave::Mailbox(mailbox, left)) => {
                self.nodes[n].tell_mailbox(mailbox, ToMailbox::From(left));
                self.has_left(n, id, Address { account, device }, None);
            }
        }
    }

    pub(super) fn directory(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        match node.to_directory.pop_front() {
            None => {}
            Some(ToDirectory::Attach { account, device, attachment, connection }) => {
                let (mailboxes, mut started) = (&node.mailboxes, None);
                let start = |generation| {
                    started = Some(generation);
                    started
                };
                let is_gone = |generation: &Generation| !mailboxes.contains_key(generation);
                let mailbox = node.directory.attach(account, is_gone, start).copied();
                if let Some(generation) = started {
                    let mailbox = Mailbox {
                        account,
                        rules: Default::default(),
                        wakes: Default::default(),
                        inbox: Default::default(),
                        todo: Default::default(),
                        answered: Vec::new(),
                    };
                    node.mailboxes.insert(generation, mailbox);
                }
                if let Some(mailbox) = mailbox {
                    node.tell_mailbox(mailbox, ToMailbox::Attach(device, attachment, connection));
                }
            }
            Some(ToDirectory::Leave { account, left }) => {
                if let Some(mailbox) = node.directory.get(account).copied() {
                    node.tell_mailbox(mailbox, ToMailbox::From(left));
                }
            }
            Some(ToDirectory::Idle { account, generation, attaches }) => {
                if let Some(mailbox) = node.directory.idle(account, generation, attaches) {
                    node.tell_mailbox(mailbox, ToMailbox::Finish);
                }
            }
            Some(ToDirectory::Stopped { account, generation }) => node.directory.stopped(account, generation),
        }
    }

    pub(super) fn mailbox(&mut self, n: usize, generation: Generation) {
        let Some(mailbox) = self.nodes[n].mailboxes.get_mut(&generation) else { return };
        if let Some(action) = mailbox.todo.pop_front() {
            return self.carry_out(n, generation, action);
        }
        let mut out = Vec::new();
        let answered = mailbox.answered.iter().position(|answered| answered.at <= self.now);
        if let Some(at) = answered
            && (mailbox.inbox.is_empty() || self.chance.below(2) == 0)
        {
            let Answered { device, life, page, .. } = mailbox.answered.swap_remove(at);
            match page {
                Some(page) => mailbox.rules.loaded(device, life, page, &mut out),
                None => mailbox.rules.load_failed(device, life, &mut out),
            }
        } else {
            match mailbox.inbox.pop_front() {
                None => {}
                Some(ToMailbox::Enqueue(letter, receipt)) => mailbox.rules.enqueue(letter, receipt, &mut out),
                Some(ToMailbox::Persisted(persisted)) => mailbox.rules.persisted(&persisted, &mut out),
                Some(ToMailbox::Wake) => {
                    mailbox.wakes.take().for_each(|(device, seq)| mailbox.rules.wake(device, seq, &mut out));
                }
                Some(ToMailbox::Attach(device, attachment, connection)) => {
                    mailbox.rules.attach(device, attachment, connection.heard().unwrap(), &mut out);
                }
                Some(ToMailbox::From(from)) => {
                    mailbox.rules.heard(from.device, from.attachment, from.event, &mut out);
                }
                Some(ToMailbox::Finish) => {
                    // As above.
                    self.store.littered |= mailbox.inbox.iter().any(|news| matches!(news, ToMailbox::Persisted(_)));
                    return self.nodes[n].end_mailbox(generation);
                }
            }
        }
        mailbox.todo.extend(out);
    }

    /// As the actor's: one action at a time, so that others come in between.
    fn carry_out(&mut self, n: usize, generation: Generation, action: Action<Right, Way>) {
        let mailbox = self.nodes[n].mailboxes.get_mut(&generation).unwrap();
        let account = mailbox.account;
        match action {
            Action::Enter => self.nodes[n].routes.insert(account, generation, generation),
            Action::Idle { attaches } => {
                self.nodes[n].routes.remove(account, generation);
                self.nodes[n].to_directory.push_back(ToDirectory::Idle { account, generation, attaches });
            }
            Action::Attached { device, attachment } => {
                if let Some(connection) = mailbox.rules.connection(device) {
                    connection.tell(News::Attached(attachment, generation));
                }
            }
            Action::Replaced(connection) => connection.tell(News::Replaced),
            Action::Detached(connection) => connection.tell(News::Detached),
            Action::Deliver { device, deliveries } => {
                if let Some(way) = mailbox.rules.connection(device) {
                    deliveries.iter().for_each(|deliver| self.oracle.delivered(way.connection, deliver.id));
                    way.tell(News::Deliver(deliveries));
                }
            }
            Action::Settle(receipt, outcome) => receipt.settle(outcome),
            Action::Persist { letter, ticket } => {
                let persist = Persist { letter, then: Then::Tell { mailbox: generation, ticket } };
                if self.weather.strikes(Fault::WriterFull, &mut self.chance) {
                    persist.refuse();
                    let Letter { envelope, accepted_at, .. } = persist.letter;
                    let refused = Persisted { to: envelope.to, id: envelope.id, accepted_at, outcome: None };
                    mailbox.inbox.push_back(ToMailbox::Persisted(refused));
                } else {
                    self.nodes[n].writer.inbox.push_back(ToWriter::Persist(persist));
                }
            }
            Action::Forget { device, rows } => {
                if self.weather.strikes(Fault::WriterFull, &mut self.chance) {
                    self.store.littered = true;
                } else {
                    self.nodes[n].writer.inbox.push_back(ToWriter::Forget(Address { account, device }, rows));
                }
            }
            Action::Load { device, life, after, limits } => {
                let to = Address { account, device };
                self.store.reads.push_back(Read { node: n, to, generation, life, after, limits });
            }
        }
    }

    pub(super) fn writer_can(&self, n: usize) -> bool {
        let writer = &self.nodes[n].writer;
        !writer.told.is_empty()
            || writer.pump_after
            || writer.waking.is_some()
            || writer.result.is_some()
            || !writer.inbox.is_empty()
            || writer.pump_at.is_some_and(|at| at <= self.now)
    }

    pub(super) fn writer(&mut self, n: usize) {
        let now = self.instant(n);
        let writer = &mut self.nodes[n].writer;
        if let Some((mailbox, device, seq)) = writer.waking.take() {
            let tell = self.nodes[n].mailboxes.get_mut(&mailbox).is_some_and(|mailbox| mailbox.wakes.add(device, seq));
            if tell {
                self.nodes[n].tell_mailbox(mailbox, ToMailbox::Wake);
            }
            return;
        }
        if writer.told.is_empty()
            && let Some(result) = writer.result.take()
        {
            let (appends, deletes) = writer.open.take().unwrap();
            writer.rules.committed(result.is_some(), deletes, now);
            let outcomes = result.into_iter().flatten().map(Some).chain(std::iter::repeat(None));
            for (persist, outcome) in appends.into_iter().zip(outcomes) {
                let (to, seq) = (persist.letter.envelope.to, place_of(outcome));
                // What follows is not said before others know, where they have to.
                writer.told.extend(persist.concluded(outcome).map(|told| (to, seq, told)));
            }
            writer.pump_after = true;
        }
        if let Some((to, seq, told)) = writer.told.pop_front() {
            return self.tell_or_wait(n, to, seq, told);
        }
        if std::mem::take(&mut writer.pump_after) {
            return self.pump_writer(n);
        }
        if writer.pump_at.is_some_and(|at| at <= self.now) && (writer.inbox.is_empty() || self.chance.below(2) == 0) {
            writer.pump_at = None;
            return self.pump_writer(n);
        }
        match writer.inbox.pop_front() {
            None => {}
            Some(ToWriter::Persist(persist)) => writer.rules.append(persist, now),
            Some(ToWriter::Forget(to, rows)) => {
                rows.into_iter().for_each(|seq| writer.rules.delete((to, seq), now));
            }
        }
        self.pump_writer(n);
    }

    /// As the queue writer's: the mailbox here hears at once, and what follows waits until others know who have to.
    fn tell_or_wait(&mut self, n: usize, to: Address, seq: Option<Seq>, told: Told<Generation, Right>) {
        let now = self.instant(n);
        let told = match (&mut self.nodes[n].member, told, seq) {
            (Some(_), Told::Wake(to, _), _) => Told::Wake(to, READS_FROM),
            (Some(member), told, Some(seq)) if !member.owned.is_exclusive(name(to), now) => {
                return member.unwoken.committed(to, name(to), seq, told, now);
            }
            (_, told, _) => told,
        };
        self.tell(n, told);
    }

    pub(super) fn tell(&mut self, n: usize, told: Told<Generation, Right>) {
        match told {
            Told::Mailbox(mailbox, persisted) => {
                // Its mailbox has ended, and told the sender to repeat it: nobody knows of the row.
                self.store.littered |= !self.nodes[n].mailboxes.contains_key(&mailbox);
                self.nodes[n].tell_mailbox(mailbox, ToMailbox::Persisted(persisted));
            }
            Told::Wake(to, seq) => {
                let mailbox = self.nodes[n].routes.get(to.account);
                self.nodes[n].writer.waking = mailbox.map(|(mailbox, _)| (mailbox, to.device, seq));
            }
            Told::Sender(receipt, outcome) => receipt.settle(outcome),
        }
    }

    fn pump_writer(&mut self, n: usize) {
        let now = self.instant(n);
        let writer = &mut self.nodes[n].writer;
        let next = writer.rules.next(now);
        for persist in writer.rules.take_refused() {
            let to = persist.letter.envelope.to;
            writer.told.extend(persist.concluded(None).map(|told| (to, None, told)));
        }
        match next {
            Next::Wait => {}
            Next::WaitUntil(at) => {
                let at = self.micros(n, at);
                self.nodes[n].writer.pump_at.get_or_insert(at);
            }
            Next::Commit { appends, deletes } => {
                let batch =
                    QueueBatch { deletes: deletes.clone(), appends: appends.iter().map(Persist::to_append).collect() };
                self.note(|| {
                    let numbers: Vec<_> = batch.appends.iter().map(|append| number(append.id)).collect();
                    format!("the writer commits {numbers:?} and deletes {} rows", batch.deletes.len())
                });
                self.store.commits.insert(n, batch);
                self.nodes[n].writer.open = Some((appends, deletes));
            }
        }
    }

    pub(super) fn commit(&mut self, n: usize) {
        let away = self.now < self.store.away_until;
        let told = self.store.carry_out(n, &self.weather, &mut self.chance, away);
        if let Some(told) = told {
            self.note(|| format!("the store answers {told:?}"));
            self.nodes[n].writer.result = Some(told);
        }
    }

    pub(super) fn read(&mut self) {
        // Reads are answered in any order.
        let which = self.chance.below(self.store.reads.len());
        let Some(read) = self.store.reads.remove(which) else { return };
        let failed = self.now < self.store.away_until || self.weather.strikes(Fault::ReadFails, &mut self.chance);
        let page = (!failed).then(|| self.store.read(&read, self.wall()));
        self.note(|| {
            let rows = page.iter().flat_map(|page| &page.rows);
            let rows: Vec<_> = rows.map(|row| (row.seq.0, number(row.id))).collect();
            format!("mailbox {} is read {rows:?} after {}", read.generation, read.after.0)
        });
        if let Some(mailbox) = self.nodes[read.node].mailboxes.get_mut(&read.generation) {
            // It comes late; a failure is told after the back-off.
            let late = self.chance.of(&[0, 0, 0, 1_000, 100_000]);
            let at = self.now + if failed { LOAD_BACK_OFF } else { late };
            mailbox.answered.push(Answered { device: read.to.device, life: read.life, page, at });
        }
    }
}
