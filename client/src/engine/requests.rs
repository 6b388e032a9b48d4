//! What the owner asks of the server about the account itself: one thing at a time, on a live connection.

use std::collections::VecDeque;

use bytes::Bytes;
use endtoend_crypto_core::backup;
use endtoend_crypto_core::opaque::{ClientLogin, ClientRegistration};
use endtoend_crypto_core::provision::{LinkCode, LinkDigits, Offer, ProvisionError, Sender};
use endtoend_crypto_e2e::{open_device_name, seal_device_name};
use endtoend_protocol::{Address, Answer, DeviceId, ListedDevice, RefusalCode, Request, UnixMillis};
use rand::Rng as _;
use zeroize::Zeroizing;

use super::command::Reply;
use super::event::OfflineReason;
use super::linking::{digits_text, provision, read_code};
use crate::database::{DatabaseError, Store};

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
    /// Link a new device: the first step, which agrees on digits.
    Meet {
        /// What the new device shows.
        code: String,
    },
    /// The digits are the same: let the new device in.
    LetIn,
    /// What this person calls a device. Empty for nothing.
    NameDevice(DeviceId, String),
    /// Leave at the server what a new device needs to come back with the password alone, sealed with what comes of it.
    KeepBackup {
        /// The present one.
        password: Zeroizing<String>,
    },
    /// Take it away again.
    ForgetBackup,
    /// Another password. Other devices are logged out, and a backup is gone.
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
            Self::Meet { .. } => f.write_str("Meet"),
            Self::LetIn => f.write_str("LetIn"),
            Self::NameDevice(device, _) => write!(f, "NameDevice({device})"),
            Self::KeepBackup { .. } => f.write_str("KeepBackup"),
            Self::ForgetBackup => f.write_str("ForgetBackup"),
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
    /// What the new device must show too.
    Digits(String),
    /// All devices, in the order of their numbers.
    Devices(Vec<OwnDevice>),
}

/// A device of this account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDevice {
    /// Its number.
    pub device: DeviceId,
    /// What the person calls it, if anything.
    pub name: Option<String>,
    /// By the server's clock.
    pub added_at: UnixMillis,
    /// Since when it may act; in the future for one that was added by password and waits.
    pub active_at: UnixMillis,
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
    /// What the new device shows is no code, or the server gave something else than what it stands for.
    #[error("the code is not good: {0}")]
    BadCode(ProvisionError),
    /// The connection ended before the answer: it may be done all the same.
    #[error("there was no answer: {0}")]
    Unanswered(OfflineReason),
    /// The profile could not be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The engine ended first.
    #[error("the engine has stopped, or the profile is locked")]
    Stopped,
}

pub(super) type Asker = Reply<Result<AccountAnswer, RequestError>>;

/// What the answer to the present question leads to.
enum Step {
    /// To the asker.
    Last,
    /// To the second step of a proof of the password.
    Proof(Box<Proof>),
    /// To a backup under the key that comes of the password.
    Backup(Box<Proof>),
    /// To the agreement with a new device.
    Offer(LinkCode),
    /// The new device can agree: these digits are to be compared.
    Agreed(LinkDigits),
}

/// A proof of the password that is under way.
struct Proof {
    login: ClientLogin,
    password: Zeroizing<String>,
    registration: Option<(ClientRegistration, Zeroizing<String>)>,
}

/// What an answer or a question may need of this device.
pub(super) struct Given<'a> {
    pub(super) store: Store<'a>,
    pub(super) own: Address,
    pub(super) oprf_key: [u8; 32],
}

impl Given<'_> {
    fn name_device(&self, device: DeviceId, name: &str) -> Result<(Step, Request), RequestError> {
        let named = Address { account: self.own.account, device };
        let sealed = seal_device_name(&self.store, &mut rand::rng(), named, name).map_err(|_| NO_IDENTITY)?;
        Ok((Step::Last, Request::RenameDevice { device, name: sealed.into() }))
    }

    fn named(&self, device: ListedDevice) -> Result<OwnDevice, RequestError> {
        let ListedDevice { device, name, added_at, active_at } = device;
        let address = Address { account: self.own.account, device };
        let open = |sealed: Bytes| open_device_name(&self.store, address, &sealed).map_err(|_| NO_IDENTITY);
        let name = name.map(open).transpose()?.flatten().filter(|name| !name.is_empty());
        Ok(OwnDevice { device, name, added_at, active_at })
    }

    fn backup(&self, proof: Proof, opaque: &[u8]) -> Result<Bytes, RequestError> {
        let rng = &mut rand::rng();
        let done = proof.login.finish(rng, proof.password.as_bytes(), opaque);
        // The answer does not fit the password.
        let done = done.map_err(|_| RequestError::Refused(RefusalCode::BadCredentials))?;
        let payload = provision(&self.store, self.own, self.oprf_key, &[0; 32])?;
        let sealed = backup::seal(rng, &done.export_key, self.own.account.as_bytes(), &payload);
        sealed.map(Bytes::from).map_err(|_| RequestError::Database(DatabaseError::Invalid("contacts")))
    }
}

/// A profile with an account has one.
const NO_IDENTITY: RequestError = RequestError::Database(DatabaseError::Invalid("identity"));

/// The questions that wait, and the one that is asked.
#[derive(Default)]
pub(super) struct Requests {
    waiting: VecDeque<(AccountRequest, Asker)>,
    asked: Option<(Step, Asker)>,
    /// A new device that both sides have digits for, and that waits to be let in.
    meeting: Option<(LinkCode, Sender)>,
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
    pub(super) fn next(&mut self, given: &Given<'_>) -> Option<Request> {
        if self.asked.is_some() {
            return None;
        }
        let (request, asker) = self.waiting.pop_front()?;
        let asked = match request {
            AccountRequest::Devices => Ok((Step::Last, Request::FetchDevices)),
            AccountRequest::RemoveDevice(device) => Ok((Step::Last, Request::RemoveDevice { device })),
            AccountRequest::Logout { everywhere } => Ok((Step::Last, Request::Logout { everywhere })),
            AccountRequest::ChangePassword { old, new } => prove(old, Some(new)),
            AccountRequest::Delete { password } => prove(password, None),
            AccountRequest::Meet { code } => match read_code(&code) {
                Some(code) => Ok((Step::Offer(code), Request::FetchOffer { link: code.link_id })),
                None => Err(RequestError::BadCode(ProvisionError::Malformed)),
            },
            AccountRequest::LetIn => self.let_in(given),
            AccountRequest::NameDevice(device, name) => given.name_device(device, &name),
            AccountRequest::KeepBackup { password } => prove(password, None).map(|(step, request)| match step {
                Step::Proof(proof) => (Step::Backup(proof), request),
                step => (step, request),
            }),
            AccountRequest::ForgetBackup => Ok((Step::Last, Request::SetBackup(None))),
        };
        match asked {
            Ok((step, request)) => {
                self.asked = Some((step, asker));
                Some(request)
            }
            Err(error) => {
                let _gone = asker.send(Err(error));
                None
            }
        }
    }

    fn let_in(&mut self, given: &Given<'_>) -> Result<(Step, Request), RequestError> {
        let (code, sender) = self.meeting.take().ok_or(RequestError::Refused(RefusalCode::UnknownLink))?;
        let mut secret = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(secret.as_mut());
        let payload = provision(&given.store, given.own, given.oprf_key, &secret)?;
        let sealed = sender.seal(&payload).map_err(RequestError::BadCode)?.into();
        let secret_hash = Some(*blake3::hash(secret.as_slice()).as_bytes());
        Ok((Step::Last, Request::AnswerLink { link: code.link_id, sealed, secret_hash }))
    }

    /// The server has answered; gives what to ask as the second step.
    pub(super) fn answered(&mut self, answer: Answer, given: &Given<'_>) -> Option<Request> {
        let (step, asker) = self.asked.take()?;
        let result = match (step, answer) {
            (Step::Offer(code), Answer::Offer { offer }) => match agree(&code, &offer) {
                Ok((sender, answer)) => {
                    let step = Step::Agreed(sender.digits());
                    self.meeting = Some((code, sender));
                    self.asked = Some((step, asker));
                    return Some(Request::AnswerLink { link: code.link_id, sealed: answer, secret_hash: None });
                }
                Err(error) => Err(RequestError::BadCode(error)),
            },
            (Step::Agreed(digits), Answer::Done) => Ok(AccountAnswer::Digits(digits_text(digits))),
            (Step::Proof(proof), Answer::PasswordChallenge { opaque, registration }) => {
                match finish(*proof, &opaque, registration) {
                    Some(request) => {
                        self.asked = Some((Step::Last, asker));
                        return Some(request);
                    }
                    // The answer does not fit the password.
                    None => Err(RequestError::Refused(RefusalCode::BadCredentials)),
                }
            }
            (Step::Backup(proof), Answer::PasswordChallenge { opaque, .. }) => match given.backup(*proof, &opaque) {
                Ok(sealed) => {
                    self.asked = Some((Step::Last, asker));
                    return Some(Request::SetBackup(Some(sealed)));
                }
                Err(error) => Err(error),
            },
            (Step::Last, Answer::Done) => Ok(AccountAnswer::Done),
            (Step::Last, Answer::Devices { devices, .. }) => devices
                .into_iter()
                .map(|device| given.named(device))
                .collect::<Result<_, _>>()
                .map(AccountAnswer::Devices),
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

/// Agrees on a key with a new device: what seals for it, and the answer that it needs.
fn agree(code: &LinkCode, offer: &[u8]) -> Result<(Sender, Bytes), ProvisionError> {
    let (sender, answer) = Offer::read(code, offer)?.answer(&mut rand::rng())?;
    Ok((sender, Bytes::copy_from_slice(&*answer)))
}

/// The first step of a proof.
fn prove(password: Zeroizing<String>, new: Option<Zeroizing<String>>) -> Result<(Step, Request), RequestError> {
    let failed = |_| RequestError::Unanswered(OfflineReason::Protocol);
    let rng = &mut rand::rng();
    let (login, opaque) = ClientLogin::start(rng, password.as_bytes()).map_err(failed)?;
    let started = match new {
        Some(new) => {
            let (registration, request) = ClientRegistration::start(rng, new.as_bytes()).map_err(failed)?;
            Some((registration, new, request))
        }
        None => None,
    };
    let request = started.as_ref().map(|(.., request)| Bytes::from(request.clone()));
    let registration = started.map(|(registration, new, _)| (registration, new));
    let start = Request::PasswordStart { opaque: opaque.into(), registration: request };
    Ok((Step::Proof(Box::new(Proof { login, password, registration })), start))
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
