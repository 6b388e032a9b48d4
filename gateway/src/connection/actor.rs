//! The `Connection` actor: one WebSocket.
//!
//! It runs while the socket takes what it writes, see [`SocketContext`]. What can pile up meanwhile is bounded by the credit
//! windows; `TCP_USER_TIMEOUT` ends the connection in the end.

mod requests;
mod sends;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext as _, AsyncContext as _, Handler, Recipient, StreamHandler};
use actix::{WrapFuture as _, fut::ActorFutureExt as _};
use actix_http::ws::{CloseCode, CloseReason, Message, ProtocolError};
use bytes::Bytes;
use endtoend_crypto_core::channel::RECORD_OVERHEAD;
use endtoend_protocol::{
    Address, Answer, ClientFrame, ClosingReason, DecodeError, DeliveryNumber, Refusal, RefusalCode, RequestId,
    RetryReason, ServerFrame, limits,
};
use rand::RngExt as _;
use tokio::sync::Semaphore;

use super::attachment::{Attachment, BadAck, Leave};
use super::chatter::Chatter;
use super::guests::GuestPlace;
use super::handshake::Stage;
use super::leaving::{GOODBYE_MAX, Leaving, PATIENCE, UnderWay};
use super::link::{Heard, Link};
use super::socket::SocketContext;
use crate::actors::reply;
use crate::clock;
use crate::course::Course;
use crate::directory::LeaveTo;
use crate::elsewhere::Departed;
use crate::limits::{ConnectionCells, Origin};
use crate::mailbox::{FromDevice, Push};
use crate::metrics::{Presence, Present, Step};
use crate::node::{Lifecycle, Node, come_back_after};
use crate::router::Lanes;
use crate::services::{Guest, Login, PasswordCheck, Standings};
use crate::sessions::{Notice, SessionId};

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
