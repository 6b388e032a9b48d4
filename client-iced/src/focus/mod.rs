//! Keys for what can be pressed. iced lets fields have the keyboard and nothing else; a [`Stop`] gives it to whatever it stands
//! around: a button, a switch, a slider, a list. It shows a ring while it has the keyboard, which it gets by keys only, and makes
//! of keys what a press would have made. How the keyboard goes from one to the next is in [`walk`].

mod button;
mod choice;
mod field;
mod ground;
mod parts;
pub mod walk;

use iced::advanced::layout::{self, Layout};
use iced::advanced::renderer::{self, Quad, Renderer as _};
use iced::advanced::widget::operation::{Focusable, Outcome, Scrollable};
use iced::advanced::widget::{Id, Operation, Tree, Widget, tree};
use iced::advanced::{Clipboard, Shell, mouse, overlay};
use iced::keyboard::key::Named;
use iced::keyboard::{self, Key, Modifiers};
use iced::{
    Background, Color, Element, Event, Length, Rectangle, Renderer, Size, Theme, Vector, border, touch, window,
};

pub use button::{Button, button};
pub use choice::{Choice, choice};
pub use field::field;
pub use ground::ground;
pub use parts::{one_of, radio, slider, switch};

use crate::theme::{CORNER_SMALL, Colors};

/// Of the ring, in logical pixels.
const RING: f32 = 2.0;
/// Of the line within it, which tells it from what has its colour.
const LINE: f32 = 1.0;

/// Whether something has the keyboard.
#[derive(Debug, Default)]
pub struct State {
    has_keys: bool,
    /// It had the keyboard when something came over it, and gets it back.
    left: bool,
    /// It answers no key now: keys go on from here, and never come here.
    idle: bool,
    /// What the ring is drawn around, when not around everything: as it is laid out, and moved by what is scrolled in between.
    part: Option<Rectangle>,
}

impl Focusable for State {
    fn is_focused(&self) -> bool {
        self.has_keys
    }

    fn focus(&mut self) {
        self.has_keys = true;
    }

    fn unfocus(&mut self) {
        self.has_keys = false;
    }
}

/// What is made of a key.
type Made<'a, Message> = Box<dyn Fn(Named, Modifiers) -> Option<Message> + 'a>;

/// What keys are for something.
enum Keys<'a, Message> {
    /// Nothing at present.
    None,
    /// Enter and the space bar press it.
    Press(Message),
    /// As this says.
    Made(Made<'a, Message>),
}

/// Something that can have the keyboard.
pub struct Stop<'a, Message> {
    content: Element<'a, Message>,
    keys: Keys<'a, Message>,
    by_tab: bool,
    ringed: Option<Id>,
}

/// Around this. It answers no key yet.
pub fn stop<'a, Message>(content: impl Into<Element<'a, Message>>) -> Stop<'a, Message> {
    Stop { content: content.into(), keys: Keys::None, by_tab: true, ringed: None }
}

impl<'a, Message> Stop<'a, Message> {
    /// Enter and the space bar say this; with `None` it cannot be pressed now.
    pub fn press(self, message: Option<Message>) -> Self {
        Self { keys: message.map_or(Keys::None, Keys::Press), ..self }
    }

    /// Keys say what this makes of them; others go on to the window.
    pub fn keys(self, keys: impl Fn(Named, Modifiers) -> Option<Message> + 'a) -> Self {
        Self { keys: Keys::Made(Box::new(keys)), ..self }
    }

    /// Whether Tab comes here. Otherwise something else leads to it: arrow keys in a field or list.
    pub fn by_tab(self, by_tab: bool) -> Self {
        Self { by_tab, ..self }
    }

    /// The ring is around the container of this name in it.
    pub fn ringed(self, name: &'static str) -> Self {
        Self { ringed: Some(Id::new(name)), ..self }
    }

    const fn is_idle(&self) -> bool {
        matches!(self.keys, Keys::None) || !self.by_tab
    }
}

/// The key of that name which an event presses, if any, and what is held with it.
fn named(event: &Event) -> Option<(Named, Modifiers)> {
    let Event::Keyboard(keyboard::Event::KeyPressed { key, modifiers, .. }) = event else { return None };
    match key.as_ref() {
        Key::Named(named) => Some((named, *modifiers)),
        Key::Character(" ") => Some((Named::Space, *modifiers)),
        Key::Character(_) | Key::Unidentified => None,
    }
}

/// Whether this key presses what has the keyboard.
fn presses(key: Named, modifiers: Modifiers) -> bool {
    modifiers.is_empty() && matches!(key, Named::Enter | Named::Space)
}

/// Held, a key would press what comes in the place of what it has pressed.
const fn is_held(event: &Event) -> bool {
    matches!(event, Event::Keyboard(keyboard::Event::KeyPressed { repeat: true, .. }))
}

/// Finds a container, and where it is shown.
struct Find<'a> {
    name: &'a Id,
    found: Option<Rectangle>,
    /// By how much what stands around it is scrolled.
    moved: Vector,
    entering: Vector,
}

impl Operation for Find<'_> {
    fn traverse(&mut self, operate: &mut dyn FnMut(&mut dyn Operation)) {
        let (before, entering) = (self.moved, std::mem::take(&mut self.entering));
        self.moved = before + entering;
        operate(self);
        self.moved = before;
    }

    fn container(&mut self, name: Option<&Id>, bounds: Rectangle) {
        if name == Some(self.name) {
            self.found = Some(bounds - self.moved);
        }
    }

    fn scrollable(&mut self, _: Option<&Id>, _: Rectangle, _: Rectangle, translation: Vector, _: &mut dyn Scrollable) {
        self.entering = translation;
    }

    fn finish(&self) -> Outcome<()> {
        Outcome::None
    }
}

/// A ring around this: beside it where there is room, else within. Its own colour, and a line of the ground's within it: one of the
/// two stands out from whatever it is drawn on.
fn ring(renderer: &mut Renderer, theme: &Theme, around: Rectangle, viewport: &Rectangle) {
    let c = Colors::of(theme);
    let beside = around.expand(RING + LINE);
    let outer = if beside.is_within(viewport) { beside } else { around };
    let mut line = |bounds: Rectangle, color: Color, width: f32, radius: f32| {
        let border = border::rounded(radius).color(color).width(width);
        renderer.fill_quad(Quad { bounds, border, ..Quad::default() }, Background::Color(Color::TRANSPARENT));
    };
    line(outer, c.accent, RING, CORNER_SMALL + RING + LINE);
    line(outer.shrink(RING), c.surface, LINE, CORNER_SMALL + LINE);
}

impl<Message: Clone> Stop<'_, Message> {
    /// What a key says here, and whether it is one of ours at all.
    fn answer(&self, event: &Event) -> (Option<Message>, bool) {
        let Some((key, modifiers)) = named(event) else { return (None, false) };
        match &self.keys {
            Keys::Press(message) if presses(key, modifiers) => ((!is_held(event)).then(|| message.clone()), true),
            Keys::None | Keys::Press(_) => (None, false),
            Keys::Made(made) => {
                let message = made(key, modifiers);
                let ours = message.is_some();
                (message, ours)
            }
        }
    }

    /// Where what the ring is around stands now.
    fn look(&mut self, tree: &mut Tree, layout: Layout<'_>, renderer: &Renderer) -> Option<Rectangle> {
        let mut find = Find { name: self.ringed.as_ref()?, found: None, moved: Vector::ZERO, entering: Vector::ZERO };
        self.content.as_widget_mut().operate(tree.children.first_mut()?, layout, renderer, &mut find);
        // Nearly: it is moved by parts of a pixel.
        find.found.filter(|part| part.is_within(&layout.bounds().expand(1.0)))
    }
}

/// Whether a person takes the pointer.
const fn is_pointed(event: &Event) -> bool {
    matches!(event, Event::Mouse(mouse::Event::ButtonPressed(_)) | Event::Touch(touch::Event::FingerPressed { .. }))
}

impl<Message: Clone> Widget<Message, Theme, Renderer> for Stop<'_, Message> {
    fn tag(&self) -> tree::Tag {
        tree::Tag::of::<State>()
    }

    fn state(&self) -> tree::State {
        tree::State::new(State::default())
    }

    fn children(&self) -> Vec<Tree> {
        vec![Tree::new(&self.content)]
    }

    fn diff(&self, tree: &mut Tree) {
        tree.diff_children(std::slice::from_ref(&self.content));
    }

    fn size(&self) -> Size<Length> {
        self.content.as_widget().size()
    }

    fn size_hint(&self) -> Size<Length> {
        self.content.as_widget().size_hint()
    }

    fn layout(&mut self, tree: &mut Tree, renderer: &Renderer, limits: &layout::Limits) -> layout::Node {
        match tree.children.first_mut() {
            Some(inner) => self.content.as_widget_mut().layout(inner, renderer, limits),
            None => layout::Node::default(),
        }
    }

    fn operate(&mut self, tree: &mut Tree, layout: Layout<'_>, renderer: &Renderer, operation: &mut dyn Operation) {
        let state = tree.state.downcast_mut::<State>();
        state.idle = self.is_idle();
        operation.custom(None, layout.bounds(), state);
        if !state.idle {
            operation.focusable(None, layout.bounds(), state);
        }
        if let Some(inner) = tree.children.first_mut() {
            self.content.as_widget_mut().operate(inner, layout, renderer, operation);
        }
    }

    fn update(
        &mut self,
        tree: &mut Tree,
        event: &Event,
        layout: Layout<'_>,
        cursor: mouse::Cursor,
        renderer: &Renderer,
        clipboard: &mut dyn Clipboard,
        shell: &mut Shell<'_, Message>,
        viewport: &Rectangle,
    ) {
        if let Some(inner) = tree.children.first_mut() {
            let content = self.content.as_widget_mut();
            content.update(inner, event, layout, cursor, renderer, clipboard, shell, viewport);
        }
        if !tree.state.downcast_ref::<State>().has_keys {
            return;
        }
        if is_pointed(event) {
            tree.state.downcast_mut::<State>().has_keys = false;
            shell.request_redraw();
        } else if matches!(event, Event::Window(window::Event::RedrawRequested(_))) {
            let part = self.look(tree, layout, renderer);
            tree.state.downcast_mut::<State>().part = part;
        } else if !shell.is_event_captured() {
            let (message, ours) = self.answer(event);
            if ours {
                message.into_iter().for_each(|message| shell.publish(message));
                shell.capture_event();
            }
        }
    }

    fn draw(
        &self,
        tree: &Tree,
        renderer: &mut Renderer,
        theme: &Theme,
        style: &renderer::Style,
        layout: Layout<'_>,
        cursor: mouse::Cursor,
        viewport: &Rectangle,
    ) {
        if let Some(inner) = tree.children.first() {
            self.content.as_widget().draw(inner, renderer, theme, style, layout, cursor, viewport);
        }
        let state = tree.state.downcast_ref::<State>();
        if state.has_keys && !self.is_idle() {
            let around = state.part.unwrap_or_else(|| layout.bounds());
            // Above what is drawn beside it later.
            renderer.with_layer(*viewport, |renderer| ring(renderer, theme, around, viewport));
        }
    }

    fn mouse_interaction(
        &self,
        tree: &Tree,
        layout: Layout<'_>,
        cursor: mouse::Cursor,
        viewport: &Rectangle,
        renderer: &Renderer,
    ) -> mouse::Interaction {
        let inner = tree.children.first();
        let content = self.content.as_widget();
        inner.map_or_else(mouse::Interaction::default, |inner| {
            content.mouse_interaction(inner, layout, cursor, viewport, renderer)
        })
    }

    fn overlay<'b>(
        &'b mut self,
        tree: &'b mut Tree,
        layout: Layout<'b>,
        renderer: &Renderer,
        viewport: &Rectangle,
        translation: Vector,
    ) -> Option<overlay::Element<'b, Message, Theme, Renderer>> {
        self.content.as_widget_mut().overlay(tree.children.first_mut()?, layout, renderer, viewport, translation)
    }
}

impl<'a, Message: Clone + 'a> From<Stop<'a, Message>> for Element<'a, Message> {
    fn from(stop: Stop<'a, Message>) -> Self {
        Element::new(stop)
    }
}
