//! How loud something is that was spoken, from its beginning to its end: a bar for each part of it.

use iced::advanced::layout::{self, Layout};
use iced::advanced::renderer::{self, Quad};
use iced::advanced::widget::{Tree, Widget};
use iced::{Element, Length, Rectangle, Size, Theme, border, mouse};

use crate::theme::Colors;

/// Bars that stand side by side.
const BARS: usize = 48;
/// Of all of them, in logical pixels.
const WIDTH: f32 = 240.0;
/// Of the loudest.
const HEIGHT: f32 = 32.0;
/// Of the most silent: a line is still seen.
const HEIGHT_MIN: f32 = 2.0;

/// The bars of a recording.
struct Waveform([u8; BARS]);

/// As many bars as are drawn, each as loud as the loudest value of its part. Without a value there is nothing to be heard.
fn bars(values: &[u8]) -> [u8; BARS] {
    std::array::from_fn(|bar| {
        let from = bar * values.len() / BARS;
        let to = ((bar + 1) * values.len() / BARS).max(from + 1);
        values.get(from..to.min(values.len())).and_then(|part| part.iter().max()).copied().unwrap_or_default()
    })
}

/// The bars of what was spoken, by how loud it is.
pub fn waveform<'a, Message: 'a>(values: &[u8]) -> Element<'a, Message> {
    Element::new(Waveform(bars(values)))
}

impl<Message, Renderer: renderer::Renderer> Widget<Message, Theme, Renderer> for Waveform {
    fn size(&self) -> Size<Length> {
        Size::new(Length::Fixed(WIDTH), Length::Fixed(HEIGHT))
    }

    fn layout(&mut self, _: &mut Tree, _: &Renderer, limits: &layout::Limits) -> layout::Node {
        layout::atomic(limits, WIDTH, HEIGHT)
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
        let all = layout.bounds();
        if all.intersection(viewport).is_none() {
            return;
        }
        let step = all.width / BARS as f32;
        let mut x = all.x;
        for loud in self.0 {
            let height = HEIGHT_MIN + (all.height - HEIGHT_MIN) * f32::from(loud) / f32::from(u8::MAX);
            let bounds = Rectangle { x, y: all.y + (all.height - height) / 2.0, width: step * 0.6, height };
            renderer
                .fill_quad(Quad { bounds, border: border::rounded(1), ..Quad::default() }, Colors::of(theme).accent);
            x += step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bar_is_as_loud_as_the_loudest_of_its_part() {
        assert_eq!(bars(&[]), [0; BARS]);
        assert_eq!(bars(&[7]), [7; BARS]);
        let rising: Vec<u8> = (0..96).collect();
        assert_eq!(bars(&rising)[..3], [1, 3, 5]);
        assert_eq!(bars(&rising)[BARS - 1], 95);
        let mut one = [0; 128];
        one[77] = 200;
        assert_eq!(bars(&one).into_iter().filter(|loud| *loud == 200).count(), 1, "nothing is left out or heard twice");
    }
}
