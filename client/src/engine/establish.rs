//! From nothing to an authenticated connection: transport, hello, then registration, password or token.

use std::num::NonZeroU64;
use std::time::Duration;

use endtoend_crypto_core::opaque::{ClientLogin, ClientRegistration, OpaqueError};
use endtoend_crypto_core::oprf::{Blinding, OprfPublic};
use endtoend_crypto_core::proof::{DeviceStatement, Purpose, sign_device_proof};
use endtoend_crypto_core::refresh::RefreshToken;
use endtoend_crypto_core::signature::SigningKey;
use endtoend_crypto_core::token;
use endtoend_crypto_core::work::{Puzzle, solve};
use endtoend_protocol::{
    AccountTag, Address, Answer, ClientFrame, DeviceId, InviteCode, KeyCounts, NewDevice, Refusal, RefusalCode,
    Request, RequestId, ServerFrame, UnixMillis, VERSION, Work, limits,
};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::event::OfflineReason;
use crate::address::ServerAddress;
use crate::database::Seed;
use crate::handle::Handle;
use crate::transport::{self, ConnectError, LinkError, LinkReceiver, LinkSender, Network, Pace, Traffic};

/// A server silent this long in the middle of a login is away; on a wire, see [`Pace`].
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// Everything that is needed to log in. Owned, so that the engine stays free meanwhile.
pub(super) struct Login {
    pub(super) server: ServerAddress,
    pub(super) server_password: Zeroizing<Vec<u8>>,
    pub(super) handle: Handle,
    pub(super) device: DeviceId,
    /// `None` until the server has evaluated the handle.
    pub(super) tag: Option<AccountTag>,
    /// `None` until the server has told it.
    pub(super) oprf_key: Option<[u8; 32]>,
    pub(super) seed: Seed,
    pub(super) method: Method,
    pub(super) connect_timeout: Duration,
    pub(super) network: Network,
    pub(super) traffic: Traffic,
}

pub(super) enum Method {
    /// Creates the account with this device.
    Register { password: Zeroizing<String>, device: Box<NewDevice>, invite: Option<InviteCode> },
    /// OPAQUE.
    Password(Zeroizing<String>),
    /// Goes on with an access token.
    Token(Zeroizing<Vec<u8>>),
    /// Goes on with a refresh token, which is replaced.
    Refresh(RefreshToken),
}

/// An authenticated connection.
pub(super) struct Established {
    pub(super) own: Address,
    pub(super) oprf_key: [u8; 32],
    /// The next one; `None` when the present one stays.
    pub(super) refresh_token: Option<Zeroizing<Vec<u8>>>,
    /// Version of the own list of devices.
    pub(super) devices_version: u32,
    pub(super) sender: LinkSender,
    pub(super) receiver: LinkReceiver,
    pub(super) send_window: u32,
    /// Of the way that the connection goes.
    pub(super) pace: Pace,
    /// The server's clock at its hello.
    pub(super) server_time: UnixMillis,
    pub(super) token: Zeroizing<Vec<u8>>,
    pub(super) token_expires: UnixMillis,
    pub(super) keys: KeyCounts,
}

/// Why there is no authenticated connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum EstablishError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the server did not answer in time")]
    Silent,
    #[error("refused: {}", .0.code)]
    Refused(Refusal),
    #[error("the server answered something else than was asked")]
    Protocol,
    /// Its accounts are others too: nobody would be found.
    #[error("the server's key for handles is another than before")]
    OtherHandles,
}

impl EstablishError {
    /// Whether a person must act before another try makes sense.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_permanent(),
            Self::Refused(refusal) => refusal.retry_after_ms.is_none() && !is_passing(refusal.code),
            Self::Protocol | Self::OtherHandles | Self::Link(LinkError::Protocol(_)) => true,
            Self::Link(_) | Self::Silent => false,
        }
    }

    pub(super) fn reason(&self) -> OfflineReason {
        match self {
            Self::Connect(ConnectError::Tor(trouble)) => OfflineReason::Tor(trouble.clone()),
            Self::Connect(ConnectError::OnionKey(trouble)) => OfflineReason::OnionKey(*trouble),
            Self::Connect(
                ConnectError::Unreachable(_)
                | ConnectError::TimedOut
                | ConnectError::Unavailable { .. }
                | ConnectError::Proxy(_)
                | ConnectError::NotThroughTor,
            ) => OfflineReason::Unreachable(with_causes(self)),
            Self::Connect(_) | Self::OtherHandles => OfflineReason::Untrusted(with_causes(self)),
            Self::Link(LinkError::Closed { said: Some(said) }) => OfflineReason::Closed(said.reason),
            Self::Protocol | Self::Link(LinkError::Protocol(_)) => OfflineReason::Protocol,
            Self::Link(_) | Self::Silent => OfflineReason::Unreachable(with_causes(self)),
            Self::Refused(refusal) => OfflineReason::Refused(refusal.code),
        }
    }
}

/// Refusals that say more about the moment than about us.
pub(super) fn is_passing(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::Busy | RefusalCode::Unavailable | RefusalCode::Rate)
}

/// An error and its causes, as one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

impl From<OpaqueError> for EstablishError {
    /// An OPAQUE answer that doesn't verify is a wrong password, or a server that doesn't know it.
    fn from(_: OpaqueError) -> Self {
        Self::Refused(RefusalCode::BadCredentials.into())
    }
}

/// A connection on which nothing was said yet, and what proofs on it are bound to.
pub(super) async fn open_talk(
    network: &Network,
    server: &ServerAddress,
    traffic: Traffic,
    connect_timeout: Duration,
) -> Result<(Talk, [u8; 32]), EstablishError> {
    let link = transport::connect(network, server, traffic, connect_timeout).await?;
    let (channel_binding, pace) = (link.channel_binding(), Pace::of(link.way()));
    let (sender, receiver) = link.split();
    Ok((Talk { sender, receiver, last: 0, challenge: None, pace }, channel_binding))
}

pub(super) async fn establish(login: Login) -> Result<Established, EstablishError> {
    let Login { network, server, traffic, connect_timeout, .. } = &login;
    let (talk, channel_binding) = open_talk(network, server, *traffic, *connect_timeout).await?;
    timeout(limits::LOGIN_DEADLINE, authenticate(talk, channel_binding, login))
        .await
        .map_err(|_| EstablishError::Silent)?
}

async fn authenticate(mut talk: Talk, channel_binding: [u8; 32], login: Login) -> Result<Established, EstablishError> {
    let server_password = login.server_password.to_vec().into();
    let hello = Request::Hello { version_min: VERSION, version_max: VERSION, server_password };
    let Answer::Welcome { version: VERSION, challenge, server_time, send_window, oprf_key, .. } =
        talk.ask(hello).await?
    else {
        return Err(EstablishError::Protocol);
    };
    if login.oprf_key.is_some_and(|known| known != oprf_key) {
        return Err(EstablishError::OtherHandles);
    }
    let account = match login.tag {
        Some(tag) => tag,
        None => evaluate(&mut talk, &login.handle, &oprf_key).await?,
    };
    let own = Address { account, device: login.device };
    let prove = |purpose| {
        let statement = DeviceStatement {
            challenge: &challenge,
            channel_binding: &channel_binding,
            account: account.as_bytes(),
            device: own.device.get(),
            purpose,
        };
        sign_device_proof(&SigningKey::from_seed(&login.seed), &statement).into()
    };
    let last = match login.method {
        Method::Register { password, device, invite } => {
            let (registration, opaque) = ClientRegistration::start(&mut rand::rng(), password.as_bytes())?;
            let start = Request::RegisterStart { account, opaque: opaque.into() };
            let Answer::RegisterChallenge { opaque } = talk.ask(start).await? else {
                return Err(EstablishError::Protocol);
            };
            let done = registration.finish(&mut rand::rng(), password.as_bytes(), &opaque)?;
            let device_proof = prove(Purpose::Register);
            Request::RegisterFinish { opaque: done.record.into(), device_proof, device, invite }
        }
        Method::Password(password) => {
            let (attempt, opaque) = ClientLogin::start(&mut rand::rng(), password.as_bytes())?;
            let start = Request::LoginStart { account, opaque: opaque.into() };
            let Answer::LoginChallenge { opaque } = talk.ask(start).await? else {
                return Err(EstablishError::Protocol);
            };
            let done = attempt.finish(&mut rand::rng(), password.as_bytes(), &opaque)?;
            Request::LoginFinish { opaque: done.ke3.into(), device: own.device, device_proof: prove(Purpose::Login) }
        }
        Method::Token(token) => {
            let claims =
                token::peek(&token).map_err(|_| EstablishError::Refused(RefusalCode::BadCredentials.into()))?;
            let device_proof = prove(Purpose::Resume { token_id: claims.token_id });
            Request::Resume { token: token.to_vec().into(), device_proof }
        }
        Method::Refresh(token) => {
            let device_proof = prove(Purpose::Refresh { family: token.family, generation: token.generation });
            Request::Refresh { token: token.to_bytes().to_vec().into(), device_proof }
        }
    };
    match talk.ask(last).await? {
        Answer::Authenticated { address, token, token_expires, keys, refresh_token, devices_version }
            if address == own =>
        {
            Ok(Established {
                own,
                oprf_key,
                devices_version,
                refresh_token: refresh_token.map(|token| Zeroizing::new(token.to_vec())),
                sender: talk.sender,
                receiver: talk.receiver,
                send_window,
                pace: talk.pace,
                server_time,
                token: Zeroizing::new(token.to_vec()),
                token_expires,
                keys,
            })
        }
        _ => Err(EstablishError::Protocol),
    }
}

/// The account of a handle.
pub(super) async fn evaluate(
    talk: &mut Talk,
    handle: &Handle,
    oprf_key: &[u8; 32],
) -> Result<AccountTag, EstablishError> {
    let (blinding, blinded) = Blinding::start(&mut rand::rng(), handle).map_err(|_| EstablishError::Protocol)?;
    let Answer::Evaluated { evaluation } = talk.ask(Request::Evaluate { blinded }).await? else {
        return Err(EstablishError::Protocol);
    };
    let public = OprfPublic::from_bytes(oprf_key).map_err(|_| EstablishError::Protocol)?;
    let tag = blinding.finish(&evaluation, &public).map_err(|_| EstablishError::Protocol)?;
    Ok(AccountTag::new(tag))
}

/// One question, one answer.
pub(super) struct Talk {
    sender: LinkSender,
    receiver: LinkReceiver,
    last: u64,
    /// What the server's puzzles are made from, since its `Welcome`.
    challenge: Option<[u8; limits::CHALLENGE_BYTES]>,
    pace: Pace,
}

impl Talk {
    /// Asks, and works for the answer if the server wants that.
    pub(super) async fn ask(&mut self, request: Request) -> Result<Answer, EstablishError> {
        let refusal = match self.say(request.clone()).await {
            Ok(answer) => {
                if let Answer::Welcome { challenge, .. } = &answer {
                    self.challenge = Some(*challenge);
                }
                return Ok(answer);
            }
            Err(EstablishError::Refused(refusal)) => refusal,
            Err(error) => return Err(error),
        };
        let (Some(Work { bits, counter }), Some(challenge)) = (refusal.work, self.challenge) else {
            return Err(EstablishError::Refused(refusal));
        };
        let puzzle = Puzzle::new(challenge, counter, bits).map_err(|_| EstablishError::Protocol)?;
        let solved = tokio::task::spawn_blocking(move || solve(&puzzle, || false)).await;
        let nonce = solved.ok().flatten().ok_or(EstablishError::Protocol)?;
        match self.say(Request::ShowWork { nonce }).await? {
            // Once: a server that is not content with what it asked for is no server.
            Answer::Done => self.say(request).await,
            _ => Err(EstablishError::Protocol),
        }
    }

    async fn say(&mut self, request: Request) -> Result<Answer, EstablishError> {
        self.last = self.last.saturating_add(1);
        let asked = RequestId(NonZeroU64::MIN.saturating_add(self.last));
        self.sender.send(&ClientFrame::Request { id: asked, request }).await?;
        match timeout(self.pace.answer(ANSWER_DEADLINE), self.receiver.recv())
            .await
            .map_err(|_| EstablishError::Silent)??
        {
            ServerFrame::Answer { id, answer } if id == asked => Ok(answer),
            ServerFrame::Refused { refusal, .. } => Err(EstablishError::Refused(refusal)),
            _ => Err(EstablishError::Protocol),
        }
    }
}
