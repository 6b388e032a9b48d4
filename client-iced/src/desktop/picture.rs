//! The sign in the tray: the program's icon, and how many messages nobody has seen.

use std::io::Cursor;

/// The icon, 64 by 64.
const ICON: &[u8] = include_bytes!("../../../deploy/desktop/icons/64.png");
/// Of a side, in pixels.
const SIDE: usize = 64;
/// Of a cell of a digit, in pixels.
const CELL: usize = 6;
/// Digits as three by five cells, row by row, the highest bit on the left; the last one is a plus.
const DIGITS: [[u8; 5]; 11] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 7, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 1, 2, 2],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
    [0, 2, 7, 2, 0],
];
/// Behind the number.
const GROUND: [u8; 4] = [0xA8, 0x28, 0x1E, 0xFF];
const INK: [u8; 4] = [0xFF; 4];

/// A picture: width and height in pixels, and its pixels, red, green, blue and opacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) side: u32,
    pub(crate) rgba: Vec<u8>,
}

/// The icon; empty where it cannot be read, which a test rules out.
pub(crate) fn icon() -> Picture {
    let read = || {
        let mut reader = png::Decoder::new(Cursor::new(ICON)).read_info().ok()?;
        let mut rgba = vec![0; reader.output_buffer_size()?];
        let frame = reader.next_frame(&mut rgba).ok()?;
        let good = frame.color_type == png::ColorType::Rgba && frame.bit_depth == png::BitDepth::Eight;
        (good && frame.width == frame.height).then_some(Picture { side: frame.width, rgba })
    };
    read().unwrap_or(Picture { side: 0, rgba: Vec::new() })
}

/// The icon with a number on it; with more than 99, `9+`.
pub(crate) fn sign(unread: u64) -> Picture {
    let mut picture = icon();
    let digits: Vec<usize> = match unread {
        0 => return picture,
        1..=9 => vec![usize::try_from(unread).unwrap_or(9)],
        10..=99 => [unread / 10, unread % 10].into_iter().filter_map(|digit| usize::try_from(digit).ok()).collect(),
        _ => vec![9, 10],
    };
    // A cell of margin around each digit.
    let (width, height) = ((digits.len() * 4 + 1) * CELL, 7 * CELL);
    let (left, top) = (SIDE.saturating_sub(width), SIDE.saturating_sub(height));
    paint(&mut picture, (left, top), (width, height), GROUND);
    for (place, digit) in digits.into_iter().enumerate() {
        let rows = DIGITS.get(digit).into_iter().flatten();
        for (row, bits) in rows.enumerate() {
            for column in (0..3).filter(|column| bits & (4 >> column) != 0) {
                let at = (left + (place * 4 + 1 + column) * CELL, top + (row + 1) * CELL);
                paint(&mut picture, at, (CELL, CELL), INK);
            }
        }
    }
    picture
}

fn paint(picture: &mut Picture, (left, top): (usize, usize), (width, height): (usize, usize), color: [u8; 4]) {
    for row in top..top + height {
        let start = (row * SIDE + left) * 4;
        if let Some(pixels) = picture.rgba.get_mut(start..start + width * 4) {
            pixels.chunks_exact_mut(4).for_each(|pixel| pixel.copy_from_slice(&color));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_icon_is_there_and_a_number_changes_it() {
        let plain = sign(0);
        assert_eq!((plain.side, plain.rgba.len()), (64, SIDE * SIDE * 4));
        let pictures: Vec<Picture> = [1, 7, 10, 42, 99, 100, 5_000].map(sign).into();
        for (at, picture) in pictures.iter().enumerate() {
            assert_ne!(*picture, plain);
            assert!(pictures[..at].iter().filter(|other| *other == picture).count() == usize::from(at == 6));
        }
    }
}
