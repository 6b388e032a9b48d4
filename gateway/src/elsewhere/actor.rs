//! The keeper of this node's claims: takes, keeps and releases them, renews the lease, and sweeps the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext as _, Context, Handler, Recipient, WrapFuture as _, fut::ActorFutureExt as _};
use endtoend_cluster::claims::{
    Attempt, CLAIMS_MAX, ClaimDirectory, ClaimsError, DeviceName, Epoch, Incarnation, Kept, Lost, RENEW_EACH, Renewed,
};
use endtoend_cluster::link::wire::Frame;
use endtoend_cluster::peers::LinkLife;
use endtoend_protocol::Address;
use endtoend_storage::{Newer, QueueStore, Seq, StoreError};

use super::keeper::{AfterTaking, Keeper};
use super::known::Elsewhere;
use super::messages::{Departed, OfClaims, address};
use super::teller::Teller;
use crate::actors::{end_node_after_panic, reply};
use crate::clock;
use crate::directory::{AttachTo, LeaveTo};
use crate::mailbox::Push;
use crate::router::Routes;

/// Questions to be attached that may wait. With no room left a device is told to come again.
const WAITING_MESSAGES_MAX: usize = 4_096;
/// How often it is looked at what is due.
const TICK: Duration = Duration::from_millis(250);
/// How often the store is asked for rows that nobody told this node of.
const SWEEP_EACH: Duration = Duration::from_secs(2);
/// How often all claims are kept; a third of what they live.
const KEEP_EACH: Duration = Duration::from_secs(200);
/// Devices that could not be claimed, asked for again at each renewal.
const UNCLAIMED_MAX: usize = 200;

/// Nodes that were told of a newer claim and have not answered.
const TOLD_MAX: usize = 10_000;

/// What the directory of mailboxes is told when a claim is taken.
#[derive(Debug)]
enum ToMailboxes {
    Attach(AttachTo),
    Leave(LeaveTo),
}

/// Keeps the claims of this node.
///
/// Owns what waits for a claim, and who is swept up to where; the claims themselves are in [`Elsewhere`], where senders look.
/// Full: bounded by the connections that the node admits. Restart: with the node, whose lease ends.
pub(crate) struct DirectoryKeeper {
    rules: Keeper<ToMailboxes>,
    elsewhere: Arc<Elsewhere>,
    /// Looked at now and then, because news may have found no room.
    teller: Arc<Teller>,
    claims: Arc<dyn ClaimDirectory>,
    store: Arc<dyn QueueStore>,
    routes: Arc<Routes>,
    attach: Recipient<AttachTo>,
    leave: Recipient<LeaveTo>,
    /// The latest connection of each device that is here.
    connections: HashMap<DeviceName, (u64, Recipient<Push>)>,
    /// Who was told over which link, in which frame, that a device is here.
    told: HashMap<(LinkLife, u64), (DeviceName, Epoch)>,
    last_told: u64,
    renewing: bool,
    keeping: bool,
    sweeping: bool,
    handled: Vec<Lost>,
    renew_at: Instant,
    keep_at: Instant,
    sweep_at: Instant,
}

impl DirectoryKeeper {
    pub(crate) fn new(
        elsewhere: Arc<Elsewhere>,
        teller: Arc<Teller>,
        claims: Arc<dyn ClaimDirectory>,
        store: Arc<dyn QueueStore>,
        routes: Arc<Routes>,
        attach: Recipient<AttachTo>,
        leave: Recipient<LeaveTo>,
    ) -> Self {
        let now = clock::monotonic();
        Self {
            rules: Keeper::default(),
            elsewhere,
            teller,
            claims,
            store,
            routes,
            attach,
            leave,
            connections: HashMap::new(),
            told: HashMap::new(),
            last_told: 0,
            renewing: false,
            keeping: false,
            sweeping: false,
            handled: Vec::new(),
            renew_at: now,
            keep_at: now,
            sweep_at: now,
        }
    }

    fn me(&self) -> Incarnation {
        self.elsewhere.me
    }

    fn pass(&self, message: ToMailboxes) {
        // Full: a question that is dropped says so to its connection. What has left is one message for each connection.
        match message {
            ToMailboxes::Attach(attach) => drop(self.attach.try_send(attach)),
            ToMailboxes::Leave(left) => reply(&self.leave, left),
        }
    }

    /// A device is elsewhere: its connection here ends.
    fn end(&mut self, device: DeviceName, connection: u64) {
        if self.connections.get(&device).is_some_and(|(latest, _)| *latest == connection)
            && let Some((_, way)) = self.connections.remove(&device)
        {
            self.elsewhere.metrics.claims_lost.one();
            reply(&way, Push::Replaced);
        }
    }

    fn lost(&mut self, lost: Lost) {
        let end = self.rules.lost(&mut self.elsewhere.change_owned(), lost);
        end.into_iter().for_each(|connection| self.end(lost.device, connection));
    }

    fn left(&mut self, device: Address, connection: u64, message: Option<ToMailboxes>, ctx: &mut Context<Self>) {
        let name = self.elsewhere.name(device);
        if self.connections.get(&name).is_some_and(|(latest, _)| *latest == connection) {
            self.connections.remove(&name);
        }
        let (pass, epoch) = self.rules.left(&mut self.elsewhere.change_owned(), name, connection, message);
        pass.into_iter().for_each(|message| self.pass(message));
        epoch.into_iter().for_each(|epoch| self.release(name, epoch, ctx));
    }

    fn release(&self, device: DeviceName, epoch: Epoch, ctx: &mut Context<Self>) {
        let (claims, me) = (Arc::clone(&self.claims), self.me());
        // Unanswered: it is forgotten in ten minutes, and hinders nobody.
        ctx.spawn(async move { drop(claims.release(me, &[(device, epoch)]).await) }.into_actor(self));
    }

    fn take(&self, device: DeviceName, attempt: Attempt, loaded: bool, ctx: &mut Context<Self>) {
        let (claims, me) = (Arc::clone(&self.claims), self.me());
        let take = async move { claims.take(me, device).await };
        ctx.spawn(take.into_actor(self).map(move |answer, this, ctx| {
            if let Err(error) = &answer {
                tracing::debug!(%error, "a device could not be claimed: it is served through the store");
            }
            let now = clock::monotonic();
            let after = this.rules.taken(&mut this.elsewhere.change_owned(), device, attempt, answer, loaded, now);
            let AfterTaking { pass, release, tell, end } = after;
            pass.into_iter().for_each(|message| this.pass(message));
            release.into_iter().for_each(|epoch| this.release(device, epoch, ctx));
            end.into_iter().for_each(|connection| this.end(device, connection));
            if let Some((holder, epoch)) = tell {
                this.tell(device, holder, epoch);
            }
        }));
    }

    /// Who had the device hears of it, if there is a way: otherwise with its next renewal.
    fn tell(&mut self, device: DeviceName, holder: Incarnation, epoch: Epoch) {
        let link = self.elsewhere.peers.links().into_iter().find(|link| link.run == holder);
        let (Some(link), Some(address)) = (link, self.rules.seen.address(device)) else { return };
        self.last_told += 1;
        let n = self.last_told;
        if self.told.len() >= TOLD_MAX {
            // Those who do not answer: a lease is waited for instead.
            self.told.clear();
        }
        if self.elsewhere.peers.send(link.life, Frame::Taken { n, device: address, epoch: epoch.0 }).is_ok() {
            self.told.insert((link.life, n), (device, epoch));
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = clock::monotonic();
        self.teller.again();
        if !self.renewing && self.renew_at <= now {
            self.renew(now, ctx);
        }
        if !self.keeping && self.keep_at <= now {
            self.keep(now, ctx);
        }
        if !self.sweeping && self.sweep_at <= now {
            self.sweep(now, ctx);
        }
    }

    fn renew(&mut self, now: Instant, ctx: &mut Context<Self>) {
        (self.renewing, self.renew_at) = (true, now + RENEW_EACH);
        let (claims, me, handled) = (Arc::clone(&self.claims), self.me(), std::mem::take(&mut self.handled));
        let renew = async move { claims.renew(me, &handled).await };
        ctx.spawn(renew.into_actor(self).map(move |renewed, this, ctx| {
            this.renewing = false;
            match renewed {
                Ok(renewed) => this.renewed(renewed, now),
                Err(error @ ClaimsError::Foreign { .. }) => tracing::error!(%error, "this node goes without claims"),
                Err(error) => tracing::debug!(%error, "the lease is not renewed"),
            }
            let unclaimed = this.elsewhere.change_owned().unclaimed(UNCLAIMED_MAX, clock::monotonic());
            unclaimed.into_iter().for_each(|(device, attempt)| this.take(device, attempt, true, ctx));
        }));
    }

    fn renewed(&mut self, Renewed { stamp, lost, more, young_for }: Renewed, sent: Instant) {
        self.handled.clone_from(&lost);
        lost.into_iter().for_each(|lost| self.lost(lost));
        let now = clock::monotonic();
        let mut owned = self.elsewhere.change_owned();
        if more {
            // The lease counts when everything that was lost is known.
            self.renew_at = now;
        } else {
            owned.renewed(stamp, young_for, sent, now);
        }
        if owned.is_in_doubt() {
            self.keep_at = now;
        }
    }

    /// Keeps all claims, in parts.
    fn keep(&mut self, now: Instant, ctx: &mut Context<Self>) {
        (self.keeping, self.keep_at) = (true, now + KEEP_EACH);
        let (claims, me, all) = (Arc::clone(&self.claims), self.me(), self.elsewhere.owned().claims());
        let keep = async move {
            let mut answers: Vec<(DeviceName, Epoch, Kept)> = Vec::with_capacity(all.len());
            for part in all.chunks(CLAIMS_MAX) {
                let kept = claims.keep(me, part).await?;
                answers.extend(part.iter().zip(kept).map(|((device, epoch), kept)| (*device, *epoch, kept)));
            }
            Ok::<_, ClaimsError>(answers)
        };
        ctx.spawn(keep.into_actor(self).map(move |answers, this, _| {
            this.keeping = false;
            let again_at = clock::monotonic() + RENEW_EACH;
            let Ok(answers) = answers else {
                this.keep_at = again_at;
                return;
            };
            for (device, epoch, kept) in answers {
                let mut owned = this.elsewhere.change_owned();
                let end = owned.kept(device, epoch, kept, now, clock::monotonic());
                this.rules.forget_gone(&owned, device);
                drop(owned);
                end.into_iter().for_each(|connection| this.end(device, connection));
            }
            let mut owned = this.elsewhere.change_owned();
            owned.round_kept(now);
            if owned.is_in_doubt() {
                this.keep_at = again_at;
            }
        }));
    }

    /// Asks the store for rows that nobody told this node of.
    fn sweep(&mut self, now: Instant, ctx: &mut Context<Self>) {
        (self.sweeping, self.sweep_at) = (true, now + SWEEP_EACH);
        let (store, parts) = (Arc::clone(&self.store), self.rules.seen.questions(CLAIMS_MAX));
        let sweep = async move {
            let mut found: Vec<Newer> = Vec::new();
            for part in parts {
                let after: Vec<(Address, Seq)> = part.into_iter().map(|(_, to, seq)| (to, seq)).collect();
                found.extend(store.newer(&after).await?);
            }
            Ok::<_, StoreError>(found)
        };
        ctx.spawn(sweep.into_actor(self).map(move |found, this, _| {
            this.sweeping = false;
            match found {
                Ok(found) => {
                    for Newer { to, last } in found {
                        this.rules.seen.found(this.elsewhere.name(to), last);
                        Elsewhere::wake(&this.routes, to);
                        this.elsewhere.metrics.swept_devices.one();
                    }
                    this.elsewhere.change_owned().swept(now);
                }
                Err(error) => tracing::debug!(%error, "the store was not swept: envelopes go through it until it is"),
            }
        }));
    }
}

impl Actor for DirectoryKeeper {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(WAITING_MESSAGES_MAX);
        self.tick(ctx);
        ctx.run_interval(TICK, Self::tick);
    }
    fn stopped(&mut self, _: &mut Self::Context) {
        end_node_after_panic("keeper of claims");
    }
}

impl Handler<AttachTo> for DirectoryKeeper {
    type Result = ();
    fn handle(&mut self, attach: AttachTo, ctx: &mut Self::Context) {
        let device = address(attach.account, attach.attach.device);
        let (name, connection) = (self.elsewhere.name(device), attach.attach.attachment.0);
        if let Some(way) = attach.attach.connection.way() {
            self.connections.insert(name, (connection, way.clone()));
        }
        let message = ToMailboxes::Attach(attach);
        let now = clock::monotonic();
        let (pass, attempt) =
            self.rules.attach(&mut self.elsewhere.change_owned(), (name, device), connection, message, now);
        pass.into_iter().for_each(|message| self.pass(message));
        attempt.into_iter().for_each(|attempt| self.take(name, attempt, false, ctx));
    }
}

impl Handler<LeaveTo> for DirectoryKeeper {
    type Result = ();
    fn handle(&mut self, left: LeaveTo, ctx: &mut Self::Context) {
        let (device, connection) = (address(left.account, left.left.device), left.left.attachment.0);
        self.left(device, connection, Some(ToMailboxes::Leave(left)), ctx);
    }
}

impl Handler<Departed> for DirectoryKeeper {
    type Result = ();
    fn handle(&mut self, Departed { device, attachment }: Departed, ctx: &mut Self::Context) {
        self.left(device, attachment.0, None, ctx);
    }
}

impl Handler<OfClaims> for DirectoryKeeper {
    type Result = ();
    fn handle(&mut self, news: OfClaims, _: &mut Self::Context) {
        match news {
            OfClaims::Taken { over, n, device, epoch } => {
                self.lost(Lost { device: self.elsewhere.name(device), epoch: Epoch(epoch) });
                // Whoever has claimed it waits for a lease when this does not come.
                let _gone = self.elsewhere.peers.send(over, Frame::TakenSeen { n });
            }
            OfClaims::TakenSeen { over, n } => {
                if let Some((device, epoch)) = self.told.remove(&(over.life, n)) {
                    let now = clock::monotonic();
                    self.elsewhere.change_owned().confirmed(device, epoch, over.run, now);
                    self.sweep_at = now;
                }
            }
            OfClaims::Broke(link) => self.told.retain(|(over, _), _| *over != link),
        }
    }
}
