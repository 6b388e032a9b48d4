//! Pictures of messages: between them, and one alone over everything.

use endtoend_client::database::{Body, Direction, FileState, MessageRef, Standing, StoredFile, StoredMessage};
use endtoend_client::handle::Handle;
use endtoend_protocol::{self as protocol, MessageId};
use iced::widget::{column, container, image, mouse_area, opaque, row, sensor, text};
use iced::{Center, Color, ContentFit, Element, Fill, Length};

use super::chat::Chat;
use super::pictures::{FETCHED_BYTES_MAX, Shown};
use super::{ChatMessage, Home, Message, files};
use crate::action::Action;
use crate::failure::Failure;
use crate::focus::walk::LAYER;
use crate::focus::{button, stop};
use crate::one_line::one_line;
use crate::order::Order;
use crate::picture::{Drawn, Scale};
use crate::strings::Strings;
use crate::theme::{STRONG, size, styles};
use crate::ui;

/// Longest side of a picture between messages, in logical pixels.
const SIDE: f32 = 320.0;
/// Shortest, so that a line of pixels can be pressed.
const SIDE_MIN: f32 = 48.0;
/// Nearer to what is before the eyes than this, in logical pixels, a picture is made ready.
const NEAR: f32 = 400.0;

/// A picture alone.
#[derive(Debug)]
pub(super) struct LightBox {
    pub(super) of: MessageRef,
    pub(super) shown: Option<Shown>,
}

/// What a message's picture is said to be, if it has one.
fn picture_of(message: &StoredMessage) -> Option<(&StoredFile, protocol::Picture)> {
    let Body::File(stored) = &message.body else { return None };
    match stored.file.shown {
        protocol::Shown::Picture(picture) => Some((stored, picture)),
        protocol::Shown::File | protocol::Shown::Voice(_) => None,
    }
}

/// Whether the bytes of a picture are on this device.
fn is_here(stored: &StoredFile) -> bool {
    matches!(stored.state, FileState::Here | FileState::Sending)
}

impl Home {
    /// A picture is before the eyes: it is unpacked, or fetched first when it comes from somebody who was accepted.
    pub(super) fn picture_seen(&mut self, of: MessageRef) -> Vec<Action> {
        let Some(chat) = &self.chat else { return Vec::new() };
        let accepted = self.contact(&chat.with).is_some_and(|known| known.contact.standing == Standing::Accepted);
        let Some(chat) = &mut self.chat else { return Vec::new() };
        let Some((stored, _)) = chat.timeline.find(of).and_then(picture_of) else { return Vec::new() };
        let order = match stored.state {
            FileState::Here | FileState::Sending => {
                chat.pictures.want(of).map(|of| Order::Picture(chat.with.clone(), of, Scale::Small))
            }
            FileState::Offered => {
                let fetches = accepted && stored.file.bytes <= FETCHED_BYTES_MAX && chat.pictures.fetch(of);
                fetches.then(|| Order::FetchFile(chat.with.clone(), of.id))
            }
            FileState::Fetching | FileState::Failed(_) => None,
        };
        order.map(Action::Order).into_iter().collect()
    }

    /// A picture alone, as large as the window lets it be.
    pub(super) fn open_picture(&mut self, of: MessageRef) -> Vec<Action> {
        let Some(chat) = &self.chat else { return Vec::new() };
        let here = chat.timeline.find(of).and_then(picture_of).is_some_and(|(stored, _)| is_here(stored));
        if !here {
            return Vec::new();
        }
        self.lightbox = Some(LightBox { of, shown: None });
        vec![Action::Order(Order::Picture(chat.with.clone(), of, Scale::Large))]
    }

    /// The picture after the one that is shown alone, or before it, among those that are here.
    pub(super) fn next_picture(&mut self, forward: bool) -> Vec<Action> {
        let (Some(chat), Some(lightbox)) = (&self.chat, &self.lightbox) else { return Vec::new() };
        let named = |message: &StoredMessage| MessageRef { direction: message.direction, id: message.id };
        let shows = |message: &&StoredMessage| picture_of(message).is_some_and(|(stored, _)| is_here(stored));
        let mut all = chat.timeline.messages().iter().filter(shows).map(named);
        let next = match forward {
            true => all.skip_while(|of| *of != lightbox.of).nth(1),
            false => all.by_ref().take_while(|of| *of != lightbox.of).last(),
        };
        next.map(|of| self.open_picture(of)).unwrap_or_default()
    }

    /// A picture was unpacked, or could not be.
    pub(super) fn picture_came(&mut self, of: MessageRef, scale: Scale, drawn: Result<Drawn, Failure>) -> Vec<Action> {
        let shown = drawn.map_or_else(Shown::Not, Shown::Drawn);
        match scale {
            Scale::Large => {
                if let Some(lightbox) = self.lightbox.as_mut().filter(|lightbox| lightbox.of == of) {
                    lightbox.shown = Some(shown);
                }
                Vec::new()
            }
            Scale::Small => {
                let Some(chat) = &mut self.chat else { return Vec::new() };
                let next = chat.pictures.came(of, shown);
                let order = next.map(|of| Order::Picture(chat.with.clone(), of, Scale::Small));
                order.map(Action::Order).into_iter().collect()
            }
        }
    }

    /// A message is gone, or says something else.
    pub(super) fn forget_picture(&mut self, with: &Handle, id: MessageId) {
        let Some(chat) = self.chat.as_mut().filter(|chat| chat.with == *with) else { return };
        for direction in [Direction::In, Direction::Out] {
            let of = MessageRef { direction, id };
            chat.pictures.forget(of);
            self.lightbox.take_if(|lightbox| lightbox.of == of);
        }
    }

    pub(super) fn lightbox_view<'a>(&'a self, t: &'a Strings, lightbox: &'a LightBox) -> Element<'a, Message> {
        let message = self.chat.as_ref().and_then(|chat| chat.timeline.find(lightbox.of));
        let name = message.and_then(picture_of).map(|(stored, _)| stored.file.name.as_str()).unwrap_or_default();
        let save = Message::Chat(ChatMessage::Save(lightbox.of));
        let turn = |sign: &'static str, forward| {
            button(text(sign).size(size::HEAD))
                .padding([4, 12])
                .style(styles::quiet)
                .on_press(Message::NextPicture(forward))
        };
        let bar = row![
            one_line(name, size::BODY).font(STRONG).fill(),
            turn("←", false),
            turn("→", true),
            ui::quiet(t.get("file-save"), save),
            ui::quiet(t.get("dismiss"), Message::ClosePicture),
        ]
        .spacing(8)
        .align_y(Center);
        let shown: Element<'a, Message> = match &lightbox.shown {
            Some(Shown::Drawn(drawn)) => {
                image(drawn.handle.clone()).content_fit(ContentFit::ScaleDown).width(Fill).height(Fill).into()
            }
            Some(Shown::Not(failure)) => container(ui::body(failure.say(t))).center(Fill).into(),
            None => container(ui::body(t.get("loading"))).center(Fill).into(),
        };
        let shown = mouse_area(container(shown).padding(16).width(Fill).height(Fill)).on_press(Message::ClosePicture);
        let all = column![opaque(container(bar).padding([10, 16]).width(Fill).style(styles::ground)), shown];
        let veil = |_: &iced::Theme| container::Style {
            text_color: Some(Color::WHITE),
            ..container::background(Color { a: 0.9, ..Color::BLACK })
        };
        opaque(container(all).id(LAYER).width(Fill).height(Fill).style(veil))
    }
}

/// As large as a picture of this size is drawn between messages, in logical pixels.
fn extent(width: u32, height: u32) -> (f32, f32) {
    let (width, height) = (width.max(1) as f32, height.max(1) as f32);
    let part = (SIDE / width).min(SIDE / height).min(1.0);
    ((width * part).max(SIDE_MIN), (height * part).max(SIDE_MIN))
}

/// The picture of a message, or the place for it; `None` when the message has none.
pub(super) fn shown<'a>(
    t: &'a Strings,
    chat: &'a Chat,
    message: &'a StoredMessage,
    stored: &'a StoredFile,
) -> Option<Element<'a, Message>> {
    let (_, picture) = picture_of(message)?;
    let of = MessageRef { direction: message.direction, id: message.id };
    let (width, height) = extent(picture.width(), picture.height());
    let place = |words: String| {
        container(ui::small(words)).padding(8).center_x(width).center_y(height).clip(true).style(styles::boxed)
    };
    let content: Element<'a, Message> = match chat.pictures.get(of) {
        Some(Shown::Drawn(drawn)) if is_here(stored) => {
            // In a window that is narrower than the picture, its height follows; a line stays something that can be pressed.
            let follows = width > SIDE_MIN && height > SIDE_MIN;
            let height = if follows { Length::Shrink } else { height.into() };
            let drawn = image(drawn.handle.clone()).content_fit(ContentFit::Contain).width(width).height(height);
            let open = Message::Chat(ChatMessage::OpenPicture(of));
            let drawn = mouse_area(drawn).on_press(open.clone()).interaction(iced::mouse::Interaction::Pointer);
            let drawn = stop(drawn).press(Some(open)).by_tab(chat.chosen == Some(of));
            match stored.state {
                FileState::Sending => column![drawn, files::shown(t, chat, message, stored)].spacing(6).into(),
                _ => drawn.into(),
            }
        }
        // It is a file like any other then, and can be saved.
        Some(Shown::Not(failure)) if is_here(stored) => {
            let told = ui::small(failure.say(t)).style(styles::bad);
            column![told, files::shown(t, chat, message, stored)].spacing(4).into()
        }
        _ if stored.state == FileState::Here => place(t.get("loading")).into(),
        _ => column![place(t.get("picture")), files::shown(t, chat, message, stored)].spacing(6).into(),
    };
    // Anew when its file stands otherwise: what was fetched can be unpacked then.
    let seen = sensor(content).key((of, stored.state)).anticipate(NEAR);
    Some(seen.on_show(move |_| Message::Chat(ChatMessage::PictureSeen(of))).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_picture_has_its_shape_and_bounds() {
        assert_eq!(extent(640, 320), (320.0, 160.0));
        assert_eq!(extent(100, 60), (100.0, 60.0));
        assert_eq!(extent(16_000, 1), (320.0, SIDE_MIN));
        assert_eq!(extent(0, 0), (SIDE_MIN, SIDE_MIN));
    }
}
