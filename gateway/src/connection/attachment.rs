//! The rules of what a connection is to the mailbox of its user: asked for, attached, and what may be acknowledged.

use endtoend_protocol::{DeliveryNumber, DeviceId, RequestId};

use crate::mailbox::{AttachmentId, DeviceEvent, FromDevice};

/// Whether a connection gets deliveries. `M` is the way to the mailbox.
#[derive(Debug)]
pub(crate) enum Attachment<M> {
    Never,
    /// Asked for with this request.
    Asked(AttachmentId, RequestId),
    On(Attached<M>),
}

/// See [`Attachment`].
#[derive(Debug)]
pub(crate) struct Attached<M> {
    id: AttachmentId,
    mailbox: M,
    delivered: DeliveryNumber,
    acknowledged: DeliveryNumber,
}

/// Why an acknowledgement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadAck {
    /// The connection is not attached.
    OutOfOrder,
    /// It names what was never delivered on it.
    NotDelivered,
}

/// Whom a connection that ends has to tell.
#[derive(Debug)]
pub(crate) enum Leave<M> {
    /// It has heard from its mailbox.
    Mailbox(M, FromDevice),
    /// It has not: the news takes the way that its question took.
    Directory(FromDevice),
}

impl<M> Attachment<M> {
    /// Whether it may ask: it asks once.
    pub(crate) fn may_ask(&self) -> bool {
        matches!(self, Self::Never)
    }

    /// The mailbox has answered. Gives the request to answer, unless it was another's.
    pub(crate) fn attached(&mut self, attachment: AttachmentId, mailbox: M) -> Option<RequestId> {
        let Self::Asked(asked, request) = *self else { return None };
        if asked != attachment {
            return None;
        }
        let none = DeliveryNumber::default();
        *self = Self::On(Attached { id: attachment, mailbox, delivered: none, acknowledged: none });
        Some(request)
    }

    /// Everything up to here is delivered.
    pub(crate) fn delivered(&mut self, last: DeliveryNumber) {
        if let Self::On(on) = self {
            on.delivered = last;
        }
    }

    /// Up to where the device has stored everything.
    pub(crate) fn acknowledged(&self) -> DeliveryNumber {
        match self {
            Self::On(on) => on.acknowledged,
            Self::Never | Self::Asked(..) => DeliveryNumber::default(),
        }
    }

    /// The device has stored everything up to here. Gives what the mailbox has to hear; only what moves forward is
    /// passed on, so there is at most one message for each delivery.
    ///
    /// # Errors
    /// When that cannot be; nothing has changed.
    pub(crate) fn acknowledge(
        &mut self,
        device: DeviceId,
        up_to: DeliveryNumber,
    ) -> Result<Option<(&M, FromDevice)>, BadAck> {
        let Self::On(on) = self else { return Err(BadAck::OutOfOrder) };
        if up_to > on.delivered {
            return Err(BadAck::NotDelivered);
        }
        if up_to <= on.acknowledged {
            return Ok(None);
        }
        on.acknowledged = up_to;
        let event = DeviceEvent::Acknowledged(up_to);
        Ok(Some((&on.mailbox, FromDevice { device, attachment: on.id, event })))
    }

    /// Whether something was delivered that is not acknowledged.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Self::On(on) if on.acknowledged < on.delivered)
    }

    /// The connection has ended.
    pub(crate) fn left(self, device: DeviceId) -> Option<Leave<M>> {
        let left = |attachment| FromDevice { device, attachment, event: DeviceEvent::Left };
        match self {
            Self::Never => None,
            Self::Asked(id, _) => Some(Leave::Directory(left(id))),
            Self::On(on) => Some(Leave::Mailbox(on.mailbox, left(on.id))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId::FIRST;

    fn on() -> Attachment<&'static str> {
        let mut attachment = Attachment::Asked(AttachmentId(1), RequestId(std::num::NonZeroU64::MIN));
        assert_eq!(attachment.attached(AttachmentId(2), "another's"), None);
        assert_eq!(attachment.attached(AttachmentId(1), "mailbox"), Some(RequestId(std::num::NonZeroU64::MIN)));
        attachment
    }

    #[test]
    fn only_what_was_delivered_is_acknowledged_and_only_once() {
        assert_eq!(Attachment::<()>::Never.acknowledge(DEVICE, DeliveryNumber(0)).err(), Some(BadAck::OutOfOrder));
        let mut attachment = on();
        attachment.delivered(DeliveryNumber(3));
        assert_eq!(attachment.acknowledge(DEVICE, DeliveryNumber(4)).err(), Some(BadAck::NotDelivered));
        for (up_to, passed_on) in [(2, true), (2, false), (1, false), (3, true)] {
            let passed = attachment.acknowledge(DEVICE, DeliveryNumber(up_to)).unwrap();
            assert_eq!(passed.is_some(), passed_on, "{up_to}");
        }
    }

    #[test]
    fn the_news_that_it_ends_takes_the_way_of_its_question() {
        assert!(Attachment::<()>::Never.left(DEVICE).is_none());
        let asked = Attachment::<()>::Asked(AttachmentId(1), RequestId(std::num::NonZeroU64::MIN));
        assert!(matches!(asked.left(DEVICE), Some(Leave::Directory(left)) if left.attachment == AttachmentId(1)));
        assert!(
            matches!(on().left(DEVICE), Some(Leave::Mailbox("mailbox", left)) if left.attachment == AttachmentId(1))
        );
    }
}
