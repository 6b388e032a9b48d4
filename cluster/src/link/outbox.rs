//! What waits to be written to one link. Rules only.

use std::collections::VecDeque;

use super::wire::{Frame, WireError, put};

/// One write takes about so many bytes of frames: enough that the cost of a write and of a TLS record does not count, and little
/// enough that a question of the control plane waits for nothing long.
pub(super) const BATCH_BYTES: usize = 64 * 1024;
/// Envelopes and wake-ups that wait, in bytes: 128 of the longest envelopes. Beyond it the sender hears at once that there is
/// no room.
pub(super) const TRAFFIC_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The same for questions and answers of the control plane: eight of the longest.
pub(super) const CONTROL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Answers to traffic come on top, because they give room to the other side: some fifty thousand. A peer that makes us owe it
/// more than this and does not read them loses the link.
pub(super) const ANSWERS_BYTES_MAX: usize = 1024 * 1024;

/// Why a frame is not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotQueued {
    /// No room.
    Full,
    /// Longer than a frame may be.
    TooLong,
}

/// Two queues, control first. A frame is encoded when it is queued: what waits is counted as what it takes.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    control: Queue,
    traffic: Queue,
    /// Only the newest of each counts.
    pong: Option<u64>,
    woken: Option<u64>,
    /// A batch that was written, to be filled again.
    spare: Vec<u8>,
}

/// Batches of whole frames.
#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// Of them, answers.
    answers: usize,
}

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    answers: usize,
}

impl Queue {
    fn push(&mut self, frame: &Frame, spare: &mut Vec<u8>) -> Result<(), WireError> {
        let room = |batch: &Batch| batch.bytes.is_empty() || batch.bytes.len() + frame.len_max() <= BATCH_BYTES;
        if !self.batches.back().is_some_and(room) {
            self.batches.push_back(Batch { bytes: std::mem::take(spare), answers: 0 });
        }
        let Some(batch) = self.batches.back_mut() else { return Ok(()) };
        let before = batch.bytes.len();
        put(frame, &mut batch.bytes)?;
        let len = batch.bytes.len() - before;
        self.bytes += len;
        if frame.is_answer() {
            batch.answers += len;
            self.answers += len;
        }
        Ok(())
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let batch = self.batches.pop_front().filter(|batch| !batch.bytes.is_empty())?;
        self.bytes = self.bytes.saturating_sub(batch.bytes.len());
        self.answers = self.answers.saturating_sub(batch.answers);
        Some(batch.bytes)
    }
}

impl Outbox {
    /// Queues what this node asks.
    pub(super) fn ask(&mut self, frame: &Frame) -> Result<(), NotQueued> {
        let (queue, bytes, max) = if frame.is_control() {
            let bytes = self.control.bytes;
            (&mut self.control, bytes, CONTROL_BYTES_MAX)
        } else {
            // Answers have a bound of their own.
            let bytes = self.traffic.bytes.saturating_sub(self.traffic.answers);
            (&mut self.traffic, bytes, TRAFFIC_BYTES_MAX)
        };
        // An empty queue takes any frame that there may be.
        if bytes > 0 && bytes + frame.len_max() > max {
            return Err(NotQueued::Full);
        }
        queue.push(frame, &mut self.spare).map_err(|_| NotQueued::TooLong)
    }

    /// Queues an answer to the other side.
    ///
    /// # Errors
    /// `Full` when the other side does not read what it has asked for.
    pub(super) fn answer(&mut self, frame: &Frame) -> Result<(), NotQueued> {
        match frame {
            Frame::Pong { n } => self.pong = Some(*n),
            Frame::Woken { up_to } => self.woken = self.woken.max(Some(*up_to)),
            frame if frame.is_control() => return self.ask(frame),
            frame => {
                if self.traffic.answers > ANSWERS_BYTES_MAX {
                    return Err(NotQueued::Full);
                }
                self.traffic.push(frame, &mut self.spare).map_err(|_| NotQueued::TooLong)?;
            }
        }
        Ok(())
    }

    /// What to write now. `None` when there is nothing.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        // Short as they are, they always fit.
        if let Some(n) = self.pong.take() {
            let _ = self.control.push(&Frame::Pong { n }, &mut self.spare);
        }
        if let Some(batch) = self.control.pop() {
            return Some(batch);
        }
        if let Some(up_to) = self.woken.take() {
            let _ = self.traffic.push(&Frame::Woken { up_to }, &mut self.spare);
        }
        self.traffic.pop()
    }

    /// Gives a written batch back.
    pub(super) fn written(&mut self, mut batch: Vec<u8>) {
        // A longer one was a long call: such memory is not kept.
        if batch.capacity() <= 2 * BATCH_BYTES && batch.capacity() > self.spare.capacity() {
            batch.clear();
            self.spare = batch;
        }
    }

    /// Bytes that wait: of the control plane, of traffic.
    pub(super) const fn waiting(&self) -> (usize, usize) {
        (self.control.bytes, self.traffic.bytes)
    }

    /// What must hold after every step.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        for queue in [&self.control, &self.traffic] {
            assert_eq!(queue.bytes, queue.batches.iter().map(|batch| batch.bytes.len()).sum::<usize>());
            assert_eq!(queue.answers, queue.batches.iter().map(|batch| batch.answers).sum::<usize>());
        }
        assert!(self.control.bytes <= CONTROL_BYTES_MAX.max(super::wire::FRAME_BYTES_MAX + 4));
        assert!(self.traffic.bytes <= TRAFFIC_BYTES_MAX + ANSWERS_BYTES_MAX + 64);
        assert!(self.traffic.batches.iter().all(|batch| batch.bytes.len() <= 2 * BATCH_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use endtoend_protocol::{AccountTag, Address, DeviceId, Envelope, EnvelopeId, UnixMillis};
    use proptest::prelude::*;

    use super::*;
    use crate::link::wire::{Answer, Forward, Outcome, Payload, Tray, take};

    fn forward(n: u64, len: usize) -> Frame {
        let to = Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST };
        let id = EnvelopeId::new(UnixMillis::new(n), [1; 10]);
        let envelope = Envelope { id, to, body: vec![7; len].into(), devices_version: 1 };
        let at = UnixMillis::new(1);
        Frame::Forward { n, forward: Forward { envelope, tray: Tray::Contacts, accepted_at: at } }
    }
    fn call(n: u64, len: usize) -> Frame {
        Frame::Call { n, question: Payload(Bytes::from(vec![7; len])) }
    }

    fn frames(outbox: &mut Outbox) -> Vec<Vec<Frame>> {
        std::iter::from_fn(|| {
            let batch = outbox.next()?;
            let mut read = BytesMut::from(&*batch);
            outbox.written(batch);
            outbox.check_invariants();
            let frames = std::iter::from_fn(|| take(&mut read).unwrap());
            Some(frames.map(|body| Frame::decode(&body).unwrap()).collect())
        })
        .collect()
    }

    #[test]
    fn control_goes_first_and_traffic_in_batches_of_whole_frames() {
        let mut outbox = Outbox::default();
        let sent: Vec<Frame> = (0..300).map(|n| forward(n, 512)).collect();
        for frame in &sent {
            outbox.ask(frame).unwrap();
        }
        outbox.ask(&call(1, 10)).unwrap();
        let batches = frames(&mut outbox);
        assert_eq!(batches[0], [call(1, 10)]);
        assert_eq!(batches[1..].concat(), sent, "in their order");
        assert!((2..5).contains(&(batches.len() - 1)), "{} batches", batches.len());
        assert_eq!(outbox.waiting(), (0, 0));
    }

    #[test]
    fn what_is_asked_between_two_writes_of_traffic_waits_for_one_of_them() {
        let mut outbox = Outbox::default();
        for n in 0..50 {
            outbox.ask(&forward(n, 60_000)).unwrap();
        }
        outbox.next().unwrap();
        outbox.ask(&call(9, 1)).unwrap();
        assert_eq!(frames(&mut outbox)[0], [call(9, 1)]);
    }

    #[test]
    fn a_full_queue_takes_answers_and_the_other_queue_is_its_own() {
        let mut outbox = Outbox::default();
        let taken = (0..).take_while(|n| outbox.ask(&forward(*n, 60_000)).is_ok()).count();
        assert!((100..150).contains(&taken), "{taken}");
        assert_eq!(
            outbox.ask(&Frame::Wake {
                n: 1,
                to: Address { account: AccountTag::new([1; 32]), device: DeviceId::FIRST },
                seq: 1
            }),
            Ok(())
        );
        assert_eq!(outbox.ask(&call(1, 100)), Ok(()));
        assert_eq!(outbox.answer(&Frame::Forwarded { n: 1, outcome: Outcome::Busy, moved: false }), Ok(()));
        outbox.check_invariants();
        let long = || Frame::Answer { n: 1, answer: Answer::Bytes(Payload(vec![0; 1_000_000].into())) };
        let answers = (0..4).filter(|_| outbox.answer(&long()).is_ok()).count();
        let calls = (0..).take_while(|n| outbox.ask(&call(*n, 1_000_000)).is_ok()).count();
        assert_eq!((answers, calls), (4, 4));
        assert_eq!(
            outbox.answer(&Frame::Answer { n: 1, answer: Answer::Bytes(Payload(vec![0; 1_000_000].into())) }),
            Err(NotQueued::Full)
        );
        assert_eq!(outbox.answer(&Frame::Answer { n: 1, answer: Answer::Refused }), Ok(()), "there is room to refuse");
        outbox.check_invariants();
    }

    #[test]
    fn who_asks_and_does_not_read_makes_nothing_grow() {
        let mut outbox = Outbox::default();
        for n in 0..100_000 {
            outbox.answer(&Frame::Pong { n }).unwrap();
            outbox.answer(&Frame::Woken { up_to: n }).unwrap();
        }
        assert_eq!(frames(&mut outbox), [[Frame::Pong { n: 99_999 }], [Frame::Woken { up_to: 99_999 }]]);
        let owed = (0..).take_while(|n| outbox.answer(&Frame::TakenSeen { n: *n }).is_ok()).count();
        assert!(owed > 100_000);
        outbox.check_invariants();
    }

    #[test]
    fn a_frame_that_is_too_long_leaves_nothing_behind() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.ask(&call(1, 1024 * 1024)), Err(NotQueued::TooLong));
        outbox.check_invariants();
        assert_eq!(outbox.next(), None);
        outbox.ask(&call(2, 1)).unwrap();
        assert_eq!(frames(&mut outbox), [[call(2, 1)]]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_order_holds_within_each_queue(steps in proptest::collection::vec((0_u8..4, 1_usize..60_000), 1..60)) {
            let (mut outbox, mut traffic, mut control, mut got) = (Outbox::default(), Vec::new(), Vec::new(), Vec::new());
            for (n, (kind, len)) in (0..).zip(steps) {
                let frame = if kind == 0 { call(n, len) } else { forward(n, len) };
                if kind == 3 {
                    got.extend(outbox.next());
                } else if outbox.ask(&frame).is_ok() {
                    if kind == 0 { control.push(frame) } else { traffic.push(frame) }
                }
                outbox.check_invariants();
            }
            while let Some(batch) = outbox.next() {
                got.push(batch);
            }
            let mut read = BytesMut::from(&*got.concat());
            let (mut was_control, mut was_traffic) = (Vec::new(), Vec::new());
            while let Some(body) = take(&mut read).unwrap() {
                let frame = Frame::decode(&body).unwrap();
                if frame.is_control() { was_control.push(frame) } else { was_traffic.push(frame) }
            }
            prop_assert_eq!(was_control, control);
            prop_assert_eq!(was_traffic, traffic);
        }
    }
}
