//! What happens between nodes when it has its turn: one question, one answer, one frame, or what a node does by itself.

use std::sync::Arc;

use endtoend_cluster::claims::{ClaimsError, Lost};
use endtoend_cluster::link::wire::{Forward, Frame, Tray as WireTray};
use endtoend_cluster::peers::LinkLife;
use endtoend_protocol::Address;
use endtoend_storage::{Seq, Tray};

use super::member::{ANSWER_MAX, Answer, Coming, Door, Question, SWEEP_PART, Sweep, Through, name};
use super::node::{ConnectionId, News, Right, Sender, ToDirectory, ToMailbox, ToWriter};
use super::oracle::number;
use super::turns::BUSY;
use super::weather::Fault;
use super::world::World;
use crate::elsewhere::{AfterTaking, READS_FROM, Step, from_wire, to_wire};
use crate::letter::Letter;
use crate::queue_writer::{Persist, Then};
use crate::receipt::Receipt;
use crate::router::Way;

const RENEW_EACH: u64 = 1_000_000;
const SWEEP_EACH: u64 = 2_000_000;
const KEEP_EACH: u64 = 200_000_000;

impl World {
    /// A connection asks to be attached: first the claim, where there are others.
    pub(super) fn ask_to_attach(&mut self, n: usize, id: ConnectionId, attach: ToDirectory) {
        let now = self.instant(n);
        let address = self.clients[self.nodes[n].connections[&id].client].address;
        let Some(member) = &mut self.nodes[n].member else { return self.nodes[n].to_directory.push_back(attach) };
        let (pass, attempt) = member.keeper.attach(&mut member.owned, (name(address), address), id as u64, attach, now);
        self.nodes[n].to_directory.extend(pass);
        if let Some(attempt) = attempt {
            self.ask(n, Question::Take { device: name(address), attempt, loaded: false });
        }
    }

    /// A connection has ended; `message` for its mailbox, unless that one knows.
    pub(super) fn has_left(&mut self, n: usize, id: ConnectionId, address: Address, message: Option<ToDirectory>) {
        let Some(member) = &mut self.nodes[n].member else { return self.nodes[n].to_directory.extend(message) };
        let device = name(address);
        let (pass, epoch) = member.keeper.left(&mut member.owned, device, id as u64, message);
        self.nodes[n].to_directory.extend(pass);
        if let Some(epoch) = epoch {
            self.ask(n, Question::Release { device, epoch });
        }
    }

    /// An envelope goes over a link.
    pub(super) fn forward(&mut self, n: usize, over: LinkLife, letter: Letter, receipt: Right) {
        self.between.was_forwarded += 1;
        let full = self.weather.strikes(Fault::WriterFull, &mut self.chance);
        let member = self.nodes[n].member.as_mut().unwrap();
        if letter.overtakes() {
            return receipt.settle(BUSY);
        }
        let untold = member.forwards.untold(over);
        member.forwards.told(over);
        let number = member.forwards.went(over, name(letter.envelope.to), receipt);
        let tray = match letter.tray {
            Tray::Contacts => WireTray::Contacts,
            Tray::Requests => WireTray::Requests,
        };
        let forward = Forward { envelope: letter.envelope, tray, accepted_at: letter.accepted_at };
        if let Some(count) = untold {
            self.send(n, over, Frame::RefusalsHeard { count });
        }
        if full || !self.send(n, over, Frame::Forward { n: number, forward }) {
            let right = self.nodes[n].member.as_mut().unwrap().forwards.not_sent(over, number);
            right.into_iter().for_each(|right| right.settle(BUSY));
        }
    }

    /// Puts a frame into a link's queue. False when the link is known to have ended.
    fn send(&mut self, n: usize, over: LinkLife, frame: Frame) -> bool {
        let Some(line) = self.between.lines.get_mut(&over) else { return false };
        let Some(end) = line.ends.iter().position(|end| *end == n).filter(|end| line.up[*end]) else { return false };
        let about = match &frame {
            Frame::Wake { to, .. } => Some(Some(*to)),
            Frame::Taken { device, .. } => Some(Some(*device)),
            Frame::Woken { .. } | Frame::TakenSeen { .. } => Some(None),
            _ => None,
        };
        // What is sent into a link that is broken, and not known to be, is lost.
        if !line.broken {
            line.to[1 - end].push_back(frame);
        }
        about.into_iter().for_each(|about| self.breaks_perhaps(over, 16, about));
        true
    }

    /// A frame comes to one end of a link, or that end learns that there is no link any more.
    pub(super) fn line(&mut self, life: LinkLife) {
        let line = &self.between.lines[&life];
        let first = self.chance.below(2);
        let Some(end) = [first, 1 - first].into_iter().find(|end| self.line_can(life, line, *end)) else { return };
        let n = line.ends[end];
        let door = self.nodes[n].member.as_mut().unwrap().doors.get_mut(&life).unwrap();
        if let Some((generation, letter, receipt)) = door.routing.take() {
            return match self.nodes[n].mailboxes.get_mut(&generation) {
                Some(mailbox) if mailbox.inbox.len() < self.weather.mailbox_max => {
                    mailbox.inbox.push_back(ToMailbox::Enqueue(letter, receipt));
                }
                _ => receipt.settle(BUSY),
            };
        }
        let frame = self.between.lines.get_mut(&life).unwrap().to[end].pop_front();
        match frame {
            Some(frame) => self.hears(n, life, frame),
            None => self.notices(n, life, end),
        }
    }

    fn notices(&mut self, n: usize, life: LinkLife, end: usize) {
        self.note(|| format!("node {n} learns that {life:?} has ended"));
        self.between.lines.get_mut(&life).unwrap().up[end] = false;
        let now = self.instant(n);
        let member = self.nodes[n].member.as_mut().unwrap();
        member.whereabouts.borrow_mut().broke(life);
        let rights = member.forwards.broke(life);
        let mut steps = Vec::new();
        member.unwoken.broke(life, now, &mut steps);
        member.displaced.retain(|(over, _), _| *over != life);
        // What came over it is settled, and nobody is told.
        let door: Option<Door> = member.doors.remove(&life);
        rights.into_iter().for_each(|right| right.settle(BUSY));
        if let Some(Door { routing: Some((_, _, receipt)), .. }) = door {
            receipt.settle(BUSY);
        }
        self.carry_out_steps(n, steps);
    }

    fn hears(&mut self, n: usize, over: LinkLife, frame: Frame) {
        let now = self.instant(n);
        self.note(|| format!("node {n} hears {} over {over:?}", short(&frame)));
        let member = self.nodes[n].member.as_mut().unwrap();
        match frame {
            Frame::Forward { n: number, forward } => self.comes_in(n, over, number, forward),
            Frame::Forwarded { n: number, outcome, moved } => {
                if let Some((device, right)) = member.forwards.answered(over, number) {
                    if moved {
                        member.whereabouts.borrow_mut().moved(device, over);
                    }
                    right.settle(from_wire(outcome));
                    if outcome.is_to_come_again() {
                        member.forwards.was_refused(over);
                    }
                }
            }
            Frame::RefusalsHeard { count } => {
                if let Some(door) = member.doors.get_mut(&over) {
                    door.heard = count;
                }
            }
            Frame::Wake { n: number, to, .. } => {
                self.wake_here(n, to);
                self.send(n, over, Frame::Woken { up_to: number });
            }
            Frame::Woken { up_to } => {
                let mut steps = Vec::new();
                member.unwoken.woken(over, up_to, now, &mut steps);
                self.carry_out_steps(n, steps);
            }
            Frame::Taken { n: number, device, epoch } => {
                let lost = Lost { device: name(device), epoch: endtoend_cluster::claims::Epoch(epoch) };
                let end = member.keeper.lost(&mut member.owned, lost);
                end.into_iter().for_each(|connection| self.end_connection(n, connection));
                self.send(n, over, Frame::TakenSeen { n: number });
                self.stir(None, device);
            }
            Frame::TakenSeen { n: number } => {
                if let Some((device, epoch)) = member.displaced.remove(&(over, number)) {
                    let line = &self.between.lines[&over];
                    let holder = line.runs[usize::from(line.ends[0] == n)];
                    member.owned.confirmed(device, epoch, holder, now);
                    member.sweep_at = self.now;
                    let address = member.keeper.seen.address(device);
                    address.into_iter().for_each(|to| self.stir(None, to));
                }
            }
            other => panic!("not of the message path: {other:?}"),
        }
    }

    /// A forwarded envelope comes in.
    fn comes_in(&mut self, n: usize, over: LinkLife, number: u64, Forward { envelope, tray, accepted_at }: Forward) {
        let arrived = self.instant(n);
        let (id, to) = (envelope.id, envelope.to);
        let memory = self.nodes[n].memory.take(&envelope);
        let member = self.nodes[n].member.as_mut().unwrap();
        let moved = !member.owned.is_here(name(to));
        let door = member.doors.get_mut(&over).unwrap();
        let comes_in_turn = door.rules.lets_in(to, door.heard);
        let place = Arc::clone(&door.window).try_acquire_owned();
        let (true, Ok(place), Some(memory)) = (comes_in_turn, place, memory) else {
            door.rules.refuse(to, number);
            self.send(n, over, Frame::Forwarded { n: number, outcome: to_wire(BUSY), moved: false });
            return;
        };
        // Only what its sender hears is written down.
        let sender = Sender { inbox: door.inbox.clone(), log: Default::default() };
        let turn = Some(door.rules.turn(number));
        let receipt = Receipt::new((id, to, turn.clone()), sender, place, memory, arrived);
        door.rules.came(number, id, moved);
        let tray = match tray {
            WireTray::Contacts => Tray::Contacts,
            WireTray::Requests => Tray::Requests,
        };
        let letter = Letter { envelope, accepted_at, tray, turn };
        let way = self.choose(n, Through::Line(over), (id, number), to);
        if self.trace.is_some() {
            self.note(|| format!("envelope {} goes to {way:?} on node {n}", super::oracle::number(id)));
        }
        match way {
            Way::Mailbox(generation) => {
                let member = self.nodes[n].member.as_mut().unwrap();
                member.doors.get_mut(&over).unwrap().routing = Some((generation, letter, receipt));
            }
            Way::Peer(_) => panic!("one hop"),
            Way::Busy => receipt.settle(BUSY),
            Way::Store if self.weather.strikes(Fault::WriterFull, &mut self.chance) => receipt.settle(BUSY),
            Way::Store => {
                let persist = Persist { letter, then: Then::Settle(receipt) };
                self.nodes[n].writer.inbox.push_back(ToWriter::Persist(persist));
            }
        }
    }

    fn wake_here(&mut self, n: usize, to: Address) {
        if let Some((generation, _)) = self.nodes[n].routes.get(to.account)
            && self.nodes[n]
                .mailboxes
                .get_mut(&generation)
                .is_some_and(|mailbox| mailbox.wakes.add(to.device, READS_FROM))
        {
            self.nodes[n].tell_mailbox(generation, ToMailbox::Wake);
        }
    }

    fn carry_out_steps(&mut self, n: usize, steps: Vec<Step<super::member::After>>) {
        for step in steps {
            match step {
                Step::Done(told) => self.tell(n, told),
                Step::Saw { device, over } => {
                    let member = self.nodes[n].member.as_ref().unwrap();
                    if self.between.links(n).iter().any(|link| link.life == over) {
                        member.whereabouts.borrow_mut().saw(device, over);
                    }
                }
                Step::Wake { over, n: number, to, seq } => {
                    if !self.send(n, over, Frame::Wake { n: number, to, seq: seq.0 }) {
                        let (now, mut steps) = (self.instant(n), Vec::new());
                        self.nodes[n].member.as_mut().unwrap().unwoken.not_sent(over, number, now, &mut steps);
                        self.carry_out_steps(n, steps);
                    }
                }
            }
        }
    }

    /// What a node does by itself: answers over links, look-ups, renewals, rounds, sweeps.
    pub(super) fn member(&mut self, n: usize) {
        let now = self.instant(n);
        let member = self.nodes[n].member.as_mut().unwrap();
        let waiting = member.doors.iter().find(|(_, door)| !door.inbox.borrow().is_empty()).map(|(life, _)| *life);
        if let Some(life) = waiting {
            let door = member.doors.get_mut(&life).unwrap();
            let news = door.inbox.borrow_mut().pop_front();
            if let Some(News::Settled(settled)) = news
                && let Some((number, moved)) = door.rules.settled(settled.id, settled.to, settled.outcome)
            {
                self.send(n, life, Frame::Forwarded { n: number, outcome: to_wire(settled.outcome), moved });
            }
            return;
        }
        let mut steps = Vec::new();
        member.unwoken.tick(now, &mut steps);
        let look = member.unwoken.next();
        self.carry_out_steps(n, steps);
        if let Some(devices) = look {
            return self.ask(n, Question::Find { devices });
        }
        let member = self.nodes[n].member.as_mut().unwrap();
        if self.between.is_quiet {
            return;
        }
        if !member.renewing && member.renew_at <= self.now {
            member.renewing = true;
            member.renew_at = self.now + RENEW_EACH;
            let handled = std::mem::take(&mut member.handled);
            let unclaimed = member.owned.unclaimed(3, now);
            self.ask(n, Question::Renew { handled, sent: now });
            for (device, attempt) in unclaimed {
                self.ask(n, Question::Take { device, attempt, loaded: true });
            }
        } else if !member.keeping && member.keep_at <= self.now {
            member.keeping = true;
            member.keep_at = self.now + KEEP_EACH;
            let claims = member.owned.claims();
            self.ask(n, Question::Keep { claims, began: now });
        } else if member.sweep.is_none() && member.sweep_at <= self.now {
            member.sweep_at = self.now + SWEEP_EACH;
            let parts = member.keeper.seen.questions(SWEEP_PART);
            if parts.is_empty() {
                return member.owned.swept(now);
            }
            member.sweep = Some(Sweep { began: now, open: parts.len(), failed: false });
            for part in parts {
                self.ask(n, Question::Sweep { part });
            }
        }
    }

    /// The directory of claims, or the store, answers a question.
    pub(super) fn question(&mut self) {
        let due: Vec<_> =
            (0..self.between.questions.len()).filter(|at| self.between.questions[*at].at <= self.now).collect();
        let which = due[self.chance.below(due.len())];
        let Coming { node, run, what, .. } = self.between.questions.swap_remove(which);
        let is_of_store = matches!(what, Question::Sweep { .. });
        let away = match is_of_store {
            true => self.now < self.store.away_until || self.weather.strikes(Fault::ReadFails, &mut self.chance),
            false => {
                self.now < self.between.away_until[node] || self.weather.strikes(Fault::AnswersLost, &mut self.chance)
            }
        };
        // A question may be carried out without an answer, and more than once.
        let is_carried_out = !away || (!is_of_store && self.chance.below(2) == 0);
        let again = self.weather.has(Fault::AnswersLost) && self.chance.below(16) == 0;
        let matters = matches!(what, Question::Take { .. } | Question::Find { .. });
        if matters && self.weather.has(Fault::ClaimsFlushed) && self.chance.below(12) == 0 {
            self.note(|| "the directory of claims forgets everything".to_owned());
            self.between.table.flush();
        }
        let now = self.now;
        let table = &mut self.between.table;
        let answer = match what {
            Question::Renew { handled, sent } => {
                let renewed = is_carried_out.then(|| {
                    let _lost = again.then(|| table.renew(run, &handled, now));
                    table.renew(run, &handled, now)
                });
                Answer::Renewed { sent, renewed: renewed.filter(|_| !away) }
            }
            Question::Take { device, attempt, loaded } => {
                let _lost = (is_carried_out && again).then(|| table.take(run, device, now));
                let taken = if is_carried_out { table.take(run, device, now) } else { Err(ClaimsError::Away) };
                let taken = if away { Err(ClaimsError::Away) } else { taken };
                Answer::Taken { device, attempt, loaded, taken }
            }
            Question::Keep { claims, began } => {
                let kept = is_carried_out.then(|| table.keep(run, &claims, now).ok()).flatten();
                Answer::Kept { claims, began, kept: kept.filter(|_| !away) }
            }
            Question::Release { device, epoch } => {
                (0..usize::from(is_carried_out) + usize::from(is_carried_out && again))
                    .for_each(|_| table.release(run, &[(device, epoch)], now));
                return;
            }
            Question::Find { devices } => Answer::Found { found: (!away).then(|| table.find(&devices, now)) },
            Question::Sweep { part } => {
                let newer = |(device, to, after): &(_, Address, Seq)| {
                    self.store.newer(*to, *after).map(|last| (*device, *to, last))
                };
                Answer::Swept { found: (!away).then(|| part.iter().filter_map(newer).collect()) }
            }
        };
        let late = match (away, is_of_store) {
            (true, _) => ANSWER_MAX,
            (false, false) => self.chance.of(&[0, 0, 100, 10_000, 200_000]),
            (false, true) => self.chance.of(&[0, 0, 100, 100, 10_000, 200_000, 2_000_000]),
        };
        self.between.answers.push(Coming { at: self.now + late, node, run, what: answer });
    }

    pub(super) fn answer(&mut self) {
        let due: Vec<_> = (0..self.between.answers.len()).filter(|at| self.comes(&self.between.answers[*at])).collect();
        let which = due[self.chance.below(due.len())];
        let Coming { node: n, run, what, .. } = self.between.answers.swap_remove(which);
        let now = self.instant(n);
        if self.nodes[n].member.as_ref().is_none_or(|member| member.run != run) {
            return;
        }
        self.note(|| format!("node {n} is answered {what:?}"));
        let links = self.between.links(n);
        let is_complete = links.len() + 1 == self.nodes.len();
        let member = self.nodes[n].member.as_mut().unwrap();
        match what {
            Answer::Renewed { sent, renewed } => {
                member.renewing = false;
                let Some(renewed) = renewed else { return };
                member.handled.clone_from(&renewed.lost);
                let mut ends = Vec::new();
                for lost in renewed.lost {
                    ends.extend(member.keeper.lost(&mut member.owned, lost));
                }
                if !renewed.more {
                    member.owned.renewed(renewed.stamp, renewed.young_for, sent, now);
                }
                if member.owned.is_in_doubt() {
                    member.keep_at = self.now;
                }
                ends.into_iter().for_each(|connection| self.end_connection(n, connection));
            }
            Answer::Taken { device, attempt, loaded, taken } => {
                let AfterTaking { pass, release, tell, end } =
                    member.keeper.taken(&mut member.owned, device, attempt, taken, loaded, now);
                let address = member.keeper.seen.address(device);
                self.nodes[n].to_directory.extend(pass);
                if let Some(epoch) = release {
                    self.ask(n, Question::Release { device, epoch });
                }
                end.into_iter().for_each(|connection| self.end_connection(n, connection));
                address.into_iter().for_each(|to| self.stir(None, to));
                if let (Some((holder, epoch)), Some(address)) = (tell, address)
                    && let Some(link) = links.iter().find(|link| link.run == holder)
                {
                    let member = self.nodes[n].member.as_mut().unwrap();
                    member.last_displaced += 1;
                    let number = member.last_displaced;
                    member.displaced.insert((link.life, number), (device, epoch));
                    self.send(n, link.life, Frame::Taken { n: number, device: address, epoch: epoch.0 });
                }
            }
            Answer::Kept { claims, began, kept } => {
                member.keeping = false;
                let Some(kept) = kept else {
                    member.keep_at = self.now + RENEW_EACH;
                    return;
                };
                let mut ends = Vec::new();
                for ((device, epoch), kept) in claims.into_iter().zip(kept) {
                    ends.extend(member.owned.kept(device, epoch, kept, began, now));
                    member.keeper.forget_gone(&member.owned, device);
                }
                member.owned.round_kept(began);
                if member.owned.is_in_doubt() {
                    member.keep_at = self.now + RENEW_EACH;
                }
                ends.into_iter().for_each(|connection| self.end_connection(n, connection));
            }
            Answer::Found { found } => {
                let mut steps = Vec::new();
                member.unwoken.looked(found.as_deref(), &links, is_complete, now, &mut steps);
                self.carry_out_steps(n, steps);
            }
            Answer::Swept { found } => {
                let Some(sweep) = &mut member.sweep else { return };
                sweep.open -= 1;
                sweep.failed |= found.is_none();
                for (device, _, last) in found.iter().flatten() {
                    member.keeper.seen.found(*device, *last);
                }
                for (_, to, ..) in found.into_iter().flatten() {
                    self.wake_here(n, to);
                }
                let member = self.nodes[n].member.as_mut().unwrap();
                if let Some(Sweep { began, failed, .. }) = member.sweep.take_if(|sweep| sweep.open == 0)
                    && !failed
                {
                    member.owned.swept(began);
                }
            }
        }
    }
}

/// What is written down of a frame.
fn short(frame: &Frame) -> String {
    match frame {
        Frame::Forward { n, forward } => format!("forward {n}: envelope {}", number(forward.envelope.id)),
        other => format!("{other:?}"),
    }
}
