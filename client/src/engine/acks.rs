//! Rule: when to acknowledge what is stored.

use endtoend_protocol::DeliveryNumber;

/// Deliveries stored since the last `Ack` that bring the next one even when more wait to be read: a quarter of the
/// server's window, so that it never runs dry.
pub(super) const ACK_BATCH: u64 = endtoend_protocol::limits::DELIVER_WINDOW as u64 / 4;

/// The deliveries of one attachment. An `Ack` is cumulative: it covers all up to its number.
#[derive(Debug, Default)]
pub(super) struct Acks {
    stored: DeliveryNumber,
    acked: DeliveryNumber,
}

impl Acks {
    /// The delivery is on disk, or is a repeat of one that is.
    pub(super) fn stored(&mut self, delivery: DeliveryNumber) {
        self.stored = self.stored.max(delivery);
    }

    /// The acknowledgement to send now: at once when nothing more waits to be read, else when a batch is full.
    pub(super) fn take_due(&mut self, more_waits: bool) -> Option<DeliveryNumber> {
        let open = self.stored.0.saturating_sub(self.acked.0);
        if open == 0 || (more_waits && open < ACK_BATCH) {
            return None;
        }
        self.acked = self.stored;
        Some(self.stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stored_is_not_acknowledged() {
        assert_eq!(Acks::default().take_due(false), None);
    }

    #[test]
    fn the_last_delivery_is_acknowledged_at_once_and_once() {
        let mut acks = Acks::default();
        acks.stored(DeliveryNumber(1));
        assert_eq!(acks.take_due(true), None);
        acks.stored(DeliveryNumber(2));
        assert_eq!(acks.take_due(false), Some(DeliveryNumber(2)));
        assert_eq!(acks.take_due(false), None);
    }

    #[test]
    fn under_load_a_batch_is_one_acknowledgement() {
        let mut acks = Acks::default();
        let sent: Vec<_> = (1..=3 * ACK_BATCH)
            .filter_map(|number| {
                acks.stored(DeliveryNumber(number));
                acks.take_due(true)
            })
            .collect();
        assert_eq!(sent, [ACK_BATCH, 2 * ACK_BATCH, 3 * ACK_BATCH].map(DeliveryNumber));
    }
}
