//! The `Connection` actor: one WebSocket.
//!
//! It runs while the socket takes what it writes, see [`SocketContext`]. What can pile up meanwhile is bounded by the credit
//! windows; `TCP_USER_TIMEOUT` ends the connection in the end.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext as _, Arbiter, AsyncContext as _, Handler, Recipient, StreamHandler};
use actix::{WrapFuture as _, fut::ActorFutureExt as _};
use actix_http::ws::{CloseCode, CloseReason, Message, ProtocolError};
use bytes::Bytes;
use endtoend_crypto_core::channel::RECORD_OVERHEAD;
use endtoend_protocol::{
    AccountTag, Address, Answer, BlobRequest, ClientFrame, ClosingReason, DecodeError, DeliveryNumber, Envelope,
    EnvelopeId, Refusal, RefusalCode, RejectReason, Request, RequestId, RetryReason, ServerFrame, limits,
};
use endtoend_storage::{Relation, Standing, Tray};
use rand::RngExt as _;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::attachment::{Attachment, BadAck, Leave};
use super::chatter::Chatter;
use super::guests::GuestPlace;
use super::handshake::{self, Stage};
use super::leaving::{GOODBYE_MAX, Leaving, PATIENCE, UnderWay};
use super::link::{Heard, Link};
use super::names::{self, Taken};
use super::socket::SocketContext;
use crate::actors::reply;
use crate::clock;
use crate::course::{Course, Turn, is_to_come_again};
use crate::directory::{AttachTo, LeaveTo};
use crate::elsewhere::Departed;
use crate::letter::Letter;
use crate::limits::{ConnectionCells, Operation, Origin, Subject};
use crate::mailbox::{Attach, Caller, FromDevice, Push};
use crate::metrics::{Presence, Present, Step};
use crate::node::{Lifecycle, Node, come_back_after};
use crate::receipt::{Outcome, Receipt, SendSettled};
use crate::router::Lanes;
use crate::services::{Guest, Login, PasswordCheck, Standings};
use crate::sessions::{Notice, SessionId};

/// Requests of one connection that may wait for the store at one time.
const REQUESTS_MAX: usize = 4;

type Context = SocketContext<Connection>;

/// Something is at its bound that passes soon.
fn busy() -> Refusal {
    let retry_after_ms = NonZeroU64::new(super::retry_after_ms(RetryReason::Busy));
    Refusal { retry_after_ms, ..RefusalCode::Busy.into() }
}

/// Speaks with one client.
///
/// Owns the socket, the authentication state, the send window and the lanes; not the envelopes, which it hands to the
/// [`Router`](crate::router::Router) and gets from a mailbox. Never touches the store for messages. Busy: sends beyond
/// the window get `Retry`. Restart: none, the client connects again.
pub(super) struct Connection {
    node: Arc<Node>,
    /// Its name in the log.
    number: u64,
    presence: Presence,
    link: Link,
    introduction: Vec<Vec<u8>>,
    /// `None` while a step of the handshake has it, and after the login.
    guest: Option<Guest>,
    /// Until the login.
    place: Option<GuestPlace<Recipient<Notice>>>,
    stage: Stage,
    session: Option<SessionId>,
    /// Between the steps of a proof of the password.
    password_check: Option<PasswordCheck>,
    standings: Standings,
    attachment: Attachment<Recipient<FromDevice>>,
    send_window: Arc<Semaphore>,
    lanes: Lanes,
    /// `Send`s that it has heard.
    sends: u64,
    /// Refused ones that its client was told to send again.
    retries: u64,
    /// How many of those it has heard of; `None`, and no course, of a client that does not say so.
    heard: Option<(u64, Arc<Course>)>,
    requests: usize,
    cells: ConnectionCells,
    refusals: u32,
    chatter: Chatter,
    leaving: Leaving,
    heard_at: Instant,
}

impl Connection {
    pub(super) fn new(node: Arc<Node>, origin: Origin) -> Self {
        let (link, introduction) = Link::new(node.identity.introduced());
        let cells = node.services.limits.connection_cells();
        Self {
            number: node.next_connection(),
            presence: Presence::new(&node.metrics),
            node,
            link,
            introduction,
            guest: Some(Guest::new(origin)),
            place: None,
            stage: Stage::Connected,
            session: None,
            password_check: None,
            standings: Standings::default(),
            attachment: Attachment::Never,
            send_window: Arc::new(Semaphore::new(limits::SEND_WINDOW as usize)),
            lanes: Lanes::default(),
            sends: 0,
            retries: 0,
            heard: None,
            requests: 0,
            cells,
            refusals: 0,
            chatter: Chatter::new(clock::monotonic()),
            leaving: Leaving::No,
            heard_at: clock::monotonic(),
        }
    }

    fn say(&mut self, frame: &ServerFrame, ctx: &mut Context) {
        if self.leaving == Leaving::Gone {
            return;
        }
        let (frame, now) = (frame.prepare(), clock::monotonic());
        let said = ctx.binary_in_place(frame.bytes() + RECORD_OVERHEAD, |out| {
            let start = out.len();
            frame.write(out);
            self.link.seal(out, start, now)
        });
        if !said {
            // Only a channel that never was is left with the WebSocket's own words.
            tracing::debug!(connection = self.number, "nothing is said without a channel");
        }
    }

    fn hear(&mut self, message: &[u8], ctx: &mut Context) {
        if self.leaving == Leaving::Gone {
            return;
        }
        match self.link.hear(message, &mut rand::rng(), clock::monotonic()) {
            Ok(Heard::Part) => {}
            Ok(Heard::Opened { answer, binding }) => {
                self.node.metrics.step(Step::Channel, true);
                if let Some(guest) = &mut self.guest {
                    guest.channel_binding = binding;
                }
                answer.into_iter().for_each(|chunk| ctx.binary(&chunk));
                self.go_if_settled(ctx);
            }
            Ok(Heard::Frame(frame)) => self.frame(frame, ctx),
            Err(error) => {
                tracing::debug!(connection = self.number, %error, "the secure channel is broken");
                if matches!(self.link, Link::Failed(_)) {
                    self.node.metrics.step(Step::Channel, false);
                }
                self.close(ClosingReason::ChannelBroken, ctx);
            }
        }
    }

    fn refuse(&mut self, id: Option<RequestId>, refusal: impl Into<Refusal>, ctx: &mut Context) {
        let refusal = refusal.into();
        self.node.metrics.refused(refusal.code);
        self.say(&ServerFrame::Refused { id, refusal }, ctx);
        self.refusals += 1;
        if self.refusals >= limits::REFUSALS_MAX {
            self.close(ClosingReason::TooManyErrors, ctx);
        }
    }

    /// It said something that asks for nothing; `false` when that was too much.
    fn bears(&mut self, ctx: &mut Context) -> bool {
        let bears = self.chatter.allows(clock::monotonic());
        if !bears && self.leaving != Leaving::Gone {
            self.close(ClosingReason::TooManyErrors, ctx);
        }
        bears
    }

    fn answer(&mut self, id: RequestId, answer: Result<Answer, Refusal>, ctx: &mut Context) {
        let (connection, request) = (self.number, id.0.get());
        match answer {
            Ok(answer) => {
                tracing::debug!(connection, request, "answered");
                self.say(&ServerFrame::Answer { id, answer }, ctx);
            }
            Err(refusal) => {
                tracing::debug!(connection, request, code = %refusal.code, "refused");
                self.refuse(Some(id), refusal, ctx);
            }
        }
    }

    fn close(&mut self, reason: ClosingReason, ctx: &mut Context) {
        self.say_goodbye(reason, Duration::ZERO, ctx);
        ctx.stop();
    }

    /// The last frame, and the WebSocket's own.
    fn say_goodbye(&mut self, reason: ClosingReason, come_back_after: Duration, ctx: &mut Context) {
        tracing::debug!(connection = self.number, %reason, "closing");
        self.node.metrics.closings.one(reason);
        let after_ms = u64::try_from(come_back_after.as_millis()).unwrap_or(u64::MAX);
        self.say(&ServerFrame::Closing { reason, after_ms }, ctx);
        self.leaving = Leaving::Gone;
        let code = match reason {
            ClosingReason::Malformed => CloseCode::Unsupported,
            ClosingReason::TooLarge => CloseCode::Size,
            ClosingReason::TooSlow
            | ClosingReason::TooManyErrors
            | ClosingReason::Replaced
            | ClosingReason::Removed
            | ClosingReason::ChannelBroken => CloseCode::Policy,
            ClosingReason::ShuttingDown => CloseCode::Restart,
        };
        ctx.close(Some(CloseReason { code, description: Some(reason.as_str().to_owned()) }));
    }

    /// The node drains: what is under way is settled before the goodbye.
    fn leave(&mut self, lifecycle: Lifecycle, ctx: &mut Context) {
        let come_back_after = come_back_after(lifecycle.spread().unwrap_or_default(), rand::rng().random());
        match lifecycle {
            Lifecycle::Draining { .. } if self.leaving == Leaving::No => {
                self.leaving = Leaving::Since { at: clock::monotonic(), come_back_after };
                ctx.run_later(PATIENCE, Self::go_if_settled);
                self.go_if_settled(ctx);
            }
            Lifecycle::Draining { .. } | Lifecycle::Closed { .. } => self.go(come_back_after, ctx),
            Lifecycle::Accepting => {}
        }
    }

    fn go_if_settled(&mut self, ctx: &mut Context) {
        let client = self.attachment.is_waiting() || self.link.is_opening();
        let under_way = UnderWay { sends: self.lanes.unanswered(), requests: self.requests, client };
        if let Some(come_back_after) = self.leaving.may_go(under_way, clock::monotonic()) {
            self.go(come_back_after, ctx);
        }
    }

    /// Says goodbye, and stays until the client has gone, so that it hears it.
    fn go(&mut self, come_back_after: Duration, ctx: &mut Context) {
        if self.leaving != Leaving::Gone {
            self.say_goodbye(ClosingReason::ShuttingDown, come_back_after, ctx);
            ctx.run_later(GOODBYE_MAX, |_, ctx| ctx.stop());
        }
    }

    fn frame(&mut self, bytes: Bytes, ctx: &mut Context) {
        match ClientFrame::decode(bytes) {
            Ok(ClientFrame::Request { id, request }) => self.request(id, request, ctx),
            Ok(ClientFrame::Send(envelope)) => self.send(envelope, ctx),
            Ok(ClientFrame::Ack { up_to }) => self.acknowledge(up_to, ctx),
            Ok(ClientFrame::RetriesHeard { count }) => self.retries_heard(count, ctx),
            Err(DecodeError::TooLarge { .. }) => self.close(ClosingReason::TooLarge, ctx),
            Err(DecodeError::Malformed) => self.close(ClosingReason::Malformed, ctx),
            Err(DecodeError::Unsupported { id }) => self.refuse(id, RefusalCode::Unsupported, ctx),
            Err(DecodeError::Invalid { id, field }) => {
                tracing::debug!(connection = self.number, field, "refusing a frame");
                self.refuse(id, RefusalCode::Invalid, ctx);
            }
        }
    }

    fn request(&mut self, id: RequestId, request: Request, ctx: &mut Context) {
        self.node.metrics.requests.one();
        tracing::debug!(connection = self.number, request = id.0.get(), what = names::name(&request), "asked");
        // Parts of attachments have a limit of their own.
        let is_part = matches!(request, Request::Blob(BlobRequest::Put { .. } | BlobRequest::Fetch { .. }));
        if !is_part && let Err(too_many) = self.node.services.limits.check_connection(&self.cells) {
            return self.refuse(Some(id), too_many, ctx);
        }
        let Some(login) = self.stage.login() else { return self.handshake(id, request, ctx) };
        let (node, account, now) = (Arc::clone(&self.node), login.device.account, clock::now());
        match request {
            Request::Attach => self.attach(id, login.device, ctx),
            Request::PublishKeys(keys) => {
                self.ask(id, async move { node.services.publish_keys(login.device, *keys).await }, ctx);
            }
            Request::FetchIdentity { account } => {
                self.ask(id, async move { node.services.identity(login, account).await }, ctx);
            }
            Request::FetchBundles { account } => {
                self.ask(id, async move { node.services.bundles(login, account).await }, ctx);
            }
            Request::Evaluate { blinded } => {
                self.ask_first(id, async move { node.services.evaluate_for(account, blinded).await }, ctx);
            }
            Request::FetchDevices => self.ask(id, async move { node.services.devices(account).await }, ctx),
            Request::RenameDevice { device, name } => {
                self.ask(id, async move { node.services.rename_device(login, device, name).await }, ctx);
            }
            Request::RemoveDevice { device } if device == login.device.device => {
                self.ask_last(id, async move { node.services.remove_device(login, device, now).await }, ctx);
            }
            Request::RemoveDevice { device } => {
                self.ask(id, async move { node.services.remove_device(login, device, now).await }, ctx);
            }
            Request::FetchOffer { link } => {
                self.ask(id, async move { node.services.link_offer(login, link, now).await }, ctx);
            }
            Request::AnswerLink { link, sealed, secret_hash } => {
                let answer = async move { node.services.answer_link(login, link, sealed, secret_hash, now).await };
                self.ask(id, answer, ctx);
            }
            Request::SetRelation { account, relation } => {
                self.ask(id, async move { node.services.set_relation(login, account, relation).await }, ctx);
            }
            Request::SetBackup(backup) => {
                self.ask(id, async move { node.services.set_backup(account, backup).await }, ctx);
            }
            // In their order, and one in memory at a time.
            Request::Blob(request) => {
                self.ask_first(id, async move { node.services.blob(login, request, now).await }, ctx);
            }
            Request::Logout { everywhere } => {
                self.ask_last(id, async move { node.services.logout(login, everywhere, now).await }, ctx);
            }
            Request::PasswordStart { opaque, registration } => {
                self.password_start(id, login, opaque, registration, ctx);
            }
            Request::PasswordFinish { opaque, record } => match self.password_check.take() {
                None => self.refuse(Some(id), RefusalCode::OutOfOrder, ctx),
                Some(check) => {
                    let deletes = record.is_none();
                    let answer = async move { node.services.password_finish(login, check, &opaque, record, now).await };
                    if deletes { self.ask_last(id, answer, ctx) } else { self.ask(id, answer, ctx) }
                }
            },
            request => {
                debug_assert!(!handshake::is_for_devices(&request), "{request:?} has no answer");
                self.refuse(Some(id), RefusalCode::OutOfOrder, ctx);
            }
        }
    }

    /// What a request does, counted while it lasts. Whatever is logged meanwhile says of whom it is.
    fn work<T, W: Future<Output = T>>(&self, id: RequestId, work: W) -> impl Future<Output = T> + use<T, W> {
        let under_way = self.node.metrics.request_under_way();
        let span = tracing::info_span!("request", connection = self.number, request = id.0.get());
        let work = async move {
            let done = work.await;
            drop(under_way);
            done
        };
        work.instrument(span)
    }

    /// The steps of the handshake happen one after the other: nothing else is read meanwhile.
    fn handshake(&mut self, id: RequestId, request: Request, ctx: &mut Context) {
        let Some(mut guest) = self.guest.take() else { return self.refuse(Some(id), RefusalCode::OutOfOrder, ctx) };
        let (node, notice) = (Arc::clone(&self.node), ctx.address().recipient());
        let stage = std::mem::replace(&mut self.stage, Stage::Greeted);
        let taken = names::step(&request);
        let step = self.work(id, async move {
            let now = clock::now();
            let (stage, answer) = handshake::step(stage, request, &node.services, &mut guest, now).await;
            let Some(login) = stage.login() else { return (stage, None, answer, Some(guest)) };
            match node.services.enter(login, guest.origin, notice, now).await {
                Ok(session) => (stage, Some(session), answer, None),
                Err(refusal) => (Stage::Greeted, None, Err(refusal), Some(guest)),
            }
        });
        ctx.wait(step.into_actor(self).map(move |(stage, session, answer, guest), this, ctx| {
            let (metrics, done) = (&this.node.metrics, answer.is_ok());
            if let Some(Taken { step, is_last }) = taken
                && (is_last || !done)
            {
                metrics.step(step, done);
            }
            if stage.login().is_some() {
                this.presence.is_now(Present::Authenticated, metrics);
            }
            this.stage = stage;
            this.session = session;
            this.guest = guest;
            if this.session.is_some() {
                this.place = None;
            }
            this.answer(id, answer, ctx);
        }));
    }

    fn password_start(
        &mut self,
        id: RequestId,
        login: Login,
        opaque: Bytes,
        registration: Option<Bytes>,
        ctx: &mut Context,
    ) {
        let node = Arc::clone(&self.node);
        let now = clock::now();
        let start = async move { node.services.password_start(login, &opaque, registration, now).await };
        ctx.wait(self.work(id, start).into_actor(self).map(move |started, this, ctx| {
            let (check, answer) =
                started.map_or_else(|refusal| (None, Err(refusal)), |(check, answer)| (Some(check), Ok(answer)));
            this.password_check = check;
            this.answer(id, answer, ctx);
        }));
    }

    /// A request after which the connection speaks for nobody: nothing else is read meanwhile.
    fn ask_last(
        &mut self,
        id: RequestId,
        answer: impl Future<Output = Result<Answer, Refusal>> + 'static,
        ctx: &mut Context,
    ) {
        ctx.wait(self.work(id, answer).into_actor(self).map(move |answer, this, ctx| {
            let done = answer.is_ok();
            this.answer(id, answer, ctx);
            if done {
                this.close(ClosingReason::Removed, ctx);
            }
        }));
    }

    /// A request that is answered before anything else is read, so that any number may follow each other.
    fn ask_first(
        &mut self,
        id: RequestId,
        answer: impl Future<Output = Result<Answer, Refusal>> + 'static,
        ctx: &mut Context,
    ) {
        ctx.wait(self.work(id, answer).into_actor(self).map(move |answer, this, ctx| this.answer(id, answer, ctx)));
    }

    /// Any other request waits beside the rest, a few at a time.
    fn ask(
        &mut self,
        id: RequestId,
        answer: impl Future<Output = Result<Answer, Refusal>> + 'static,
        ctx: &mut Context,
    ) {
        if self.requests >= REQUESTS_MAX {
            return self.refuse(Some(id), busy(), ctx);
        }
        self.requests += 1;
        ctx.spawn(self.work(id, answer).into_actor(self).map(move |answer, this, ctx| {
            this.requests -= 1;
            this.answer(id, answer, ctx);
            this.go_if_settled(ctx);
        }));
    }

    fn attach(&mut self, id: RequestId, device: Address, ctx: &mut Context) {
        if !self.attachment.may_ask() {
            return self.refuse(Some(id), RefusalCode::OutOfOrder, ctx);
        }
        if self.leaving.is_asked() {
            return self.refuse(Some(id), RefusalCode::Busy, ctx);
        }
        // Connections run on arbiters and nowhere else.
        let Some(thread) = Arbiter::try_current() else { return self.refuse(Some(id), busy(), ctx) };
        let attachment = self.node.next_attachment();
        let connection = Caller::new(ctx.address().recipient());
        let attach = Attach { device: device.device, attachment, connection };
        match self.node.directory.try_send(AttachTo { account: device.account, attach, thread }) {
            Ok(()) => self.attachment = Attachment::Asked(attachment, id),
            Err(full) => {
                // It is told here, and may ask again.
                full.into_inner().attach.connection.heard();
                self.refuse(Some(id), busy(), ctx);
            }
        }
    }

    fn send(&mut self, envelope: Envelope, ctx: &mut Context) {
        let Some(login) = self.stage.login() else { return self.refuse(None, RefusalCode::NotAuthenticated, ctx) };
        self.node.metrics.sends.one();
        let (sender, recipient, arrived) = (login.device.account, envelope.to.account, self.heard_at);
        self.sends += 1;
        let (id, to, turn) = (envelope.id, envelope.to, self.turn());
        if self.leaving.is_asked() {
            return self.refuse_send((id, to), Outcome::Retry(RetryReason::ShuttingDown), arrived, ctx);
        }
        let under_way = |to, from| self.lanes.is_under_way(to, from);
        if self.heard.as_ref().is_some_and(|(heard, course)| !course.lets_in(to, *heard, under_way)) {
            return self.refuse_send((id, to), Outcome::Retry(RetryReason::Busy), arrived, ctx);
        }
        let Ok(place) = Arc::clone(&self.send_window).try_acquire_owned() else {
            if self.bears(ctx) {
                self.refuse_send((id, to), Outcome::Retry(RetryReason::Window), arrived, ctx);
            }
            return;
        };
        let Some(memory) = self.node.memory.take(&envelope) else {
            return self.refuse_send((id, to), Outcome::Retry(RetryReason::Busy), arrived, ctx);
        };
        if let Err(too_many) = self.node.services.limits.check_here(Operation::Send, Subject::Account(sender)) {
            return self.refuse_send((id, to), too_many.into(), arrived, ctx);
        }
        let receipt = Receipt::new((id, to, turn), ctx.address().recipient(), place, memory, arrived);
        let (changes, now) = (self.node.services.changes(), arrived);
        if let Some(standing) = self.standings.get(recipient, changes, now) {
            return self.send_to(sender, standing, envelope, receipt, ctx);
        }
        // Nothing else is read until it is known: the order stays.
        let node = Arc::clone(&self.node);
        let ask = async move { node.services.standing(recipient, sender).await };
        ctx.wait(ask.into_actor(self).map(move |standing, this, ctx| match standing {
            Ok(standing) => {
                this.standings.put(recipient, standing, changes, now);
                this.send_to(sender, standing, envelope, receipt, ctx);
            }
            Err(_) => receipt.settle(Outcome::Retry(RetryReason::Unavailable)),
        }));
    }

    /// Blocked senders are not heard, and not told.
    fn send_to(
        &mut self,
        sender: AccountTag,
        standing: Option<Standing>,
        envelope: Envelope,
        receipt: Receipt,
        ctx: &mut Context,
    ) {
        let (recipient, now) = (envelope.to.account, clock::now());
        let Some(standing) = standing else {
            return receipt.settle(Outcome::Rejected(RejectReason::UnknownRecipient));
        };
        if standing.devices_version != envelope.devices_version {
            return receipt.settle(Outcome::Retry(RetryReason::Devices));
        }
        let relation = if sender == recipient { Some(Relation::Accepted) } else { standing.relation };
        let (n, turn) = (self.sends, self.turn());
        let letter = |tray| Letter { envelope, accepted_at: now, tray, turn };
        match relation {
            Some(Relation::Blocked) => receipt.settle(Outcome::Accepted { at: now }),
            Some(Relation::Accepted) => self.node.router.route(n, letter(Tray::Contacts), receipt, &mut self.lanes),
            None => {
                let first = self.standings.is_first_request(recipient);
                let (node, letter) = (Arc::clone(&self.node), letter(Tray::Requests));
                // Nothing else is read until it is known: the order stays.
                let ask = async move { node.services.may_request(recipient, sender, first).await };
                ctx.wait(ask.into_actor(self).map(move |allowed, this, _| match allowed {
                    Ok(()) => this.node.router.route(n, letter, receipt, &mut this.lanes),
                    Err(too_many) => receipt.settle(too_many.into()),
                }));
            }
        }
    }

    /// Where the envelope stands that was heard last.
    fn turn(&self) -> Option<Turn> {
        self.heard.as_ref().map(|(_, course)| Turn::new(Arc::clone(course), self.sends))
    }

    /// Its client has heard so many of the `Retry`s of this connection, and sends in order from here on.
    fn retries_heard(&mut self, count: u64, ctx: &mut Context) {
        if self.stage.login().is_none() {
            return self.refuse(None, RefusalCode::NotAuthenticated, ctx);
        }
        if self.bears(ctx) {
            let told = self.retries;
            self.heard.get_or_insert_with(|| (0, Arc::new(Course::after(told)))).0 = count;
        }
    }

    /// A refusal at the door: what was sent after it is to come after it.
    fn refuse_send(&mut self, (id, to): (EnvelopeId, Address), outcome: Outcome, arrived: Instant, ctx: &mut Context) {
        if let Some((_, course)) = &self.heard {
            course.refuse(to, self.sends);
        }
        self.settled((id, to), outcome, false, arrived, ctx);
    }

    fn settled(
        &mut self,
        (id, to): (EnvelopeId, Address),
        outcome: Outcome,
        by_receipt: bool,
        arrived: Instant,
        ctx: &mut Context,
    ) {
        if let Outcome::Retry(_) | Outcome::Superseded | Outcome::Limited { .. } = outcome {
            self.retries += 1;
            if let Some((_, course)) = &self.heard {
                course.tell(to, by_receipt && is_to_come_again(outcome));
            }
        }
        let after = clock::monotonic().saturating_duration_since(arrived);
        self.node.metrics.answered(outcome, after);
        let frame = match outcome {
            Outcome::Accepted { at } => ServerFrame::Accepted { id, at },
            Outcome::Retry(reason) => ServerFrame::Retry { id, after_ms: super::retry_after_ms(reason), reason },
            Outcome::Superseded => {
                let reason = RetryReason::Busy;
                ServerFrame::Retry { id, after_ms: super::retry_after_ms(reason), reason }
            }
            Outcome::Limited { retry_after } => {
                let after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).max(1);
                ServerFrame::Retry { id, after_ms, reason: RetryReason::Rate }
            }
            Outcome::Rejected(reason) => ServerFrame::Rejected { id, reason },
        };
        self.say(&frame, ctx);
    }

    fn acknowledge(&mut self, up_to: DeliveryNumber, ctx: &mut Context) {
        let Some(Login { device: Address { device, .. }, .. }) = self.stage.login() else {
            return self.refuse(None, RefusalCode::NotAuthenticated, ctx);
        };
        let before = self.attachment.acknowledged();
        match self.attachment.acknowledge(device, up_to) {
            Ok(None) => {
                self.bears(ctx);
            }
            Ok(Some((mailbox, acknowledged))) => {
                self.node.metrics.acknowledged.add(up_to.0.saturating_sub(before.0));
                reply(mailbox, acknowledged);
                self.go_if_settled(ctx);
            }
            Err(BadAck::NotDelivered) => self.refuse(None, RefusalCode::Invalid, ctx),
            Err(BadAck::OutOfOrder) => self.refuse(None, RefusalCode::OutOfOrder, ctx),
        }
    }

    fn watch_deadlines(&self, ctx: &mut Context) {
        ctx.run_later(limits::HELLO_DEADLINE, |this, ctx| {
            if matches!(this.stage, Stage::Connected) {
                this.close(ClosingReason::TooSlow, ctx);
            }
        });
        ctx.run_later(limits::HELLO_DEADLINE + limits::LOGIN_DEADLINE, |this, ctx| {
            if this.stage.login().is_none() {
                this.close(ClosingReason::TooSlow, ctx);
            }
        });
        ctx.run_interval(limits::PING_INTERVAL, |this, ctx| {
            if clock::monotonic().saturating_duration_since(this.heard_at) > limits::IDLE_MAX {
                this.close(ClosingReason::TooSlow, ctx);
            } else {
                ctx.ping();
            }
        });
        let mut lifecycle = self.node.watch_lifecycle();
        // A node that is gone is one that has closed, and this connection with it.
        let stops = async move { lifecycle.wait_for(|now| !now.is_accepting()).await.map(|now| *now) };
        ctx.spawn(stops.into_actor(self).map(|now, this, ctx| {
            if let Ok(now) = now {
                this.leave(now, ctx);
            }
            let mut lifecycle = this.node.watch_lifecycle();
            let closes =
                async move { lifecycle.wait_for(|now| matches!(now, Lifecycle::Closed { .. })).await.map(|now| *now) };
            ctx.spawn(closes.into_actor(this).map(|now, this, ctx| {
                if let Ok(now) = now {
                    this.leave(now, ctx);
                }
            }));
        }));
    }
}

impl Actor for Connection {
    type Context = Context;
    fn started(&mut self, ctx: &mut Self::Context) {
        std::mem::take(&mut self.introduction).into_iter().for_each(|chunk| ctx.binary(&chunk));
        self.watch_deadlines(ctx);
        let (place, goes) = self.node.guests.enter(ctx.address().recipient());
        self.place = Some(place);
        if let Some(oldest) = goes {
            reply(&oldest, Notice::Crowded);
        }
    }
    fn stopped(&mut self, _: &mut Self::Context) {
        let Some(Login { device: Address { account, device }, .. }) = self.stage.login() else { return };
        if let Some(session) = self.session {
            self.node.services.sessions.leave(account, session);
        }
        match std::mem::replace(&mut self.attachment, Attachment::Never).left(device) {
            None => {}
            Some(Leave::Directory(left)) => reply(&self.node.leave, LeaveTo { account, left }),
            Some(Leave::Mailbox(mailbox, left)) => {
                let attachment = left.attachment;
                reply(&mailbox, left);
                if let Some(departed) = &self.node.departed {
                    reply(departed, Departed { device: Address { account, device }, attachment });
                }
            }
        }
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for Connection {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        self.heard_at = clock::monotonic();
        match message {
            Ok(Message::Binary(bytes)) => self.hear(&bytes, ctx),
            Ok(Message::Ping(payload)) => {
                if self.bears(ctx) {
                    ctx.pong(payload);
                }
            }
            Ok(Message::Pong(_)) => {
                self.bears(ctx);
            }
            Ok(Message::Nop) => {}
            Ok(Message::Close(_)) => {
                ctx.close(None);
                ctx.stop();
            }
            // One frame is one unfragmented binary message: nothing has to be collected.
            Ok(Message::Text(_) | Message::Continuation(_)) => self.close(ClosingReason::Malformed, ctx),
            Err(ProtocolError::Overflow) => self.close(ClosingReason::TooLarge, ctx),
            Err(error) => {
                tracing::debug!(connection = self.number, %error, "socket failed");
                self.close(ClosingReason::Malformed, ctx);
            }
        }
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<SendSettled> for Connection {
    type Result = ();
    fn handle(&mut self, SendSettled { id, to, outcome, arrived, .. }: SendSettled, ctx: &mut Self::Context) {
        self.lanes.settled(id);
        self.settled((id, to), outcome, true, arrived, ctx);
        self.go_if_settled(ctx);
    }
}

impl Handler<Notice> for Connection {
    type Result = ();
    fn handle(&mut self, notice: Notice, ctx: &mut Self::Context) {
        match notice {
            Notice::DevicesChanged { version } => self.say(&ServerFrame::DevicesChanged { version }, ctx),
            Notice::Removed => self.close(ClosingReason::Removed, ctx),
            // It may have logged in meanwhile.
            Notice::Crowded if self.session.is_none() => self.close(ClosingReason::TooSlow, ctx),
            Notice::Crowded => {}
        }
    }
}

impl Handler<Push> for Connection {
    type Result = ();
    fn handle(&mut self, push: Push, ctx: &mut Self::Context) {
        match push {
            Push::Attached { attachment, mailbox } => {
                if let Some(id) = self.attachment.attached(attachment, mailbox) {
                    self.presence.is_now(Present::Attached, &self.node.metrics);
                    self.answer(id, Ok(Answer::Attached), ctx);
                }
            }
            Push::Deliver(deliveries) => {
                self.node.metrics.delivered.add(deliveries.len() as u64);
                if let Some(last) = deliveries.last() {
                    self.attachment.delivered(last.delivery);
                }
                for deliver in deliveries {
                    self.say(&ServerFrame::Deliver(deliver), ctx);
                }
            }
            Push::Replaced => self.close(ClosingReason::Replaced, ctx),
            // It starts again from the store, at once.
            Push::Detached => self.go(Duration::ZERO, ctx),
        }
    }
}
