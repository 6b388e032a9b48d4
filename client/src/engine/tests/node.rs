//! A small node: enough of the server's side of the protocol to see what an engine does, and to be unkind to it.
#![expect(clippy::disallowed_types, reason = "it plays the server")]

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use endtoend_crypto_core::channel::Channel;
use endtoend_crypto_core::opaque::ServerSetup;
use endtoend_crypto_core::oprf::OprfKey;
use endtoend_crypto_core::proof::{DeviceStatement, Purpose, verify_device_proof};
use endtoend_crypto_core::refresh::RefreshToken;
use endtoend_crypto_core::signature::{SigningKey, VerifyingKey};
use endtoend_crypto_core::token;
use endtoend_crypto_core::work::{Puzzle, check};
use endtoend_protocol::{
    AccountTag, Address, Answer, Bundle, Bundles, ClientFrame, ClosingReason, Deliver, DeliveryNumber, DeviceId,
    Envelope, EnvelopeId, KeyCounts, NewDevice, Refusal, RefusalCode, Registration, RejectReason, Relation, Request,
    RequestId, RetryReason, ServerFrame, UnixMillis, Work,
};
use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use super::blobs::Blobs;
use crate::address::ServerAddress;
use crate::clock;
use crate::transport::testing::ServerIdentity;

/// What the node knows and how it behaves. Tests change it while it runs.
#[derive(Default)]
pub(super) struct Ledger {
    accounts: HashMap<AccountTag, (Vec<u8>, Box<NewDevice>)>,
    queues: HashMap<AccountTag, VecDeque<Envelope>>,
    attached: HashMap<AccountTag, mpsc::UnboundedSender<()>>,
    stored: HashSet<EnvelopeId>,
    /// Every `Send` frame that came, also those that were not answered.
    pub(super) sends: Vec<Envelope>,
    /// Uploads with an envelope key.
    pub(super) rotations: usize,
    pub(super) token_logins: usize,
    pub(super) password_logins: usize,
    /// So many `Send` frames end their connection unanswered, after the envelope was stored.
    pub(super) cut_after_send: usize,
    /// What was said of `Retry`s that were heard, and after how many sends.
    pub(super) retries_heard: Vec<(u64, usize)>,
    /// So many `Send` frames are answered by `Retry`.
    pub(super) retry_sends: usize,
    /// The next `Send` frame is refused by a node that stops, and asks to come back after so many milliseconds.
    pub(super) stop_at_send: Option<u64>,
    /// The next registration is carried out but not answered.
    pub(super) cut_after_register: bool,
    /// How far the node's clock is ahead, in milliseconds.
    pub(super) clock_ahead_ms: i64,
    /// No access token is good any more.
    pub(super) refuse_tokens: bool,
    /// No refresh token either.
    pub(super) refuse_refresh: bool,
    pub(super) refreshes: usize,
    /// Whoever comes with a token is let in when there is a permit.
    pub(super) door: Option<Arc<Semaphore>>,
    /// The next refresh is carried out but not answered.
    pub(super) cut_after_refresh: bool,
    /// Generation and hash of the refresh token that is good, and of the one before.
    tokens: HashMap<AccountTag, [Option<RefreshToken>; 2]>,
    /// Strangers solve a puzzle for each handle.
    /// For envelopes, and for what is refused by `refuse_*`.
    pub(super) retry_after_ms: u64,
    pub(super) refuse_relations: u32,
    pub(super) want_work: bool,
    pub(super) works: u32,
    /// Handles that were looked up.
    pub(super) lookups: usize,
    /// Nobody's handle is looked up.
    pub(super) refuse_lookups: bool,
    /// What accounts have decided about others.
    pub(super) relations: HashMap<(AccountTag, AccountTag), Option<Relation>>,
    /// The version of everybody's list of devices, less one.
    pub(super) devices_changes: u32,
    /// What becomes of the next envelope.
    pub(super) lie: Option<Lie>,
    /// An envelope that comes after the next one.
    held: Option<Envelope>,
    /// Each envelope is delivered twice.
    pub(super) repeat: bool,
    pub(super) blobs: Blobs,
    /// It does not hear what is acknowledged.
    pub(super) deaf: bool,
    /// Numbers of deliveries that are left out.
    pub(super) numbers_left_out: u64,
}

/// What a node that lies does with an envelope that it has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// It forgets it.
    Drop,
    /// It exchanges it with the next.
    Swap,
}

pub(super) struct Node {
    pub(super) address: ServerAddress,
    ledger: Arc<Mutex<Ledger>>,
    secrets: Arc<Secrets>,
}

struct Secrets {
    identity: ServerIdentity,
    setup: ServerSetup,
    oprf: OprfKey,
    tokens: SigningKey,
}

impl Node {
    pub(super) async fn start() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let pin = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&ca_key));
        let named = |name: &str| {
            let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let mut ca = named("authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = named("leaf").signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let chain = vec![leaf.into(), ca_certificate.into()];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let identity = ServerIdentity::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address =
            format!("endtoend://127.0.0.1:{port}/#pin={}{}", hex::encode(pin), hex::encode(identity.fingerprint()))
                .parse()
                .unwrap();
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let rng = &mut rand::rng();
        let (setup, tokens) = (ServerSetup::generate(rng), SigningKey::generate(rng));
        let secrets = Arc::new(Secrets { identity, setup, oprf: OprfKey::generate(rng).unwrap(), tokens });
        let (shared, acceptor) = (Arc::clone(&ledger), TlsAcceptor::from(Arc::new(config)));
        let known = Arc::clone(&secrets);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, acceptor.clone(), Arc::clone(&shared), Arc::clone(&known)));
            }
        });
        Self { address, ledger, secrets }
    }

    pub(super) fn tag(&self, handle: &str) -> AccountTag {
        AccountTag::new(self.secrets.oprf.tag(&handle.parse().unwrap()).unwrap())
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }
}

/// One connection. `None` ends it.
struct Connection {
    ledger: Arc<Mutex<Ledger>>,
    secrets: Arc<Secrets>,
    challenge: [u8; 32],
    /// Work was shown.
    paid: bool,
    channel_binding: [u8; 32],
    account: Option<AccountTag>,
    login: Option<endtoend_crypto_core::opaque::ServerLogin>,
    delivered: VecDeque<EnvelopeId>,
    acked: u64,
    attached: bool,
    /// It has come with a token, and waits for a permit.
    door: Option<Arc<Semaphore>>,
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, ledger: Arc<Mutex<Ledger>>, secrets: Arc<Secrets>) -> Option<()> {
    let tls = acceptor.accept(tcp).await.ok()?;
    let mut socket = tokio_tungstenite::accept_async(tls).await.ok()?;
    let Channel { mut sealer, mut opener, binding } = secrets.identity.accept(&mut socket).await?;
    let (wake, mut woken) = mpsc::unbounded_channel();
    let mut connection = Connection {
        ledger,
        secrets,
        challenge: rand::random(),
        paid: false,
        channel_binding: binding,
        account: None,
        login: None,
        delivered: VecDeque::new(),
        acked: 0,
        attached: false,
        door: None,
    };
    loop {
        let answers = tokio::select! {
            message = socket.next() => match message?.ok()? {
                Message::Binary(record) => {
                    let frame = opener.open(&record).ok()?;
                    connection.frame(ClientFrame::decode(frame.into()).ok()?, &wake)?
                }
                Message::Close(_) => return None,
                _ => Vec::new(),
            },
            _ = woken.recv() => Vec::new(),
        };
        if let Some(door) = connection.door.take() {
            door.acquire().await.ok()?.forget();
        }
        for frame in answers.into_iter().chain(connection.deliveries()) {
            let record = sealer.seal(&frame.encode(), Duration::ZERO).ok()?;
            socket.send(Message::Binary(record.into())).await.ok()?;
        }
    }
}

impl Connection {
    fn frame(&mut self, frame: ClientFrame, wake: &mpsc::UnboundedSender<()>) -> Option<Vec<ServerFrame>> {
        match frame {
            ClientFrame::Send(envelope) => {
                let stops = self.ledger.lock().unwrap().stop_at_send.take();
                let Some(after_ms) = stops else { return self.send(envelope).map(|frame| vec![frame]) };
                let (id, reason) = (envelope.id, ClosingReason::ShuttingDown);
                let retry = ServerFrame::Retry { id, after_ms, reason: RetryReason::ShuttingDown };
                Some(vec![retry, ServerFrame::Closing { reason, after_ms }])
            }
            ClientFrame::RetriesHeard { count } => {
                let mut ledger = self.ledger.lock().unwrap();
                let sends = ledger.sends.len();
                ledger.retries_heard.push((count, sends));
                Some(Vec::new())
            }
            ClientFrame::Ack { up_to } => {
                let mut ledger = self.ledger.lock().unwrap();
                if ledger.deaf {
                    return Some(Vec::new());
                }
                while self.acked < up_to.0 {
                    let id = self.delivered.pop_front()?;
                    self.acked += 1;
                    ledger.queues.entry(self.account?).or_default().retain(|envelope| envelope.id != id);
                }
                Some(Vec::new())
            }
            ClientFrame::Request { id, request } => {
                let answer = match self.request(id, request, wake) {
                    Ok(answer) => ServerFrame::Answer { id, answer: answer? },
                    Err(code) => {
                        let work = (code == RefusalCode::Work).then_some(Work { bits: 10, counter: 7 });
                        let ms = self.ledger.lock().unwrap().retry_after_ms;
                        let retry_after_ms = NonZeroU64::new(ms).filter(|_| code == RefusalCode::Rate);
                        ServerFrame::Refused { id: Some(id), refusal: Refusal { code, retry_after_ms, work } }
                    }
                };
                Some(vec![answer])
            }
        }
    }

    fn send(&mut self, envelope: Envelope) -> Option<ServerFrame> {
        self.account?;
        let mut ledger = self.ledger.lock().unwrap();
        ledger.sends.push(envelope.clone());
        let id = envelope.id;
        if !ledger.accounts.contains_key(&envelope.to.account) {
            return Some(ServerFrame::Rejected { id, reason: RejectReason::UnknownRecipient });
        }
        if envelope.devices_version != 1 + ledger.devices_changes {
            return Some(ServerFrame::Retry { id, after_ms: 1, reason: RetryReason::Devices });
        }
        if ledger.retry_sends > 0 {
            ledger.retry_sends -= 1;
            let after_ms = ledger.retry_after_ms.max(1);
            return Some(ServerFrame::Retry { id, after_ms, reason: RetryReason::Busy });
        }
        let to = envelope.to.account;
        if ledger.stored.insert(id) {
            match ledger.lie.take() {
                Some(Lie::Drop) => {}
                Some(Lie::Swap) => ledger.held = Some(envelope),
                None => {
                    let held = ledger.held.take();
                    ledger.queues.entry(to).or_default().extend([envelope].into_iter().chain(held));
                }
            }
        }
        if let Some(wake) = ledger.attached.get(&to) {
            let _gone = wake.send(());
        }
        if ledger.cut_after_send > 0 {
            ledger.cut_after_send -= 1;
            return None;
        }
        Some(ServerFrame::Accepted { id, at: clock::now() })
    }

    /// `Ok(None)` ends the connection without an answer.
    fn request(
        &mut self,
        _: RequestId,
        request: Request,
        wake: &mpsc::UnboundedSender<()>,
    ) -> Result<Option<Answer>, RefusalCode> {
        let ledger = Arc::clone(&self.ledger);
        let mut ledger = ledger.lock().unwrap();
        let costs = match request {
            Request::Evaluate { .. } => !ledger.refuse_lookups,
            Request::RegisterStart { .. } | Request::LoginStart { .. } | Request::Refresh { .. } => true,
            Request::Resume { .. } => true,
            _ => false,
        };
        if costs && ledger.want_work && self.account.is_none() && !std::mem::take(&mut self.paid) {
            return Err(RefusalCode::Work);
        }
        let now = clock::now();
        match request {
            Request::Hello { .. } => {
                let server_time = UnixMillis::new(now.get().saturating_add_signed(ledger.clock_ahead_ms));
                Ok(Some(Answer::Welcome {
                    version: 1,
                    challenge: self.challenge,
                    server_time,
                    send_window: 4,
                    oprf_key: self.secrets.oprf.public().to_bytes(),
                    registration: Registration::Open,
                }))
            }
            Request::ShowWork { nonce } => {
                let puzzle = Puzzle::new(self.challenge, 7, 10).unwrap();
                self.paid = check(&puzzle, nonce);
                ledger.works += u32::from(self.paid);
                if self.paid { Ok(Some(Answer::Done)) } else { Err(RefusalCode::Invalid) }
            }
            Request::Evaluate { blinded } => {
                if ledger.refuse_lookups {
                    return Err(RefusalCode::Rate);
                }
                ledger.lookups += 1;
                let evaluation = self.secrets.oprf.evaluate(&mut rand::rng(), &blinded).unwrap();
                Ok(Some(Answer::Evaluated { evaluation }))
            }
            Request::Refresh { token, device_proof } => {
                let token = RefreshToken::from_bytes(&token).map_err(|_| RefusalCode::BadCredentials)?;
                if ledger.refuse_refresh {
                    return Err(RefusalCode::BadCredentials);
                }
                let is_it =
                    |kept: &Option<RefreshToken>| kept.as_ref().is_some_and(|kept| kept.to_bytes() == token.to_bytes());
                let known = |(_, tokens): &(&AccountTag, &[Option<RefreshToken>; 2])| tokens.iter().any(is_it);
                let account = ledger.tokens.iter().find(known).map(|(account, _)| *account);
                let account = account.ok_or(RefusalCode::BadCredentials)?;
                let (_, device) = ledger.accounts.get(&account).ok_or(RefusalCode::BadCredentials)?;
                let purpose = Purpose::Refresh { family: token.family, generation: token.generation };
                self.check(account, device, purpose, &device_proof)?;
                ledger.refreshes += 1;
                self.account = Some(account);
                let answer = self.authenticated(account, &mut ledger, Some(token));
                Ok((!std::mem::take(&mut ledger.cut_after_refresh)).then_some(answer))
            }
            Request::RegisterStart { account, opaque } => {
                if ledger.accounts.contains_key(&account) {
                    return Err(RefusalCode::HandleTaken);
                }
                self.account = Some(account);
                let opaque = self.secrets.setup.register(account.as_bytes(), &opaque).unwrap().into();
                Ok(Some(Answer::RegisterChallenge { opaque }))
            }
            Request::RegisterFinish { opaque, device_proof, device, .. } => {
                let account = self.account.ok_or(RefusalCode::OutOfOrder)?;
                self.check(account, &device, Purpose::Register, &device_proof)?;
                ledger.accounts.insert(account, (opaque.to_vec(), device));
                if std::mem::take(&mut ledger.cut_after_register) {
                    return Ok(None);
                }
                Ok(Some(self.authenticated(account, &mut ledger, None)))
            }
            Request::LoginStart { account, opaque } => {
                let record = ledger.accounts.get(&account).map(|(record, _)| record.as_slice());
                let rng = &mut rand::rng();
                let (login, opaque) = self.secrets.setup.login_start(rng, record, account.as_bytes(), &opaque).unwrap();
                (self.login, self.account) = (Some(login), Some(account));
                Ok(Some(Answer::LoginChallenge { opaque: opaque.into() }))
            }
            Request::LoginFinish { opaque, device_proof, .. } => {
                let login = self.login.take().ok_or(RefusalCode::OutOfOrder)?;
                login.finish(&opaque).map_err(|_| RefusalCode::BadCredentials)?;
                let account = self.account.ok_or(RefusalCode::OutOfOrder)?;
                let (_, device) = ledger.accounts.get(&account).ok_or(RefusalCode::BadCredentials)?;
                self.check(account, device, Purpose::Login, &device_proof)?;
                ledger.password_logins += 1;
                Ok(Some(self.authenticated(account, &mut ledger, None)))
            }
            Request::Resume { token, device_proof } => {
                let verifying = self.secrets.tokens.verifying_key();
                let claims =
                    token::verify(&verifying, &token, now.get(), 0).map_err(|_| RefusalCode::BadCredentials)?;
                if ledger.refuse_tokens {
                    return Err(RefusalCode::BadCredentials);
                }
                let account = AccountTag::new(claims.account);
                let (_, device) = ledger.accounts.get(&account).ok_or(RefusalCode::BadCredentials)?;
                self.check(account, device, Purpose::Resume { token_id: claims.token_id }, &device_proof)?;
                ledger.token_logins += 1;
                self.door.clone_from(&ledger.door);
                Ok(Some(self.authenticated(account, &mut ledger, None)))
            }
            Request::PublishKeys(keys) => {
                let (_, device) = ledger.accounts.get_mut(&self.account.ok_or(RefusalCode::OutOfOrder)?).unwrap();
                let keys = *keys;
                if let Some(key) = keys.signed_pre_key {
                    device.signed_pre_key = key;
                }
                if let Some(key) = keys.last_resort_kem_pre_key {
                    device.last_resort_kem_pre_key = key;
                }
                if let Some(key) = keys.envelope_key {
                    device.envelope_key = key;
                    ledger.rotations += 1;
                }
                Ok(Some(Answer::KeysPublished(KeyCounts {
                    one_time: u32::try_from(keys.one_time_pre_keys.len()).unwrap(),
                    one_time_kem: u32::try_from(keys.one_time_kem_pre_keys.len()).unwrap(),
                })))
            }
            Request::FetchIdentity { account } => {
                let (_, device) = ledger.accounts.get(&account).ok_or(RefusalCode::UnknownAccount)?;
                let envelope_keys = vec![(DeviceId::FIRST, device.envelope_key.clone())];
                let devices_version = 1 + ledger.devices_changes;
                let identity_key = device.identity_key;
                let identity = endtoend_protocol::Identity { devices_version, identity_key, envelope_keys };
                Ok(Some(Answer::Identity(Box::new(identity))))
            }
            Request::FetchBundles { account } => {
                let devices_version = 1 + ledger.devices_changes;
                let (_, device) = ledger.accounts.get_mut(&account).ok_or(RefusalCode::UnknownAccount)?;
                Ok(Some(Answer::Bundles(Box::new(Bundles {
                    devices_version,
                    identity_key: device.identity_key,
                    devices: vec![Bundle {
                        device: DeviceId::FIRST,
                        registration_id: device.registration_id,
                        signed_pre_key: device.signed_pre_key.clone(),
                        one_time_pre_key: device.one_time_pre_keys.pop(),
                        kem_pre_key: device
                            .one_time_kem_pre_keys
                            .pop()
                            .unwrap_or_else(|| device.last_resort_kem_pre_key.clone()),
                        envelope_key: device.envelope_key.clone(),
                    }],
                }))))
            }
            Request::Attach => {
                self.attached = true;
                ledger.attached.insert(self.account.ok_or(RefusalCode::NotAuthenticated)?, wake.clone());
                Ok(Some(Answer::Attached))
            }
            Request::SetRelation { .. } if ledger.refuse_relations > 0 => {
                ledger.refuse_relations -= 1;
                Err(RefusalCode::Rate)
            }
            Request::SetRelation { account, relation } => {
                ledger.relations.insert((self.account.ok_or(RefusalCode::NotAuthenticated)?, account), relation);
                Ok(Some(Answer::Done))
            }
            Request::Blob(request) => {
                self.account.ok_or(RefusalCode::NotAuthenticated)?;
                ledger.blobs.answer(request)
            }
            _ => Err(RefusalCode::Unsupported),
        }
    }

    fn check(
        &self,
        account: AccountTag,
        device: &NewDevice,
        purpose: Purpose,
        proof: &[u8],
    ) -> Result<(), RefusalCode> {
        let statement = DeviceStatement {
            challenge: &self.challenge,
            channel_binding: &self.channel_binding,
            account: account.as_bytes(),
            device: 1,
            purpose,
        };
        let key = VerifyingKey::from_bytes(&device.device_key).map_err(|_| RefusalCode::Invalid)?;
        verify_device_proof(&key, &statement, proof).map_err(|_| RefusalCode::BadCredentials)
    }

    /// `shown` is the refresh token that led here.
    fn authenticated(&mut self, account: AccountTag, ledger: &mut Ledger, shown: Option<RefreshToken>) -> Answer {
        self.account = Some(account);
        let rng = &mut rand::rng();
        let refresh =
            shown.as_ref().map_or_else(|| RefreshToken::first(rng), |old| old.next(&mut rand::rng()).unwrap());
        ledger.tokens.insert(account, [Some(refresh.clone()), shown]);
        let now = clock::now().get();
        let expires = now + 900_000;
        let token = token::issue(&self.secrets.tokens, account.as_bytes(), 1, &rand::random(), now, expires);
        Answer::Authenticated {
            address: Address { account, device: DeviceId::FIRST },
            token: token.into(),
            token_expires: UnixMillis::new(expires),
            keys: KeyCounts { one_time: 99, one_time_kem: 49 },
            refresh_token: Some(refresh.to_bytes().to_vec().into()),
            devices_version: 1 + ledger.devices_changes,
        }
    }

    /// What waits for the attached device and was not delivered on this connection yet.
    fn deliveries(&mut self) -> Vec<ServerFrame> {
        let Some(account) = self.account.filter(|_| self.attached) else { return Vec::new() };
        let mut ledger = self.ledger.lock().unwrap();
        let (repeat, left_out) = (ledger.repeat, ledger.numbers_left_out);
        let queue = ledger.queues.entry(account).or_default();
        let mut frames = Vec::new();
        for envelope in queue.iter() {
            if self.delivered.contains(&envelope.id) {
                continue;
            }
            for _ in 0..if repeat { 2 } else { 1 } {
                self.delivered.push_back(envelope.id);
                frames.push(ServerFrame::Deliver(Deliver {
                    delivery: DeliveryNumber(left_out + self.acked + self.delivered.len() as u64),
                    id: envelope.id,
                    accepted_at: clock::now(),
                    body: envelope.body.clone(),
                }));
            }
        }
        frames
    }
}

impl Ledger {
    /// Delivers an envelope once more that was sent and acknowledged.
    pub(super) fn replay(&mut self, sent: usize) {
        let envelope = self.sends[sent].clone();
        let to = envelope.to.account;
        self.queues.entry(to).or_default().push_back(envelope);
        if let Some(wake) = self.attached.get(&to) {
            let _gone = wake.send(());
        }
    }

    /// Envelopes that wait for an account.
    pub(super) fn waiting(&self, account: AccountTag) -> usize {
        self.queues.get(&account).map_or(0, VecDeque::len)
    }
}
