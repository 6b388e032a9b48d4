use bytes::BytesMut;
use endtoend_protocol::{DeviceId, EnvelopeId, limits};
use proptest::prelude::*;

use super::*;
use crate::CALL_BYTES_MAX;

/// What each version looks like, and what it has brought. A line never changes: other nodes speak it.
const GOLDEN: [&str; 2] = [include_str!("../../../vectors/link-v1.txt"), include_str!("../../../vectors/link-v2.txt")];

fn device(n: u8) -> Address {
    Address { account: AccountTag::new([n; 32]), device: DeviceId::new(n.into()).unwrap() }
}

fn forward(body: Vec<u8>) -> Forward {
    let id = EnvelopeId::new(UnixMillis::new(1_800_000_000_000), [3; 10]);
    let envelope = Envelope { id, to: device(2), body: body.into(), devices_version: 300 };
    Forward { envelope, tray: Tray::Requests, accepted_at: UnixMillis::new(1_800_000_000_001) }
}

fn one_of_each() -> Vec<(&'static str, Frame)> {
    let account = AccountTag::new([4; 32]);
    let at = UnixMillis::new(1_800_000_000_000);
    let forwarded = |n, outcome| Frame::Forwarded { n, outcome, moved: n % 2 == 1 };
    let news = |news| Frame::News { n: 6, news };
    vec![
        ("ping", Frame::Ping { n: 1 }),
        ("pong", Frame::Pong { n: u64::MAX }),
        ("call", Frame::Call { n: 2, question: Payload(Bytes::from_static(b"vote")) }),
        ("answer", Frame::Answer { n: 2, answer: Answer::Bytes(Payload(Bytes::from_static(b"yes"))) }),
        ("answer refused", Frame::Answer { n: 2, answer: Answer::Refused }),
        ("forward", Frame::Forward { n: 3, forward: forward(b"sealed".to_vec()) }),
        ("forwarded accepted", forwarded(3, Outcome::Accepted { at })),
        ("forwarded busy", forwarded(4, Outcome::Busy)),
        ("forwarded queue full", forwarded(5, Outcome::QueueFull)),
        ("forwarded unavailable", forwarded(6, Outcome::Unavailable)),
        ("forwarded shutting down", forwarded(7, Outcome::ShuttingDown)),
        ("forwarded unknown recipient", forwarded(8, Outcome::UnknownRecipient)),
        ("wake", Frame::Wake { n: 4, to: device(127), seq: i64::MAX }),
        ("woken", Frame::Woken { up_to: 4 }),
        ("taken", Frame::Taken { n: 5, device: device(1), epoch: 1_800_000_000_000_000 }),
        ("taken seen", Frame::TakenSeen { n: 5 }),
        ("news of devices", news(News::DevicesChanged { account, version: 7 })),
        ("news of a device", news(News::DeviceRevoked { device: device(3) })),
        ("news of a family", news(News::FamilyRevoked { account, family: [8; 16] })),
        ("news of an account", news(News::AccountRevoked { account, except: None })),
        ("news of others", news(News::AccountRevoked { account, except: Some([9; 16]) })),
        ("news of a standing", news(News::StandingChanged { account })),
        ("news heard", Frame::NewsHeard { n: 6 }),
        ("refusals heard", Frame::RefusalsHeard { count: 300 }),
        ("news missed", Frame::NewsMissed { n: 7 }),
    ]
}

/// Of a node whose newest version this is.
const fn hello(max: u16) -> Hello {
    Hello { versions: Versions { min: 1, max }, cluster: ClusterId::new([5; 16]), run: 0x0123_4567_89ab_cdef }
}
const HELLO: Hello = hello(2);

fn bytes_of<T: Serialize>(frame: &T) -> Vec<u8> {
    let mut out = Vec::new();
    put(frame, &mut out).unwrap();
    out
}

#[test]
fn a_frame_of_a_version_never_changes() {
    for (version, golden) in (1..).zip(GOLDEN) {
        let brought: Vec<_> = one_of_each().into_iter().filter(|(_, frame)| frame.since() == version).collect();
        let lines: Vec<String> = std::iter::once(("hello", bytes_of(&hello(version))))
            .chain(brought.iter().map(|(name, frame)| (*name, bytes_of(frame))))
            .map(|(name, bytes)| format!("{name}: {}", hex::encode(bytes)))
            .collect();
        let golden: Vec<&str> = golden.lines().collect();
        assert_eq!(lines, golden, "\n{}\n", lines.join("\n"));
    }
    assert_eq!(usize::from(Versions::OURS.max), GOLDEN.len(), "each version has its vectors");
}

#[test]
fn every_kind_is_read_back() {
    let mut read = BytesMut::new();
    for (_, frame) in one_of_each() {
        read.extend_from_slice(&bytes_of(&frame));
    }
    for (_, frame) in one_of_each() {
        let body = take(&mut read).unwrap().unwrap();
        assert_eq!(Frame::decode(&body), Ok(frame));
    }
    assert_eq!(take(&mut read), Ok(None));
}

#[test]
fn no_frame_is_longer_than_is_reckoned() {
    for (name, frame) in one_of_each() {
        assert!(bytes_of(&frame).len() <= frame.len_max(), "{name}");
    }
    let most = Address { account: AccountTag::new([255; 32]), device: DeviceId::new(127).unwrap() };
    let forward = Forward { accepted_at: UnixMillis::new(u64::MAX), ..forward(vec![1; limits::ENVELOPE_BYTES_MAX]) };
    let mut envelope = forward.envelope.clone();
    (envelope.to, envelope.devices_version) = (most, u32::MAX);
    let frames = [
        Frame::Forward { n: u64::MAX, forward: Forward { envelope, ..forward } },
        Frame::Wake { n: u64::MAX, to: most, seq: i64::MIN },
        Frame::Call { n: u64::MAX, question: Payload(vec![1; CALL_BYTES_MAX].into()) },
    ];
    assert!(frames.iter().all(|frame| bytes_of(frame).len() <= frame.len_max()));
}

#[test]
fn the_longest_call_fits_and_the_next_does_not() {
    let call = |len| Frame::Call { n: u64::MAX, question: Payload(vec![1; len].into()) };
    let mut read = BytesMut::from(&*bytes_of(&call(CALL_BYTES_MAX)));
    assert_eq!(Frame::decode(&take(&mut read).unwrap().unwrap()), Ok(call(CALL_BYTES_MAX)));

    let mut out = b"before".to_vec();
    assert!(matches!(put(&call(FRAME_BYTES_MAX), &mut out), Err(WireError::TooLong { .. })));
    assert_eq!(out, b"before");
    let len = FRAME_BYTES_MAX + 1;
    let mut read = BytesMut::from(&u32::try_from(len).unwrap().to_be_bytes()[..]);
    assert_eq!(take(&mut read), Err(WireError::TooLong { len }), "refused by its head alone");
}

#[test]
fn what_is_read_keeps_the_rules_of_its_type() {
    let body = |forward| bytes_of(&Frame::Forward { n: 1, forward })[4..].to_vec();
    assert!(Frame::decode(&body(forward(vec![1; limits::ENVELOPE_BYTES_MAX]))).is_ok());
    for len in [0, limits::ENVELOPE_BYTES_MAX + 1] {
        assert_eq!(Frame::decode(&body(forward(vec![1; len]))), Err(WireError::Malformed));
    }
    let wake = bytes_of(&Frame::Wake { n: 1, to: device(1), seq: 1 })[4..].to_vec();
    assert!(Frame::decode(&wake).is_ok());
    for device in [0, 128] {
        let mut wake = wake.clone();
        wake[34] = device;
        assert_eq!(Frame::decode(&wake), Err(WireError::Malformed), "device {device}");
    }
    let trailing = [wake, vec![0]].concat();
    assert_eq!(Frame::decode(&trailing), Err(WireError::Malformed));
    assert_eq!(Frame::decode(&[200]), Err(WireError::Malformed), "a kind that nobody knows");
}

#[test]
fn a_hello_of_a_later_version_is_understood() {
    let later = [&bytes_of(&HELLO)[4..], b"what it appends"].concat();
    assert_eq!(Hello::decode(&later), Ok(HELLO));
}

#[test]
fn two_versions_speak_the_newest_that_both_know() {
    let versions = |min, max| Versions { min, max };
    assert_eq!(versions(1, 3).common(versions(2, 9)), Some(3));
    assert_eq!(versions(2, 9).common(versions(1, 3)), Some(3));
    assert_eq!(versions(1, 1).common(versions(0, 1)), Some(1), "an older one");
    assert_eq!(Versions::OURS.common(versions(1, 1)), Some(1), "the one before this");
    assert_eq!(versions(1, 1).common(versions(2, 3)), None);
    assert_eq!(versions(2, 3).common(versions(1, 1)), None);
}

#[test]
fn nothing_that_nodes_agree_upon_is_shown() {
    let call = Frame::Call { n: 1, question: Payload(Bytes::from_static(b"secret")) };
    assert_eq!(format!("{call:?}"), "Call { n: 1, question: Payload(6 B) }");
}

proptest! {
    #[test]
    fn any_bytes_are_a_frame_or_an_error(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(frame) = Frame::decode(&body) {
            prop_assert_eq!(Frame::decode(&bytes_of(&frame)[4..]), Ok(frame));
        }
    }

    #[test]
    fn a_damaged_frame_is_a_frame_or_an_error(kind in 0_usize..25, at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut body = bytes_of(&one_of_each()[kind].1)[4..].to_vec();
        let at = at.index(body.len());
        body[at] = to;
        if let Ok(frame) = Frame::decode(&body) {
            prop_assert_eq!(Frame::decode(&bytes_of(&frame)[4..]), Ok(frame));
        }
    }

    #[test]
    fn frames_come_out_of_any_pieces_as_they_went_in(pieces in proptest::collection::vec(1_usize..40, 1..60)) {
        let sent: Vec<Frame> = one_of_each().into_iter().map(|(_, frame)| frame).collect();
        let bytes: Vec<u8> = sent.iter().flat_map(bytes_of).collect();
        let (mut rest, mut read, mut got) = (&*bytes, BytesMut::new(), Vec::new());
        for piece in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            read.extend_from_slice(now);
            rest = later;
            while let Some(body) = take(&mut read).unwrap() {
                got.push(Frame::decode(&body).unwrap());
            }
        }
        prop_assert_eq!(got, sent);
    }
}
