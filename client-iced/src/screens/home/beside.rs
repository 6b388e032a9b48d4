//! What the rest of the program may know of the main window.

use endtoend_client::database::Conversation;
use endtoend_client::handle::Handle;

use super::Home;
use crate::preferences::Density;

impl Home {
    /// How much stands in the window.
    pub fn set_density(&mut self, density: Density) {
        self.density = density;
    }

    /// The line of the list that is about somebody.
    pub fn line(&self, with: &Handle) -> Option<&Conversation> {
        self.contact(with)
    }

    /// Whether a person is looking at the conversation with somebody.
    pub fn is_before_the_eyes(&self, with: &Handle) -> bool {
        let open = self.chat.as_ref().is_some_and(|chat| chat.with == *with);
        open && self.focused && self.settings.is_none()
    }
}
