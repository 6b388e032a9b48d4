//! QR codes, drawn in dark on light in every theme: cameras look for that.

use iced::advanced::renderer::{self, Quad};
use iced::{Color, Element, Rectangle, Theme, border};
use qrcode::{EcLevel, QrCode};

use crate::square::{Figure, square};

/// Modules of the margin, as ISO/IEC 18004 asks for.
const MARGIN: u16 = 4;

/// The modules of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Modules of a side.
    side: u16,
    /// Where dark modules stand side by side: row, first column, how many.
    dark: Vec<(u16, u16, u16)>,
}

impl Code {
    /// Of a text; `None` when it is too long for a code.
    pub fn of(text: &str) -> Option<Self> {
        // A screen is not scratched: the least correction makes the largest modules.
        let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
        let side = code.width();
        let colors = code.to_colors();
        let mut dark: Vec<(u16, u16, u16)> = Vec::new();
        for (row, colors) in (0_u16..).zip(colors.chunks(side)) {
            for (column, _) in (0_u16..).zip(colors).filter(|(_, color)| **color == qrcode::Color::Dark) {
                match dark.last_mut().filter(|(at, first, count)| *at == row && first + *count == column) {
                    Some((_, _, count)) => *count += 1,
                    None => dark.push((row, column, 1)),
                }
            }
        }
        Some(Self { side: u16::try_from(side).ok()?, dark })
    }

    /// In a box of so many logical pixels.
    pub fn view<'a, Message: 'a>(&'a self, size: f32) -> Element<'a, Message> {
        square(self, size)
    }
}

impl Figure for &Code {
    fn paint<Renderer: renderer::Renderer>(&self, renderer: &mut Renderer, _: &Theme, bounds: Rectangle) {
        renderer.fill_quad(Quad { bounds, border: border::rounded(8), ..Quad::default() }, Color::WHITE);
        let module = bounds.width / f32::from(self.side + 2 * MARGIN);
        for (row, column, count) in &self.dark {
            let bounds = Rectangle {
                x: bounds.x + f32::from(column + MARGIN) * module,
                y: bounds.y + f32::from(row + MARGIN) * module,
                width: f32::from(*count) * module,
                height: module,
            };
            renderer.fill_quad(Quad { bounds, ..Quad::default() }, Color::BLACK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dark_module_is_drawn_once() {
        let text = format!("endtoend://chat.example.org:8443/#pin={}&handle=alice", "5f".repeat(64));
        let code = Code::of(&text).unwrap();
        let expected = QrCode::with_error_correction_level(&text, EcLevel::L).unwrap();
        let mut drawn = vec![qrcode::Color::Light; usize::from(code.side).pow(2)];
        for (row, column, count) in &code.dark {
            for at in *column..column + count {
                let module = &mut drawn[usize::from(*row) * usize::from(code.side) + usize::from(at)];
                assert_eq!(*module, qrcode::Color::Light, "twice");
                *module = qrcode::Color::Dark;
            }
        }
        assert_eq!(drawn, expected.to_colors());
        assert_eq!(Code::of(&"x".repeat(5_000)), None);
    }
}
