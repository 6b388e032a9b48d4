//! What the owner asks of the server about the account itself: one thing at a time, on a live connection.

use std::collections::VecDeque;

use bytes::Bytes;
use endtoend_crypto_core::opaque::{ClientLogin, ClientRegistration};
use endtoend_protocol::{Answer, DeviceId, ListedDevice, RefusalCode, Request};
use zeroize::Zeroizing;

use super::command::Reply;
use super::event::OfflineReason;
use crate::database::DatabaseError;

/// Questions that may wait for a connection.
const WAITING_MAX: usize = 16;

/// What the owner asks. `Debug` shows no password.
pub enum AccountRequest {
    /// The list of devices.
    Devices,
    /// Remove a device, this one or another.
    RemoveDevice(DeviceId),
    /// End the tokens of this device, or of all.
    Logout {
        /// Of all.
        everywhere: bool,
    },
    /// Another password. Other devices are logged out.
    ChangePassword {
        /// The present one.
        old: Zeroizing<String>,
        /// The one to come.
        new: Zeroizing<String>,
    },
    /// The end of the account.
    Delete {
        /// The present one.
        password: Zeroizing<String>,
    },
}

impl std::fmt::Debug for AccountRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Devices => f.write_str("Devices"),
            Self::RemoveDevice(device) => write!(f, "RemoveDevice({device})"),
            Self::Logout { everywhere } => write!(f, "Logout(everywhere: {everywhere})"),
            Self::ChangePassword { .. } => f.write_str("ChangePassword"),
            Self::Delete { .. } => f.write_str("Delete"),
        }
    }
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountAnswer {
    /// It is done.
    Done,
    /// All devices, in the order of their numbers.
    Devices(Vec<ListedDevice>),
}

/// Why it was not done, or not surely.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Register first.
    #[error("this profile has no account yet")]
    NotRegistered,
    /// Too many questions wait.
    #[error("too many requests wait for the connection")]
    Busy,
    /// The server said no.
    #[error("the server refused: {0}")]
    Refused(RefusalCode),
    /// The connection ended before the answer: it may be done all the same.
    #[error("there was no answer: {0}")]
    Unanswered(OfflineReason),
    /// The profile could not be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped")]
    Stopped,
}

pub(super) type Asker = Reply<Result<AccountAnswer, RequestError>>;

/// A proof of the password that is under way.
struct Proof {
    login: ClientLogin,
    password: Zeroizing<String>,
    registration: Option<(ClientRegistration, Zeroizing<String>)>,
}

/// The questions that wait, and the one that is asked.
#[derive(Default)]
pub(super) struct Requests {
    waiting: VecDeque<(AccountRequest, Asker)>,
    asked: Option<(Option<Proof>, Asker)>,
}

impl Requests {
    pub(super) fn push(&mut self, request: AccountRequest, asker: Asker) {
        if self.waiting.len() >= WAITING_MAX {
            let _gone = asker.send(Err(RequestError::Busy));
        } else {
            self.waiting.push_back((request, asker));
        }
    }

    /// What to ask next, if nothing is asked.
    pub(super) fn next(&mut self) -> Option<Request> {
        if self.asked.is_some() {
            return None;
        }
        let (request, asker) = self.waiting.pop_front()?;
        let (proof, request) = match request {
            AccountRequest::Devices => (None, Request::FetchDevices),
            AccountRequest::RemoveDevice(device) => (None, Request::RemoveDevice { device }),
            AccountRequest::Logout { everywhere } => (None, Request::Logout { everywhere }),
            AccountRequest::ChangePassword { old, new } => prove(old, Some(new))?,
            AccountRequest::Delete { password } => prove(password, None)?,
        };
        self.asked = Some((proof, asker));
        Some(request)
    }

    /// The server has answered; gives what to ask as the second step.
    pub(super) fn answered(&mut self, answer: Answer) -> Option<Request> {
        let (proof, asker) = self.asked.take()?;
        let result = match (proof, answer) {
            (Some(proof), Answer::PasswordChallenge { opaque, registration }) => {
                match finish(proof, &opaque, registration) {
                    Some(request) => {
                        self.asked = Some((None, asker));
                        return Some(request);
                    }
                    // The answer does not fit the password.
                    None => Err(RequestError::Refused(RefusalCode::BadCredentials)),
                }
            }
            (None, Answer::Done) => Ok(AccountAnswer::Done),
            (None, Answer::Devices { devices, .. }) => Ok(AccountAnswer::Devices(devices)),
            _ => Err(RequestError::Unanswered(OfflineReason::Protocol)),
        };
        let _gone = asker.send(result);
        None
    }

    pub(super) fn refused(&mut self, code: RefusalCode) {
        if let Some((_, asker)) = self.asked.take() {
            let _gone = asker.send(Err(RequestError::Refused(code)));
        }
    }

    /// The connection is over. What was asked may be done.
    pub(super) fn disconnected(&mut self, why: &OfflineReason) {
        if let Some((_, asker)) = self.asked.take() {
            let _gone = asker.send(Err(RequestError::Unanswered(why.clone())));
        }
    }

    /// There will be no connection until a person acts.
    pub(super) fn give_up(&mut self, why: &OfflineReason) {
        self.disconnected(why);
        for (_, asker) in self.waiting.drain(..) {
            let _gone = asker.send(Err(RequestError::Unanswered(why.clone())));
        }
    }
}

/// The first step of a proof. `None` when the library fails: whoever asked hears that nobody answers.
fn prove(password: Zeroizing<String>, new: Option<Zeroizing<String>>) -> Option<(Option<Proof>, Request)> {
    let rng = &mut rand::rng();
    let (login, opaque) = ClientLogin::start(rng, password.as_bytes()).ok()?;
    let started = match new {
        Some(new) => {
            let (registration, request) = ClientRegistration::start(rng, new.as_bytes()).ok()?;
            Some((registration, new, request))
        }
        None => None,
    };
    let request = started.as_ref().map(|(.., request)| Bytes::from(request.clone()));
    let registration = started.map(|(registration, new, _)| (registration, new));
    let start = Request::PasswordStart { opaque: opaque.into(), registration: request };
    Some((Some(Proof { login, password, registration }), start))
}

/// The second step; takes as long as Argon2id does.
fn finish(proof: Proof, opaque: &[u8], response: Option<Bytes>) -> Option<Request> {
    let rng = &mut rand::rng();
    let done = proof.login.finish(rng, proof.password.as_bytes(), opaque).ok()?;
    let record = match (proof.registration, response) {
        (Some((registration, new)), Some(response)) => {
            Some(registration.finish(rng, new.as_bytes(), &response).ok()?.record.into())
        }
        (None, None) => None,
        _ => return None,
    };
    Some(Request::PasswordFinish { opaque: done.ke3.into(), record })
}
