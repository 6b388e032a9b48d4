//! What another node says on a link.

use bytes::{Bytes, BytesMut};
use endtoend_cluster::ClusterId;
use endtoend_cluster::link::wire::{Forward, Frame, Hello, News, Outcome, Payload, Tray, Versions, put, take};
use endtoend_protocol::{AccountTag, Address, DeviceId, Envelope, EnvelopeId, limits};

use crate::people::NOW;

/// Frames come out of bytes whatever they are, and what decodes encodes to bytes that decode to the same.
pub fn links(data: &[u8]) {
    if let Ok(hello) = Hello::decode(data) {
        assert_eq!(Hello::decode(&encoded(|out| put(&hello, out))), Ok(hello));
    }
    let mut read = BytesMut::from(data);
    while let Ok(Some(body)) = take(&mut read) {
        let Ok(frame) = Frame::decode(&body) else { continue };
        if let Frame::Forward { forward, .. } = &frame {
            assert!((1..=limits::ENVELOPE_BYTES_MAX).contains(&forward.envelope.body.len()));
        }
        assert_eq!(Frame::decode(&encoded(|out| put(&frame, out))), Ok(frame));
    }
    assert!(read.len() <= data.len());
}

/// The body of one frame.
fn encoded<E: std::fmt::Debug>(put: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Bytes {
    let mut out = Vec::new();
    put(&mut out).unwrap();
    take(&mut BytesMut::from(&*out)).unwrap().unwrap()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
    let envelope =
        Envelope { id: EnvelopeId::new(NOW, [2; 10]), to, body: Bytes::from_static(b"sealed"), devices_version: 3 };
    let hello = Hello { versions: Versions::OURS, cluster: ClusterId::new([4; 16]), run: 5 };
    let frames = [
        Frame::Forward { n: 1, forward: Forward { envelope, tray: Tray::Contacts, accepted_at: NOW } },
        Frame::Forwarded { n: 1, outcome: Outcome::Accepted { at: NOW }, moved: true },
        Frame::Wake { n: 2, to, seq: 7 },
        Frame::Woken { up_to: 2 },
        Frame::Taken { n: 3, device: to, epoch: 8 },
        Frame::News { n: 4, news: News::AccountRevoked { account: to.account, except: Some([9; 16]) } },
        Frame::Call { n: 5, question: Payload(Bytes::from_static(b"vote")) },
        Frame::Ping { n: 6 },
    ];
    let mut all = Vec::new();
    frames.iter().for_each(|frame| put(frame, &mut all).unwrap());
    let mut seeds = vec![encoded(|out| put(&hello, out)).to_vec(), all];
    seeds.extend(frames.iter().map(|frame| {
        let mut out = Vec::new();
        put(frame, &mut out).unwrap();
        out
    }));
    seeds
}
