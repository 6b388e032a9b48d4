//! A window that nobody sees, which keeps from one look to the next what widgets keep: who has the keyboard, what is open, how far
//! something is scrolled. Tests of this crate and those beside it use it, each with their own messages.

use iced::advanced::renderer::Headless as _;
use iced::advanced::widget::Operation;
use iced::advanced::widget::operation::Outcome;
use iced::advanced::{clipboard, renderer};
use iced::keyboard::{self, Key, Location, Modifiers, key};
use iced::{Element, Event, Pixels, Point, Renderer, Size, Theme, event, mouse, window};
use iced_test::runtime::UserInterface;
use iced_test::runtime::user_interface::{Cache, State};

/// The window.
pub(crate) struct Glass {
    cache: Option<Cache>,
    renderer: Renderer,
    size: Size,
}

/// A key that is pressed, and the letters that come of it.
pub(crate) fn pressed(key: Key, modifiers: Modifiers) -> Event {
    let letters = match &key {
        Key::Character(letters) if !modifiers.command() => Some(letters.clone()),
        Key::Named(key::Named::Space) => Some(" ".into()),
        _ => None,
    };
    Event::Keyboard(keyboard::Event::KeyPressed {
        modified_key: key.clone(),
        key,
        physical_key: key::Physical::Unidentified(key::NativeCode::Unidentified),
        location: Location::Standard,
        modifiers,
        text: letters,
        repeat: false,
    })
}

impl Glass {
    /// Of this size, in logical pixels.
    pub(crate) fn new(size: Size, font: iced::Font, letters: impl Into<Pixels>) -> Self {
        Self { cache: Some(Cache::default()), renderer: Renderer::new(font, letters.into()), size }
    }

    fn with<M, T>(
        &mut self,
        view: Element<'_, M>,
        look: impl FnOnce(&mut UserInterface<'_, M, Theme, Renderer>, &mut Renderer) -> T,
    ) -> T {
        let cache = self.cache.take().unwrap();
        let mut interface = UserInterface::build(view, self.size, cache, &mut self.renderer);
        let seen = look(&mut interface, &mut self.renderer);
        self.cache = Some(interface.into_cache());
        seen
    }

    /// These happen: what comes of them, and whether the last one was taken.
    pub(crate) fn happen<M>(&mut self, view: Element<'_, M>, events: &[Event]) -> (Vec<M>, bool) {
        self.with(view, |interface, renderer| {
            let (mut messages, away) = (Vec::new(), mouse::Cursor::Unavailable);
            let (_, taken) = interface.update(events, away, renderer, &mut clipboard::Null, &mut messages);
            (messages, taken.last() == Some(&event::Status::Captured))
        })
    }

    /// Whether what is there can be pressed, and what a press says there: for each of these places.
    pub(crate) fn touch<M>(&mut self, view: Element<'_, M>, places: &[Point]) -> Vec<(Point, Vec<M>)> {
        self.with(view, |interface, renderer| {
            let mut found = Vec::new();
            for place in places {
                let cursor = mouse::Cursor::Available(*place);
                let mut happens = |event: mouse::Event| {
                    let mut messages = Vec::new();
                    let events = [Event::Mouse(event)];
                    let (state, _) = interface.update(&events, cursor, renderer, &mut clipboard::Null, &mut messages);
                    let pointer = match state {
                        State::Updated { mouse_interaction, .. } => mouse_interaction == mouse::Interaction::Pointer,
                        State::Outdated => false,
                    };
                    (pointer, messages)
                };
                if happens(mouse::Event::CursorMoved { position: *place }).0 {
                    let mut said = happens(mouse::Event::ButtonPressed(mouse::Button::Left)).1;
                    said.extend(happens(mouse::Event::ButtonReleased(mouse::Button::Left)).1);
                    if said.is_empty() {
                        // A menu has opened, perhaps: it closes.
                        let _ = happens(mouse::Event::ButtonPressed(mouse::Button::Left));
                        let _ = happens(mouse::Event::ButtonReleased(mouse::Button::Left));
                    }
                    found.push((*place, said));
                }
            }
            found
        })
    }

    /// Goes through the widgets, and again as long as one way leads to another.
    pub(crate) fn operate<M>(&mut self, view: Element<'_, M>, operation: impl Operation + 'static) {
        self.with(view, |interface, renderer| {
            let mut next: Option<Box<dyn Operation>> = Some(Box::new(operation));
            while let Some(mut operation) = next.take() {
                interface.operate(renderer, operation.as_mut());
                if let Outcome::Chain(more) = operation.finish() {
                    next = Some(more);
                }
            }
        });
    }

    /// Everything that is seen: red, green, blue and how solid, from the top left.
    pub(crate) fn picture<M>(&mut self, view: Element<'_, M>, theme: &Theme) -> Vec<u8> {
        let now = endtoend_client::clock::monotonic().into_std();
        let redraw = Event::Window(window::Event::RedrawRequested(now));
        let size = Size::new(self.size.width as u32, self.size.height as u32);
        self.with(view, |interface, renderer| {
            let (mut messages, away) = (Vec::new(), mouse::Cursor::Unavailable);
            let _ = interface.update(&[redraw], away, renderer, &mut clipboard::Null, &mut messages);
            let style = renderer::Style { text_color: theme.palette().text };
            interface.draw(renderer, theme, &style, away);
            renderer.screenshot(size, 1.0, theme.palette().background)
        })
    }
}
