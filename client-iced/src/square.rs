//! What is painted into a square and heeds nothing: faces and codes.

use iced::advanced::layout::{self, Layout};
use iced::advanced::renderer;
use iced::advanced::widget::{Tree, Widget};
use iced::{Element, Length, Rectangle, Size, Theme, mouse};

/// What fills a square.
pub trait Figure {
    /// Paints it into these bounds, which are as wide as they are high.
    fn paint<Renderer: renderer::Renderer>(&self, renderer: &mut Renderer, theme: &Theme, bounds: Rectangle);
}

struct Square<F> {
    figure: F,
    size: f32,
}

/// A figure in a square of so many logical pixels.
pub fn square<'a, Message: 'a>(figure: impl Figure + 'a, size: f32) -> Element<'a, Message> {
    Element::new(Square { figure, size })
}

impl<F: Figure, Message, Renderer: renderer::Renderer> Widget<Message, Theme, Renderer> for Square<F> {
    fn size(&self) -> Size<Length> {
        Size::new(Length::Fixed(self.size), Length::Fixed(self.size))
    }

    fn layout(&mut self, _: &mut Tree, _: &Renderer, limits: &layout::Limits) -> layout::Node {
        layout::atomic(limits, self.size, self.size)
    }

    fn draw(
        &self,
        _: &Tree,
        renderer: &mut Renderer,
        theme: &Theme,
        _: &renderer::Style,
        layout: Layout<'_>,
        _: mouse::Cursor,
        viewport: &Rectangle,
    ) {
        let bounds = layout.bounds();
        if bounds.intersection(viewport).is_some() {
            self.figure.paint(renderer, theme, bounds);
        }
    }
}
