//! What a client asks for, and how it waits for its answer.

use std::sync::Arc;

use actix::{Arbiter, AsyncContext as _, WrapFuture as _, fut::ActorFutureExt as _};
use bytes::Bytes;
use endtoend_protocol::{Address, Answer, BlobRequest, ClosingReason, Refusal, RefusalCode, Request, RequestId};
use tracing::Instrument as _;

use super::super::attachment::Attachment;
use super::super::handshake::{self, Stage};
use super::super::names::{self, Taken};
use super::{Connection, Context, busy};
use crate::clock;
use crate::directory::AttachTo;
use crate::mailbox::{Attach, Caller};
use crate::metrics::Present;
use crate::services::Login;

/// Requests of one connection that may wait for the store at one time.
const REQUESTS_MAX: usize = 4;

impl Connection {
    pub(super) fn request(&mut self, id: RequestId, request: Request, ctx: &mut Context) {
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
}
