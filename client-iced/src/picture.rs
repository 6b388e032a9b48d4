//! Pictures that people have sent: unpacked with bounds, as large as they are shown and no larger, and never on the window's thread.

use std::io::Cursor;

use endtoend_client::face::Cut;
use endtoend_client::pictures::{NoPicture, unpack};
use iced::widget::image::Handle;
use image::imageops::{self, FilterType};
use image::{ImageFormat, RgbaImage};
use zeroize::Zeroizing;

/// Longest side of a picture between messages, in pixels: as wide as a bubble on a screen of high density.
pub const SMALL_SIDE_MAX: u32 = 480;
/// Longest side of a picture that is shown alone, in pixels.
pub const LARGE_SIDE_MAX: u32 = 2_048;
/// Side of a face in a list, and of one alone, in pixels: as large as they are drawn on a screen of high density.
const FACE_SIDES: [u32; 2] = [96, 176];
/// How round its corners are, in parts of its side.
pub const FACE_CORNER: f32 = 0.28;

/// How large a picture is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scale {
    /// Between messages.
    Small,
    /// Alone.
    Large,
}

impl Scale {
    /// The longest side, in pixels.
    pub const fn side_max(self) -> u32 {
        match self {
            Self::Small => SMALL_SIDE_MAX,
            Self::Large => LARGE_SIDE_MAX,
        }
    }
}

/// A picture that can be drawn. A copy of it is not another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// What is drawn.
    pub handle: Handle,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// Why it cannot be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undrawable {
    /// No JPEG, PNG or WebP, or damaged, or beyond the bounds.
    #[error("this is no picture that can be shown")]
    NoPicture,
    /// The clipboard's has no form that can be sent.
    #[error("the picture cannot be packed")]
    Packing,
}

impl From<NoPicture> for Undrawable {
    fn from(NoPicture: NoPicture) -> Self {
        Self::NoPicture
    }
}

/// Unpacks a picture, no larger than it is to be. It takes long: see [`Scale`].
///
/// # Errors
/// See [`Undrawable`].
pub fn draw(bytes: &[u8], scale: Scale) -> Result<Drawn, Undrawable> {
    let picture = unpack(bytes)?;
    let side = scale.side_max();
    let fits = picture.width() <= side && picture.height() <= side;
    let pixels = if fits { picture.into_rgba8() } else { picture.thumbnail(side, side).into_rgba8() };
    let (width, height) = pixels.dimensions();
    Ok(Drawn { handle: Handle::from_rgba(width, height, pixels.into_raw()), width, height })
}

/// Unpacks the picture of a person: a square with round corners, so that it stands among patterns like one of them.
///
/// # Errors
/// See [`Undrawable`].
pub fn draw_face(bytes: &[u8], scale: Scale) -> Result<Drawn, Undrawable> {
    let picture = unpack(bytes)?;
    let [small, large] = FACE_SIDES;
    let side = match scale {
        Scale::Small => small,
        Scale::Large => large,
    };
    Ok(rounded(picture.resize_to_fill(side, side, FilterType::Triangle).into_rgba8()))
}

/// A square of a picture that is drawn already, as [`draw_face`] would draw it alone. Small enough for the window's thread: that picture is
/// no larger than [`SMALL_SIDE_MAX`]. `None` for one that has no pixels here.
pub fn cut_face(picture: &Drawn, cut: Cut) -> Option<Drawn> {
    let Handle::Rgba { width, height, pixels, .. } = &picture.handle else { return None };
    let whole = RgbaImage::from_raw(*width, *height, pixels.to_vec())?;
    let (left, top, side) = cut.square(*width, *height);
    let square = imageops::crop_imm(&whole, left, top, side, side).to_image();
    let [_, large] = FACE_SIDES;
    Some(rounded(imageops::resize(&square, large, large, FilterType::Triangle)))
}

/// The same with round corners.
fn rounded(mut square: RgbaImage) -> Drawn {
    let (side, _) = square.dimensions();
    for (x, y, pixel) in square.enumerate_pixels_mut() {
        let [.., alpha] = &mut pixel.0;
        // From 0 to 1, of a byte.
        *alpha = (f32::from(*alpha) * covered(x, y, side)) as u8;
    }
    Drawn { handle: Handle::from_rgba(side, side, square.into_raw()), width: side, height: side }
}

/// How much of a pixel lies in a square of this side whose corners are round.
fn covered(x: u32, y: u32, side: u32) -> f32 {
    let (side, radius) = (side as f32, side as f32 * FACE_CORNER);
    // How far it is into the corner that is nearest, along each edge.
    let into = |at: u32| {
        let middle = at as f32 + 0.5;
        (radius - middle.min(side - middle)).max(0.0)
    };
    (radius + 0.5 - into(x).hypot(into(y))).clamp(0.0, 1.0)
}

/// Packs pixels, four bytes each, as a PNG that can be sent.
///
/// # Errors
/// `NoPicture` for what is larger than what is ever shown, or has not as many bytes as pixels.
pub fn pack(width: u32, height: u32, pixels: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Undrawable> {
    endtoend_protocol::Picture::new(width, height).ok_or(Undrawable::NoPicture)?;
    let picture = RgbaImage::from_raw(width, height, pixels).ok_or(Undrawable::NoPicture)?;
    let mut packed = Zeroizing::new(Vec::new());
    picture.write_to(&mut Cursor::new(&mut *packed), ImageFormat::Png).map_err(|_| Undrawable::Packing)?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(width: u32, height: u32) -> Vec<u8> {
        (0..width * height).flat_map(|at| [(at % 251) as u8, (at / width) as u8, 90, 255]).collect()
    }

    #[test]
    fn a_picture_is_no_larger_than_it_is_shown_and_keeps_its_shape() {
        let packed = pack(1_200, 300, pixels(1_200, 300)).unwrap();
        let drawn = draw(&packed, Scale::Small).unwrap();
        assert_eq!((drawn.width, drawn.height), (480, 120));
        let drawn = draw(&packed, Scale::Large).unwrap();
        assert_eq!((drawn.width, drawn.height), (1_200, 300));
        let Handle::Rgba { pixels: drawn, .. } = drawn.handle else { panic!("it is not unpacked") };
        assert_eq!(&drawn[..], pixels(1_200, 300).as_slice(), "what was packed is what is unpacked");
    }

    #[test]
    fn a_face_is_a_square_with_round_corners_and_nothing_in_them() {
        let packed = pack(300, 200, pixels(300, 200)).unwrap();
        for (scale, side) in [(Scale::Small, 96), (Scale::Large, 176)] {
            let drawn = draw_face(&packed, scale).unwrap();
            assert_eq!((drawn.width, drawn.height), (side, side));
            let Handle::Rgba { pixels, .. } = drawn.handle else { panic!("it is not unpacked") };
            let alpha = |x: u32, y: u32| pixels[((y * side + x) * 4 + 3) as usize];
            let last = side - 1;
            assert_eq!([alpha(0, 0), alpha(last, 0), alpha(0, last), alpha(last, last)], [0; 4]);
            assert_eq!([alpha(side / 2, 0), alpha(0, side / 2), alpha(side / 2, side / 2)], [255; 3]);
        }
        assert_eq!(draw_face(&packed[..packed.len() / 2], Scale::Small), Err(Undrawable::NoPicture));
    }

    #[test]
    fn a_square_is_cut_out_of_what_is_drawn() {
        // Black on the left, white on the right.
        let halves: Vec<u8> =
            (0..200 * 100).flat_map(|at| if at % 200 < 100 { [0, 0, 0, 255] } else { [255; 4] }).collect();
        let drawn = Drawn { handle: Handle::from_rgba(200, 100, halves), width: 200, height: 100 };
        for (left, level) in [(0, 0), (Cut::WHOLE, 255)] {
            let cut = cut_face(&drawn, Cut { left, ..Cut::default() }).unwrap();
            let Handle::Rgba { pixels, .. } = &cut.handle else { panic!("it has no pixels") };
            assert!(pixels.chunks_exact(4).all(|pixel| pixel[0] == level), "{left}");
            assert_eq!((cut.width, cut.height), (176, 176));
        }
    }

    #[test]
    fn what_is_no_picture_or_a_bomb_is_not_unpacked() {
        let packed = pack(40, 30, pixels(40, 30)).unwrap();
        for bytes in [&b""[..], b"GIF89a", &packed[..packed.len() / 2]] {
            assert_eq!(draw(bytes, Scale::Small), Err(Undrawable::NoPicture));
        }
        let mut bomb = packed.to_vec();
        bomb[16..24].copy_from_slice(&[0, 0, 0x3f, 0xff, 0, 0, 0x3f, 0xff]);
        assert_eq!(draw(&bomb, Scale::Small), Err(Undrawable::NoPicture));
        assert_eq!(pack(40, 30, vec![0; 7]), Err(Undrawable::NoPicture));
        assert_eq!(pack(16_385, 1, vec![0; 16_385 * 4]), Err(Undrawable::NoPicture));
    }
}
