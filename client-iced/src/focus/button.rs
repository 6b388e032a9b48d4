//! A button that keys reach: the only one of this program.

use iced::widget::button::{Status, Style};
use iced::{Element, Length, Padding, Theme};

use super::stop;

/// What can be pressed, with the pointer and with keys.
pub struct Button<'a, Message> {
    inner: iced::widget::Button<'a, Message>,
    press: Option<Message>,
    by_tab: bool,
}

/// With this on it. It cannot be pressed before it is said what that means.
pub fn button<'a, Message: Clone + 'a>(content: impl Into<Element<'a, Message>>) -> Button<'a, Message> {
    #[expect(clippy::disallowed_methods, reason = "keys are given to it here")]
    let inner = iced::widget::button(content);
    Button { inner, press: None, by_tab: true }
}

impl<'a, Message: Clone + 'a> Button<'a, Message> {
    /// Between its edge and what is on it, in logical pixels.
    pub fn padding(self, padding: impl Into<Padding>) -> Self {
        Self { inner: self.inner.padding(padding), ..self }
    }

    /// How wide it is.
    pub fn width(self, width: impl Into<Length>) -> Self {
        Self { inner: self.inner.width(width), ..self }
    }

    /// How high it is.
    pub fn height(self, height: impl Into<Length>) -> Self {
        Self { inner: self.inner.height(height), ..self }
    }

    /// Whether what is on it is cut off at its edge.
    pub fn clip(self, clip: bool) -> Self {
        Self { inner: self.inner.clip(clip), ..self }
    }

    /// How it looks.
    pub fn style(self, style: impl Fn(&Theme, Status) -> Style + 'a) -> Self {
        Self { inner: self.inner.style(style), ..self }
    }

    /// What a press says.
    pub fn on_press(self, message: Message) -> Self {
        Self { press: Some(message), ..self }
    }

    /// What a press says; with `None` it cannot be pressed now.
    pub fn on_press_maybe(self, press: Option<Message>) -> Self {
        Self { press, ..self }
    }

    /// Whether Tab comes here. Otherwise something else has to lead to it: arrow keys in a field or list.
    pub fn by_tab(self, by_tab: bool) -> Self {
        Self { by_tab, ..self }
    }
}

impl<'a, Message: Clone + 'a> From<Button<'a, Message>> for Element<'a, Message> {
    fn from(button: Button<'a, Message>) -> Self {
        let Button { inner, press, by_tab } = button;
        stop(inner.on_press_maybe(press.clone())).press(press).by_tab(by_tab).into()
    }
}
