//! What is asked of the server on a live connection, and until when it has to answer.

use std::num::NonZeroU64;
use std::time::Duration;

use endtoend_crypto_core::oprf::Blinding;
use endtoend_protocol::{AccountTag, ClientFrame, Request, RequestId, UnixMillis};

use super::lookup::Question;
use super::online::{Asked, Online};
use crate::clock::{self, Instant};
use crate::handle::Handle;
use crate::transport::LinkError;

/// A request without an answer this long means that the connection is dead; on a wire, see [`Pace`](crate::transport::Pace).
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

impl Online {
    pub(super) async fn ask(&mut self, asked: Asked, request: Request) -> Result<RequestId, LinkError> {
        self.last_request = self.last_request.saturating_add(1);
        let id = RequestId(NonZeroU64::MIN.saturating_add(self.last_request));
        self.asked.insert(id, (asked, clock::monotonic() + self.pace.answer(ANSWER_DEADLINE)));
        self.sender.send(&ClientFrame::Request { id, request }).await?;
        Ok(id)
    }

    /// Asks for the account of a handle, which the server does not learn.
    pub(super) async fn look_up(&mut self, handle: Handle) -> Result<(), LinkError> {
        let Ok((blinding, blinded)) = Blinding::start(&mut rand::rng(), &handle) else { return Ok(()) };
        let id = self.ask(Asked::Lookup, Request::Evaluate { blinded }).await?;
        self.questions.insert(id, Question { handle, blinding });
        Ok(())
    }

    /// The time by which keys are judged; `None` while it is not certain.
    pub(super) fn agreed_time(&self) -> Option<UnixMillis> {
        self.time.check(clock::now(), clock::monotonic())
    }

    /// Asks for the keys of an account, unless that is under way.
    pub(super) async fn fetch(&mut self, account: AccountTag) -> Result<(), LinkError> {
        if self.fetching.insert(account) {
            self.ask(Asked::Bundles(account), Request::FetchBundles { account }).await?;
        }
        Ok(())
    }

    /// Asks who an account is, unless that is under way.
    pub(super) async fn identify(&mut self, account: AccountTag) -> Result<(), LinkError> {
        if self.identifying.insert(account) {
            self.ask(Asked::Identity(account), Request::FetchIdentity { account }).await?;
        }
        Ok(())
    }

    /// When the oldest request has waited too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.values().map(|(_, deadline)| *deadline).min()
    }
}
