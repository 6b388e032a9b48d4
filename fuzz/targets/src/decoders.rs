//! Everything that reads bytes from outside.

use std::num::NonZeroU64;
use std::sync::LazyLock;

use bytes::Bytes;
use endtoend_client::address::ServerAddress;
use endtoend_client::chain::{Finding, Incoming};
use endtoend_client::handle::Handle;
use endtoend_client::profile::vault::Vault;
use endtoend_crypto_core::aead::{self, Key};
use endtoend_crypto_core::opaque::{ClientLogin, ClientRegistration, ServerSetup};
use endtoend_crypto_core::passphrase::Params;
use endtoend_crypto_core::signature::{SigningKey, VerifyingKey};
use endtoend_crypto_core::{proof, token};
use endtoend_crypto_e2e::open;
use endtoend_protocol::{
    AccountTag, Attached, BlobId, ChainHead, ChainId, ClientFrame, ClosingReason, Content, ContentKind, DeliveryNumber,
    Emoji, EnvelopeId, File, FileName, Lifetime, MediaType, MessageId, Parcel, Picture, Place, Progress, Reference,
    Request, RequestId, Said, ServerFrame, Shown, Text, UnixMillis, Written,
};

use crate::people::{NOW, Person};
use crate::{choice, chosen, rng};

/// What decodes encodes to bytes that decode to the same.
pub fn frames(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    if let Ok(frame) = ClientFrame::decode(data.clone()) {
        assert_eq!(ClientFrame::decode(frame.encode()), Ok(frame));
    }
    if let Ok(frame) = ServerFrame::decode(data) {
        assert_eq!(ServerFrame::decode(frame.encode()), Ok(frame));
    }
}

pub(crate) fn frame_seeds() -> Vec<Vec<u8>> {
    let id = RequestId(std::num::NonZeroU64::MIN);
    let request = |request| ClientFrame::Request { id, request }.encode().to_vec();
    let account = AccountTag::new([1; 32]);
    vec![
        request(Request::Hello { version_min: 1, version_max: 1, server_password: Bytes::new() }),
        request(Request::Attach),
        request(Request::FetchBundles { account }),
        request(Request::RegisterStart { account, opaque: Bytes::from_static(&[7; 32]) }),
        ClientFrame::RetriesHeard { count: 3 }.encode().to_vec(),
        ClientFrame::Ack { up_to: DeliveryNumber(3) }.encode().to_vec(),
        ServerFrame::Closing { reason: ClosingReason::Replaced, after_ms: 7 }.encode().to_vec(),
        ServerFrame::Accepted { id: EnvelopeId::new(NOW, [2; 10]), at: NOW }.encode().to_vec(),
    ]
}

/// What people say.
pub fn content(data: &[u8]) {
    if let Ok(content) = Content::decode(data) {
        assert_eq!(Content::decode(&content.encode()), Ok(content));
    }
    if let Ok(parcel) = Parcel::decode(data) {
        let place = parcel.place;
        assert_eq!(Parcel::decode(&parcel.encode()), Ok(parcel));
        let mut chain = Incoming::new(place.chain, place.previous);
        let hear = |chain: &mut Incoming| chain.hear(&place, ChainHead([0; 16]), ChainHead([1; 16]), false, false);
        hear(&mut chain);
        assert_eq!(hear(&mut chain), [Finding::Repeated]);
        assert_eq!(Incoming::from_bytes(&chain.to_bytes()), Some(chain));
    }
    if let Some(chain) = Incoming::from_bytes(data) {
        assert_eq!(chain.to_bytes(), data);
    }
}

pub(crate) fn content_seeds() -> Vec<Vec<u8>> {
    let envelope = EnvelopeId::new(NOW, [3; 10]);
    let text = ContentKind::Said(Text::new("hello".to_owned()).unwrap().into());
    let place = Place { chain: ChainId([4; 8]), number: NonZeroU64::MIN, previous: ChainHead([5; 16]) };
    let id = MessageId::new(NOW, [2; 10]);
    let lives_for = Lifetime::from_secs(60);
    let words = || Text::new("hello".to_owned()).unwrap();
    let to = Reference { id, of_reader: true };
    let file = File {
        blob: BlobId([6; 16]),
        key: [7; 32],
        hash: [8; 32],
        bytes: 70_000,
        name: FileName::new("photo.png"),
        media_type: MediaType::new("image/png"),
        shown: Picture::new(640, 480).map_or(Shown::File, Shown::Picture),
    };
    let said = [
        Said::File(Box::new(Attached { file, reply_to: Some(to), lives_for })),
        Said::Text(Written { text: words(), reply_to: Some(to), lives_for }),
        Said::Edit { id, text: words() },
        Said::Delete(id),
        Said::React { to, emoji: Emoji::new("👍".to_owned()) },
        Said::Receipt { progress: Progress::Read, ids: vec![id; 2] },
        Said::Timer(lives_for),
    ];
    let copies =
        said.clone().map(|said| ContentKind::Copy { to: AccountTag::new([9; 32]), handle: "bob".to_owned(), said });
    [text, ContentKind::Unopened(envelope), ContentKind::Unknown, ContentKind::Said(Said::Typing { stopped: false })]
        .into_iter()
        .chain(said.map(ContentKind::Said))
        .chain(copies)
        .flat_map(|kind| {
            let (id, sender_handle) = (MessageId::new(NOW, [1; 10]), Some("alice".to_owned()));
            let content = Content { id, sent_at: NOW, sender_handle, kind }.encode();
            let parcel = Parcel { place, copies: vec![envelope; 2], content: content.clone().into() };
            [content, parcel.encode()]
        })
        .collect()
}

/// What people paste, and the vault's file.
pub fn texts(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(address) = text.parse::<ServerAddress>() {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        if let Ok(handle) = text.parse::<Handle>() {
            assert_eq!(handle.as_str().parse(), Ok(handle.clone()));
        }
    }
    if let Ok(vault) = Vault::from_bytes(data) {
        assert_eq!(vault.to_bytes(), data);
    }
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    let cheap = Params { memory_kib: 8, passes: 1, lanes: 1 };
    let (vault, _) = Vault::create(&mut rng(1), b"password", cheap).unwrap();
    let address = format!("endtoend://[::1]:8443/#pin={}", "0f".repeat(64));
    let handles = ["alice.b-1", "Ｓtraße", "ﾔﾏﾀﾞtaro", "мо\u{438}\u{306}-2"].map(|handle| handle.as_bytes().to_vec());
    let others = vec![vault.to_bytes(), address.into_bytes(), b"endtoend://chat.example.org/#pin=00".to_vec()];
    [others, handles.to_vec()].concat()
}

struct Server {
    setup: ServerSetup,
    key: SigningKey,
    record: Vec<u8>,
    ke1: Vec<u8>,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let rng = &mut rng(2);
    let setup = ServerSetup::generate(rng);
    let (client, request) = ClientRegistration::start(rng, b"password").unwrap();
    let response = setup.register(&[1; 32], &request).unwrap();
    let record = client.finish(rng, b"password", &response).unwrap().record;
    let (_, ke1) = ClientLogin::start(rng, b"password").unwrap();
    Server { setup, key: SigningKey::generate(rng), record, ke1 }
});

/// Tokens, signatures, proofs, and OPAQUE at the server. Nothing that was not signed is believed.
pub fn credentials(data: &[u8]) {
    let (kind, rest) = choice(data);
    let Server { setup, key, record, ke1 } = &*SERVER;
    let account = &[1; 32];
    match kind % 7 {
        0 => {
            let _claims = token::peek(rest);
            if let Ok(claims) = token::verify(&key.verifying_key(), rest, NOW.get(), 0) {
                assert_eq!(rest, issued(), "a forged token: {claims:?}");
            }
        }
        1 => {
            let _key = VerifyingKey::from_bytes(rest);
        }
        2 => {
            if key.verifying_key().verify("endtoend fuzzing", b"message", rest).is_ok() {
                assert_eq!(rest, signed(), "a forged signature");
            }
        }
        3 => {
            let _response = setup.register(account, rest);
        }
        4 => {
            let _checked = setup.check_record(rest);
            let _answer = setup.login_start(&mut rng(3), Some(rest), account, ke1);
        }
        5 => {
            let _answer = setup.login_start(&mut rng(3), Some(record), account, rest);
        }
        _ => {
            let (login, _) = setup.login_start(&mut rng(3), Some(record), account, ke1).unwrap();
            assert!(login.finish(rest).is_err(), "a login without the password");
            let statement = proof::DeviceStatement {
                challenge: account,
                channel_binding: account,
                account,
                device: 1,
                purpose: proof::Purpose::Login,
            };
            assert!(proof::verify_device_proof(&key.verifying_key(), &statement, rest).is_err());
        }
    }
}

fn issued() -> Vec<u8> {
    token::issue(&SERVER.key, &[1; 32], 1, &[2; 16], NOW.get(), NOW.get() + 1000)
}

fn signed() -> Vec<u8> {
    SERVER.key.sign("endtoend fuzzing", b"message")
}

pub(crate) fn credential_seeds() -> Vec<Vec<u8>> {
    let (_, request) = ClientRegistration::start(&mut rng(4), b"another").unwrap();
    vec![
        chosen(0, &issued()),
        chosen(1, &SERVER.key.verifying_key().to_bytes()),
        chosen(2, &signed()),
        chosen(3, &request),
        chosen(4, &SERVER.record),
        chosen(5, &SERVER.ke1),
        chosen(6, &[9; 64]),
    ]
}

static READER: LazyLock<Person> = LazyLock::new(|| Person::new(5));

/// The PQ AEAD, and envelopes. Nobody has sealed these bytes.
pub fn sealed(data: &[u8]) {
    let (kind, rest) = choice(data);
    let (key, nonce) = (Key::new([1; 32]), [2; aead::NONCE_BYTES]);
    if kind % 2 == 0 {
        if let Ok(text) = aead::open(&key, &nonce, b"ad", rest) {
            assert_eq!(aead::seal(&key, &nonce, b"ad", &text), rest);
        }
        if let Ok(text) = aead::open_record(&key, b"ad", rest) {
            assert!(text.len() < rest.len());
        }
    } else {
        let id = EnvelopeId::new(NOW, [4; 10]);
        assert!(open(&READER.records, &mut rng(6), READER.address, id, rest, NOW).is_err());
    }
}

pub(crate) fn sealed_seeds() -> Vec<Vec<u8>> {
    let (key, nonce) = (Key::new([1; 32]), [2; aead::NONCE_BYTES]);
    let other = EnvelopeId::new(UnixMillis::new(1), [9; 10]);
    let envelope = READER.seal_to_me(&mut rng(7), other, &[0; 256]);
    vec![
        chosen(0, &aead::seal(&key, &nonce, b"ad", b"text")),
        chosen(0, &aead::seal_record(&key, &mut rng(8), b"ad", b"text")),
        chosen(1, &envelope),
    ]
}
