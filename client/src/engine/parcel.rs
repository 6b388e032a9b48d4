//! What goes into the ratchet: the message, and by which handle its sender goes.
//!
//! The server knows tags only and a tag does not lead back to a handle, so the sender says his. It counts only if it
//! leads to the tag that the ratchet has proved.

use endtoend_protocol::{AccountTag, Content, DecodeError};

use crate::handle::Handle;

/// The message, and the sender's handle unless it is missing or belongs to another account.
pub(super) fn unpack(bytes: &[u8], from: AccountTag) -> Result<(Content, Option<Handle>), DecodeError> {
    let content = Content::decode(bytes)?;
    let handle = content.sender_handle.as_deref().and_then(|handle| handle.parse().ok());
    Ok((content, handle.filter(|handle: &Handle| handle.tag() == from)))
}

#[cfg(test)]
mod tests {
    use endtoend_protocol::{ContentKind, MessageId, Text, UnixMillis};

    use super::*;

    fn packed(sender: Option<&str>) -> Vec<u8> {
        let at = UnixMillis::new(1);
        let kind = ContentKind::Text(Text::new("hello".to_owned()).unwrap());
        Content {
            id: MessageId::new(at, [0; 10]),
            sent_at: at,
            sender_handle: sender.map(str::to_owned),
            copies: Vec::new(),
            kind,
        }
        .encode()
    }

    fn believed(bytes: &[u8], from: &str) -> Option<String> {
        let from: Handle = from.parse().unwrap();
        unpack(bytes, from.tag()).unwrap().1.map(|handle| handle.to_string())
    }

    #[test]
    fn a_senders_handle_is_believed_if_it_leads_to_the_sender() {
        assert_eq!(believed(&packed(Some("alice")), "alice").as_deref(), Some("alice"));
        assert_eq!(believed(&packed(Some("alice")), "mallory"), None);
        assert_eq!(believed(&packed(Some("not a handle")), "alice"), None);
        assert_eq!(believed(&packed(None), "alice"), None);
    }
}
