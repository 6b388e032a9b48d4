//! What a parcel carries: the message, and by which handle its sender goes.
//!
//! The server knows tags only and a tag does not lead back to a handle, so the sender says his. It counts only when the
//! server's oblivious function has led from it to the tag that the ratchet has proved.

use endtoend_protocol::{Content, DecodeError};

use crate::handle::Handle;

/// The message, and the handle by which its sender goes, which is not checked yet.
pub(super) fn unpack(bytes: &[u8]) -> Result<(Content, Option<Handle>), DecodeError> {
    let content = Content::decode(bytes)?;
    let handle = content.sender_handle.as_deref().and_then(|handle| handle.parse().ok());
    Ok((content, handle))
}

#[cfg(test)]
mod tests {
    use endtoend_protocol::{ContentKind, MessageId, Text, UnixMillis};

    use super::*;

    fn packed(sender: Option<&str>) -> Vec<u8> {
        let at = UnixMillis::new(1);
        let kind = ContentKind::Said(Text::new("hello".to_owned()).unwrap().into());
        Content { id: MessageId::new(at, [0; 10]), sent_at: at, sender_handle: sender.map(str::to_owned), kind }
            .encode()
    }

    #[test]
    fn a_sender_says_a_handle_or_none() {
        let said = |sender| unpack(&packed(sender)).unwrap().1.map(|handle| handle.to_string());
        assert_eq!(said(Some("alice")).as_deref(), Some("alice"));
        assert_eq!(said(Some("not a handle")), None);
        assert_eq!(said(None), None);
    }
}
