//! The rules of a mailbox for all devices of its user: who is here, what each is owed, and when nothing is left to do.
//!
//! Plain data like [`Pending`], of which there is one for each device.

use std::collections::BTreeMap;

use endtoend_protocol::{Deliver, DeviceId};
use endtoend_storage::{Page, PageLimits, Seq};

use super::messages::{AttachmentId, DeviceEvent};
use super::pending::{self, Pending};
use crate::letter::Letter;
use crate::queue_writer::{Persisted, Ticket};
use crate::receipt::Outcome;

/// What the rules ask of the actor, to be done in this order. `R` is the right to answer a sender, `C` the way to a
/// connection.
#[derive(Debug)]
pub(crate) enum Action<R, C> {
    /// Enter the routes: from here on senders find this mailbox.
    Enter,
    /// Nothing waits here and no device is here: leave the routes, and tell the directory so.
    Idle { attaches: u64 },
    /// Tell the device's connection that it is attached.
    Attached { device: DeviceId, attachment: AttachmentId },
    /// Tell this connection that another one took its place.
    Replaced(C),
    /// Tell this connection that it is no longer attached.
    Detached(C),
    /// Push these to the device's connection.
    Deliver { device: DeviceId, deliveries: Vec<Deliver> },
    /// Commit to the store; the outcome comes back through [`Devices::persisted`].
    Persist { letter: Letter, ticket: Ticket },
    /// Answer a sender.
    Settle(R, Outcome),
    /// Delete the rows: the device has them.
    Forget { device: DeviceId, rows: Vec<Seq> },
    /// Read the store; the page comes back through [`Devices::loaded`] with the same life.
    Load { device: DeviceId, life: u64, after: Seq, limits: PageLimits },
}

/// The devices of one online user that are here or that the store has still to answer for.
#[derive(Debug)]
pub(crate) struct Devices<R, C> {
    /// Boxed: a node of the map has room for eleven, and nearly everybody has one device here.
    devices: BTreeMap<DeviceId, Box<Device<R, C>>>,
    /// Attachments that were handled; names the latest. Not counted by device: one may be forgotten while a page of it
    /// is on its way.
    attaches: u64,
}

#[derive(Debug)]
struct Device<R, C> {
    pending: Pending<R>,
    attached: Option<(AttachmentId, C)>,
}

impl<R, C> Default for Devices<R, C> {
    fn default() -> Self {
        Self { devices: BTreeMap::new(), attaches: 0 }
    }
}

impl<R, C> Devices<R, C> {
    /// A connection of a device. An earlier one is replaced.
    ///
    /// Invariant 4: senders find this mailbox first, and only then is the queue loaded.
    pub(crate) fn attach(
        &mut self,
        device: DeviceId,
        attachment: AttachmentId,
        connection: C,
        out: &mut Vec<Action<R, C>>,
    ) {
        self.attaches += 1;
        out.push(Action::Enter);
        out.push(Action::Attached { device, attachment });
        let earlier = self.entry(device).attached.replace((attachment, connection));
        out.extend(earlier.map(|(_, connection)| Action::Replaced(connection)));
        let life = self.attaches;
        self.step(device, out, |pending, out| pending.attach(life, out));
    }

    /// An envelope for a device, attached or not.
    pub(crate) fn enqueue(&mut self, letter: Letter, receipt: R, out: &mut Vec<Action<R, C>>) {
        let device = letter.envelope.to.device;
        self.entry(device);
        self.step(device, out, |pending, out| pending.enqueue(letter, receipt, out));
    }

    /// The writer tried to commit an envelope.
    pub(crate) fn persisted(&mut self, persisted: &Persisted, out: &mut Vec<Action<R, C>>) {
        self.step(persisted.to.device, out, |pending, out| pending.persisted(persisted, out));
        self.leave_if_idle(out);
    }

    /// A row was committed without coming by here.
    pub(crate) fn wake(&mut self, device: DeviceId, seq: Seq, out: &mut Vec<Action<R, C>>) {
        self.step(device, out, |pending, out| pending.wake(seq, out));
    }

    /// The page that was asked for in `life`.
    pub(crate) fn loaded(&mut self, device: DeviceId, life: u64, page: Page, out: &mut Vec<Action<R, C>>) {
        self.step(device, out, |pending, out| pending.loaded(life, page, out));
    }

    /// The read that was asked for in `life` failed, some time ago.
    pub(crate) fn load_failed(&mut self, device: DeviceId, life: u64, out: &mut Vec<Action<R, C>>) {
        self.step(device, out, |pending, out| pending.load_failed(life, out));
    }

    /// News of a device through its connection. That of an older connection means nothing.
    pub(crate) fn heard(
        &mut self,
        device: DeviceId,
        attachment: AttachmentId,
        event: DeviceEvent,
        out: &mut Vec<Action<R, C>>,
    ) {
        let current = self.devices.get(&device).and_then(|entry| entry.attached.as_ref());
        if current.is_none_or(|(current, _)| *current != attachment) {
            return;
        }
        match event {
            DeviceEvent::Left => {
                self.detach(device);
                self.leave_if_idle(out);
            }
            DeviceEvent::Acknowledged(up_to) => {
                let mut bad = false;
                self.step(device, out, |pending, out| bad = pending.acknowledge(up_to, out).is_err());
                if bad {
                    // Nothing it says about what it has can be believed: it starts again from the store.
                    out.extend(self.detach(device).map(Action::Detached));
                    self.leave_if_idle(out);
                }
            }
        }
    }

    /// Envelopes in the tails of all devices, and bytes of their bodies.
    pub(crate) fn tail(&self) -> (usize, usize) {
        let tails = self.devices.values().map(|device| device.pending.tail());
        tails.fold((0, 0), |(envelopes, bytes), tail| (envelopes + tail.0, bytes + tail.1))
    }

    /// Where the device is attached.
    pub(crate) fn connection(&self, device: DeviceId) -> Option<&C> {
        self.devices.get(&device)?.attached.as_ref().map(|(_, connection)| connection)
    }

    /// All connections that are attached.
    pub(crate) fn connections(&self) -> impl Iterator<Item = &C> {
        self.devices.values().filter_map(|entry| entry.attached.as_ref().map(|(_, connection)| connection))
    }

    fn entry(&mut self, device: DeviceId) -> &mut Device<R, C> {
        self.devices.entry(device).or_insert_with(|| Box::new(Device { pending: Pending::default(), attached: None }))
    }

    fn detach(&mut self, device: DeviceId) -> Option<C> {
        let entry = self.devices.get_mut(&device)?;
        entry.pending.detach();
        entry.attached.take().map(|(_, connection)| connection)
    }

    fn leave_if_idle(&mut self, out: &mut Vec<Action<R, C>>) {
        self.devices.retain(|_, entry| !entry.pending.is_idle());
        if self.devices.is_empty() {
            out.push(Action::Idle { attaches: self.attaches });
        }
    }

    /// Lets the rules of one device take one step. Deliveries and deletions of the step go together.
    fn step(
        &mut self,
        device: DeviceId,
        out: &mut Vec<Action<R, C>>,
        rule: impl FnOnce(&mut Pending<R>, &mut Vec<pending::Action<R>>),
    ) {
        let Some(entry) = self.devices.get_mut(&device) else { return };
        let mut actions = Vec::new();
        rule(&mut entry.pending, &mut actions);
        let (mut deliveries, mut rows) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                pending::Action::Push(deliver) => deliveries.push(deliver),
                pending::Action::Forget(seq) => rows.push(seq),
                pending::Action::Settle(receipt, outcome) => out.push(Action::Settle(receipt, outcome)),
                pending::Action::Persist { letter, ticket } => out.push(Action::Persist { letter, ticket }),
                pending::Action::Load { life, after, limits } => {
                    out.push(Action::Load { device, life, after, limits });
                }
            }
        }
        if !rows.is_empty() {
            out.push(Action::Forget { device, rows });
        }
        if !deliveries.is_empty() {
            out.push(Action::Deliver { device, deliveries });
        }
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        for entry in self.devices.values() {
            entry.pending.check_invariants();
            assert_eq!(entry.pending.is_attached(), entry.attached.is_some(), "a device is here where it is attached");
        }
    }
}

#[cfg(test)]
mod tests {
    use endtoend_protocol::{AccountTag, Address, DeliveryNumber, Envelope, EnvelopeId, UnixMillis};
    use endtoend_storage::{Queued, Tray};

    use super::*;

    const PHONE: DeviceId = DeviceId::FIRST;

    fn step(
        devices: &mut Devices<(), &'static str>,
        rule: impl FnOnce(&mut Devices<(), &'static str>, &mut Out),
    ) -> Out {
        let mut out = Vec::new();
        rule(devices, &mut out);
        devices.check_invariants();
        out
    }
    type Out = Vec<Action<(), &'static str>>;

    fn attach(devices: &mut Devices<(), &'static str>, number: u64, connection: &'static str) -> Out {
        step(devices, |devices, out| devices.attach(PHONE, AttachmentId(number), connection, out))
    }
    fn heard(devices: &mut Devices<(), &'static str>, number: u64, event: DeviceEvent) -> Out {
        step(devices, |devices, out| devices.heard(PHONE, AttachmentId(number), event, out))
    }

    #[test]
    fn a_mailbox_is_found_before_it_reads_its_queue() {
        let out = attach(&mut Devices::default(), 1, "one");
        assert!(matches!(out.as_slice(), [Action::Enter, Action::Attached { .. }, Action::Load { .. }]), "{out:?}");
    }

    #[test]
    fn the_newer_connection_of_a_device_replaces_the_older_whose_news_mean_nothing_then() {
        let mut devices = Devices::default();
        attach(&mut devices, 1, "one");
        let out = attach(&mut devices, 2, "two");
        assert!(out.iter().any(|action| matches!(action, Action::Replaced("one"))), "{out:?}");
        assert!(heard(&mut devices, 1, DeviceEvent::Left).is_empty());
        assert!(heard(&mut devices, 1, DeviceEvent::Acknowledged(DeliveryNumber(9))).is_empty());
        assert_eq!(devices.connections().collect::<Vec<_>>(), [&"two"]);
    }

    #[test]
    fn a_mailbox_that_nobody_is_at_says_so_and_how_many_it_has_seen() {
        let mut devices = Devices::default();
        attach(&mut devices, 1, "one");
        attach(&mut devices, 2, "two");
        let out = heard(&mut devices, 2, DeviceEvent::Left);
        assert!(matches!(out.as_slice(), [Action::Idle { attaches: 2 }]), "{out:?}");
    }

    #[test]
    fn a_connection_that_acknowledges_what_it_never_got_is_detached() {
        let mut devices = Devices::default();
        attach(&mut devices, 1, "one");
        let out = heard(&mut devices, 1, DeviceEvent::Acknowledged(DeliveryNumber(1)));
        assert!(matches!(out.as_slice(), [Action::Detached("one"), Action::Idle { attaches: 1 }]), "{out:?}");
    }

    fn letter(n: u64) -> Letter {
        let to = Address { account: AccountTag::new([1; 32]), device: PHONE };
        let body = bytes::Bytes::from_static(b"sealed");
        let envelope = Envelope { id: envelope(n), to, body, devices_version: 1 };
        Letter { envelope, accepted_at: UnixMillis::new(1), tray: Tray::Contacts, turn: None }
    }
    fn envelope(n: u64) -> EnvelopeId {
        EnvelopeId::new(UnixMillis::new(n), [1; 10])
    }
    fn page(rows: &[(i64, u64)]) -> Page {
        let accepted_at = UnixMillis::new(1);
        let rows = rows.iter().map(|(seq, n)| Queued {
            seq: Seq(*seq),
            id: envelope(*n),
            accepted_at,
            body: bytes::Bytes::from_static(b"sealed"),
        });
        Page { rows: rows.collect(), more: false }
    }
    fn life_and_place(out: &Out) -> (u64, Seq) {
        let load = out.iter().find_map(|action| match action {
            Action::Load { life, after, .. } => Some((*life, *after)),
            _ => None,
        });
        load.unwrap_or_else(|| panic!("nothing is read: {out:?}"))
    }
    fn delivered(out: &Out) -> Vec<EnvelopeId> {
        let deliveries = out.iter().filter_map(|action| match action {
            Action::Deliver { deliveries, .. } => Some(deliveries),
            _ => None,
        });
        deliveries.flatten().map(|deliver| deliver.id).collect()
    }

    #[test]
    fn a_page_of_a_device_that_left_and_was_forgotten_is_not_taken_for_one_of_its_next_life() {
        let mut devices = Devices::default();
        let (older, _) = life_and_place(&attach(&mut devices, 1, "one"));
        heard(&mut devices, 1, DeviceEvent::Left);
        let (life, _) = life_and_place(&attach(&mut devices, 2, "two"));
        let out = step(&mut devices, |devices, out| devices.loaded(PHONE, older, page(&[]), out));
        assert!(out.is_empty(), "{out:?}");
        // What was committed in between is in the page that was asked for last.
        let out = step(&mut devices, |devices, out| devices.loaded(PHONE, life, page(&[(1, 7)]), out));
        assert_eq!(delivered(&out), [envelope(7)]);
    }

    #[test]
    fn a_wake_up_for_a_row_before_those_of_a_page_that_is_on_its_way_is_not_lost() {
        let mut devices = Devices::default();
        let (life, _) = life_and_place(&attach(&mut devices, 1, "one"));
        assert!(step(&mut devices, |devices, out| devices.wake(PHONE, Seq(5), out)).is_empty(), "a read is under way");
        let out = step(&mut devices, |devices, out| devices.loaded(PHONE, life, page(&[(8, 8)]), out));
        assert_eq!(life_and_place(&out), (life, Seq(4)), "it is read again, from before that row");
        let out = step(&mut devices, |devices, out| devices.loaded(PHONE, life, page(&[(5, 5), (8, 8)]), out));
        assert_eq!(delivered(&out), [envelope(5)]);
    }

    /// As [`life_and_place`] when there are these rows, and what they become.
    fn read(devices: &mut Devices<(), &'static str>, out: &Out, rows: &[i64]) -> Vec<EnvelopeId> {
        let (life, after) = life_and_place(out);
        let page: Vec<_> = rows.iter().filter(|seq| **seq > after.0).map(|seq| (*seq, *seq as u64)).collect();
        delivered(&step(devices, |devices, out| devices.loaded(PHONE, life, self::page(&page), out)))
    }

    #[test]
    fn what_other_nodes_have_written_is_shown_in_the_order_of_the_store_whichever_is_told_first() {
        use crate::elsewhere::READS_FROM;
        let mut devices = Devices::default();
        let out = attach(&mut devices, 1, "one");
        assert!(read(&mut devices, &out, &[]).is_empty());
        // Row 3 came by here. The rows 1 and 2 are of two other nodes, of which that with the later one is faster.
        let out = step(&mut devices, |devices, out| devices.enqueue(letter(3), (), out));
        assert_eq!(delivered(&out), [envelope(3)]);
        let (to, accepted_at) = (letter(3).envelope.to, UnixMillis::new(1));
        let outcome = Some(endtoend_storage::AppendOutcome::Stored(Seq(3)));
        let stored = Persisted { to, id: envelope(3), accepted_at, outcome };
        step(&mut devices, |devices, out| devices.persisted(&stored, out));
        let out = step(&mut devices, |devices, out| devices.wake(PHONE, READS_FROM, out));
        assert_eq!(read(&mut devices, &out, &[1, 2, 3]), [envelope(1), envelope(2)]);
        let out = step(&mut devices, |devices, out| devices.wake(PHONE, READS_FROM, out));
        assert!(read(&mut devices, &out, &[1, 2, 3]).is_empty(), "the other one has nothing new to tell");
    }

    #[test]
    fn what_a_page_brings_is_not_written_again() {
        let mut devices = Devices::default();
        let (life, _) = life_and_place(&attach(&mut devices, 1, "one"));
        let out = step(&mut devices, |devices, out| devices.enqueue(letter(1), (), out));
        let [Action::Persist { ticket, .. }] = out.as_slice() else { panic!("{out:?}") };
        step(&mut devices, |devices, out| devices.loaded(PHONE, life, page(&[(3, 1)]), out));
        assert!(!ticket.claim(), "its row is there, and deleted with the acknowledgement");
    }

    #[test]
    fn what_is_found_in_the_store_while_it_is_pushed_is_deleted_with_its_acknowledgement() {
        let mut devices = Devices::default();
        let (life, _) = life_and_place(&attach(&mut devices, 1, "one"));
        step(&mut devices, |devices, out| devices.loaded(PHONE, life, page(&[]), out));
        // It came by here and, from another connection of its sender, by the store.
        let out = step(&mut devices, |devices, out| devices.enqueue(letter(1), (), out));
        assert_eq!(delivered(&out), [envelope(1)]);
        step(&mut devices, |devices, out| devices.wake(PHONE, Seq(4), out));
        let out = step(&mut devices, |devices, out| devices.loaded(PHONE, life, page(&[(4, 1)]), out));
        assert!(matches!(out.as_slice(), [Action::Settle((), Outcome::Accepted { .. })]), "{out:?}");
        let out = heard(&mut devices, 1, DeviceEvent::Acknowledged(DeliveryNumber(1)));
        assert!(out.iter().any(|action| matches!(action, Action::Forget { rows, .. } if rows == &[Seq(4)])), "{out:?}");
    }

    #[test]
    fn of_an_envelope_that_was_deleted_and_stored_again_the_newer_row_is_deleted() {
        let mut devices = Devices::default();
        let (life, _) = life_and_place(&attach(&mut devices, 1, "one"));
        // The deletion of row 1, from an earlier connection, was on its way, and a repeat after it.
        let out = step(&mut devices, |devices, out| devices.loaded(PHONE, life, page(&[(1, 1)]), out));
        assert_eq!(delivered(&out), [envelope(1)]);
        step(&mut devices, |devices, out| devices.wake(PHONE, Seq(9), out));
        step(&mut devices, |devices, out| devices.loaded(PHONE, life, page(&[(9, 1)]), out));
        let out = heard(&mut devices, 1, DeviceEvent::Acknowledged(DeliveryNumber(1)));
        assert!(matches!(out.as_slice(), [Action::Forget { rows, .. }] if rows == &[Seq(9)]), "{out:?}");
    }
}
