//! What everything stands on. It knows which stop keys were given to last: when that is not there any more, because it was pressed
//! and went, the one that has come in its place has them, so that there is always a ring for somebody who has no mouse.

use iced::advanced::layout::{self, Layout};
use iced::advanced::widget::operation::Outcome;
use iced::advanced::widget::{Operation, Tree, Widget, tree};
use iced::advanced::{Clipboard, Shell, mouse, overlay, renderer};
use iced::{Element, Event, Length, Rectangle, Renderer, Size, Theme, Vector, window};

use super::is_pointed;
use super::walk::{Way, walk};

/// Which stop keys were given to last, counted from the first of all; none after a click.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) last: Option<usize>,
}

struct Ground<'a, Message>(Element<'a, Message>);

/// Below this.
pub fn ground<'a, Message: 'a>(content: impl Into<Element<'a, Message>>) -> Element<'a, Message> {
    Element::new(Ground(content.into()))
}

impl<Message> Ground<'_, Message> {
    /// Keys are given to what has come in the place of what had them, if that has gone.
    fn keep(&mut self, last: usize, tree: &mut Tree, layout: Layout<'_>, renderer: &Renderer) {
        let mut next: Option<Box<dyn Operation>> = Some(Box::new(walk(Way::Keep(last))));
        while let Some(mut operation) = next.take() {
            self.0.as_widget_mut().operate(tree, layout, renderer, operation.as_mut());
            if let Outcome::Chain(more) = operation.finish() {
                next = Some(more);
            }
        }
    }
}

impl<Message> Widget<Message, Theme, Renderer> for Ground<'_, Message> {
    fn tag(&self) -> tree::Tag {
        tree::Tag::of::<State>()
    }

    fn state(&self) -> tree::State {
        tree::State::new(State::default())
    }

    fn children(&self) -> Vec<Tree> {
        vec![Tree::new(&self.0)]
    }

    fn diff(&self, tree: &mut Tree) {
        tree.diff_children(std::slice::from_ref(&self.0));
    }

    fn size(&self) -> Size<Length> {
        self.0.as_widget().size()
    }

    fn size_hint(&self) -> Size<Length> {
        self.0.as_widget().size_hint()
    }

    fn layout(&mut self, tree: &mut Tree, renderer: &Renderer, limits: &layout::Limits) -> layout::Node {
        match tree.children.first_mut() {
            Some(inner) => self.0.as_widget_mut().layout(inner, renderer, limits),
            None => layout::Node::default(),
        }
    }

    fn operate(&mut self, tree: &mut Tree, layout: Layout<'_>, renderer: &Renderer, operation: &mut dyn Operation) {
        operation.custom(None, layout.bounds(), tree.state.downcast_mut::<State>());
        if let Some(inner) = tree.children.first_mut() {
            self.0.as_widget_mut().operate(inner, layout, renderer, operation);
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
        let Tree { state, children, .. } = tree;
        let (state, Some(inner)) = (state.downcast_mut::<State>(), children.first_mut()) else { return };
        if is_pointed(event) {
            state.last = None;
        }
        if let (Event::Window(window::Event::RedrawRequested(_)), Some(last)) = (event, state.last) {
            self.keep(last, inner, layout, renderer);
        }
        self.0.as_widget_mut().update(inner, event, layout, cursor, renderer, clipboard, shell, viewport);
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
            self.0.as_widget().draw(inner, renderer, theme, style, layout, cursor, viewport);
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
        let content = self.0.as_widget();
        tree.children.first().map_or_else(mouse::Interaction::default, |inner| {
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
        self.0.as_widget_mut().overlay(tree.children.first_mut()?, layout, renderer, viewport, translation)
    }
}
