//! What the window, as a value, wants to be done outside of it.

use crate::clipboard::Trace;
use crate::desktop;
use crate::focus::walk::Way;
use crate::order::Order;
use crate::ui::id;

/// What is to be done outside of [`App`](crate::app::App).
#[derive(Clone, Debug)]
pub enum Action {
    /// By the bridge.
    Order(Order),
    /// Keys go to this field.
    Focus(&'static str),
    /// Keys go to what is read next, or with `true` to what is read before.
    FocusNext(bool),
    /// Keys go to the first thing of what has come.
    FocusFirst,
    /// Keys go back to where they were before something came over it, or else to where a message is written.
    FocusBack,
    /// A page further, or with `false` back, in what is scrolled.
    TurnPage(bool),
    /// The part of a list of this name that begins there is shown, in logical pixels from its beginning.
    Scroll(&'static str, f32),
    /// The end of the messages is shown.
    ShowEnd,
    /// The first of the messages that are here is shown.
    ShowFirst,
    /// This part of a list of this name is shown: from 0, its beginning, to 1, its end.
    Reveal(&'static str, f32),
    /// The chosen message is shown.
    ShowChosen,
    /// Something was put after the last message, or taken from there: what is read stays where it is.
    KeepPlace(Place),
    /// Into the clipboard.
    Copy(String),
    /// The same, and it does not stay there.
    CopySecret(String),
    /// Out of the clipboard, if that is still there.
    ClearClipboard(Trace),
    /// By the desktop.
    Desktop(desktop::Order),
    /// The window is there and in front.
    ShowWindow,
    /// The window goes, and the program stays.
    HideWindow,
    /// The program ends.
    Quit,
}

impl Action {
    /// Where keys go by it.
    pub const fn way(&self) -> Option<Way> {
        match self {
            Self::Focus(field) => Some(Way::To(field)),
            Self::FocusNext(false) => Some(Way::Next),
            Self::FocusNext(true) => Some(Way::Back),
            Self::FocusFirst => Some(Way::First),
            Self::FocusBack => Some(Way::Return(id::COMPOSER)),
            _ => None,
        }
    }
}

/// Where a scrolled thing stands, in logical pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// From what is shown to where it is anchored.
    pub offset: f32,
    /// Of what is shown.
    pub height: f32,
    /// Of everything.
    pub content: f32,
}
