//! A face for everybody who has no picture: five by five cells, from the name alone, so that it is the same everywhere.

use iced::advanced::renderer::{self, Quad};
use iced::{Color, Element, Rectangle, Theme, border};

use crate::picture::FACE_CORNER;
use crate::square::{Figure, square};
use crate::theme::Colors;

/// What a face looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// In degrees.
    hue: f32,
    /// Row by row; the right is the left in a mirror.
    cells: [[bool; 5]; 5],
}

impl Face {
    /// Of somebody who is called this.
    pub fn of(name: &str) -> Self {
        let hash = blake3::Hasher::new_derive_key("endtoend 2026 face").update(name.as_bytes()).finalize();
        let mut bits = hash.as_bytes().iter().copied();
        let mut next = || bits.next().unwrap_or_default();
        let hue = f32::from(next()) / 256.0 * 360.0;
        let cells = std::array::from_fn(|_| {
            let [a, b, c] = [next() & 1 == 1, next() & 1 == 1, next() & 1 == 1];
            [a, b, c, b, a]
        });
        Self { hue, cells }
    }
}

impl Figure for Face {
    fn paint<Renderer: renderer::Renderer>(&self, renderer: &mut Renderer, theme: &Theme, bounds: Rectangle) {
        let size = bounds.width;
        let ground = Quad { bounds, border: border::rounded(size * FACE_CORNER), ..Quad::default() };
        renderer.fill_quad(ground, Colors::of(theme).face(self.hue));
        let (edge, cell) = (size * 0.19, size * 0.62 / 5.0);
        let (mut y, light) = (bounds.y + edge, Color { a: 0.95, ..Color::WHITE });
        for row in self.cells {
            let mut x = bounds.x + edge;
            for filled in row {
                if filled {
                    let bounds = Rectangle { x, y, width: cell, height: cell };
                    renderer.fill_quad(Quad { bounds, ..Quad::default() }, light);
                }
                x += cell;
            }
            y += cell;
        }
    }
}

/// The face of somebody who is called this, in a box of so many logical pixels.
pub fn identicon<'a, Message: 'a>(name: &str, size: u16) -> Element<'a, Message> {
    square(Face::of(name), f32::from(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_symmetrical_stays_the_same_and_is_somebody_s_own() {
        let names = ["alice", "bob", "carol", "dave", "eve", "алиса", "ＡＬＩＣＥ"];
        let faces = names.map(Face::of);
        for (at, face) in faces.iter().enumerate() {
            assert_eq!(*face, Face::of(names[at]));
            assert!((0.0..360.0).contains(&face.hue));
            assert!(face.cells.iter().all(|[a, b, _, d, e]| a == e && b == d));
            assert!(faces[at + 1..].iter().all(|other| other != face));
        }
    }
}
