//! The secure channel of one connection: what arrives becomes frames, what leaves becomes records. No actix here.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use endtoend_crypto_core::channel::{Assembler, Channel, ChannelError, Step, chunks, respond};
use rand::CryptoRng;

use crate::node::Introduced;

/// Where the channel stands.
pub(super) enum Link {
    /// The node has introduced itself and waits for `Initiate`.
    Opening { introduced: Arc<Introduced>, initiate: Assembler },
    /// Both ends have the same keys. A channel that broke hears nothing more, but can still say why it ends.
    Open { channel: Box<Channel>, since: Instant },
    /// The handshake failed.
    Failed(ChannelError),
}

/// What a message of the WebSocket was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A part of something.
    Part,
    /// The last part of `Initiate`: the answer, and what proofs on this connection are bound to.
    Opened { answer: Vec<Vec<u8>>, binding: [u8; 32] },
    /// A frame.
    Frame(Bytes),
}

impl Link {
    /// Begins, and gives what to say first.
    pub(super) fn new(introduced: Arc<Introduced>) -> (Self, Vec<Vec<u8>>) {
        let introduction = chunks(Step::Introduction, &introduced.introduction);
        (Self::Opening { introduced, initiate: Assembler::new(Step::Initiate) }, introduction)
    }

    /// Takes a message of the WebSocket.
    ///
    /// # Errors
    /// The channel is broken from then on.
    pub(super) fn hear<R: CryptoRng + ?Sized>(
        &mut self,
        message: &[u8],
        rng: &mut R,
        now: Instant,
    ) -> Result<Heard, ChannelError> {
        match self {
            Self::Opening { introduced, initiate } => {
                let answered = initiate.push(message).and_then(|initiate| {
                    let Some(initiate) = initiate else { return Ok(None) };
                    respond(rng, &introduced.keys, &introduced.introduction, &initiate).map(Some)
                });
                match answered {
                    Ok(None) => Ok(Heard::Part),
                    Ok(Some((answer, channel))) => {
                        let binding = channel.binding;
                        *self = Self::Open { channel: Box::new(channel), since: now };
                        Ok(Heard::Opened { answer: chunks(Step::Respond, &answer), binding })
                    }
                    Err(error) => {
                        *self = Self::Failed(error);
                        Err(error)
                    }
                }
            }
            Self::Open { channel, .. } => channel.opener.open(message).map(|frame| Heard::Frame(frame.into())),
            Self::Failed(error) => Err(*error),
        }
    }

    /// Whether the handshake goes on.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self, Self::Opening { .. })
    }

    /// Makes a record of the frame that stands in `out` from `start` on; `false` when there is no channel to say it on.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, start: usize, now: Instant) -> bool {
        let Self::Open { channel, since } = self else { return false };
        channel.sealer.seal_in_place(out, start, now.saturating_duration_since(*since)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use endtoend_crypto_core::channel::{Initiator, Introduction};
    use endtoend_crypto_core::signature::SigningKey;
    use endtoend_protocol::UnixMillis;

    use super::*;
    use crate::clock;
    use crate::node::Identity;

    /// A link and a client that has begun.
    fn opening() -> (Link, Initiator, Vec<Vec<u8>>) {
        let identity = Identity::new(SigningKey::from_seed(&[1; 64]), UnixMillis::new(1));
        let introduced = identity.introduced();
        let (link, said) = Link::new(introduced);
        let mut assembler = Assembler::new(Step::Introduction);
        let introduction = said.iter().fold(None, |_, chunk| assembler.push(chunk).unwrap()).unwrap();
        let read = Introduction::read(&introduction).unwrap();
        let (initiator, initiate) = Initiator::start(&mut rand::rng(), &read.keys, read.as_bytes()).unwrap();
        (link, initiator, chunks(Step::Initiate, &initiate))
    }

    fn hear(link: &mut Link, message: &[u8]) -> Result<Heard, ChannelError> {
        link.hear(message, &mut rand::rng(), clock::monotonic())
    }

    /// The record of a frame.
    fn seal(link: &mut Link, frame: &[u8]) -> Option<Vec<u8>> {
        let mut record = frame.to_vec();
        link.seal(&mut record, 0, clock::monotonic()).then_some(record)
    }

    fn open() -> (Link, Channel) {
        let (mut link, initiator, initiate) = opening();
        let Ok(Heard::Opened { answer, binding }) = hear(&mut link, &initiate[0]) else { panic!("not opened") };
        let mut assembler = Assembler::new(Step::Respond);
        let client = initiator.finish(&assembler.push(&answer[0]).unwrap().unwrap()).unwrap();
        assert_eq!(client.binding, binding);
        (link, client)
    }

    #[test]
    fn frames_go_both_ways_once_it_is_open() {
        let (mut link, _, _) = opening();
        assert_eq!(seal(&mut link, b"too early"), None);
        let (mut link, mut client) = open();
        let record = client.sealer.seal(b"hello", std::time::Duration::ZERO).unwrap();
        assert_eq!(hear(&mut link, &record), Ok(Heard::Frame(Bytes::from_static(b"hello"))));
        let record = seal(&mut link, b"welcome").unwrap();
        assert_eq!(client.opener.open(&record).unwrap(), b"welcome");
    }

    #[test]
    fn a_frame_outside_of_the_channel_is_never_heard() {
        let (mut link, _, initiate) = opening();
        assert_eq!(hear(&mut link, b"a frame"), Err(ChannelError::Malformed));
        assert_eq!(hear(&mut link, &initiate[0]), Err(ChannelError::Malformed), "a failed handshake stays failed");
        assert_eq!(seal(&mut link, b"why"), None);

        let (mut link, mut client) = open();
        assert_eq!(hear(&mut link, b"a frame that nobody has sealed"), Err(ChannelError::Forged));
        let honest = client.sealer.seal(b"hello", std::time::Duration::ZERO).unwrap();
        assert_eq!(hear(&mut link, &honest), Err(ChannelError::Forged));
        let why = seal(&mut link, b"why").unwrap();
        assert_eq!(client.opener.open(&why).unwrap(), b"why", "the client is told");
    }

    #[test]
    fn a_second_initiate_is_no_record() {
        let (mut link, _) = open();
        let (_, _, initiate) = opening();
        assert_eq!(hear(&mut link, &initiate[0]), Err(ChannelError::Forged));
    }
}
