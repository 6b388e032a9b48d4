//! Rule: which delivery comes next, and when to acknowledge what is stored.

use std::collections::VecDeque;

use endtoend_protocol::{DeliveryNumber, EnvelopeId};

/// Deliveries stored since the last `Ack` that bring the next one even when more wait to be read: a quarter of the
/// server's window, so that it never runs dry.
pub(super) const ACK_BATCH: u64 = endtoend_protocol::limits::DELIVER_WINDOW as u64 / 4;

/// The deliveries of one attachment. An `Ack` is cumulative: it covers all up to its number.
#[derive(Debug, Default)]
pub(super) struct Acks {
    delivered: DeliveryNumber,
    stored: DeliveryNumber,
    acked: DeliveryNumber,
    /// What is stored and was not acknowledged: a window at most.
    open: VecDeque<(DeliveryNumber, EnvelopeId)>,
    /// What was acknowledged, which has still to be noted: until the next transaction.
    told: Vec<EnvelopeId>,
}

/// A delivery that is not the next one: something was left out, repeated or exchanged between the node and this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("delivery {met} came where {wanted} was due")]
pub struct Misnumbered {
    /// The number that was due.
    pub wanted: u64,
    /// The one that came.
    pub met: u64,
}

impl Acks {
    /// A delivery has come; they are numbered from 1 without a gap. Not stored when it is another than the next one: an `Ack`
    /// would cover what was left out.
    pub(super) fn delivered(&mut self, delivery: DeliveryNumber) -> Result<(), Misnumbered> {
        let wanted = DeliveryNumber(self.delivered.0.saturating_add(1));
        if delivery != wanted {
            return Err(Misnumbered { wanted: wanted.0, met: delivery.0 });
        }
        self.delivered = delivery;
        Ok(())
    }

    /// The delivery is on disk, or is a repeat of one that is.
    pub(super) fn stored(&mut self, delivery: DeliveryNumber, id: EnvelopeId) {
        self.stored = self.stored.max(delivery);
        self.open.push_back((delivery, id));
    }

    /// Whether something is stored that was not acknowledged.
    pub(super) fn owes(&self) -> bool {
        self.stored > self.acked
    }

    /// What was acknowledged since the last time.
    pub(super) fn take_told(&mut self) -> Vec<EnvelopeId> {
        std::mem::take(&mut self.told)
    }

    /// The acknowledgement to send now: at once when nothing more waits to be read, else when a batch is full.
    pub(super) fn take_due(&mut self, more_waits: bool) -> Option<DeliveryNumber> {
        let open = self.stored.0.saturating_sub(self.acked.0);
        if open == 0 || (more_waits && open < ACK_BATCH) {
            return None;
        }
        self.acked = self.stored;
        while let Some((_, id)) = self.open.pop_front_if(|(delivery, _)| *delivery <= self.acked) {
            self.told.push(id);
        }
        Some(self.stored)
    }
}

#[cfg(test)]
mod tests {
    use endtoend_protocol::UnixMillis;

    use super::*;

    fn id(n: u8) -> EnvelopeId {
        EnvelopeId::new(UnixMillis::new(1), [n; 10])
    }

    #[test]
    fn nothing_stored_is_not_acknowledged() {
        assert_eq!(Acks::default().take_due(false), None);
    }

    #[test]
    fn deliveries_are_numbered_from_one_without_a_gap() {
        for wrong in [0, 1, 2, 4, u64::MAX] {
            let mut acks = Acks::default();
            acks.delivered(DeliveryNumber(1)).unwrap();
            acks.delivered(DeliveryNumber(2)).unwrap();
            let refused = acks.delivered(DeliveryNumber(wrong));
            assert_eq!(refused, Err(Misnumbered { wanted: 3, met: wrong }));
            acks.delivered(DeliveryNumber(3)).unwrap();
        }
        assert_eq!(Acks::default().delivered(DeliveryNumber(2)), Err(Misnumbered { wanted: 1, met: 2 }));
    }

    #[test]
    fn the_last_delivery_is_acknowledged_at_once_and_once() {
        let mut acks = Acks::default();
        acks.stored(DeliveryNumber(1), id(1));
        assert_eq!(acks.take_due(true), None);
        acks.stored(DeliveryNumber(2), id(2));
        assert!(acks.owes() && acks.take_told().is_empty());
        assert_eq!(acks.take_due(false), Some(DeliveryNumber(2)));
        assert_eq!(acks.take_due(false), None);
        assert!(!acks.owes());
        assert_eq!((acks.take_told(), acks.take_told()), (vec![id(1), id(2)], vec![]));
    }

    #[test]
    fn under_load_a_batch_is_one_acknowledgement() {
        let mut acks = Acks::default();
        let sent: Vec<_> = (1..=3 * ACK_BATCH)
            .filter_map(|number| {
                acks.stored(DeliveryNumber(number), id(0));
                acks.take_due(true)
            })
            .collect();
        assert_eq!(sent, [ACK_BATCH, 2 * ACK_BATCH, 3 * ACK_BATCH].map(DeliveryNumber));
    }
}
