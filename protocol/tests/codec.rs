//! Any bytes are a value or an error; a value's bytes are the value again; unknown things are refused as such.

#![expect(clippy::unwrap_used, reason = "test code: generators make what is valid")]

use std::num::NonZeroU64;

use bytes::Bytes;
use endtoend_protocol::{
    AccountTag, Address, Answer, Arrangement, Attached, BlobId, BlobRequest, Bundle, Bundles, Card, ChainHead, ChainId,
    ClientFrame, ClosingReason, Comparison, Content, ContentKind, DecodeError, Deliver, DeliveryNumber, DeviceId,
    DeviceKeys, Emoji, Envelope, EnvelopeId, EnvelopeKey, Face, File, FileName, Identity, InviteCode, KemPreKey,
    KeyCounts, Lifetime, ListedDevice, MediaType, MessageId, Muted, NewDevice, OneTimePreKey, OwnNews, Parcel, Person,
    Picture, Place, Progress, Reference, Refusal, RefusalCode, Registration, RejectReason, Relation, Request,
    RequestId, RetryReason, Said, ServerFrame, Settled, Shown, SignedPreKey, Text, UnixMillis, Voice, Work, Written,
    limits,
};
use proptest::prelude::*;
use proptest::sample::select;

fn bytes(len: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), len).prop_map(Bytes::from)
}
/// `len` bytes that differ from case to case without costing that much randomness.
fn filled(len: usize) -> impl Strategy<Value = Bytes> {
    any::<u8>().prop_map(move |byte| Bytes::from(vec![byte; len]))
}
fn array<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    any::<u8>().prop_map(|byte| [byte; N])
}
fn opaque() -> impl Strategy<Value = Bytes> {
    bytes(1..=64)
}
fn proof() -> impl Strategy<Value = Bytes> {
    filled(limits::HYBRID_SIGNATURE_BYTES)
}
fn account() -> impl Strategy<Value = AccountTag> {
    any::<[u8; 32]>().prop_map(AccountTag::new)
}
fn device() -> impl Strategy<Value = DeviceId> {
    (1..=limits::DEVICE_ID_MAX).prop_map(|number| DeviceId::new(number).unwrap())
}
fn address() -> impl Strategy<Value = Address> {
    (account(), device()).prop_map(|(account, device)| Address { account, device })
}
fn envelope_id() -> impl Strategy<Value = EnvelopeId> {
    (0..1_u64 << 48, any::<[u8; 10]>()).prop_map(|(ms, random)| EnvelopeId::new(UnixMillis::new(ms), random))
}
fn moment() -> impl Strategy<Value = UnixMillis> {
    any::<u64>().prop_map(UnixMillis::new)
}
fn body() -> impl Strategy<Value = Bytes> {
    prop_oneof![bytes(1..200), Just(Bytes::from(vec![7; limits::ENVELOPE_BYTES_MAX]))]
}
fn signed_pre_key() -> impl Strategy<Value = SignedPreKey> {
    (any::<u32>(), array(), array()).prop_map(|(id, public, signature)| SignedPreKey { id, public, signature })
}
fn one_time_pre_key() -> impl Strategy<Value = OneTimePreKey> {
    (any::<u32>(), array()).prop_map(|(id, public)| OneTimePreKey { id, public })
}
fn kem_pre_key() -> impl Strategy<Value = KemPreKey> {
    (any::<u32>(), filled(limits::SIGNAL_KEM_KEY_BYTES), array()).prop_map(|(id, public, signature)| KemPreKey {
        id,
        public,
        signature,
    })
}
fn envelope_key() -> impl Strategy<Value = EnvelopeKey> {
    (any::<u32>(), array(), filled(limits::ML_KEM_KEY_BYTES), array())
        .prop_map(|(id, x25519, ml_kem, signature)| EnvelopeKey { id, x25519, ml_kem, signature })
}
fn device_keys() -> impl Strategy<Value = DeviceKeys> {
    (
        prop::option::of(signed_pre_key()),
        prop::option::of(kem_pre_key()),
        prop::option::of(envelope_key()),
        prop::collection::vec(one_time_pre_key(), 0..=limits::ONE_TIME_PRE_KEYS_UPLOAD_MAX),
        prop::collection::vec(kem_pre_key(), 0..=3),
    )
        .prop_map(
            |(signed_pre_key, last_resort_kem_pre_key, envelope_key, one_time_pre_keys, one_time_kem_pre_keys)| {
                DeviceKeys {
                    signed_pre_key,
                    last_resort_kem_pre_key,
                    envelope_key,
                    one_time_pre_keys,
                    one_time_kem_pre_keys,
                }
            },
        )
}
fn new_device() -> impl Strategy<Value = NewDevice> {
    (
        filled(limits::DEVICE_KEY_BYTES),
        any::<u32>(),
        array(),
        signed_pre_key(),
        kem_pre_key(),
        envelope_key(),
        prop::collection::vec(one_time_pre_key(), 0..5),
        prop::collection::vec(kem_pre_key(), 0..3),
    )
        .prop_map(
            |(device_key, registration_id, identity_key, signed, last_resort, envelope_key, one_time, kem)| NewDevice {
                device_key,
                registration_id,
                identity_key,
                signed_pre_key: signed,
                last_resort_kem_pre_key: last_resort,
                envelope_key,
                one_time_pre_keys: one_time,
                one_time_kem_pre_keys: kem,
            },
        )
}
fn bundle() -> impl Strategy<Value = Bundle> {
    (device(), any::<u32>(), signed_pre_key(), prop::option::of(one_time_pre_key()), kem_pre_key(), envelope_key())
        .prop_map(|(device, registration_id, signed_pre_key, one_time_pre_key, kem_pre_key, envelope_key)| Bundle {
            device,
            registration_id,
            signed_pre_key,
            one_time_pre_key,
            kem_pre_key,
            envelope_key,
        })
}
fn blob_request() -> impl Strategy<Value = BlobRequest> {
    let blob = || array().prop_map(BlobId);
    let part = prop_oneof![bytes(1..200), filled(limits::BLOB_PART_BYTES_MAX)];
    prop_oneof![
        (blob(), 1..=limits::BLOB_BYTES_MAX, array()).prop_map(|(blob, bytes, secret_hash)| BlobRequest::Open {
            blob,
            bytes,
            secret_hash
        }),
        (blob(), array(), 0..=limits::BLOB_BYTES_MAX, part).prop_map(|(blob, secret, offset, part)| BlobRequest::Put {
            blob,
            secret,
            offset,
            part
        }),
        (blob(), 0..=limits::BLOB_BYTES_MAX).prop_map(|(blob, offset)| BlobRequest::Fetch { blob, offset }),
        (blob(), array()).prop_map(|(blob, secret)| BlobRequest::Remove { blob, secret }),
    ]
}
fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (any::<(u32, u32)>(), bytes(0..=limits::SERVER_PASSWORD_BYTES_MAX)).prop_map(
            |((version_min, version_max), server_password)| Request::Hello {
                version_min,
                version_max,
                server_password
            }
        ),
        (account(), opaque()).prop_map(|(account, opaque)| Request::RegisterStart { account, opaque }),
        (opaque(), proof(), new_device(), prop::option::of(array().prop_map(InviteCode))).prop_map(
            |(opaque, device_proof, device, invite)| Request::RegisterFinish {
                opaque,
                device_proof,
                device: Box::new(device),
                invite
            }
        ),
        array().prop_map(|blinded| Request::Evaluate { blinded }),
        any::<u64>().prop_map(|nonce| Request::ShowWork { nonce }),
        Just(Request::NewChallenge),
        opaque().prop_map(|opaque| Request::LoginNew { opaque }),
        (account(), prop::option::of((array(), array())), proof(), new_device()).prop_map(
            |(account, link, device_proof, device)| Request::AddDevice {
                account,
                link,
                device_proof,
                device: Box::new(device)
            }
        ),
        (array(), bytes(1..200)).prop_map(|(link, offer)| Request::OfferLink { link, offer }),
        array().prop_map(|link| Request::FetchAnswer { link }),
        array().prop_map(|link| Request::FetchOffer { link }),
        (array(), bytes(1..200), prop::option::of(array()))
            .prop_map(|(link, sealed, secret_hash)| Request::AnswerLink { link, sealed, secret_hash }),
        (filled(limits::REFRESH_TOKEN_BYTES), proof())
            .prop_map(|(token, device_proof)| Request::Refresh { token, device_proof }),
        Just(Request::FetchDevices),
        (device(), bytes(1..=limits::DEVICE_NAME_BYTES_MAX))
            .prop_map(|(device, name)| Request::RenameDevice { device, name }),
        device().prop_map(|device| Request::RemoveDevice { device }),
        any::<bool>().prop_map(|everywhere| Request::Logout { everywhere }),
        (account(), select(&[None, Some(Relation::Accepted), Some(Relation::Blocked)][..]))
            .prop_map(|(account, relation)| Request::SetRelation { account, relation }),
        (opaque(), prop::option::of(opaque()))
            .prop_map(|(opaque, registration)| Request::PasswordStart { opaque, registration }),
        (opaque(), prop::option::of(opaque())).prop_map(|(opaque, record)| Request::PasswordFinish { opaque, record }),
        prop::option::of(bytes(1..300)).prop_map(Request::SetBackup),
        (account(), opaque()).prop_map(|(account, opaque)| Request::LoginStart { account, opaque }),
        (opaque(), device(), proof()).prop_map(|(opaque, device, device_proof)| Request::LoginFinish {
            opaque,
            device,
            device_proof
        }),
        (filled(limits::ACCESS_TOKEN_BYTES), proof())
            .prop_map(|(token, device_proof)| Request::Resume { token, device_proof }),
        device_keys().prop_map(|keys| Request::PublishKeys(Box::new(keys))),
        account().prop_map(|account| Request::FetchBundles { account }),
        account().prop_map(|account| Request::FetchIdentity { account }),
        Just(Request::Attach),
        blob_request().prop_map(Request::Blob),
    ]
}
fn request_id() -> impl Strategy<Value = RequestId> {
    any::<std::num::NonZeroU64>().prop_map(RequestId)
}
fn client_frame() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        (request_id(), request()).prop_map(|(id, request)| ClientFrame::Request { id, request }),
        (envelope_id(), address(), body(), any::<u32>())
            .prop_map(|(id, to, body, devices_version)| ClientFrame::Send(Envelope { id, to, body, devices_version })),
        any::<u64>().prop_map(|count| ClientFrame::RetriesHeard { count }),
        any::<u64>().prop_map(|up_to| ClientFrame::Ack { up_to: DeliveryNumber(up_to) }),
    ]
}
fn listed_device() -> impl Strategy<Value = ListedDevice> {
    (device(), prop::option::of(bytes(1..100)), moment(), moment())
        .prop_map(|(device, name, added_at, active_at)| ListedDevice { device, name, added_at, active_at })
}
fn answer() -> impl Strategy<Value = Answer> {
    let counts = || any::<(u32, u32)>().prop_map(|(one_time, one_time_kem)| KeyCounts { one_time, one_time_kem });
    prop_oneof![
        (
            any::<u32>(),
            array(),
            moment(),
            1_u32..,
            array(),
            select(&[Registration::Open, Registration::Invite, Registration::Closed][..])
        )
            .prop_map(|(version, challenge, server_time, send_window, oprf_key, registration)| {
                Answer::Welcome { version, challenge, server_time, send_window, oprf_key, registration }
            }),
        array().prop_map(|evaluation| Answer::Evaluated { evaluation }),
        array().prop_map(|challenge| Answer::Challenge { challenge }),
        (prop::option::of(bytes(1..300)), any::<u64>())
            .prop_map(|(backup, delay_ms)| Answer::PasswordProved { backup, delay_ms }),
        bytes(1..300).prop_map(|offer| Answer::Offer { offer }),
        prop::option::of((account(), bytes(1..300))).prop_map(Answer::LinkAnswer),
        (any::<u32>(), prop::collection::vec(listed_device(), 0..=limits::DEVICES_MAX))
            .prop_map(|(version, devices)| Answer::Devices { version, devices }),
        (opaque(), prop::option::of(opaque()))
            .prop_map(|(opaque, registration)| Answer::PasswordChallenge { opaque, registration }),
        Just(Answer::Done),
        opaque().prop_map(|opaque| Answer::RegisterChallenge { opaque }),
        opaque().prop_map(|opaque| Answer::LoginChallenge { opaque }),
        (
            address(),
            filled(limits::ACCESS_TOKEN_BYTES),
            moment(),
            counts(),
            prop::option::of(filled(limits::REFRESH_TOKEN_BYTES)),
            any::<u32>()
        )
            .prop_map(|(address, token, token_expires, keys, refresh_token, devices_version)| {
                Answer::Authenticated { address, token, token_expires, keys, refresh_token, devices_version }
            }),
        counts().prop_map(Answer::KeysPublished),
        (any::<u32>(), array(), prop::collection::vec(bundle(), 1..=limits::DEVICES_MAX)).prop_map(
            |(devices_version, identity_key, devices)| {
                Answer::Bundles(Box::new(Bundles { devices_version, identity_key, devices }))
            }
        ),
        (any::<u32>(), array(), prop::collection::vec((device(), envelope_key()), 1..=limits::DEVICES_MAX)).prop_map(
            |(devices_version, identity_key, envelope_keys)| {
                Answer::Identity(Box::new(Identity { devices_version, identity_key, envelope_keys }))
            }
        ),
        Just(Answer::Attached),
        (0..=limits::BLOB_BYTES_MAX).prop_map(Answer::BlobHas),
        (0..=limits::BLOB_BYTES_MAX, bytes(0..200)).prop_map(|(bytes, part)| Answer::BlobPart { bytes, part }),
    ]
}
fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let work = (1..=limits::WORK_BITS_MAX, any::<u64>()).prop_map(|(bits, counter)| Work { bits, counter });
    let refusal = (select(RefusalCode::ALL), any::<u64>(), prop::option::of(work))
        .prop_map(|(code, ms, work)| Refusal { code, retry_after_ms: std::num::NonZeroU64::new(ms), work });
    prop_oneof![
        (request_id(), answer()).prop_map(|(id, answer)| ServerFrame::Answer { id, answer }),
        (prop::option::of(request_id()), refusal).prop_map(|(id, refusal)| ServerFrame::Refused { id, refusal }),
        (envelope_id(), moment()).prop_map(|(id, at)| ServerFrame::Accepted { id, at }),
        (envelope_id(), any::<u64>(), select(RetryReason::ALL)).prop_map(|(id, after_ms, reason)| ServerFrame::Retry {
            id,
            after_ms,
            reason
        }),
        (envelope_id(), select(RejectReason::ALL)).prop_map(|(id, reason)| ServerFrame::Rejected { id, reason }),
        (any::<u64>(), envelope_id(), moment(), body()).prop_map(|(number, id, accepted_at, body)| {
            ServerFrame::Deliver(Deliver { delivery: DeliveryNumber(number), id, accepted_at, body })
        }),
        (select(ClosingReason::ALL), any::<u64>())
            .prop_map(|(reason, after_ms)| ServerFrame::Closing { reason, after_ms }),
        any::<u32>().prop_map(|version| ServerFrame::DevicesChanged { version }),
    ]
}

fn file() -> impl Strategy<Value = File> {
    let shown = prop_oneof![
        Just(Shown::File),
        (1..=8_192_u32, 1..=8_192_u32).prop_map(|(width, height)| Shown::Picture(Picture::new(width, height).unwrap())),
        (any::<u32>(), prop::collection::vec(any::<u8>(), 0..=limits::WAVEFORM_BYTES_MAX))
            .prop_map(|(duration_ms, waveform)| Shown::Voice(Voice::new(duration_ms, waveform).unwrap())),
    ];
    let said = (any::<String>(), select(vec!["image/png", "text/plain", "nonsense"]));
    (array(), array(), array(), 0..=limits::FILE_BYTES_MAX, said, shown).prop_map(
        |(blob, key, hash, bytes, (name, media_type), shown)| File {
            blob: BlobId(blob),
            key,
            hash,
            bytes,
            name: FileName::new(&name),
            media_type: MediaType::new(media_type),
            shown,
        },
    )
}

fn said() -> impl Strategy<Value = Said> {
    let id = any::<[u8; 10]>().prop_map(|random| MessageId::new(UnixMillis::new(7), random));
    let reference = (id.clone(), any::<bool>()).prop_map(|(id, of_reader)| Reference { id, of_reader });
    let text = "\\PC{1,80}".prop_map(|text| Text::new(text).unwrap());
    let lifetime = prop::option::of((1..=31_536_000_u32).prop_map(|seconds| Lifetime::from_secs(seconds).unwrap()));
    let emoji = prop::option::of("[a-z👍❤]{1,8}".prop_map(|text| Emoji::new(text).unwrap()));
    prop_oneof![
        (text.clone(), prop::option::of(reference.clone()), lifetime.clone())
            .prop_map(|(text, reply_to, lives_for)| Said::Text(Written { text, reply_to, lives_for })),
        (file(), prop::option::of(reference.clone()), lifetime.clone())
            .prop_map(|(file, reply_to, lives_for)| Said::File(Box::new(Attached { file, reply_to, lives_for }))),
        (id.clone(), text).prop_map(|(id, text)| Said::Edit { id, text }),
        id.clone().prop_map(Said::Delete),
        (reference.clone(), emoji).prop_map(|(to, emoji)| Said::React { to, emoji }),
        (any::<bool>(), prop::collection::vec(id, 1..=limits::RECEIPT_IDS_MAX)).prop_map(|(read, ids)| {
            Said::Receipt { progress: if read { Progress::Read } else { Progress::Delivered }, ids }
        }),
        any::<bool>().prop_map(|stopped| Said::Typing { stopped }),
        lifetime.clone().prop_map(Said::Timer),
        ("[a-z]{1,200}", "\\PC{0,30}", prop::option::of(reference), lifetime).prop_map(
            |(link, name, reply_to, lives_for)| Said::Card(Box::new(Card { link, name, reply_to, lives_for }))
        ),
        face().prop_map(Said::Face),
    ]
}

fn face() -> impl Strategy<Value = Face> {
    ("\\PC{0,30}", bytes(0..300)).prop_map(|(name, picture)| Face { name, picture })
}

fn comparison() -> impl Strategy<Value = Option<Comparison>> {
    let devices = prop::collection::vec(device(), 0..=limits::DEVICES_MAX);
    prop::option::of((array(), devices).prop_map(|(identity, devices)| Comparison { identity, devices }))
}

fn arrangement() -> impl Strategy<Value = Arrangement> {
    let moment = (1..u64::MAX).prop_map(|ms| Muted::Until(UnixMillis::new(ms)));
    let muted = prop_oneof![Just(Muted::No), Just(Muted::ForGood), moment];
    (any::<bool>(), muted).prop_map(|(pinned, muted)| Arrangement { pinned, muted })
}

fn settled<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Settled<T>> {
    (value, 1..u64::MAX).prop_map(|(value, at)| Settled { value, at: UnixMillis::new(at) })
}

fn person() -> impl Strategy<Value = Person> {
    let lifetime = prop::option::of((1..=31_536_000_u32).prop_map(|seconds| Lifetime::from_secs(seconds).unwrap()));
    let who = (account(), "\\PC{0,30}", prop::option::of(array()), settled("[a-z]{0,9}"), settled("\\PC{0,30}"));
    let how = (settled(comparison()), settled(arrangement()), settled(face()), settled(lifetime));
    (who, how).prop_map(|((account, handle, identity, standing, nickname), (compared, arrangement, face, timer))| {
        Person { account, handle, identity, standing, nickname, compared, arrangement, face, timer }
    })
}

fn own_news() -> impl Strategy<Value = OwnNews> {
    let id = any::<[u8; 10]>().prop_map(|random| MessageId::new(UnixMillis::new(7), random));
    prop_oneof![
        (account(), "\\PC{0,30}").prop_map(|(about, name)| OwnNews::Nickname { about, name }),
        (account(), comparison()).prop_map(|(about, compared)| OwnNews::Compared { about, compared }),
        any::<[bool; 2]>().prop_map(|[receipts, typing]| OwnNews::Choices { receipts, typing }),
        face().prop_map(OwnNews::Face),
        (account(), arrangement()).prop_map(|(with, arrangement)| OwnNews::Arranged { with, arrangement }),
        (account(), any::<bool>()).prop_map(|(with, contact)| OwnNews::Removed { with, contact }),
        prop::collection::vec(person(), 1..4).prop_map(OwnNews::People),
        (account(), prop::collection::vec(id, 1..=limits::RECEIPT_IDS_MAX))
            .prop_map(|(with, ids)| OwnNews::Seen { with, ids }),
    ]
}

/// A content with one field that holds these bytes.
fn content_with(field: u8, value: &[u8]) -> Vec<u8> {
    let at = UnixMillis::new(7);
    let content =
        Content { id: MessageId::new(at, [0; 10]), sent_at: at, sender_handle: None, kind: ContentKind::Unknown };
    let mut bytes = content.encode();
    bytes.push(field << 3 | 2);
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend_from_slice(value);
    bytes
}

#[test]
fn a_kind_of_a_newer_version_is_unknown_and_a_broken_one_is_refused() {
    let kind = |field, value: &[u8]| Content::decode(&content_with(field, value)).map(|content| content.kind);
    let mut new = content_with(9, b"");
    new.truncate(new.len() - 2);
    // Field 127.
    new.extend([0xfa, 0x07, 0]);
    assert_eq!(Content::decode(&new).map(|content| content.kind), Ok(ContentKind::Unknown), "a new kind");
    assert_eq!(kind(12, b"\x08\x07"), Ok(ContentKind::Unknown), "a new progress");
    for (field, value, what) in [
        (9, b"".as_slice(), "an edit of nothing"),
        (10, b"\x0a\x01x", "a deletion of no id"),
        (11, b"", "a reaction to nothing"),
        (12, b"\x08\x01", "a receipt without messages"),
        (14, b"\x08\xff\xff\xff\xff\x0f", "a life of a century"),
        (15, b"", "a file that is nowhere"),
    ] {
        assert!(matches!(kind(field, value), Err(DecodeError::Invalid { .. })), "{what}");
    }
    let many = [0x12, 0].repeat(limits::RECEIPT_IDS_MAX + 1);
    let mut receipt = content_with(12, b"");
    receipt.truncate(receipt.len() - 2);
    receipt.extend([12 << 3 | 2, u8::try_from(many.len() + 2).unwrap_or(0x7f) | 0x80, 1]);
    receipt.extend([0x08, 1]);
    receipt.extend(many);
    assert_eq!(Content::decode(&receipt), Err(DecodeError::Invalid { id: None, field: "message_ids" }), "too many");
}

#[test]
fn a_reaction_has_no_spaces_controls_or_marks_of_direction() {
    for bad in ["", " ", "a b", "a\u{1b}[2J", "\u{202e}x", "\u{200f}", &"x".repeat(limits::EMOJI_BYTES_MAX + 1)] {
        assert_eq!(Emoji::new(bad.to_owned()), None, "{bad:?}");
    }
    for good in ["👍", "👨\u{200d}👩\u{200d}👧\u{200d}👦", "❤\u{fe0f}", "+1"] {
        assert!(Emoji::new(good.to_owned()).is_some(), "{good:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_client_frame_is_read_back(frame in client_frame()) {
        let bytes = frame.encode();
        prop_assert!(bytes.len() <= limits::FRAME_BYTES_MAX);
        let again = ClientFrame::decode(bytes.clone()).unwrap();
        prop_assert_eq!(&again, &frame);
        prop_assert_eq!(again.encode(), bytes);
    }

    #[test]
    fn a_server_frame_is_read_back(frame in server_frame()) {
        let bytes = frame.encode();
        prop_assert!(bytes.len() <= limits::FRAME_BYTES_MAX);
        let again = ServerFrame::decode(bytes.clone()).unwrap();
        prop_assert_eq!(&again, &frame);
        prop_assert_eq!(again.encode(), bytes);
    }

    #[test]
    fn content_is_read_back(ms in any::<u64>(), random in any::<[u8; 10]>(), text in "\\PC{1,200}", sender in prop::option::of("[a-z]{1,32}")) {
        let at = UnixMillis::new(ms >> 16);
        let envelope = EnvelopeId::new(at, random);
        let text = Text::new(text).unwrap();
        let copy = ContentKind::Copy { to: AccountTag::new([9; 32]), handle: "bob".to_owned(), said: text.clone().into() };
        let decision = ContentKind::Decision { about: AccountTag::new([9; 32]), handle: String::new(), standing: "blocked".to_owned() };
        for kind in [ContentKind::Said(text.into()), copy, decision, ContentKind::Unopened(envelope), ContentKind::Unknown] {
            let content = Content {
                id: MessageId::new(at, random),
                sent_at: UnixMillis::new(ms),
                sender_handle: sender.clone(),
                kind,
            };
            prop_assert_eq!(Content::decode(&content.encode()), Ok(content));
        }
    }

    #[test]
    fn what_is_said_is_read_back(said in said(), random in any::<[u8; 10]>()) {
        let at = UnixMillis::new(9);
        let copied = !matches!(said, Said::Typing { .. } | Said::Face(_));
        let copy = ContentKind::Copy { to: AccountTag::new([9; 32]), handle: "bob".to_owned(), said: said.clone() };
        for kind in std::iter::once(ContentKind::Said(said)).chain(copied.then_some(copy)) {
            let content = Content { id: MessageId::new(at, random), sent_at: at, sender_handle: None, kind };
            prop_assert_eq!(Content::decode(&content.encode()), Ok(content));
        }
    }

    #[test]
    fn any_bytes_are_content_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(content) = Content::decode(&bytes) {
            prop_assert_eq!(Content::decode(&content.encode()), Ok(content));
        }
    }

    #[test]
    fn what_an_account_settles_is_read_back(news in own_news()) {
        let at = UnixMillis::new(7);
        let kind = ContentKind::Own(news);
        let content = Content { id: MessageId::new(at, [0; 10]), sent_at: at, sender_handle: None, kind };
        prop_assert_eq!(Content::decode(&content.encode()), Ok(content));
    }

    #[test]
    fn a_parcel_is_read_back(chain in any::<[u8; 8]>(), number in 1..=u64::MAX, head in any::<[u8; 16]>(), copies in prop::collection::vec(any::<[u8; 10]>(), 0..=4), content in bytes(0..300)) {
        let at = UnixMillis::new(1);
        let copies = copies.iter().map(|random| EnvelopeId::new(at, *random)).collect();
        let place = Place { chain: ChainId(chain), number: NonZeroU64::new(number).unwrap(), previous: ChainHead(head) };
        let parcel = Parcel { place, copies, content };
        prop_assert_eq!(Parcel::decode(&parcel.encode()), Ok(parcel));
    }

    #[test]
    fn a_place_has_one_length_and_no_number_zero(place in prop::collection::vec(any::<u8>(), 0..40)) {
        let good = place.len() == 32 && place[8..16] != [0; 8];
        prop_assert_eq!(Place::from_bytes(&place).is_some(), good);
        if let Some(read) = Place::from_bytes(&place) {
            prop_assert_eq!(&read.to_bytes()[..], &place[..]);
        }
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(noise in bytes(0..600)) {
        if let Ok(frame) = ClientFrame::decode(noise.clone()) {
            prop_assert_eq!(ClientFrame::decode(frame.encode()), Ok(frame));
        }
        if let Ok(frame) = ServerFrame::decode(noise.clone()) {
            prop_assert_eq!(ServerFrame::decode(frame.encode()), Ok(frame));
        }
        if let Ok(content) = Content::decode(&noise) {
            prop_assert_eq!(Content::decode(&content.encode()), Ok(content));
        }
        if let Ok(parcel) = Parcel::decode(&noise) {
            prop_assert_eq!(Parcel::decode(&parcel.encode()), Ok(parcel));
        }
    }

    #[test]
    fn a_frame_that_was_bent_is_a_frame_or_an_error(frame in client_frame(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bent = frame.encode().to_vec();
        let at = at.index(bent.len());
        bent[at] = byte;
        if let Ok(frame) = ClientFrame::decode(bent.into()) {
            prop_assert_eq!(ClientFrame::decode(frame.encode()), Ok(frame));
        }
    }
}

/// Field 1, varint: the request number.
const REQUEST_5: [u8; 2] = [0x08, 5];

#[test]
fn an_unknown_kind_is_told_with_its_request() {
    let mut frame = REQUEST_5.to_vec();
    frame.extend([0xfa, 0x06, 0]); // field 111, empty message
    let id = Some(RequestId(std::num::NonZeroU64::new(5).unwrap()));
    assert_eq!(ClientFrame::decode(frame.clone().into()), Err(DecodeError::Unsupported { id }));
    assert_eq!(ServerFrame::decode(frame.into()), Err(DecodeError::Unsupported { id }));
    assert_eq!(ClientFrame::decode(Bytes::new()), Err(DecodeError::Unsupported { id: None }));
}

#[test]
fn an_unknown_field_is_ignored() {
    let known = ClientFrame::Ack { up_to: DeliveryNumber(9) };
    let mut frame = known.encode().to_vec();
    frame.extend([0xf8, 0x06, 1]); // field 111, varint
    assert_eq!(ClientFrame::decode(frame.into()), Ok(known));
}

#[test]
fn a_field_that_breaks_its_rule_is_named() {
    let invalid = |frame: &[u8], name| {
        let id = Some(RequestId(std::num::NonZeroU64::new(5).unwrap()));
        let frame = [&REQUEST_5[..], frame].concat();
        assert_eq!(ClientFrame::decode(frame.into()), Err(DecodeError::Invalid { id, field: name }));
    };
    invalid(&[0x4a, 0x02, 0x0a, 0x00], "account"); // FetchBundles with an empty tag
    invalid(&[0x2a, 0x00], "account"); // LoginStart with nothing
    invalid(&[0x5a, 0x00], "id"); // Send with nothing
    invalid(&[0x22, 0x00], "keys"); // RegisterFinish with nothing
    // Attach without a request number
    assert_eq!(
        ClientFrame::decode(Bytes::from_static(&[0x52, 0x00])),
        Err(DecodeError::Invalid { id: None, field: "request" })
    );
}

#[test]
fn what_is_too_large_or_no_protobuf_is_told_apart() {
    let large = Bytes::from(vec![0; limits::FRAME_BYTES_MAX + 1]);
    assert_eq!(ClientFrame::decode(large.clone()), Err(DecodeError::TooLarge { len: large.len() }));
    assert_eq!(ClientFrame::decode(Bytes::from_static(&[0xff])), Err(DecodeError::Malformed));
    let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
    let id = EnvelopeId::new(UnixMillis::new(1), [1; 10]);
    for len in [0, limits::ENVELOPE_BYTES_MAX + 1] {
        let send = ClientFrame::Send(Envelope { id, to, body: vec![0; len].into(), devices_version: 1 });
        assert_eq!(ClientFrame::decode(send.encode()), Err(DecodeError::Invalid { id: None, field: "body" }));
    }
}

#[test]
fn the_largest_upload_fits_a_frame() {
    let signature = [1; 64];
    let kem = KemPreKey { id: u32::MAX, public: vec![1; limits::SIGNAL_KEM_KEY_BYTES].into(), signature };
    let keys = DeviceKeys {
        signed_pre_key: Some(SignedPreKey { id: u32::MAX, public: [1; 33], signature }),
        last_resort_kem_pre_key: Some(kem.clone()),
        envelope_key: Some(EnvelopeKey {
            id: u32::MAX,
            x25519: [1; 32],
            ml_kem: vec![1; limits::ML_KEM_KEY_BYTES].into(),
            signature,
        }),
        one_time_pre_keys: vec![OneTimePreKey { id: u32::MAX, public: [1; 33] }; limits::ONE_TIME_PRE_KEYS_UPLOAD_MAX],
        one_time_kem_pre_keys: vec![kem; limits::ONE_TIME_KEM_PRE_KEYS_UPLOAD_MAX],
    };
    let id = RequestId(std::num::NonZeroU64::MAX);
    let frame = ClientFrame::Request { id, request: Request::PublishKeys(Box::new(keys)) };
    let bytes = frame.encode();
    assert!(bytes.len() <= limits::FRAME_BYTES_MAX, "{} B", bytes.len());
    assert_eq!(ClientFrame::decode(bytes), Ok(frame));
}

#[test]
fn nothing_that_was_written_is_shown() {
    let id = EnvelopeId::new(UnixMillis::new(1), [1; 10]);
    let to = Address { account: AccountTag::new([0xab; 32]), device: DeviceId::FIRST };
    let shown = format!("{:?}", Envelope { id, to, body: Bytes::from_static(b"ciphertext"), devices_version: 1 });
    assert!(!shown.contains("ciphertext") && shown.contains("10 B") && !shown.contains("abababababab"), "{shown}");
    assert_eq!(format!("{:?}", Text::new("secret".to_owned()).unwrap()), "Text(6 B)");
}

/// Frames of version 1 as they are on the wire, for ever.
#[test]
fn golden_frames_do_not_change() {
    let hex = |bytes: Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let id = EnvelopeId::new(UnixMillis::new(0x0123_4567_89ab), [0xcd; 10]);
    let request = RequestId(std::num::NonZeroU64::MIN);
    let hello = ClientFrame::Request {
        id: request,
        request: Request::Hello { version_min: 1, version_max: 2, server_password: Bytes::new() },
    };
    assert_eq!(hex(hello.encode()), "0801120408011002");
    let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
    let send = ClientFrame::Send(Envelope { id, to, body: Bytes::from_static(b"\x01\x02"), devices_version: 0 });
    assert_eq!(
        hex(send.encode()),
        format!("5a3a0a100123456789ab7dcd8dcdcdcdcdcdcdcd1220{}180122020102", "01".repeat(32))
    );
    assert_eq!(hex(ClientFrame::RetriesHeard { count: 300 }.encode()), "82020308ac02");
    assert_eq!(hex(ClientFrame::Ack { up_to: DeliveryNumber(300) }.encode()), "620308ac02");
    let accepted = ServerFrame::Accepted { id, at: UnixMillis::new(5) };
    assert_eq!(hex(accepted.encode()), "52140a100123456789ab7dcd8dcdcdcdcdcdcdcd1005");
    let closing = |after_ms| ServerFrame::Closing { reason: ClosingReason::ShuttingDown, after_ms };
    assert_eq!(hex(closing(0).encode()), "72020806");
    assert_eq!(hex(closing(300).encode()), "7205080610ac02");
}

/// A frame that is printed shows no token, no proof and no OPAQUE message.
#[test]
fn nothing_secret_is_shown() {
    let secret = Bytes::from(vec![b'S'; limits::ACCESS_TOKEN_BYTES]);
    let account = AccountTag::new([1; 32]);
    let address = Address { account, device: DeviceId::FIRST };
    let (opaque, device_proof) = (secret.clone(), secret.clone());
    let requests = [
        Request::RegisterStart { account, opaque: secret.clone() },
        Request::LoginStart { account, opaque: secret.clone() },
        Request::LoginFinish { opaque, device: DeviceId::FIRST, device_proof },
        Request::Resume { token: secret.clone(), device_proof: secret.clone() },
    ];
    let answers = [
        Answer::RegisterChallenge { opaque: secret.clone() },
        Answer::LoginChallenge { opaque: secret.clone() },
        Answer::Authenticated {
            address,
            token: secret.clone(),
            token_expires: UnixMillis::new(1),
            keys: KeyCounts::default(),
            refresh_token: Some(secret),
            devices_version: 1,
        },
    ];
    let id = RequestId(std::num::NonZeroU64::MIN);
    let frames = requests.into_iter().map(|request| format!("{:?}", ClientFrame::Request { id, request }));
    let frames = frames.chain(answers.into_iter().map(|answer| format!("{:?}", ServerFrame::Answer { id, answer })));
    for shown in frames {
        assert!(!shown.contains("SSSS") && !shown.contains("83, 83"), "{shown}");
    }
}
